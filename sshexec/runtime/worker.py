"""A worker process: patched from its first line, with a gevent pool and open connections of its own.

The parent starts it with one end of a socket pair and speaks `sshexec.runtime.wire` to it. It ends when the other end
is closed or its parent is gone, whichever it sees first.
"""

from sshexec.runtime.patched import patch

patch()

import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence

import gevent
from gevent.queue import Queue

from sshexec.errors import ArgumentError, InputError
from sshexec.events import Event
from sshexec.runtime import descriptors
from sshexec.runtime.job import Job
from sshexec.runtime.pool import PoolExecutor
from sshexec.runtime.questions import ParentsPrompts
from sshexec.runtime.wire import Wire, unpack

QUEUED = 1000
"""Batches of events that may wait for the parent; then the hosts' output waits too (back-pressure)."""

FLUSH_LIMIT = 5.0
"""Seconds that the last results have to reach the parent when the worker is closed."""

BATCH = 100
"""Events that go to the parent in one message at most."""

PARENT_CHECK = 1.0
"""Seconds between looks at whether the parent lives: a forked sibling may hold the other end of the pair open."""


class Worker:
    """Serves one parent.

    Args:
        wire: this end of the pair.
        concurrency: hosts at once.
        keep: seconds that an idle connection is kept.
        asks: whether the parent has somebody to ask.
        parent: its process.
    """

    def __init__(self, wire: Wire, concurrency: int, keep: float, asks: bool, parent: int) -> None:
        self._wire = wire
        self._parent = parent
        self._prompts = ParentsPrompts(wire.send, asks)
        self._executor = PoolExecutor(concurrency, keep, self._prompts)
        self._outbox: Queue[tuple[str, Sequence[Event]] | None] = Queue(maxsize=QUEUED)

    def serve(self) -> None:
        """Answer the parent until it is gone."""
        sender = gevent.spawn(self._send_events)
        while (message := self._wire.receive()) is not None:
            name, *arguments = message
            if name == "close":
                break
            if name == "begin" and os.getppid() != self._parent:
                break  # nobody is there to take the results, and the run's record may be closed already
            if name == "prepare":
                self._prepare(*arguments)
            elif name == "answer":
                self._prompts.answered(*arguments)
            else:
                getattr(self._executor, name)(*arguments)
        self._executor.close()
        self._outbox.put(None)
        sender.join(FLUSH_LIMIT)

    def _prepare(self, job_id: str, packed: bytes, level: int, folder: str | None) -> None:
        logging.getLogger("sshexec").setLevel(level)
        if folder is not None:
            # The parent may have moved since this process began. Modules make their paths absolute when they are made.
            with contextlib.suppress(OSError):
                os.chdir(folder)
        problem: InputError | None = None
        try:
            self._executor.prepare(_unpacked(packed), lambda events: self._outbox.put((job_id, events)))
        except InputError as error:
            problem = error
        self._wire.send(("prepared", job_id, problem))

    def _send_events(self) -> None:
        item = self._outbox.get()
        while item is not None:
            # One write for what several hosts had to say since the last one.
            batch: dict[str, list[Event]] = {}
            size = 0
            while item is not None:
                job_id, events = item
                batch.setdefault(job_id, []).extend(events)
                size += len(events)
                if size >= BATCH or self._outbox.empty():
                    break
                item = self._outbox.get()
            try:
                self._wire.send(("events", batch))
            except OSError:
                return  # the parent is gone; `serve` sees it too
            if item is not None:
                item = self._outbox.get()


def _unpacked(packed: bytes) -> Job:
    """Return a job.

    Raises:
        ArgumentError: a class of the caller's in it can't be loaded here (one of his main script, say).
    """
    try:
        job: Job = unpack(packed)
    except (Exception, SystemExit) as error:  # a script without a guard for __main__ ends the process that loads it
        raise ArgumentError(
            f"a value of the task or of a variable can't be loaded by a worker process: {error}"
        ) from error
    return job


class _ParentsLog(logging.Handler):
    """Hands log records to the parent, whose log is somebody's; a worker's own standard error is nobody's."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record as text, with its traceback."""
        try:
            self._wire.send(("log", record.name, record.levelno, self.format(record)))
        except Exception:  # noqa: BLE001 - as the handlers of logging do
            self.handleError(record)  # the parent is gone, or the record can't be formatted


def _leave_with(parent: int, wire: Wire) -> None:
    while os.getppid() == parent:
        gevent.sleep(PARENT_CHECK)
    wire.shut()


def main() -> None:
    """Serve the parent named on the command line.

    Descriptor, its process id, concurrency, keep, whether it has somebody to ask, level of its log.
    """
    descriptor, parent, concurrency, keep, asks, level = sys.argv[1:7]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    descriptors.raise_limit()
    gc.freeze()  # what is imported stays; the collector need not look at it again and again
    wire = Wire(socket.socket(fileno=int(descriptor)))
    logger = logging.getLogger("sshexec")
    logger.setLevel(int(level))
    logger.addHandler(_ParentsLog(wire))
    gevent.spawn(_leave_with, int(parent), wire)
    Worker(wire, int(concurrency), float(keep), asks == "1", int(parent)).serve()


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # no exit handler may keep a worker alive whose parent is gone
