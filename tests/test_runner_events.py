"""Events in ansible-runner's words; tests/oracle/test_runner_events.py compares them with real ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sshexec import Engine, Host, HostPhase, HostResult, Inventory
from sshexec.events import Event, HostFinished, HostStarted, RunFinished
from sshexec.results import RunResult, Status
from sshexec.runner_events import CENSORED, RunnerEvents, printed


def result(host: str, status: Status = "ok", **data: object) -> HostResult:
    return HostResult(host, status, data, started=1.0, finished=3.5)


def converted(*events: Event, module: str = "command", **options: Any) -> list[dict[str, Any]]:
    return list(RunnerEvents("web", module, ident="7", **options).over(events))


@pytest.fixture
def inventory() -> Inventory:
    local: dict[str, Any] = {"ansible_connection": "local"}
    down: dict[str, Any] = {"ansible_connection": "fake", "fake_fault": "refused"}
    return Inventory.from_hosts([Host("a", local), Host("b", local), Host("down", down)])


def test_a_run_from_its_beginning_to_its_end(inventory: Inventory) -> None:
    with Engine(inventory) as engine:
        made = list(RunnerEvents("all", "shell").over(engine.stream("all", "shell", "echo hi")))
    names = [event["event"] for event in made]
    assert names[:3] == ["playbook_on_start", "playbook_on_play_start", "playbook_on_task_start"]
    assert sorted(names[3:-1]) == ["runner_on_ok"] * 2 + ["runner_on_start"] * 3 + ["runner_on_unreachable"]
    assert names[-1] == "playbook_on_stats"
    assert [event["counter"] for event in made] == list(range(1, len(made) + 1))
    assert len({event["uuid"] for event in made}) == len(made)
    assert len({event["runner_ident"] for event in made}) == 1
    assert json.loads(json.dumps(made)) == made
    stats = made[-1]["event_data"]
    assert (stats["ok"], stats["dark"], stats["changed"]) == ({"a": 1, "b": 1}, {"down": 1}, {"a": 1, "b": 1})


def test_parents_and_identifiers_hang_together() -> None:
    playbook, play, task, start, end, stats = converted(
        HostStarted("h", 1.0), HostFinished(result("h")), RunFinished(RunResult("1", "ping", {"h": result("h")}, 1, 2))
    )
    assert "parent_uuid" not in playbook
    assert play["parent_uuid"] == stats["parent_uuid"] == playbook["uuid"] == playbook["event_data"]["playbook_uuid"]
    assert task["parent_uuid"] == play["uuid"] == play["event_data"]["play_uuid"]
    assert start["parent_uuid"] == end["parent_uuid"] == task["uuid"] == end["event_data"]["task_uuid"]
    assert all(event["event_data"]["uuid"] == event["uuid"] for event in (playbook, play, task, start, end, stats))


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("ok", "runner_on_ok"),
        ("changed", "runner_on_ok"),
        ("failed", "runner_on_failed"),
        ("timeout", "runner_on_failed"),
        ("cancelled", "runner_on_failed"),
        ("skipped", "runner_on_skipped"),
        ("unreachable", "runner_on_unreachable"),
    ],
)
def test_every_status_has_its_event(status: Status, name: str) -> None:
    *_, start, end = converted(HostStarted("h", 1.0), HostFinished(result("h", status, failed=True, msg="m")))
    assert (start["event"], end["event"]) == ("runner_on_start", name)
    data = end["event_data"]
    assert (data["host"], data["remote_addr"], data["duration"]) == ("h", "h", 2.5)
    assert (data["start"], data["end"]) == ("1970-01-01T00:00:01.000000+00:00", "1970-01-01T00:00:03.500000+00:00")
    assert ("res" in data) == (status != "skipped")
    assert data.get("res", {"msg": "m", "_ansible_no_log": False}) == {"msg": "m", "_ansible_no_log": False}


def test_a_host_whose_turn_never_came_starts_where_it_fails() -> None:
    *_, start, end = converted(HostFinished(HostResult("h", "cancelled", {"failed": True})))
    assert (start["event"], end["event"], end["event_data"]["duration"]) == ("runner_on_start", "runner_on_failed", 0)


def test_a_difference_comes_before_its_host_and_in_diff_mode_only() -> None:
    ended = HostFinished(result("h", "changed", diff=[{"before": "a\n", "after": "b\n", "after_header": "f"}]))
    *_, shown, last = converted(ended, module="copy", diff=True)
    assert (shown["event"], last["event"]) == ("runner_on_file_diff", "runner_on_ok")
    assert shown["stdout"] == "--- before\n+++ after: f\n@@ -1 +1 @@\n-a\n+b"
    assert shown["event_data"]["diff"] == ended.result.data["diff"]
    assert "runner_on_file_diff" not in [event["event"] for event in converted(ended, module="copy")]


def test_what_is_not_to_be_logged_is_censored() -> None:
    *_, end = converted(HostFinished(result("h", _ansible_no_log=True, changed=True)))
    assert end["event_data"]["res"] == {"censored": CENSORED}


def test_lines_are_counted() -> None:
    one, two = result("a", "changed", rc=0, stdout="x\ny"), result("b", "skipped")
    made = converted(HostFinished(one), HostPhase("b", "running", 1.0), HostFinished(two))
    spans = [(event["start_line"], event["end_line"]) for event in made if event["stdout"]]
    assert spans == [(0, 3), (3, 4)]


@pytest.mark.parametrize(
    ("module", "ended", "text"),
    [
        ("command", result("h", "changed", rc=0, stdout="a", stderr="b"), "h | CHANGED | rc=0 >>\nab"),
        ("ansible.builtin.shell", result("h", "failed", rc=2, stderr="b", msg="m"), "h | FAILED | rc=2 >>\nbm"),
        ("raw", result("h", "timeout", msg="m"), "h | FAILED | rc=-1 >>\nm"),
        ("script", result("h", "changed", rc=0), 'h | CHANGED => {\n    "rc": 0\n}'),
        ("ping", result("h", ping="é", _ansible_no_log=False), 'h | SUCCESS => {\n    "ping": "é"\n}'),
        ("copy", result("h", "failed", failed=True, msg="m", diff=[]), 'h | FAILED! => {\n    "msg": "m"\n}'),
        ("command", result("h", "skipped", rc=0, msg="m"), "h | SKIPPED"),
        ("command", result("h", "unreachable", unreachable=True), 'h | UNREACHABLE! => {\n    "unreachable": true\n}'),
    ],
)
def test_stdout_is_what_ansible_prints(module: str, ended: HostResult, text: str) -> None:
    assert printed(ended, module) == text
