"""Many hosts at once in this process: a gevent pool. Only in a process whose blocking calls are patched."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import gevent
from gevent.pool import Group
from greenlet import greenlet

from sshexec.connectors.output import Budget
from sshexec.connectors.prompts import Prompts
from sshexec.errors import SshexecError
from sshexec.journal import Marks
from sshexec.runtime import descriptors
from sshexec.runtime.connections import Connections
from sshexec.runtime.job import Emit, Job, Stop
from sshexec.runtime.plan import Contexts, Plan, plan
from sshexec.runtime.slots import LOOK, Slots
from sshexec.runtime.turn import Turn

STOP_GRACE = 10.0
"""Seconds that running hosts have to end, TERM and KILL included, before `close` stops waiting for them."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Prepared:
    job: Job
    emit: Emit
    plans: dict[str, Plan]
    budget: Budget
    marks: Marks | None
    running: dict[Turn, greenlet] = field(default_factory=dict)
    flowing: threading.Event = field(default_factory=threading.Event)


class PoolExecutor:
    """Runs jobs on greenlets of this process.

    Args:
        concurrency: hosts at once, over all jobs.
        keep: seconds that an idle connection is kept for the next task; 0 closes it at once.
        prompts: where hosts put their questions.
    """

    def __init__(self, concurrency: int, keep: float, prompts: Prompts | None = None) -> None:
        self._contexts = Contexts(prompts)
        self._slots = Slots(min(concurrency, descriptors.most_hosts()), descriptors.most_hosts())
        if self._slots.limit < concurrency:
            log.warning(
                "%d hosts at once instead of %d: this process may have %d files open (ulimit -n)",
                self._slots.limit,
                concurrency,
                descriptors.limit(),
            )
        self._connections = Connections(keep, limit=descriptors.most_idle())
        self._jobs: dict[str, _Prepared] = {}
        self._queue: deque[Turn] = deque()
        self._workers = Group()
        self._lender: gevent.Greenlet[..., None] | None = None
        self._reaper: gevent.Greenlet[..., None] | None = None
        # Runs may be started from several (patched) threads; the queue and the jobs are shared.
        self._lock = threading.Lock()
        self._closed = False
        self._owner = os.getpid()

    def prepare(self, job: Job, emit: Emit) -> None:
        """Check a job; see `sshexec.runtime.job.Executor`."""
        if self._closed:
            raise SshexecError("the engine is closed")
        plans = plan(job, self._contexts)
        marks = None if job.journal is None else Marks(job.journal)
        prepared = _Prepared(job, emit, plans, Budget(job.task.run_output_limit), marks)
        prepared.flowing.set()
        self._jobs[job.id] = prepared

    def begin(self, job_id: str, hosts: Sequence[str]) -> None:
        """Queue the hosts and see to it that enough greenlets work the queue off."""
        if self._inherited:
            return
        prepared = self._jobs[job_id]
        with self._lock:
            for host in hosts:
                shared = (prepared.emit, prepared.budget, prepared.flowing, self._slots, prepared.marks)
                self._queue.append(Turn(prepared.job, prepared.plans[host], *shared))
        self._staff()

    def _staff(self) -> None:
        # Counted here and not by the group, which notices the end of a greenlet only later.
        for _ in range(min(len(self._queue), self._slots.free)):
            self._slots.begin()
            self._workers.start(gevent.Greenlet(self._work))
        if self._queue and self._lender is None:
            self._lender = gevent.spawn_later(LOOK, self._lend)

    def _lend(self) -> None:
        """Start others while hosts don't answer."""
        self._lender = None
        if not self._inherited:
            self._slots.lend(turn for prepared in self._jobs.values() for turn in prepared.running)
            self._staff()

    def _work(self) -> None:
        try:
            while self._queue and not self._inherited and not self._slots.overdrawn:
                self._take_turn(self._queue.popleft())
        finally:
            # No switch to another greenlet between the last look at the queue and this.
            self._slots.end()
            if self._queue and not self._inherited:
                self._staff()  # this one was killed, or has given up its slot
        if self._reaper is None and len(self._connections):
            self._reaper = gevent.spawn_later(self._connections.keep, self._reap)

    def _take_turn(self, turn: Turn) -> None:
        running = self._jobs[turn.job.id].running
        running[turn] = gevent.getcurrent()
        again = False
        try:
            again = not turn.run(self._connections, self._contexts)
        finally:
            del running[turn]
            self._slots.forget(turn)
        if again:
            with self._lock:
                self._queue.appendleft(turn)

    def _reap(self) -> None:
        self._connections.reap()
        again = len(self._connections) > 0
        self._reaper = gevent.spawn_later(max(1.0, self._connections.keep / 4), self._reap) if again else None

    def stop(self, job_id: str, stop: Stop) -> None:
        """Report the hosts whose turn has not come, and end the others' turns unless told to let them go on."""
        prepared = self._jobs.get(job_id)
        if prepared is None:
            return
        with self._lock:
            waiting = [turn for turn in self._queue if turn.job.id == job_id]
            kept = [turn for turn in self._queue if turn.job.id != job_id]
            self._queue.clear()
            self._queue.extend(kept)
        for turn in waiting:
            turn.skip(stop)
        if not stop.pending_only:
            prepared.flowing.set()
            for turn in list(prepared.running):
                turn.stop(stop)

    def pause(self, job_id: str, paused: bool) -> None:
        """Hold the hosts of a job when they print something, or let them go on."""
        prepared = self._jobs.get(job_id)
        if prepared is not None:
            (prepared.flowing.clear if paused else prepared.flowing.set)()

    def forget(self, job_id: str) -> None:
        """Drop a job that is done; a turn that has not ended although its host was given up is killed."""
        prepared = self._jobs.pop(job_id, None)
        if prepared is not None:
            for stuck in list(prepared.running.values()):
                if stuck is not gevent.getcurrent():
                    gevent.kill(stuck)
            if prepared.marks is not None:
                prepared.marks.close()

    @property
    def _inherited(self) -> bool:
        """Whether this is a forked child, which has got the greenlets too: what they do is the parent's to do.

        Asked when it matters and not told at the fork: gevent forks for each command of this machine as well.
        """
        return os.getpid() != self._owner

    def close(self) -> None:
        """Stop everything and close every connection."""
        self._closed = True
        for job_id in list(self._jobs):
            self.stop(job_id, Stop("cancelled", "the engine was closed"))
        self._workers.join(timeout=STOP_GRACE)
        self._workers.kill(block=True, timeout=1.0)
        for timer in (self._lender, self._reaper):
            if timer is not None:
                timer.kill(block=False)
        self._lender = self._reaper = None
        self._connections.reap(everything=True)
        self._contexts.close()
        for job_id in list(self._jobs):
            self.forget(job_id)
