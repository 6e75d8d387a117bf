"""Many hosts at once from a process that is not patched, and on every core: worker processes.

Runs on plain threads (one reader a worker) and never imports gevent into the caller's process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import IO, Any

from sshexec.connectors.broker import Broker
from sshexec.errors import ArgumentError, InputError, SshexecError, WorkerLostError, WorkerStartError
from sshexec.events import HostFinished
from sshexec.results import HostResult
from sshexec.runtime.job import Emit, Job, Stop
from sshexec.runtime.questions import WorkersQuestions
from sshexec.runtime.wire import Wire, pack, sendable

START_LIMIT = 60.0
"""Seconds that a worker has to start and to check a job."""

SEND_LIMIT = 30
"""Seconds after which a worker that does not read what it is sent is ended."""

CLOSE_LIMIT = 20.0
"""Seconds that a worker has to end its hosts and itself; then it is killed."""

_START = (
    "import sys; sys.path[:] = {path}; import runpy; runpy.run_module('sshexec.runtime.worker', run_name='__main__')"
)

_alive: weakref.WeakSet[WorkersExecutor] = weakref.WeakSet()


class WorkersExecutor:
    """Runs jobs in worker processes; a host always goes to the same one, so that its connection is reused.

    Args:
        processes: how many workers, at most one for each of the hosts at once.
        concurrency: hosts at once, over all workers and jobs.
        keep: seconds that an idle connection is kept.
        broker: where the workers' questions go; None where there is nobody to ask.
    """

    def __init__(self, processes: int, concurrency: int, keep: float, broker: Broker | None = None) -> None:
        processes = min(processes, concurrency)
        share, more = divmod(concurrency, processes)
        self._shares = [share + (slot < more) for slot in range(processes)]
        self._keep = keep
        self._broker = broker
        self._slots: list[_Worker | None] = [None] * processes
        self._jobs: dict[str, dict[int, _Worker]] = {}
        self._homes: dict[str, int] = {}
        self._lock = threading.Lock()
        self._closed = False
        _alive.add(self)

    def prepare(self, job: Job, emit: Emit) -> None:
        """Have each worker check its part of the job; see `sshexec.runtime.job.Executor`."""
        try:
            self._prepare(job, emit)
        except _LostWorkerError:
            # A worker that died since the last run is noticed when it is spoken to: once more, with a fresh one.
            try:
                self._prepare(job, emit)
            except _LostWorkerError as error:
                raise WorkerStartError(str(error)) from None

    def _prepare(self, job: Job, emit: Emit) -> None:
        parts: dict[int, list[Any]] = {}
        for target in job.targets:
            parts.setdefault(self._slot(target.host), []).append(target)
        workers = {slot: self._worker(slot) for slot in parts}
        involved = [(workers[slot], targets) for slot, targets in parts.items()]
        try:
            for worker, targets in involved:
                # Each worker counts what its own hosts print.
                limit = max(1, job.task.run_output_limit * len(targets) // len(job.targets))
                task = replace(job.task, run_output_limit=limit)
                worker.ask(replace(job, task=task, targets=tuple(targets)), emit)
            end = time.monotonic() + START_LIMIT
            for worker, _ in involved:
                worker.wait_prepared(job.id, end)
        except BaseException:
            for worker, _ in involved:
                worker.tell("forget", job.id)
            raise
        self._jobs[job.id] = workers

    def begin(self, job_id: str, hosts: Sequence[str]) -> None:
        """Hand the hosts to their workers."""
        # The workers that have checked the job: a slot may have got another one since.
        workers = self._jobs[job_id]
        parts: dict[int, list[str]] = {}
        for host in hosts:
            parts.setdefault(self._slot(host), []).append(host)
        for slot, part in parts.items():
            workers[slot].begin(job_id, part)

    def stop(self, job_id: str, stop: Stop) -> None:
        """Pass it on to every worker."""
        for worker in self._jobs.get(job_id, {}).values():
            worker.tell("stop", job_id, stop)

    def pause(self, job_id: str, paused: bool) -> None:
        """Pass it on to every worker."""
        for worker in self._jobs.get(job_id, {}).values():
            worker.tell("pause", job_id, paused)

    def forget(self, job_id: str) -> None:
        """Pass it on to every worker."""
        for worker in self._jobs.pop(job_id, {}).values():
            worker.tell("forget", job_id)

    def close(self) -> None:
        """End every worker; one that does not end in time is killed."""
        with self._lock:
            self._closed = True
            workers = list(filter(None, self._slots))
            self._slots = [None] * len(self._slots)
        for worker in workers:
            worker.tell("close")
        limit = time.monotonic() + CLOSE_LIMIT
        for worker in workers:
            worker.end(limit)

    def _slot(self, host: str) -> int:
        return self._homes.setdefault(host, len(self._homes) % len(self._slots))

    def _worker(self, slot: int) -> _Worker:
        with self._lock:
            if self._closed:
                raise SshexecError("the engine is closed")
            worker = self._slots[slot]
            if worker is None or worker.lost:
                worker = self._slots[slot] = _Worker(self._shares[slot], self._keep, self._broker)
            return worker

    def abandon(self) -> None:
        """In a forked child: let go of the parent's workers without disturbing them."""
        for worker in filter(None, self._slots):
            worker.wire.close()
            worker.process.returncode = 0  # they are the parent's children, not ours to wait for
        self._slots = [None] * len(self._slots)


