"""The disk is full: the run goes on, the user is told once, and the record says that it is not whole."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from sshexec import Engine, Inventory
from sshexec.history.history import History
from sshexec.journal import Marks
from tests.history.held import results, table
from tests.history.records import finish, ok, opening, record, rows, run_of

HOSTS = 40
CONCURRENCY = 4


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    """Hosts that print something."""
    path = tmp_path / "hosts.yml"
    answer = {"*": {"stdout": "x" * 2000, "delay": 0.1}}
    hosts = {f"h{n:03d}": {} for n in range(HOSTS)}
    path.write_text(
        json.dumps({"all": {"vars": {"ansible_connection": "fake", "fake_answers": answer}, "hosts": hosts}})
    )
    return Inventory.load(str(path))


@contextlib.contextmanager
def full(place: Path) -> Iterator[None]:
    """Fill a disk for as long as this lasts."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    try:
        yield
    finally:
        filler.unlink()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what a user is told."""
    return [r.getMessage() for r in caplog.records if r.name.startswith("sshexec") and r.levelno >= logging.WARNING]


def sound(path: Path) -> str:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return str(database.execute("PRAGMA integrity_check").fetchone()[0])


def test_what_did_not_fit_is_kept_once_there_is_room_again(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    with History(f"sqlite:///{small_disk}/h.db") as history:
        given = opening(["a", "b", "c"])
        recorder = history.begin(given)
        marks = Marks(recorder.journal)
        for target in given.targets:
            marks.mark(target.host)
        recorder.take(ok("a", "x" * 3000))
        with full(small_disk):
            recorder.take(ok("b", "y" * 9000))
        recorder.take(ok("c"))
        assert finish(recorder, run_of(given, [])).recorded == "database"
        assert [row["host"] for row in rows(history, "results")] == ["a", "b", "c"]
    assert all("No space left" in text or "full" in text for text in told(caplog))
    assert sum("may not be complete" in text for text in told(caplog)) == 1


def test_a_run_can_not_be_recorded_at_all_and_the_next_one_can(small_disk: Path) -> None:
    with History(f"sqlite:///{small_disk}/h.db") as history:
        record(history, opening(["a"]), [ok("a")])
        given = opening(["a", "b"])
        recorder = history.begin(given)
        with full(small_disk):
            recorder.take(ok("a", "y" * 9000))
            recorder.take(ok("b", "y" * 9000))
            assert finish(recorder, run_of(given, [])).recorded == "incomplete"
            unrecorded = history.begin(opening(["a"]))
            assert unrecorded.journal is None
            assert finish(unrecorded, run_of(given, [])).recorded == "incomplete"
        assert record(history, opening(["a"]), [ok("a")]).recorded == "database"


def test_a_disk_that_fills_up_in_mid_run(
    inventory: Inventory, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{small_disk}/history.db"
    with History(url) as history, Engine(inventory, concurrency=CONCURRENCY, history=history) as engine:
        whole = engine.run("h000,h001", "command", "say")
        assert whole.recorded == "database"
        run = engine.start("all", "command", "say")
        for event in run.events():
            if event.event == "host_finished":
                break
        with full(small_disk):
            result = run.wait()
        assert result.counts == {"changed": HOSTS}
        assert result.recorded == "incomplete"
        assert len(told(caplog)) == 1, told(caplog)
        assert "\n" not in told(caplog)[0]
        # There is room again: what comes now is kept, and what was kept is whole.
        later = engine.run("all", "command", "say")
        assert later.recorded == "database"
    assert sound(small_disk / "history.db") == "ok"
    with History(url) as history:
        history.recover()
    assert set(results(url)[whole.id]) == {"h000", "h001"}
    assert set(results(url)[later.id]) == {f"h{n:03d}" for n in range(HOSTS)}
    assert set(results(url)[run.id]) == {f"h{n:03d}" for n in range(HOSTS)}
    assert [row["state"] for row in table(url, "sshexec_run_ends")] == ["finished"] * 3


def test_a_disk_that_is_full_from_the_start(
    inventory: Inventory, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{small_disk}/history.db"
    with (
        full(small_disk),
        History(url) as history,
        Engine(inventory, concurrency=CONCURRENCY, history=history) as engine,
    ):
        result = engine.run("all", "command", "say")
        assert result.counts == {"changed": HOSTS}
        assert result.recorded == "incomplete"
        assert len(told(caplog)) == 1, told(caplog)
    with History(url) as history, Engine(inventory, concurrency=CONCURRENCY, history=history) as engine:
        assert engine.run("all", "command", "say").recorded == "database"
    assert sound(small_disk / "history.db") == "ok"


def test_journals_that_have_no_room_while_the_database_has(
    inventory: Inventory,
    small_disk: Path,
    postgresql_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(small_disk))
    with History(postgresql_url) as history, Engine(inventory, concurrency=CONCURRENCY, history=history) as engine:
        run = engine.start("all", "command", "say")
        for event in run.events():
            if event.event == "host_finished":
                break
        with full(small_disk):
            result = run.wait()
        assert result.counts == {"changed": HOSTS}
        assert result.recorded == "incomplete"
        assert len(told(caplog)) == 1, told(caplog)
        assert engine.run("h000", "command", "say").recorded == "database"
    # A host that is in the record is there with what it said.
    assert set(results(postgresql_url)[run.id].values()) == {"x" * 2000}
    # There is room again, so that what waited for it is there too.
    assert set(results(postgresql_url)[run.id]) == {f"h{n:03d}" for n in range(HOSTS)}
    assert [row["state"] for row in table(postgresql_url, "sshexec_run_ends")] == ["finished", "finished"]


def test_outputs_that_have_no_room(
    inventory: Inventory, small_disk: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{tmp_path}/history.db"
    history = History(url, outputs=str(small_disk / "outputs"), output_budget=500)
    with history, Engine(inventory, concurrency=CONCURRENCY, history=history) as engine:
        with full(small_disk):
            result = engine.run("all", "command", "say")
        assert result.counts == {"changed": HOSTS}
        assert result.recorded == "incomplete"
        assert len(told(caplog)) == 1, told(caplog)
        assert engine.run("h000", "command", "say").recorded == "database"
    # Head and tail are there, and no file is named that holds less than it should.
    kept = [row for row in table(url, "sshexec_results") if row["run"] == result.id]
    assert len(kept) == HOSTS
    assert all(json.loads(row["stdout"]) for row in kept)
    for row in kept:
        for file in json.loads(row["files"]).values():
            assert file["path"] is None or Path(file["path"]).stat().st_size == file["bytes"]
