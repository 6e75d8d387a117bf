"""The disk is full."""

from __future__ import annotations

import os

from sshexec import History
from sshexec.journal import Marks
from tests.history.records import finish, ok, opening, record, rows, run_of


def fill(folder):
    """Leave no room at all."""
    path = folder / "filler"
    with open(path, "wb", buffering=0) as file:
        for size in (2**16, 2**9, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                pass
    return path


def warnings_of(caplog):
    return [each.getMessage() for each in caplog.records if each.name == "sshexec.history" and each.levelno >= 30]


def test_what_did_not_fit_is_kept_once_there_is_room_again(small_disk, caplog):
    with History(f"sqlite:///{small_disk}/h.db") as history:
        given = opening(["a", "b", "c"])
        recorder = history.begin(given)
        marks = Marks(recorder.journal)
        for host in given.targets:
            marks.mark(host.host)
        recorder.take(ok("a", "x" * 3000))
        filler = fill(small_disk)
        recorder.take(ok("b", "y" * 9000))
        filler.unlink()
        recorder.take(ok("c"))
        assert finish(recorder, run_of(given, [])).recorded == "database"
        assert [row["host"] for row in rows(history, "results")] == ["a", "b", "c"]
    assert all("No space left" in text or "full" in text for text in warnings_of(caplog))
    assert sum("may not be complete" in text for text in warnings_of(caplog)) == 1


def test_a_run_goes_on_where_the_disk_stays_full(small_disk, caplog):
    with History(f"sqlite:///{small_disk}/h.db") as history:
        record(history, opening(["a"]), [ok("a")])
        given = opening(["a", "b"])
        recorder = history.begin(given)
        filler = fill(small_disk)
        recorder.take(ok("a", "y" * 9000))
        recorder.take(ok("b", "y" * 9000))
        assert finish(recorder, run_of(given, [])).recorded == "incomplete"
        unrecorded = history.begin(opening(["a"]))
        assert unrecorded.journal is None
        assert finish(unrecorded, run_of(given, [])).recorded == "incomplete"
        os.unlink(filler)
        assert record(history, opening(["a"]), [ok("a")]).recorded == "database"
