"""Results and events: statuses, folding, Ansible's shape, stable dictionaries."""

from __future__ import annotations

import dataclasses
import json
import pickle
import typing

import pytest

from sshexec.errors import HostsFailedError
from sshexec.events import Event, HostFinished, HostPhase, HostStarted, Output, RunFinished, TransferProgress
from sshexec.results import GOOD, VERSION, HostResult, RunResult, Status

STATUSES: tuple[Status, ...] = typing.get_args(Status)


def result(host: str, status: Status = "ok", **data: object) -> HostResult:
    return HostResult(host, status, data, started=1.0, finished=3.5)


def run(*results: HostResult, **more: object) -> RunResult:
    fields = {"id": "r1", "module": "command", "started": 1.0, "finished": 4.0, **more}
    return RunResult(hosts={one.host: one for one in results}, **fields)


@pytest.fixture
def mixed() -> RunResult:
    """One host of each status."""
    return run(*(result(f"h-{status}", status) for status in STATUSES))


def test_a_host_result_reads_ansibles_dictionary():
    one = result("web1", "changed", changed=True, rc=3, stdout="out", stderr="err", msg="why")
    assert (one.changed, one.rc, one.stdout, one.stderr, one.msg) == (True, 3, "out", "err", "why")
    assert one.seconds == 2.5


def test_the_reason_is_told_where_ansible_shows_one_beside_the_message():
    said, reason = "Error executing command.", "Error executing command: [Errno 2] No such file or directory: b'x'"
    assert result("h", "failed", msg=said, exception=reason).why == reason
    assert result("h", "failed", msg=said, exception="(traceback unavailable)").why == said
    assert result("h", "failed", msg=said).why == said
    assert result("h", "failed", exception=reason).why == ""


def test_a_host_result_without_a_command_has_no_exit_status():
    one = HostResult("web1", "unreachable")
    assert (one.changed, one.rc, one.stdout, one.stderr, one.msg, one.seconds) == (False, None, "", "", "", None)


@pytest.mark.parametrize("status", STATUSES)
def test_good_is_ok_changed_and_skipped(status):
    assert result("h", status).good is (status in {"ok", "changed", "skipped"})
    assert (status in GOOD) is result("h", status).good


def test_results_are_frozen(mixed):
    with pytest.raises(dataclasses.FrozenInstanceError):
        mixed.state = "cancelled"
    with pytest.raises(dataclasses.FrozenInstanceError):
        mixed["h-ok"].status = "failed"


def test_changing_what_to_ansible_returned_leaves_the_result_alone():
    one = result("h", stdout="a")
    one.to_ansible()["stdout"] = "b"
    assert one.stdout == "a"


def test_a_run_is_a_mapping_in_the_order_of_the_inventory():
    both = run(result("b"), result("a"))
    assert list(both) == ["b", "a"]
    assert len(both) == 2
    assert both["a"].host == "a"
    assert "c" not in both


def test_each_host_stands_in_one_view(mixed):
    assert list(mixed.ok) == ["h-ok", "h-changed"]
    assert list(mixed.failed) == ["h-failed", "h-timeout", "h-cancelled"]
    assert list(mixed.unreachable) == ["h-unreachable"]
    assert list(mixed.skipped) == ["h-skipped"]


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        ((), 0),
        (("ok", "changed", "skipped"), 0),
        (("ok", "failed"), 2),
        (("timeout",), 2),
        (("cancelled",), 2),
        (("ok", "unreachable"), 4),
        (("failed", "unreachable"), 4),
    ],
)
def test_exit_code(statuses, code):
    assert run(*(result(str(n), status) for n, status in enumerate(statuses))).exit_code == code


def test_stats_have_the_shape_of_aggregate_stats(mixed):
    stats = mixed.stats
    assert stats.to_dict() == {
        "ok": {"h-ok": 1, "h-changed": 1},
        "failures": {"h-failed": 1, "h-timeout": 1, "h-cancelled": 1},
        "dark": {"h-unreachable": 1},
        "changed": {"h-changed": 1},
        "skipped": {"h-skipped": 1},
        "rescued": {},
        "ignored": {},
        "processed": dict.fromkeys(mixed, 1),
    }
    none = dict.fromkeys(("ok", "failures", "unreachable", "changed", "skipped", "rescued", "ignored"), 0)
    assert stats.summarize("h-changed") == {**none, "ok": 1, "changed": 1}
    assert stats.summarize("h-unreachable") == {**none, "unreachable": 1}
    assert stats.summarize("nobody") == none


def test_stats_can_not_be_changed_and_come_through_a_pipe(mixed):
    stats = mixed.stats
    with pytest.raises(TypeError):
        stats.ok["other"] = 1
    with pytest.raises(AttributeError):
        stats.ok = {}
    assert pickle.loads(pickle.dumps(stats)) == stats


def test_what_a_callback_gets_does_not_say_failed_or_skipped_and_is_no_part_of_the_result():
    failed = result("a", "failed", failed=True, rc=1)
    assert failed.to_callback() == {"rc": 1, "_ansible_no_log": False}
    assert result("a", "skipped", skipped=True, changed=False).to_callback() == {
        "changed": False,
        "_ansible_no_log": False,
    }
    assert result("a", "unreachable", unreachable=True).to_callback()["unreachable"] is True
    assert result("a", _ansible_no_log=True).to_callback() == {"_ansible_no_log": True}
    assert failed.data["failed"] is True


