"""Several processes record at once in one database: nothing is lost, and nobody is told of a lock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.command import PATIENCE, environment
from tests.history.crashing import HERE
from tests.history.held import results, table

PROCESSES = 4
RUNS = 2
HOSTS = 60


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Hosts that answer a little after one another, so that results come all the time."""
    path = tmp_path / "hosts.yml"
    hosts = {
        f"h{n:03d}": {"fake_answers": {"*": {"stdout": f"said by {n}\n", "delay": n % 9 / 200}}} for n in range(HOSTS)
    }
    path.write_text(json.dumps({"all": {"vars": {"ansible_connection": "fake"}, "hosts": hosts}}))
    return path


@pytest.fixture
def together(tmp_path: Path, inventory: Path) -> Callable[[str], list[dict[str, object]]]:
    """Have processes record at once and return what they say of their runs; none may complain of anything."""

    def record(url: str) -> list[dict[str, object]]:
        command = [sys.executable, str(HERE / "writer.py"), url, str(inventory), str(RUNS)]
        pipe, state = subprocess.PIPE, {"XDG_STATE_HOME": str(tmp_path / "state")}
        writers = [
            subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment(**state))
            for _ in range(PROCESSES)
        ]
        try:
            for writer in writers:
                assert writer.stdout is not None
                assert writer.stdout.readline() == '"ready"\n'
            said = []
            for writer in writers:
                assert writer.stdin is not None
                writer.stdin.write("\n")
                writer.stdin.flush()
            for writer in writers:
                stdout, stderr = writer.communicate(timeout=PATIENCE)
                assert (writer.returncode, stderr) == (0, "")
                said += [json.loads(line) for line in stdout.splitlines()]
            return said
        finally:
            for writer in writers:
                writer.kill()
                writer.wait()

    return record


def test_four_processes_at_once_lose_nothing(
    database_url: str, together: Callable[[str], list[dict[str, object]]]
) -> None:
    # The database is empty: all four make its tables, or find that another one does.
    said = together(database_url)
    assert {run["recorded"] for run in said} == {"database"}
    runs = {str(run["id"]): run["hosts"] for run in said}
    assert len(runs) == PROCESSES * RUNS
    assert {row["id"] for row in table(database_url, "sshexec_runs")} == set(runs)
    assert sorted((row["run"], row["state"]) for row in table(database_url, "sshexec_run_ends")) == sorted(
        (run, "finished") for run in runs
    )
    assert results(database_url) == runs
    assert len(next(iter(runs.values()))) == HOSTS  # type: ignore[arg-type]


def test_nothing_is_left_beside_the_database(
    sqlite_url: str, together: Callable[[str], list[dict[str, object]]]
) -> None:
    together(sqlite_url)
    journals = Path(sqlite_url.removeprefix("sqlite:///") + "-journals")
    assert [name for name in (os.listdir(journals) if journals.exists() else []) if len(name) == 32] == []
