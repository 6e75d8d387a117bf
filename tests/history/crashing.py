"""Runs that are killed, and what really happened on their hosts.

Each host's command appends the host's name to a file: that file is the truth by which the record is judged. The record
itself is read with plain SQL, so that the code under test does not judge itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sshexec.history.history import History
from tests.cli.command import SSHEXEC, environment

HERE = Path(__file__).parent
MARK = "TESTS_SCENE"
"""Variable in the environment of everything that a scene starts, so that what it leaves behind is found."""

PATIENCE = 60.0
SECONDS = 0.03
"""What a host's command takes after it has written its name."""

FAILING = 7
"""Every so many hosts one fails."""


@dataclass(frozen=True)
class Plan:
    """When a run is killed, and what of it.

    Args:
        number: of the scene, for messages.
        program: ``command`` (the command line) or ``library`` (a process with workers).
        victim: ``runner``, ``worker`` (one of them) or ``all``.
        lines: how many hosts have begun by then.
        delay: seconds after that.
        connection: ``local`` or ``ssh``.
        named: whether the database is named; else it is the user's own, which short runs leave to whoever reads it.
    """

    number: int
    program: str
    victim: str
    lines: int
    delay: float
    connection: str = "local"
    named: bool = True


def plans(count: int, hosts: int, seed: int) -> list[Plan]:
    """Return where the runs are killed: spread over the whole run, start and end included, at random points."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        # From before the first host to after the last one, a little more than evenly.
        lines = min(hosts, max(0, round((number + chance.random()) / count * (hosts + 2)) - 1))
        edge = lines in (0, hosts)
        delay = chance.uniform(0.0, 0.6 if edge else SECONDS * 1.5)
        program = "library" if number % 4 == 1 else "command"
        victim = "runner" if program == "command" else ("runner", "worker", "all")[number // 4 % 3]
        connection = "ssh" if number % 10 in (3, 4) else "local"
        made.append(Plan(number, program, victim, lines, delay, connection, named=number % 2 == 1))
    return made


@dataclass
class Record:
    """What the database holds of one run.

    Args:
        hosts: all of them, in order.
        results: rows by host.
        starts: hosts that were about to be contacted, and may have a result as well.
        state: how it ended; None where no end is there.
    """

    hosts: list[str]
    results: dict[str, dict[str, Any]]
    starts: set[str]
    state: str | None

    @property
    def unknown(self) -> set[str]:
        """Hosts that were begun and whose end nobody knows; their worker may have been lost with it."""
        lost = {host for host, row in self.results.items() if row["cause"] == "worker_lost" and row["started"]}
        return (self.starts - set(self.results)) | lost

    @property
    def pending(self) -> set[str]:
        """Hosts that were never reached."""
        return set(self.hosts) - self.starts - set(self.results)

    @property
    def failed(self) -> set[str]:
        """Hosts that did not end well, as far as that is known."""
        bad = {host for host, row in self.results.items() if row["status"] not in ("ok", "changed", "skipped")}
        return bad - self.unknown


@dataclass
class Scene:
    """One run in a folder of its own.

    Args:
        folder: its files.
        plan: when it is killed.
        hosts: variables of each host.
        failing: whether some of them fail.
    """

    folder: Path
    plan: Plan
    hosts: Mapping[str, Mapping[str, Any]]
    failing: bool = True
    printed: list[dict[str, Any]] = field(default_factory=list)
    complaints: str = ""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.truth = self.folder / "truth"
        self.inventory = self.folder / "hosts.yml"
        self.path = self.folder / ("history.db" if self.plan.named else "state/sshexec/history.db")
        self.url = f"sqlite:///{self.path}"
        shown = {
            host: {**variables, "ending": 1 if self.failing and number % FAILING == 3 else 0}
            for number, (host, variables) in enumerate(self.hosts.items())
        }
        self.inventory.write_text(json.dumps({"all": {"hosts": shown}}))

    def __str__(self) -> str:
        return f"{self.plan}"

    @property
    def command(self) -> str:
        """What runs on each host."""
        return (
            f"echo {{{{ inventory_hostname }}}} >> {self.truth}; sleep {SECONDS};"
            " echo out of {{ inventory_hostname }}; exit {{ ending }}"
        )

    def ran(self) -> Counter[str]:
        """How often the command began on each host."""
        return Counter(self.truth.read_text().split() if self.truth.exists() else [])

    def environment(self) -> dict[str, str]:
        """What the scene's processes are started with."""
        return environment(
            **{MARK: str(self.folder), "XDG_STATE_HOME": str(self.folder / "state"), "SSHEXEC_HISTORY": ""}
        )

    def crash(self, *, resume: str | None = None, lines: int | None = None) -> None:
        """Run it, kill it, and wait until nothing of it is left.

        Args:
            resume: a run that it goes on with.
            lines: how many hosts have begun by then, instead of the plan's number.
        """
        printed, complaints = self.folder / "printed", self.folder / "complaints"
        with printed.open("wb") as stdout, complaints.open("wb") as stderr:
            process = subprocess.Popen(
                self._arguments(resume), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=self.environment()
            )
        try:
            self._await(process, self.plan.lines if lines is None else lines)
            if self.plan.victim == "worker":
                workers = _children(process.pid)
                for worker in workers[:1]:
                    _kill(worker)
                process.wait(PATIENCE)  # it goes on without
            else:
                workers = _children(process.pid) if self.plan.victim == "all" else []
                process.kill()
                for worker in workers:
                    _kill(worker)
        finally:
            process.kill()
            process.wait(PATIENCE)
        self.rest()
        # The last line may be torn, as whoever reads a pipe of a process that died finds it.
        lines = printed.read_bytes().split(b"\n")[:-1]
        self.printed = [json.loads(line) for line in lines]
        self.complaints = complaints.read_text()

    def rest(self) -> None:
        """Wait until no process of the scene is left."""
        limit = time.monotonic() + PATIENCE
        while left := _marked(str(self.folder)):
            assert time.monotonic() < limit, f"{self}: processes are left: {left}"
            time.sleep(0.05)

    def recover(self) -> None:
        """Have the journals delivered that are left, as whoever reads the history does."""
        with History(self.url) as history:
            recovery = history.recover()
        assert recovery.left == 0, f"{self}: {recovery.reason}"

    def record(self, run: str) -> Record:
        """Read the record of a run."""
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            database.row_factory = sqlite3.Row

            def rows(query: str) -> list[sqlite3.Row]:
                return database.execute(query, (run,)).fetchall()

            (opening,) = rows("SELECT hosts FROM sshexec_runs WHERE id = ?")
            ends = [row["state"] for row in rows("SELECT state FROM sshexec_run_ends WHERE run = ?")]
            return Record(
                json.loads(opening["hosts"]),
                {row["host"]: dict(row) for row in rows("SELECT * FROM sshexec_results WHERE run = ?")},
                {row["host"] for row in rows("SELECT host FROM sshexec_starts WHERE run = ?")},
                ends[0] if ends else None,
            )

    def runs(self) -> list[str]:
        """Read which runs are in the database, the first one first."""
        if not self.path.exists():
            return []
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            tables = database.execute("SELECT name FROM sqlite_master WHERE name = 'sshexec_runs'").fetchall()
            return (
                [row[0] for row in database.execute("SELECT id FROM sshexec_runs ORDER BY started")] if tables else []
            )

    def sound(self) -> str:
        """Ask SQLite whether the file is, if there is one."""
        if not self.path.exists():
            return "ok"
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            return str(database.execute("PRAGMA integrity_check").fetchone()[0])

    def _arguments(self, resume: str | None) -> Sequence[str]:
        if self.plan.program == "library":
            processes = "2" if self.plan.victim == "worker" else "1"
            return [sys.executable, str(HERE / "runner.py"), self.url, str(self.inventory), self.command, processes]
        task = ["all", "-m", "shell", "-a", self.command] if resume is None else ["--resume", resume]
        database = ["--history", self.url] if self.plan.named else []
        return [*SSHEXEC, "run", *task, "-i", str(self.inventory), "-f", "6", "--jsonl", *database]

    def _await(self, process: subprocess.Popen[bytes], lines: int) -> None:
        limit = time.monotonic() + PATIENCE
        while self.ran().total() < lines and process.poll() is None:
            assert time.monotonic() < limit, f"{self}: it does not get on"
            time.sleep(0.002)
        time.sleep(self.plan.delay)


def _children(pid: int) -> list[int]:
    """Return the workers of a process."""
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            found += [int(child) for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    return found


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _marked(mark: str) -> list[int]:
    """Return the processes whose environment has a mark."""
    sought = f"{MARK}={mark}\0".encode()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if sought in Path(f"/proc/{name}/environ").read_bytes() and _lives(name):
                    found.append(int(name))
    return found


def _lives(pid: str) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
