"""What auditors are told of a run, and when."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Secret, errors
from sshexec import run as runs
from sshexec.audit import AuditEvent, FileSink, LogSink
from tests.test_authorization import Fleet, calls, contacted, fleet

__all__ = ["calls", "fleet"]  # fixtures


def kinds(events: list[AuditEvent], host: str | None = None) -> list[str]:
    return [event.event for event in events if host in (None, event.host)]


def test_every_decision_is_told_before_the_host_is_contacted(fleet: Fleet, calls: Path) -> None:
    events: list[AuditEvent] = []
    late: list[str] = []

    def sink(event: AuditEvent) -> None:
        events.append(event)
        if event.event == "host_allowed" and event.host in contacted(calls):
            late.append(event.host or "")

    def authorize(actor: str | None, host: str, task: object) -> str | None:
        return "frozen" if host == "h2" else None

    with Engine(fleet(4), concurrency=2, actor="alice", authorize=authorize, audit=sink) as engine:
        result = engine.run("all", "command", "false", reason="OPS-7", labels={"site": "b"}, check=False)
        assert len(events) == 1 + 4 + 4 + 1, "the run ended before all was told"
    assert late == []
    assert kinds(events)[0] == "run_started"
    assert kinds(events)[-1] == "run_finished"
    assert kinds(events, "h1") == ["host_allowed", "host_finished"]
    assert kinds(events, "h2") == ["host_refused", "host_finished"]
    assert {(event.run, event.actor, event.reason, event.labels["site"], event.module) for event in events} == {
        (result.id, "alice", "OPS-7", "b", "command")
    }
    assert events[0].to_dict() | {"time": 0} == {
        "event": "run_started",
        "time": 0,
        "run": result.id,
        "actor": "alice",
        "reason": "OPS-7",
        "labels": {"site": "b"},
        "module": "command",
        "check": False,
        "resumes": None,
        "pattern": "all",
        "hosts": 4,
        "host": None,
        "message": None,
        "status": None,
        "cause": None,
        "rc": None,
        "changed": None,
        "state": None,
        "counts": {},
    }
    (refused,) = (event for event in events if event.event == "host_refused")
    assert (refused.host, refused.message) == ("h2", "frozen")
    ended = {event.host: (event.status, event.cause, event.rc) for event in events if event.event == "host_finished"}
    assert ended["h1"] == ("failed", "nonzero", 1)
    assert ended["h2"] == ("skipped", "unauthorized", None)
    assert (events[-1].state, events[-1].counts) == ("finished", {"failed": 3, "skipped": 1})
    with pytest.raises(dataclasses.FrozenInstanceError):
        events[0].actor = "mallory"  # type: ignore[misc]


def test_without_a_check_each_host_is_told_before_it_is_begun(fleet: Fleet, calls: Path) -> None:
    ahead: list[int] = []

    def sink(event: AuditEvent) -> None:
        if event.event == "host_allowed":
            ahead.append(len(ahead) - len(contacted(calls)))

    with Engine(fleet(20), concurrency=2, audit=[sink]) as engine:
        engine.run("all", "command", "slow")
    assert len(ahead) == 20
    assert max(ahead) <= 4


def test_hosts_that_were_never_begun_have_an_end_too(fleet: Fleet) -> None:
    events: list[AuditEvent] = []
    with Engine(fleet(9), concurrency=1, audit=events.append) as engine:
        engine.run("all", "command", "false", serial=3, max_fail_percentage=0)
    finished = [event for event in events if event.event == "host_finished"]
    assert len(finished) == 9
    assert len(kinds(events)) - kinds(events).index("run_finished") == 1
    assert {event.cause for event in finished} == {"nonzero", "max_fail_percentage"}


def test_a_sink_that_fails_disturbs_nobody(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    events: list[AuditEvent] = []

    def broken(event: AuditEvent) -> None:
        raise SystemExit("no")

    with Engine(fleet(3), audit=[broken, events.append]) as engine:
        assert engine.run("all", "ping").counts == {"ok": 3}
    assert len(events) == 8
    assert len([record for record in caplog.records if "audit:" in record.getMessage()]) == 1


def test_a_sink_that_hangs_holds_up_a_stopped_run_not_for_ever(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runs, "LEAVE_AFTER", 0.3)
    go = threading.Event()

    def sink(event: AuditEvent) -> None:
        if event.event == "host_finished":
            go.wait(60)

    with Engine(fleet(2), audit=sink) as engine:
        run = engine.start("all", "ping")
        with pytest.raises(TimeoutError):
            run.wait(0.5)
        run.cancel()
        assert run.wait(30).counts == {"ok": 2}
    go.set()
    assert "ends before its audit sinks have returned" in caplog.text


def test_no_event_holds_a_secret(fleet: Fleet) -> None:
    events: list[AuditEvent] = []
    variables = {"db_password": Secret("hunter2")}
    with Engine(fleet(1, ansible_password=Secret("hunter3")), audit=events.append) as engine:
        occasion: dict[str, Any] = {"reason": "OPS-7: was hunter3", "labels": {"old": "hunter2"}}
        engine.run("all", "command", "login hunter5", variables=variables, environment={"TOKEN": "hunter4"}, **occasion)
    assert {event.reason for event in events} == {"OPS-7: was ********"}
    assert "hunter" not in json.dumps([event.to_dict() for event in events])


@pytest.mark.parametrize("audit", ["file", 7, FileSink, [print, None]])
def test_what_is_no_sink(fleet: Fleet, audit: Any) -> None:
    with pytest.raises(errors.ArgumentError, match="audit: expected a function that takes an AuditEvent"):
        Engine(fleet(), audit=audit)


def event(**more: Any) -> AuditEvent:
    return AuditEvent("host_allowed", 1.5, "a" * 32, "alice", None, {}, "ping", host="h1", **more)


def test_a_file_gets_a_line_each(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    sink = FileSink(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    sink(event())
    path.rename(tmp_path / "old")  # as logrotate does
    sink(event(message="two\nlines"))
    assert json.loads((tmp_path / "old").read_text())["host"] == "h1"
    (line,) = path.read_text().splitlines()
    assert json.loads(line)["message"] == "two\nlines"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_several_may_write_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    sinks = [FileSink(path) for _ in range(4)]

    def write(sink: Callable[[AuditEvent], None]) -> None:
        for _ in range(200):
            sink(event(message="x" * 300))

    threads = [threading.Thread(target=write, args=(sink,)) for sink in sinks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [json.loads(line)["host"] for line in path.read_text().splitlines()] == ["h1"] * 800


def test_a_file_that_can_not_be_written_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(errors.InputError, match=rf"audit log {tmp_path}/none/log can't be written: No such file"):
        FileSink(tmp_path / "none" / "log")


def test_a_full_disk_costs_lines_and_not_the_run(
    fleet: Fleet, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = small_disk / "audit.jsonl"
    sink = FileSink(path)
    filler = small_disk / "filler"
    with filler.open("wb") as file, contextlib.suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(4096))
    with Engine(fleet(30), audit=sink) as engine:
        assert engine.run("all", "ping").counts == {"ok": 30}
        assert len([record for record in caplog.records if "No space left" in record.getMessage()]) == 1
        filler.unlink()
        engine.run("h0", "ping", reason="again")
    # A line that was torn spoils itself alone.
    told = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    assert [each["event"] for each in told if each["reason"] == "again"] == [
        "run_started",
        "host_allowed",
        "host_finished",
        "run_finished",
    ]


def test_a_log_gets_a_record_each(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ops.audit")
    sink = LogSink("ops.audit")
    sink(event())
    sink(dataclasses.replace(event(message="frozen\nnow"), event="host_refused"))
    first, second = caplog.records
    assert (first.levelno, second.levelno) == (logging.INFO, logging.WARNING)
    assert json.loads(first.getMessage())["host"] == "h1"
    assert "\n" not in second.getMessage()
    assert second.audit.message == "frozen\nnow"  # type: ignore[attr-defined]
