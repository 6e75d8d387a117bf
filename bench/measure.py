"""Runs one client on one job under the launcher."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.scenarios import Case
from bench.tools import HERE, Tool

SAMPLE_SECONDS = 0.03
TIMEOUT_SECONDS = 60.0
TIMEOUT_SECONDS_HOST = 3.0


@dataclass(frozen=True)
class Snapshot:
    """What the process tree had used when the client set a mark.

    Args:
        wall: seconds since its start.
        cpu: CPU seconds.
        rss: resident memory, KiB.
        pss: proportional memory, KiB.
    """

    wall: float
    cpu: float
    rss: int
    pss: int


@dataclass(frozen=True)
class Measurement:
    """One client's run, start-up included.

    Args:
        total: seconds and CPU seconds of the whole run; memory at its peak.
        marks: snapshots on the way.
        ok: commands that ended with status 0.
        error: why the run does not count; empty where it does.
        figures: what the client measured itself.
    """

    total: Snapshot
    marks: dict[str, Snapshot]
    ok: int
    error: str
    figures: dict[str, float]


class Bench:
    """Runs clients on jobs.

    Args:
        folder: where job files and the clients' home live.
        user: login name.
        port: the server's port.
        key: the user's private key.
        store: a directory for the files that are transferred.
    """

    def __init__(self, folder: Path, user: str, port: int, key: Path, store: Path) -> None:
        self.folder = folder
        self.store = store
        self.login = {"user": user, "port": port, "key": str(key)}

    def run(
        self,
        tool: Tool,
        python: str,
        case: Case,
        hosts: list[str],
        known_hosts: Path,
        inventory: Path,
        more: dict[str, Any],
    ) -> Measurement:
        """Run the client once and return what it used; ``more`` goes into its job."""
        scratch = self.folder / "home"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        files = self._files(case)
        job = self.folder / "job.json"
        job.write_text(
            json.dumps(
                {
                    **self.login,
                    "hosts": hosts,
                    "known_hosts": str(known_hosts),
                    "inventory": str(inventory),
                    "scratch": str(scratch),
                    "concurrency": case.concurrency,
                    "module": case.module,
                    "command": case.args.format_map(files),
                    "status": case.status,
                    "mode": case.mode,
                    "repeat": case.repeat,
                    "idle": case.idle,
                    "processes": tool.processes,
                    "warm": case.warm,
                    "rtt": case.rtt,
                    **files,
                    **more,
                }
            )
        )
        timeout = TIMEOUT_SECONDS + TIMEOUT_SECONDS_HOST * len(hosts) + case.idle
        launcher = [sys.executable, "-I", "-S", str(HERE / "launcher.py"), str(timeout), str(SAMPLE_SECONDS)]
        done = subprocess.run(
            [*launcher, *tool.command(python, job, case.scenario)],
            stdout=subprocess.PIPE,
            cwd=scratch,
            env=_environment(scratch),
            check=True,
        )
        return _measurement(json.loads(done.stdout), case.expected)

    def _files(self, case: Case) -> dict[str, Any]:
        """Return the file to transfer, where to, and its size; what earlier runs left is removed."""
        target = self.store / "target"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        if case.status == "ok":
            source = self.store / "hosts"
            source.write_text("".join(f"127.0.0.{n} host{n}\n" for n in range(200)))
            shutil.copy(source, target)
            return {"file": str(source), "target": str(target), "size": source.stat().st_size}
        size = case.megabytes * 1_000_000
        source = self.store / f"source.{size}"
        if size and not source.exists():
            source.write_bytes(os.urandom(size))
        return {"file": str(source), "target": str(target), "size": size}


def _environment(home: Path) -> dict[str, str]:
    """Return a client's environment: no agent, nobody's settings, and byte code is kept as in daily use."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "USER": getpass.getuser(),
        "LOGNAME": getpass.getuser(),
    }


def _measurement(figures: dict[str, Any], expected: int) -> Measurement:
    answer = figures["answer"]
    error = ""
    if figures["overdue"]:
        error = "time-out"
    elif answer is None:
        lines = [line for line in figures["stderr"].splitlines() if line.strip()]
        error = f"the client gave no answer: {lines[-1].strip() if lines else 'silent'}"
    elif answer["ok"] != expected:
        error = f"{answer['ok']} of {expected} commands ended well: {answer['error']}"
    return Measurement(
        total=Snapshot(figures["wall"], figures["cpu"], figures["rss"], figures["pss"]),
        marks={name: Snapshot(**snapshot) for name, snapshot in figures["marks"].items()},
        ok=0 if answer is None else answer["ok"],
        error=error,
        figures=(answer or {}).get("figures", {}),
    )