def test_counts_count_the_statuses_that_occur():
    assert run(result("a"), result("b"), result("c", "failed")).counts == {"ok": 2, "failed": 1}


def test_groups_fold_equal_outcomes_the_largest_first():
    odd = result("h2", "failed", rc=1, stderr="no")
    folded = run(result("h1", rc=0, stdout="x"), odd, result("h3", rc=0, stdout="x")).groups()
    assert [group.hosts for group in folded] == [("h1", "h3"), ("h2",)]
    assert folded[1].result is odd


@pytest.mark.parametrize(
    "other",
    [
        result("h2", "changed", rc=0, stdout="x"),
        result("h2", rc=1, stdout="x"),
        result("h2", rc=0, stdout="y"),
        result("h2", rc=0, stdout="x", stderr="e"),
        result("h2", rc=0, stdout="x", msg="m"),
        dataclasses.replace(result("h2", rc=0, stdout="x"), cause="refused"),
    ],
)
def test_groups_keep_different_outcomes_apart(other):
    assert len(run(result("h1", rc=0, stdout="x"), other).groups()) == 2


def test_groups_do_not_look_at_times():
    later = dataclasses.replace(result("h2", rc=0, start="b", delta="2"), started=9.0, finished=10.0)
    assert len(run(result("h1", rc=0, start="a", delta="1"), later).groups()) == 1


def test_raise_for_status_names_the_bad_hosts(mixed):
    run(result("a"), result("b", "skipped"), result("c", "changed")).raise_for_status()
    with pytest.raises(HostsFailedError) as caught:
        mixed.raise_for_status()
    assert caught.value.hosts == ("h-failed", "h-unreachable", "h-timeout", "h-cancelled")


def test_to_ansible_has_the_three_parts(mixed):
    shape = mixed.to_ansible()
    assert {part: sorted(hosts) for part, hosts in shape.items()} == {
        "success": ["h-changed", "h-ok", "h-skipped"],
        "failed": ["h-cancelled", "h-failed", "h-timeout"],
        "unreachable": ["h-unreachable"],
    }
    assert run(result("a", stdout="x")).to_ansible()["success"]["a"] == {"stdout": "x"}


def test_to_dict_is_versioned_plain_data_with_stable_keys(mixed):
    whole = mixed.to_dict()
    assert json.loads(json.dumps(whole)) == whole
    keys = [
        "version",
        "id",
        "module",
        "state",
        "recorded",
        "started",
        "finished",
        "exit_code",
        "counts",
        "stats",
        "learned_host_keys",
        "hosts",
    ]
    assert list(whole) == keys
    assert whole["version"] == VERSION
    assert list(whole["hosts"]["h-ok"]) == [
        "host",
        "status",
        "cause",
        "phase",
        "started",
        "finished",
        "truncated",
        "spilled",
        "killed",
        "notices",
        "phases",
        "stdout_base64",
        "stderr_base64",
        "result",
    ]


def test_results_come_through_a_pipe(mixed):
    assert pickle.loads(pickle.dumps(mixed)) == mixed


EVENTS: list[Event] = [
    HostStarted("web1", 1.0),
    HostPhase("web1", "connecting", 1.5),
    Output("web1", "stdout", "hello\n", 2.0, b"hello\n"),
    TransferProgress("web1", "/opt/app", 5, 10, 2.5),
    HostFinished(result("web1", stdout="hello")),
    RunFinished(run(result("web1"))),
]


def test_every_kind_of_event_is_tested_here():
    assert {type(event) for event in EVENTS} == set(typing.get_args(Event))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.event)
def test_events_are_plain_data_that_names_its_kind_first(event):
    plain = event.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert next(iter(plain.items())) == ("event", event.event)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.event)
def test_events_come_through_a_pipe(event):
    assert pickle.loads(pickle.dumps(event)) == event


def test_a_finished_host_brings_its_whole_result():
    event = HostFinished(result("web1", "failed", rc=1))
    assert event.host == "web1"
    assert event.to_dict() == {"event": "host_finished", **event.result.to_dict()}


def test_a_finished_run_does_not_repeat_the_hosts():
    plain = RunFinished(run(result("web1"))).to_dict()
    assert "hosts" not in plain
    assert plain["counts"] == {"ok": 1}
    assert plain["stats"]["ok"] == {"web1": 1}


def test_the_host_keys_that_a_run_learned_are_listed_once_each():
    def learned(name: str, path: str | None) -> dict[str, object]:
        about = {"name": name, "kind": "ssh-ed25519", "fingerprint": f"SHA256:{name}", "path": path, "problem": ""}
        return {"notice": "host_key_learned", "message": "new", **about}

    bastion, unsaved = learned("bastion", "known_hosts"), learned("web2", None)
    notices = ((bastion,), (bastion, {"notice": "other"}, unsaved), ())
    whole = run(*(HostResult(f"web{n}", "ok", notices=notices[n]) for n in range(3)))
    assert [(key["host"], key["name"]) for key in whole.learned_host_keys] == [("web0", "bastion"), ("web1", "web2")]
    assert set(whole.learned_host_keys[0]) == {"host", "name", "kind", "fingerprint", "path", "problem"}
    assert whole.to_dict()["learned_host_keys"] == whole.learned_host_keys
    assert json.loads(json.dumps(RunFinished(whole).to_dict()))["learned_host_keys"] == whole.learned_host_keys
