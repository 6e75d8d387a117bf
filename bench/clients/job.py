"""What every client is told, and how it answers (standard library only: it is loaded inside the measured process)."""

from __future__ import annotations

import json
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SETTLE_SECONDS = 1.0


class Job:
    """The job file named on the command line.

    Args of the file: hosts (addresses), port, user, key, known_hosts, inventory and scratch (paths), concurrency,
    command, mode (``fresh``: connect, run once, close; ``session``: connect all, then ``repeat`` commands on every open
    connection, then ``idle`` seconds of nothing; ``local``: once on this machine), repeat, idle, processes, warm (hosts
    that a session reaches before its first mark: what is loaded at the first connection is no connection's memory).
    """

    hosts: list[str]
    port: int
    user: str
    key: str
    known_hosts: str
    inventory: str
    scratch: str
    concurrency: int
    command: str
    mode: str
    repeat: int
    idle: float
    processes: int
    warm: int

    def __init__(self) -> None:
        with open(sys.argv[1]) as file:
            self.__dict__.update(json.load(file))


def mark(name: str) -> None:
    """Have the launcher take a snapshot of CPU and memory."""
    print(json.dumps({"mark": name}), flush=True)


def answer(ok: int, failed: int, error: str = "") -> None:
    """Say how many commands ended with status 0, how many did not, and why the first of them did not."""
    print(json.dumps({"ok": ok, "failed": failed, "error": error}), flush=True)


class Tally:
    """Counts outcomes and keeps the first error."""

    def __init__(self) -> None:
        self.ok = self.failed = 0
        self.error = ""

    def add(self, good: bool, error: object = "") -> None:
        """Count one command."""
        if good:
            self.ok += 1
        else:
            self.failed += 1
            self.error = self.error or str(error)

    def answer(self) -> None:
        """Print the counts."""
        answer(self.ok, self.failed, self.error)


def session(job: Job, connect: Callable[[int | None], None], run: Callable[[], None]) -> None:
    """Go through a job of mode ``session`` with its marks.

    Args:
        job: the job.
        connect: opens connections to the first so many hosts, or to all; what is open already may be kept or closed.
        run: runs the command once on every connection.
    """
    connect(job.warm)
    mark("ready")
    connect(None)
    mark("connected")
    for _ in range(job.repeat):
        run()
    mark("commands")
    if job.idle:
        time.sleep(SETTLE_SECONDS)
        mark("idle")
        time.sleep(job.idle)
        mark("end")
