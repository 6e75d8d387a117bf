"""What every client is told, and how it answers (standard library only: it is loaded inside the measured process)."""

from __future__ import annotations

import json
import os
import socket
import statistics
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SETTLE_SECONDS = 1.0


class Job:
    """The job file named on the command line.

    Args of the file: hosts (addresses), port, user, key, known_hosts, inventory and scratch (paths), concurrency,
    module, command (its arguments), status (what a host must answer: ``changed``, or ``ok`` where there is nothing to
    do), mode (``fresh``: connect, run once, close; ``warm``: that once before the mark ``ready``, and once more, with
    whatever is kept in between, up to the mark ``done``; ``session``: connect all, then ``repeat`` commands on every
    open connection, then ``idle`` seconds of nothing; ``local``: once on this machine), repeat, idle, processes, warm
    (hosts that a session reaches before its first mark: what is loaded at the first connection is no connection's
    memory); for transfers file (a local path that is also the host's), target (a directory) and size (bytes); rtt
    (seconds) with near and far (ports of the first host without and with it); inventory_dead (the same hosts beside
    dead ones); count (hosts of the inventory, where none is contacted).

    Modes of transfers: ``get``, ``put`` and ``stdout`` set the mark ``ready`` on an open connection and ``done`` behind
    the transfer; ``spread`` puts the file to every host; ``latency`` and ``latency-get``, ``latency-put`` see
    `latency`; ``dead`` runs the command on the hosts of both inventories.

    For hosts that speak WinRM: password, drive (a directory, their ``C:\\``), counters (the port of `counters`), and
    command lines: line (nothing much), slow (seconds), sink (it reads all of its input), source (it prints the file).
    ``fresh`` sets the marks ``ready`` and ``done`` there too; ``winrm-slow`` see `beside_slow`; the other modes are
    about a second command, the file put, and the file printed, all on an open connection.

    ``inventory-yaml``, ``inventory-sqlite``, ``cmdb``, ``history-record``, ``history-share`` and ``history-show`` set
    ``ready`` when what they need is made, and ``done`` behind what is measured.
    """

    hosts: list[str]
    count: int
    port: int
    user: str
    key: str
    known_hosts: str
    inventory: str
    scratch: str
    concurrency: int
    module: str
    command: str
    status: str
    mode: str
    repeat: int
    idle: float
    processes: int
    warm: int
    file: str
    target: str
    size: int
    rtt: float
    near: int
    far: int
    inventory_dead: str
    password: str
    drive: str
    counters: int
    line: str
    slow: str
    sink: str
    source: str

    def __init__(self) -> None:
        with open(sys.argv[1]) as file:
            self.__dict__.update(json.load(file))


def mark(name: str) -> None:
    """Have the launcher take a snapshot of CPU and memory."""
    print(json.dumps({"mark": name}), flush=True)


def answer(ok: int, failed: int, error: str = "", figures: dict[str, float] | None = None) -> None:
    """Say how many commands ended with status 0, how many did not, why the first did not, and what was measured."""
    print(json.dumps({"ok": ok, "failed": failed, "error": error, "figures": figures or {}}), flush=True)


class Tally:
    """Counts outcomes and keeps the first error."""

    def __init__(self) -> None:
        self.ok = self.failed = 0
        self.error = ""
        self.figures: dict[str, float] = {}

    def add(self, good: bool, error: object = "") -> None:
        """Count one command."""
        if good:
            self.ok += 1
        else:
            self.failed += 1
            self.error = self.error or str(error)

    def answer(self) -> None:
        """Print the counts."""
        answer(self.ok, self.failed, self.error, self.figures)

    def sized(self, path: str, size: int) -> None:
        """Count a transfer by the size of the file that it made."""
        have = os.path.getsize(path) if os.path.exists(path) else -1
        self.add(have == size, f"{path} has {have} bytes instead of {size}")


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


def round_trips(job: Job, tally: Tally, fresh: Callable[[int], float]) -> None:
    """Run the command on fresh connections without and with the delay, in turns, and say how many round trips it took.

    Args:
        job: the job.
        tally: gets the figures.
        fresh: connects to a port, runs the command, and returns the seconds from before the connection to the result.
            It is called twice before anything counts.
    """
    for port in (job.near, job.far):
        fresh(port)
    tally.ok = tally.failed = 0
    near: list[float] = []
    far: list[float] = []
    for _ in range(job.repeat):
        near.append(fresh(job.near))
        far.append(fresh(job.far))
    without, delayed = statistics.median(near), statistics.median(far)
    tally.figures = {
        "round_trips": (delayed - without) / job.rtt,
        "near_ms": without * 1000,
        "far_ms": delayed * 1000,
    }


def speed_kept(job: Job, tally: Tally, transfer: Callable[[int], float]) -> None:
    """Transfer the file without and with the delay and say which share of the speed is kept.

    Args:
        job: the job.
        tally: gets the figures.
        transfer: connects to a port, transfers, and returns the seconds of the transfer alone.
    """
    near, far = transfer(job.near), transfer(job.far)
    tally.figures = {"near_mb_s": job.size / near / 1e6, "far_mb_s": job.size / far / 1e6, "kept": near / far}


def counters(job: Job) -> dict[str, int]:
    """Return what the WinRM endpoint has counted: all requests, and the bytes of the longest message since then."""
    with socket.create_connection((job.hosts[0], job.counters), 10) as sock, sock.makefile("rb") as answer:
        return dict(json.load(answer))


def beside_slow(
    job: Job,
    tally: Tally,
    fresh: Callable[[str, str], None],
    spread: Callable[[Callable[[str], str], list[str]], Iterable[str]],
) -> None:
    """Run a command on all hosts but the first, then beside the first, whose command takes seconds, then without again.

    Args:
        job: the job.
        tally: gets the figures.
        fresh: connects to a host, runs a line, and counts.
        spread: calls a function for each host, so many at once, and yields what it returned as it comes.
    """
    slow, *others = job.hosts

    def one(host: str) -> str:
        fresh(host, job.slow if host == slow else job.line)
        return host

    def timed(hosts: list[str]) -> float:
        begun = time.perf_counter()
        last = 0.0
        for host in spread(one, hosts):
            if host != slow:
                last = time.perf_counter() - begun
        return last

    before = timed(others)
    beside = timed([slow, *others])
    alone = (before + timed(others)) / 2
    tally.figures = {"live_s": alone, "live_with_slow_s": beside, "slowdown": beside / alone}