class _LostWorkerError(WorkerStartError):
    """A worker died before it had checked the job."""


class _Worker:
    """One worker process, seen from its parent."""

    def __init__(self, concurrency: int, keep: float, broker: Broker | None) -> None:
        self._questions = None if broker is None else WorkersQuestions(broker, self.tell)
        python = _python()
        ours, theirs = socket.socketpair()
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        arguments = [
            str(each) for each in (theirs.fileno(), os.getpid(), concurrency, keep, int(broker is not None), _level())
        ]
        code = _START.format(path=[os.path.abspath(entry) for entry in sys.path if entry])
        with theirs:
            try:
                self.process = subprocess.Popen(
                    [python, "-c", code, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._errors,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                self._errors.close()
                raise WorkerStartError(f"a worker process can't be started: {error}") from error
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SEND_LIMIT, 0))
        self.wire = Wire(ours)
        self.lost = False
        """Whether the process is gone."""
        self.epitaph = ""
        """How it ended, once it is gone."""
        self._answers: dict[str, InputError | None] = {}
        self._outstanding: dict[str, tuple[Emit, set[str]]] = {}
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, name=f"sshexec-worker-{self.process.pid}", daemon=True)
        self._reader.start()

    def ask(self, job: Job, emit: Emit) -> None:
        """Have the worker check its part of a job.

        Raises:
            ArgumentError: a value in it can't be sent to another process.
        """
        with self._changed:
            self._outstanding[job.id] = (emit, set())
        try:
            packed = pack(job)
        except Exception as error:
            raise ArgumentError(_unsendable(job)) from error
        self.tell("prepare", job.id, packed, _level(), _current_directory())

    def wait_prepared(self, job_id: str, limit: float) -> None:
        """Wait for the answer to `ask`.

        Raises:
            InputError: the worker found something wrong.
            WorkerStartError: it died or did not answer in time.
        """
        with self._changed:
            while job_id not in self._answers:
                if self.lost:
                    raise _LostWorkerError(f"worker process {self.process.pid} {self.epitaph}")
                left = limit - time.monotonic()
                if left <= 0:
                    raise WorkerStartError(f"worker process {self.process.pid} did not answer within {START_LIMIT:g} s")
                self._changed.wait(left)
            problem = self._answers.pop(job_id)
        if problem is not None:
            raise problem

    def begin(self, job_id: str, hosts: list[str]) -> None:
        """Start hosts; where the worker is gone they are reported as such."""
        with self._changed:
            lost = self.lost
            if not lost:
                self._outstanding[job_id][1].update(hosts)
            emit = self._outstanding[job_id][0]
        if lost:
            emit(self._obituary(hosts))
        else:
            self.tell("begin", job_id, hosts)

    def tell(self, *message: Any) -> None:
        """Send a message; a worker that is gone is noticed by the reader."""
        if message[0] == "forget":
            with self._changed:
                self._outstanding.pop(message[1], None)
                self._answers.pop(message[1], None)
        try:
            self.wire.send(message)
        except OSError:
            # Gone, or it has not read for `SEND_LIMIT`: then it is no use to anybody.
            self.process.kill()

    def end(self, limit: float) -> None:
        """Wait until the process has ended, and end it the hard way where it does not."""
        try:
            self.process.wait(max(0.0, limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(5)

    def _read(self) -> None:
        try:
            while (message := self.wire.receive()) is not None:
                if message[0] == "events":
                    for job_id, events in message[1].items():
                        self._deliver(job_id, events)
                elif message[0] == "prepared":
                    with self._changed:
                        if message[1] in self._outstanding:
                            self._answers[message[1]] = message[2]
                            self._changed.notify_all()
                elif message[0] == "log":
                    _log(*message[1:])
                elif self._questions is not None:
                    getattr(self._questions, message[0])(*message[1:])
        finally:
            self._bury()

    def _bury(self) -> None:
        self.wire.shut()
        if self._questions is not None:
            self._questions.abandon()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(CLOSE_LIMIT)
        with self._changed:
            self.epitaph = self._epitaph()
            self.lost = True
            left = [(emit, sorted(hosts)) for emit, hosts in self._outstanding.values() if hosts]
            for _, hosts in self._outstanding.values():
                hosts.clear()
            self._changed.notify_all()
        self.wire.close()
        self._errors.close()
        for emit, names in left:
            emit(self._obituary(names))

    def _deliver(self, job_id: str, events: Sequence[Any]) -> None:
        with self._changed:
            if job_id not in self._outstanding:
                return
            emit, hosts = self._outstanding[job_id]
            hosts.difference_update(event.result.host for event in events if isinstance(event, HostFinished))
        emit(events)

    def _obituary(self, hosts: Sequence[str]) -> list[HostFinished]:
        text = f"worker process {self.process.pid} {self.epitaph}"
        data = {"unreachable": True, "changed": False, "msg": text}
        now = time.time()
        return [
            HostFinished(HostResult(host, "unreachable", data, cause=WorkerLostError.cause, finished=now))
            for host in hosts
        ]

    def _epitaph(self) -> str:
        code = self.process.returncode
        if code is None:
            return "closed its connection"
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"was killed by {signal.Signals(-code).name}"
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - 2000))
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return f"ended with exit status {code}" + (f": {lines[-1]}" if lines else "")


