"""A run in progress: its events, its result, its cancellation."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sshexec.batches import Batches
from sshexec.callbacks.telling import Telling
from sshexec.events import Event, HostFinished, HostPhase, HostStarted, Output, RunFinished, TransferProgress
from sshexec.recorder import Recorder
from sshexec.results import HostResult, RunResult
from sshexec.runtime.job import Executor, Job, Stop

log = logging.getLogger(__name__)

QUEUED = 8 * 2**20
"""Characters of output that may wait for the reader of `Run.events`; then the hosts wait too (back-pressure)."""

_OVERHEAD = 200
"""Characters that an Output event counts for beside its text."""

FORCE_AFTER = 15.0
"""Seconds after a stop by which a host must have answered; then its result is made without it."""

LEAVE_AFTER = 30.0
"""Seconds after a stop by which whoever is told of the run must have returned; then it ends without them."""


@dataclass(frozen=True, slots=True)
class HostState:
    """What a host is busy with whose turn has come.

    Args:
        host: inventory name.
        phase: what it is doing (`sshexec.connectors.base.Phase`).
        since: when it began that, seconds since the epoch.
        last_output: when it last printed something, likewise; None where it has not.
        done: bytes transferred so far; None where nothing is being transferred.
        total: bytes to transfer in all; None where that is not known.
    """

    host: str
    phase: str
    since: float
    last_output: float | None = None
    done: int | None = None
    total: int | None = None


class Run:
    """A run in progress; made by `Engine.start`.

    Safe to use from several threads; `events` has one reader.

    Args:
        job: what is run.
        executor: where it runs.
        batches: which hosts run together, and when to give up.
        run_timeout: seconds for the whole run.
        events: whether events are kept for `events`.
        on_done: called once every result is there.
        telling: tells the engine's callbacks; the run ends once they all have returned, and after a stop in any case.
        recorder: keeps the run's record, or tells auditors, or both; the run ends once it has, likewise.
    """

    def __init__(
        self,
        job: Job,
        executor: Executor,
        batches: Batches,
        *,
        run_timeout: float | None,
        events: bool,
        on_done: Callable[[Run], None],
        telling: Telling | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.id = job.id
        self.hosts = [target.host for target in job.targets]
        self._job = job
        self._executor = executor
        self._batches = batches
        self._run_timeout = run_timeout
        self._on_done = on_done
        self._telling = telling
        self._recorder = recorder
        self._changed = threading.Condition()
        self._results: dict[str, HostResult] = {}
        self._states: dict[str, HostState] = {}
        self._queue: deque[Event] | None = deque() if events else None
        self._queued_output = 0
        self._unread_progress: set[str] = set()
        self._keep_output = True
        self._read = False
        self._paused = False
        self._advancing = False
        self._pausing = threading.Lock()
        self._open: set[str] = set()  # begun, and without a result
        self._state: Literal["finished", "cancelled", "timeout"] = "finished"
        self._stopped: Stop | None = None
        self._result: RunResult | None = None
        self._untold: RunResult | None = None
        self._listeners: list[Callable[[], None]] = []
        self._timers: list[threading.Timer] = []
        self._started = time.time()

    def begin(self) -> None:
        """Start the first batch; called once, by the engine."""
        if self._telling is not None:
            self._telling.begin()
        if self._run_timeout is not None:
            text = f"the run's deadline of {self._run_timeout:g} s passed"
            self._after(self._run_timeout, lambda: self._stop("timeout", Stop("run_timeout", text)))
        self._next_batch()

    # ------------------------------------------------------------------ for callers

    @property
    def job(self) -> Job:
        """What is run, and where, with each host's variables: some of them are secrets."""
        return self._job

    @property
    def started(self) -> float:
        """When it began, seconds since the epoch."""
        return self._started

    @property
    def done(self) -> bool:
        """Whether every host has its result."""
        return self._result is not None

    def wait(self, timeout: float | None = None) -> RunResult:
        """Wait until every host has its result.

        Where nobody has begun to read the events by then, those of output are dropped: they would fill up, and the
        hosts would wait for a reader.

        Args:
            timeout: seconds to wait; None waits for as long as the run takes (`run_timeout` bounds it).

        Raises:
            TimeoutError: the run goes on; wait again, or cancel it.
        """
        limit = None if timeout is None else time.monotonic() + timeout
        self._drop_unread_output()
        with self._changed:
            while self._result is None:
                left = None if limit is None else limit - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(
                        f"run {self.id} goes on ({len(self._results)} of {len(self.hosts)} hosts are done)"
                    )
                self._changed.wait(left)
            return self._result

    def _drop_unread_output(self) -> None:
        with self._changed:
            if self._read or self._queue is None or not self._keep_output:
                return
            self._keep_output = False
            self._queue = deque(event for event in self._queue if not isinstance(event, Output))
            self._queued_output = 0
        self._pause(False)

    def cancel(self) -> None:
        """Stop the run: hosts that wait are not started, running commands are killed. Every host gets a result."""
        self._stop("cancelled", Stop("cancelled", "the run was cancelled"))

    def events(self) -> Iterator[Event]:
        """Return the events as they come; the last one is RunFinished.

        A slow reader slows the hosts' output down instead of filling the memory. Once the iterator is closed, further
        events are dropped and the run goes on.
        """
        if self._queue is None:
            raise ValueError("this run was started without events, or they were read or dropped already")
        self._read = True  # now, and not with the first event that is asked for
        return self._remaining()

    def _remaining(self) -> Iterator[Event]:
        try:
            while True:
                with self._changed:
                    while not self._queue:
                        if self._result is not None:
                            return
                        self._changed.wait()
                event = self.poll()
                if event is not None:
                    yield event
        finally:
            self.drop_events()

    def drop_events(self) -> None:
        """Stop keeping events; the run goes on."""
        with self._changed:
            self._queue = None
        self._pause(False)

    def poll(self) -> Event | None:
        """Return the next event if there is one, without waiting."""
        with self._changed:
            self._read = True
            if not self._queue:
                return None
            event = self._queue.popleft()
            resume = False
            if isinstance(event, TransferProgress):
                self._unread_progress.discard(event.host)
            if isinstance(event, Output):
                self._queued_output -= _weight(event)
                resume = self._paused and self._queued_output < QUEUED // 2
        if resume:
            self._pause(False)
        return event

    def snapshot(self) -> list[HostState]:
        """Return what the hosts are busy with whose turn has come, the one that is longest at it first."""
        with self._changed:
            return sorted(self._states.values(), key=lambda state: state.since)

    def listen(self, callback: Callable[[], None]) -> None:
        """Have a callback called, from another thread, whenever events have come or the run is done.

        It reads none: `poll` does, and where nobody has by the time of `wait`, output is dropped.
        """
        with self._changed:
            self._listeners.append(callback)
        callback()

    # ------------------------------------------------------------------ for the executor

    def receive(self, events: Sequence[Event]) -> None:
        """Take events from the executor, from any thread."""
        stop: Stop | None = None
        ready = False
        with self._changed:
            for event in events:
                if isinstance(event, HostFinished):
                    if event.host not in self._open:
                        continue
                    self._open.discard(event.host)
                    self._keep(event.result)
                    self._states.pop(event.host, None)
                    stop = self._batches.count(event.result) or stop
                    ready = not self._open
                else:
                    self._track(event)
                self._enqueue(event)
            self._changed.notify_all()
            listeners = list(self._listeners)
            full = self._queue is not None and self._queued_output >= QUEUED and not self._paused
        if stop is not None and not ready:
            self._executor.stop(self.id, stop)
        if full:
            self._pause(True)
        if ready:
            self._next_batch()
        _call(listeners)

    def _keep(self, result: HostResult) -> None:
        self._results[result.host] = result
        if self._recorder is not None:
            self._recorder.take(result)

    def _track(self, event: Event) -> None:
        if isinstance(event, HostStarted):
            self._states[event.host] = HostState(event.host, "waiting", event.time)
        elif isinstance(event, HostPhase):
            self._states[event.host] = HostState(event.host, event.phase, event.time)
        elif isinstance(event, Output):
            state = self._states.get(event.host)
            if state is not None:
                self._states[event.host] = HostState(state.host, state.phase, state.since, event.time)
        elif isinstance(event, TransferProgress):
            state = self._states.get(event.host)
            if state is not None:
                self._states[event.host] = replace(state, done=event.done, total=event.total)

    def _enqueue(self, event: Event) -> None:
        if self._telling is not None:
            self._telling.put(event)
        if self._queue is None or (isinstance(event, Output) and not self._keep_output):
            return
        if isinstance(event, TransferProgress):
            # A reader that is behind needs one for each host, and the last of each transfer.
            if event.host in self._unread_progress and event.done != event.total:
                return
            self._unread_progress.add(event.host)
        self._queue.append(event)
        if isinstance(event, Output):
            self._queued_output += _weight(event)

    def _pause(self, paused: bool) -> None:
        # One at a time: a pause that overtook its end would hold the hosts for ever.
        with self._pausing:
            with self._changed:
                deaf = self._stopped is not None or self._queue is None or not self._keep_output
                if paused == self._paused or (paused and deaf):
                    return
                self._paused = paused
            self._executor.pause(self.id, paused)

    # ------------------------------------------------------------------ the course of the run

    def _next_batch(self) -> None:
        # A batch may be done before `begin` returns, and its end leads here again: that is one more turn of the loop
        # that runs already, and not one more level of the stack.
        with self._changed:
            if self._advancing:
                return
            self._advancing = True
        while self._begin_batch():
            pass

    def _begin_batch(self) -> bool:
        with self._changed:
            if self._result is not None or self._open:
                self._advancing = False
                return False
            stop = self._stopped or self._batches.broken
            if stop is not None:
                self._skip_rest(stop)
            batch = self._batches.next()
            self._open.update(batch)
        if batch:
            self._executor.begin(self.id, batch)
            if self._stopped is not None:
                self._executor.stop(self.id, self._stopped)
            return True
        self._finish()
        return False

    def _skip_rest(self, stop: Stop) -> None:
        while batch := self._batches.next():
            for host in batch:
                result = stop.result(host)
                self._keep(result)
                self._enqueue(HostFinished(result))

    def _finish(self) -> None:
        with self._changed:
            ordered = {host: self._results[host] for host in self.hosts}
            result = RunResult(self.id, self._job.task.module, ordered, self._started, time.time(), self._state)
            self._untold = result
        if self._recorder is None:
            self._tell_end(result)
        else:
            self._recorder.end(result, self._tell_end)

    def _tell_end(self, result: RunResult) -> None:
        if self._telling is None:
            self._settle(result)
        else:
            self._telling.end(result, lambda: self._settle(result))

    def _settle(self, result: RunResult) -> None:
        with self._changed:
            if self._result is not None:
                return
            self._result = result
            self._enqueue(RunFinished(result))
            self._changed.notify_all()
        for timer in self._timers:
            timer.cancel()
        self._executor.forget(self.id)
        self._on_done(self)
        _call(list(self._listeners))

    def _stop(self, state: Literal["cancelled", "timeout"], stop: Stop) -> None:
        with self._changed:
            if self._result is not None or self._stopped is not None:
                return
            self._stopped = stop
            if self._untold is None:  # else every host has its result, and only callbacks are still being told
                self._state = state
            self._changed.notify_all()
        self._pause(False)
        self._after(FORCE_AFTER, lambda: self._force(stop))
        if self._telling is not None or self._recorder is not None:
            self._after(LEAVE_AFTER, self._leave_untold)
        self._executor.stop(self.id, stop)

    def _force(self, stop: Stop) -> None:
        """Make the results of hosts that did not answer to the stop."""
        with self._changed:
            silent = sorted(self._open)
        data = {"failed": True, "changed": True, "msg": f"{stop.message}; the host's turn did not end in time"}
        status: Literal["timeout", "cancelled"] = "timeout" if stop.cause == "run_timeout" else "cancelled"
        now = time.time()
        self.receive(
            [
                HostFinished(HostResult(host, status, dict(data), cause=stop.cause, finished=now, killed=False))
                for host in silent
            ]
        )

    def _leave_untold(self) -> None:
        """End the run although a callback or an auditor has not returned."""
        if self._untold is not None and self._result is None:
            who = "callbacks" if self._telling is not None else "audit sinks"
            log.warning("run %s was stopped, and ends before its %s have returned", self.id, who)
            self._settle(self._untold)

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, action)
        timer.daemon = True
        with self._changed:
            if self._result is not None:
                return
            self._timers.append(timer)
        timer.start()


def _weight(event: Output) -> int:
    return len(event.text) + len(event.data or b"") + _OVERHEAD


def _call(listeners: Sequence[Callable[[], None]]) -> None:
    for callback in listeners:
        try:
            callback()
        except Exception:
            # A listener's fault is not the run's: the other listeners, and the hosts, go on.
            log.exception("a listener of a run failed")
