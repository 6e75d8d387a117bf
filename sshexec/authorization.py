"""Who may run what where: asked for each host before it is contacted."""

from __future__ import annotations

import contextlib
import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from sshexec.audit import Trail
from sshexec.errors import ArgumentError
from sshexec.events import Event, HostFinished
from sshexec.recorder import Opening
from sshexec.results import HostResult
from sshexec.runtime.job import Emit, Executor, Job, Stop
from sshexec.secret import mask
from sshexec.task import Task

log = logging.getLogger(__name__)

Authorize = Callable[[str | None, str, Task], bool | str | None]
"""Gets the actor, the host's name and the task. None and True allow; False, or a text with the reason, refuses."""

AHEAD = 2
"""Hosts that may be with the executor at once, for each that it has at work: so none waits long for its turn once it
was allowed, and no slot waits for an answer."""

_UNSAID = "not authorized"


def check_authorize(authorize: object) -> None:
    """Refuse what can't be asked.

    Raises:
        ArgumentError: it is no plain function.
    """
    call = getattr(authorize, "__call__", None)  # noqa: B004 - of an object, whether its method is asynchronous
    if authorize is not None and not callable(authorize):
        raise ArgumentError(f"authorize: expected a function (actor, host, task), got {type(authorize).__name__}")
    if inspect.iscoroutinefunction(authorize) or inspect.iscoroutinefunction(call):
        raise ArgumentError("authorize: expected a plain function, got an asynchronous one, which would allow nothing")


class Gate:
    """Stands before an executor for one run, and lets each host through only once it is allowed.

    Hosts are asked about one after the other, on a thread of the run's own, and handed on one by one, soon before their
    turn.

    Args:
        executor: where hosts go.
        opening: the run.
        authorize: the question; None allows every host.
        trail: is told of each decision; None where nobody wants to know.
        concurrency: hosts that the executor has at work at once.
    """

    def __init__(
        self, executor: Executor, opening: Opening, authorize: Authorize | None, trail: Trail | None, concurrency: int
    ) -> None:
        self._executor = executor
        self._run = opening.run
        self._actor = opening.occasion.actor
        self._task = opening.task
        self._targets = {target.host: target for target in opening.targets}
        self._authorize = authorize
        self._trail = trail
        self._ahead = AHEAD * concurrency
        self._emit: Emit = _nobody
        self._changed = threading.Condition()
        self._waiting: deque[str] = deque()
        self._under_way = 0
        self._stop: Stop | None = None
        self._done = False
        self._thread: threading.Thread | None = None
        self._complained = False

    def prepare(self, job: Job, emit: Emit) -> None:
        """Have the executor check the job; see `sshexec.runtime.job.Executor`."""
        self._emit = emit
        self._executor.prepare(job, self._relay)

    def begin(self, job_id: str, hosts: Sequence[str]) -> None:
        """Take hosts that are to be asked about."""
        with self._changed:
            self._waiting.extend(hosts)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="sshexec-authorize", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def stop(self, job_id: str, stop: Stop) -> None:
        """Report the hosts that wait for their question, and have the executor stop the others."""
        with self._changed:
            self._stop = stop
            waiting = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        self._answer([stop.result(host) for host in waiting])
        self._executor.stop(job_id, stop)

    def pause(self, job_id: str, paused: bool) -> None:
        """Pass it on."""
        self._executor.pause(job_id, paused)

    def forget(self, job_id: str) -> None:
        """End the thread, and have the executor drop the job."""
        with self._changed:
            self._done = True
            self._changed.notify_all()
        self._executor.forget(job_id)

    def close(self) -> None:
        """Leave the executor alone: it is the engine's, and other runs use it."""

    def _relay(self, events: Sequence[Event]) -> None:
        """Count what the executor is done with, and pass it on."""
        done = sum(isinstance(event, HostFinished) for event in events)
        if done:
            with self._changed:
                self._under_way -= done
                self._changed.notify_all()
        self._emit(events)

    def _answer(self, results: Sequence[HostResult]) -> None:
        if results:
            self._emit([HostFinished(result) for result in results])

    def _work(self) -> None:
        while (host := self._next()) is not None:
            try:
                self._admit(host)
            except Exception as error:
                # A fault of ours, or an executor that was closed in this moment: a host without a result would hold up
                # the run for ever.
                log.debug("host %s: internal error", host, exc_info=True)
                text = f"internal error: {type(error).__name__}: {error}"
                data = {"failed": True, "changed": False, "msg": text}
                self._answer([HostResult(host, "failed", data, cause="internal")])

    def _next(self) -> str | None:
        """Return the next host once the executor has room for it; None when the run is over."""
        with self._changed:
            while not self._done:
                if self._waiting and self._under_way < self._ahead:
                    return self._waiting.popleft()
                self._changed.wait()
            return None

    def _admit(self, host: str) -> None:
        refusal = self._refusal(host)
        if refusal is not None:
            if self._trail is not None:
                self._trail.refused(host, refusal)
            data = {"skipped": True, "changed": False, "skip_reason": refusal, "msg": refusal}
            self._answer([HostResult(host, "skipped", data, cause="unauthorized")])
            return
        if self._trail is not None:
            self._trail.allowed(host)
        with self._changed:
            stop = self._stop
            if stop is None:
                self._under_way += 1
        if stop is not None:
            self._answer([stop.result(host)])
            return
        self._executor.begin(self._run, [host])
        if self._stop is not None:  # it came in between, and has not reached this host
            self._executor.stop(self._run, self._stop)

    def _refusal(self, host: str) -> str | None:
        """Return why a host is not to be contacted; None where it may be. Whoever can't be asked allows nothing."""
        if self._authorize is None:
            return None
        try:
            answer: object = self._authorize(self._actor, host, self._task)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is no permission
            # What it says may hold what nobody but the log should see: how the platform asks, and whom.
            self._complain("authorize failed for host %s, which is refused", host, failed=True)
            return f"{_UNSAID}: the check failed ({type(error).__name__})"
        if answer is None or answer is True:
            return None
        if answer is False:
            return _UNSAID
        if isinstance(answer, str):
            return mask(answer.strip(), self._targets[host].variables) or _UNSAID
        kind = type(answer).__name__
        self._complain(
            "authorize returned %s for host %s, which is refused: expected True, False or a text", kind, host
        )
        return f"{_UNSAID}: the check gave no answer"

    def _complain(self, text: str, *arguments: object, failed: bool = False) -> None:
        """Log what is wrong with the check, once a run."""
        if not self._complained:
            self._complained = True
            with contextlib.suppress(Exception):
                log.error(text, *arguments, exc_info=failed)


def _nobody(events: Sequence[Event]) -> None:
    """Take events of a run that was never prepared: there are none."""