def _unsendable(job: Job) -> str:
    """Return what is wrong with a job that can't be pickled: the first variable or argument that can't."""
    named = [("args", job.task.args), *(("environment", value) for value in job.task.environment.values())]
    for target in job.targets:
        named += [(f"host {target.host}: variable {name}", value) for name, value in target.variables.items()]
    for name, value in named:
        if not sendable(value):
            return f"{name}: {type(value).__name__} can't be sent to the worker process that speaks to the hosts"
    return "the task can't be sent to the worker process that speaks to the hosts"


def _current_directory() -> str | None:
    """Return where the job's relative paths begin; None where that is gone."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def _level() -> int:
    """Return from which level on this process wants to know what there is to log."""
    return logging.getLogger("sshexec").getEffectiveLevel()


def _log(name: str, level: int, text: str) -> None:
    """Log what a worker has to say, where this process wants to know it."""
    # A fault of a platform's own handler costs a line of its log, and not the worker.
    with contextlib.suppress(Exception):
        logging.getLogger(name).log(level, "%s", text)


def _python() -> str:
    """Return this process's Python; an embedding program (uwsgi, mod_wsgi) names itself as sys.executable.

    Raises:
        WorkerStartError: it is not where it should be, and another one may not have our packages.
    """
    folder = os.path.join(sys.exec_prefix, "bin")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in (sys.executable or "", os.path.join(folder, version), os.path.join(folder, "python3")):
        if "python" in os.path.basename(path) and os.access(path, os.X_OK):
            return path
    raise WorkerStartError(
        f"no Python to start a worker process with: sys.executable is {sys.executable!r}, and there is no "
        f"{version} in {folder}; set sys.executable to the interpreter's path"
    )


def _after_fork() -> None:
    for executor in list(_alive):
        executor.abandon()
    _alive.clear()


os.register_at_fork(after_in_child=_after_fork)
