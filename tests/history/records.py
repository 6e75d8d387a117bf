"""Runs for the tests of the history, told to it as an engine would."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sshexec import History, HostResult, RunResult
from sshexec.history import tables
from sshexec.journal import Marks
from sshexec.recorder import Course, Opening
from sshexec.task import Occasion, Target, Task


def opening(
    hosts: Sequence[str] = ("a", "b"),
    *,
    args: Any = "uptime",
    variables: Mapping[str, Any] | None = None,
    occasion: Occasion | None = None,
    course: Course | None = None,
    **task: Any,
) -> Opening:
    """What an engine knows of a run before it begins."""
    targets = [Target(host, variables or {}) for host in hosts]
    given = Task("shell", args, **task)
    return Opening(uuid.uuid4().hex, occasion or Occasion(), given, targets, "all", course or Course())


def ok(host: str, stdout: str = "", **more: Any) -> HostResult:
    """A host's result as the shell module's."""
    data = {"changed": True, "rc": 0, "stdout": stdout, "stderr": "", "cmd": "uptime", **more}
    data |= {f"{name}_lines": data[name].splitlines() for name in ("stdout", "stderr")}
    now = time.time()
    return HostResult(host, "changed", data, started=now - 1, finished=now, phases={"running": 0.5})


def run_of(given: Opening, results: Sequence[HostResult], state: Any = "finished") -> RunResult:
    """The result of a run."""
    hosts = {result.host: result for result in results}
    return RunResult(given.run, given.task.module, hosts, time.time() - 1, time.time(), state)


def record(history: History, given: Opening, results: Sequence[HostResult]) -> RunResult:
    """Record a whole run, and wait until it is said where."""
    recorder = history.begin(given)
    marks = Marks(recorder.journal)
    for result in results:
        marks.mark(result.host)
        recorder.take(result)
    marks.close()
    return finish(recorder, run_of(given, results))


def finish(recorder: Any, result: RunResult, seconds: float = 30) -> RunResult:
    """End a run, and wait until it is said where its record is."""
    said: list[RunResult] = []
    done = threading.Event()
    recorder.end(result, lambda told: (said.append(told), done.set()))
    assert done.wait(seconds), "nobody said where the record is"
    (told,) = said
    return told


def wait_until(what: Callable[[], Any]) -> None:
    """Wait until something is so."""
    limit = time.monotonic() + 60
    while not what():
        assert time.monotonic() < limit, "it never came"
        time.sleep(0.02)


def rows(history: History, table: str, run: str | None = None) -> list[dict[str, Any]]:
    """The rows of a table, of one run where it is given."""
    found = getattr(tables, table)
    with history.database.reading() as connection:
        all_of_them = [dict(row._mapping) for row in connection.execute(found.select())]
    return [row for row in all_of_them if run is None or row.get("run", row.get("id")) == run]
