"""Rows of a history, as tests want them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sshexec.database.database import Database
from sshexec.history.tables import ends, results, runs, starts

BEGAN = 1_800_000_000.0
"""When runs begin here, if nothing else is said."""


def add_run(database: Database, run: str, hosts: Sequence[str], *, end: str | None = "finished", **more: Any) -> str:
    """Add a run, and how it ended; return its identifier."""
    started = more.get("started", BEGAN)
    row: dict[str, Any] = {
        "id": run,
        "root": run,
        "resumes": None,
        "actor": "olga",
        "reason": None,
        "labels": {},
        "module": "command",
        "task": {"args": "uptime"},
        "pattern": "all",
        "hosts": list(hosts),
        "count": len(hosts),
        "runner": {"machine": "here", "pid": 1},
        "started": started,
    }
    row |= more
    for name in ("labels", "task", "hosts", "runner"):
        row[name] = json.dumps(row[name])
    with database.writing() as connection:
        database.insert_new(connection, runs, [row])
        if end is not None:
            database.insert_new(connection, ends, [{"run": run, "state": end, "finished": started + 10}])
    return run


def result_row(run: str, host: str, status: str = "ok", **more: Any) -> dict[str, Any]:
    """Return the row of a result; texts as they are, JSON is made of them."""
    row: dict[str, Any] = {
        "run": run,
        "host": host,
        "status": status,
        "cause": None,
        "phase": None,
        "rc": 0,
        "changed": status == "changed",
        "started": BEGAN + 1,
        "finished": BEGAN + 3,
        "phases": {"connecting": 0.5, "running": 1.5},
        "data": {"result": {"changed": status == "changed", "rc": 0}},
        "stdout": "",
        "stderr": "",
        "files": {},
        "size": 500,
    }
    row |= more
    if "rc" in more and "data" not in more:
        row["data"] = {"result": {"changed": False, "rc": more["rc"], "msg": "non-zero return code"}}
    for name in ("phases", "data", "stdout", "stderr", "files"):
        row[name] = json.dumps(row[name])
    return row


def add_results(database: Database, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add results."""
    with database.writing() as connection:
        database.insert_new(connection, results, rows)


def add_starts(database: Database, run: str, hosts: Sequence[str], started: float = BEGAN + 1) -> None:
    """Add hosts that were about to be contacted."""
    with database.writing() as connection:
        rows = [{"run": run, "host": host, "started": started} for host in hosts]
        database.insert_new(connection, starts, rows)


def file_of(path: Path, text: str) -> dict[str, Any]:
    """Write a stream's file and return what a row says of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    data = text.encode()
    return {"path": str(path), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "kept": True}
