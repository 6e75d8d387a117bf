"""Run one client and measure its whole process tree; a script of its own, so that nothing else is counted.

``python -I -S launcher.py TIMEOUT INTERVAL COMMAND...`` prints one JSON object on standard output.

* Wall time runs from the start of the command to its exit.
* CPU is user and system time of every descendant. The launcher is their subreaper (``prctl(2)``): what the client
  leaves behind comes to the launcher, is ended and counted too.
* Memory is the sum over the tree, sampled: resident (shared pages counted once for each process) and proportional.
* A line ``{"mark": NAME}`` on the client's standard output takes a snapshot of all of these; its last other JSON line
  is its answer.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

PR_SET_CHILD_SUBREAPER = 36
TICK = os.sysconf("SC_CLK_TCK")
ENDING_SECONDS = 5.0


def descendants() -> list[int]:
    """Return the process ids of everything below this process."""
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children") as file:
                    children = [int(child) for child in file.read().split()]
                found += children
                waiting += children
    return found


def memory(pids: list[int]) -> tuple[int, int]:
    """Return the resident and the proportional memory of these processes, in KiB."""
    rss = pss = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Rss:"):
                    rss += int(line.split()[1])
                elif line.startswith("Pss:"):
                    pss += int(line.split()[1])
                    break
    return rss, pss


def processor(pids: list[int]) -> float:
    """Return the CPU seconds of these processes and of the children they have waited for.

    A process's own clock counts in nanoseconds and includes threads that have ended; its number is made as
    ``clock_getcpuclockid(3)`` makes it.
    """
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += time.clock_gettime((~pid << 3) | 2)
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            total += (int(fields[13]) + int(fields[14])) / TICK
    return total


class Measurement:
    """The client that runs, and what has been seen of it so far."""

    def __init__(self, command: list[str], timeout: float, interval: float) -> None:
        self.interval = interval
        self.marks: dict[str, dict[str, float]] = {}
        self.answer: Any = None
        self.rss = self.pss = 0
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self.started = time.monotonic()
        self.deadline = self.started + timeout
        self.client = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors, bufsize=0
        )
        self.wall = 0.0

    def watch(self) -> None:
        """Sample until the client has ended, or its time is over."""
        assert self.client.stdout is not None
        buffer = b""
        due = 0.0
        with selectors.DefaultSelector() as selector:
            ended = os.pidfd_open(self.client.pid)
            selector.register(ended, selectors.EVENT_READ)
            selector.register(self.client.stdout, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select(max(0.0, due - time.monotonic()))}
                now = time.monotonic()
                if self.client.stdout in ready:
                    data = os.read(self.client.stdout.fileno(), 1 << 16)
                    *lines, buffer = (buffer + data).split(b"\n")
                    for line in lines:
                        self.read(line)
                    if not data:
                        selector.unregister(self.client.stdout)
                elif ended in ready or now > self.deadline:
                    self.wall = now - self.started
                    break
                if now >= due:
                    self.sample()
                    # Looking at many processes is work; it may not take more than a tenth of one core.
                    due = now + max(self.interval, 10 * (time.monotonic() - now))
            os.close(ended)

    def sample(self) -> list[int]:
        pids = descendants()
        rss, pss = memory(pids)
        self.rss, self.pss = max(self.rss, rss), max(self.pss, pss)
        return pids

    def read(self, line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return
        if not isinstance(said, dict):
            return
        if "mark" not in said:
            self.answer = said
            return
        wall = time.monotonic() - self.started
        pids = descendants()
        rss, pss = memory(pids)
        self.marks[said["mark"]] = {"wall": wall, "cpu": processor(pids), "rss": rss, "pss": pss}

    def end(self) -> dict[str, Any]:
        """End what is left of the tree, wait for all of it, and return the figures."""
        overdue = self.client.poll() is None
        patience = time.monotonic() + ENDING_SECONDS
        while left := descendants():
            sent = signal.SIGTERM if time.monotonic() < patience else signal.SIGKILL
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sent)
            self.client.poll()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            time.sleep(0.02)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.errors.seek(0)
        return {
            "wall": self.wall,
            "cpu": used.ru_utime + used.ru_stime,
            "rss": self.rss,
            "pss": self.pss,
            "marks": self.marks,
            "answer": self.answer,
            "overdue": overdue,
            "stderr": self.errors.read().decode(errors="replace")[-4000:],
        }


def main() -> None:
    """Measure the command line's client and print the figures."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    measurement = Measurement(sys.argv[3:], float(sys.argv[1]), float(sys.argv[2]))
    try:
        measurement.watch()
    finally:
        figures = measurement.end()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
