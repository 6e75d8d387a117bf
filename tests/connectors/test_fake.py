"""The fake connector: a scripted host without a shell."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

import pytest

from sshexec import errors
from sshexec.connectors.base import Command, Deadline, Timeouts
from sshexec.connectors.fake import FAULTS, FakeConnector, FakeContext, FakeOptions
from sshexec.connectors.output import Output
from sshexec.modules.base import Invocation, Result
from sshexec.modules.registry import module_class


def connect(context: FakeContext | None = None, timeouts: Timeouts | None = None, **variables: Any) -> FakeConnector:
    options = FakeOptions.from_vars(variables, "web1")
    connector = FakeConnector("web1", options, context or FakeContext(), timeouts or Timeouts())
    connector.open(Deadline.after(10))
    return connector


def run(connector: FakeConnector, module: str, args: Any = None, **more: Any) -> Result:
    invocation = Invocation("web1", Output(), Deadline.after(10), **more)
    return module_class(module).from_args(args).run(connector, invocation)


@pytest.mark.parametrize("module", ["raw", "command", "shell"])
def test_answers_by_pattern(module: str) -> None:
    connector = connect(
        fake_answers={"uptime": "up\n", "systemctl *": {"rc": 3, "stderr": "no\n"}, "~^d[fu]": "disk\n"}
    )
    assert run(connector, module, "uptime")["stdout"].rstrip() == "up"
    failed = run(connector, module, "systemctl restart x")
    assert (failed["rc"], failed["failed"], failed["stderr"].rstrip()) == (3, True, "no")
    assert run(connector, module, "df -h")["stdout_lines"] == ["disk"]
    unknown = run(connector, module, "reboot")
    assert unknown["rc"] == 127
    assert "reboot" in unknown["stderr"]


def test_answers_as_a_list() -> None:
    connector = connect(fake_answers=[{"match": "a*", "stdout": "first"}, {"match": "ab", "stdout": "second"}])
    assert run(connector, "shell", "ab")["stdout"] == "first"


def test_ping() -> None:
    assert run(connect(), "ping")["ping"] == "pong"


def test_script_is_matched_by_its_name_and_arguments(tmp_path: Any) -> None:
    (tmp_path / "go.sh").write_text("#!/bin/sh\n")
    connector = connect(fake_answers={"go.sh -v x": "went\n"})
    assert run(connector, "script", f"{tmp_path}/go.sh -v x")["stdout"] == "went\n"


def test_copy_is_idempotent_across_connections() -> None:
    context = FakeContext()
    args = {"content": "one", "dest": "/etc/app.conf", "mode": "0600"}
    first = run(connect(context), "copy", args)
    assert (first["changed"], first["mode"], first["size"]) == (True, "0600", 3)
    assert run(connect(context), "copy", args)["changed"] is False
    assert context.hosts["web1"].files["/etc/app.conf"].content == b"one"
    again = run(connect(context), "copy", {**args, "content": "two"}, diff=True)
    assert again["diff"][0]["before"] == "one"


def test_copy_of_a_tree(tmp_path: Any) -> None:
    (tmp_path / "conf/d").mkdir(parents=True)
    (tmp_path / "conf/d/x").write_text("x")
    context = FakeContext()
    assert run(connect(context), "copy", {"src": f"{tmp_path}/conf", "dest": "/etc"})["dest"] == "/etc/conf/d"
    assert context.hosts["web1"].files["/etc/conf/d/x"].content == b"x"


def test_fetch(tmp_path: Any) -> None:
    connector = connect(fake_files={"/etc/motd": "hello\n"})
    result = run(connector, "fetch", {"src": "/etc/motd", "dest": str(tmp_path)})
    assert result["changed"] is True
    assert (tmp_path / "web1/etc/motd").read_text() == "hello\n"


@pytest.mark.parametrize(
    "fault", [name for name in FAULTS if name not in ("lost", "hang", "no_space", "permission", "missing")]
)
def test_faults_at_login(fault: str) -> None:
    with pytest.raises(errors.UnreachableError) as caught:
        connect(fake_fault=fault)
    assert caught.value.cause == fault
    assert caught.value.host == "web1"


def test_connection_lost_in_mid_command_keeps_the_output_so_far() -> None:
    connector = connect(fake_fault="lost", fake_answers={"*": "half"})
    output = Output()
    with pytest.raises(errors.ConnectionLostError) as caught:
        connector.execute(Command("x"), output, Deadline.after(10))
    assert caught.value.started
    assert output.stdout == b"half"
    assert not connector.alive


def test_disk_full() -> None:
    result = run(connect(fake_fault="no_space"), "copy", {"content": "x", "dest": "/etc/x"})
    assert (result["failed"], result["msg"]) == (True, "fake: no_space")


def test_deadline_idle_limit_and_cancel_end_a_command_that_hangs() -> None:
    with pytest.raises(errors.CommandTimeoutError, match="deadline"):
        connect(fake_fault="hang").execute(Command("x"), Output(), Deadline.after(0.05))
    with pytest.raises(errors.CommandTimeoutError, match=r"no output for 0\.05 s"):
        connect(None, Timeouts(idle=0.05), fake_fault="hang").execute(Command("x"), Output(), Deadline.after(60))
    connector = connect(fake_fault="hang")
    timer = threading.Timer(0.05, connector.cancel)
    timer.start()
    with pytest.raises(errors.CancelledError):
        connector.execute(Command("x"), Output(), Deadline.after(60))
    timer.join()


def test_calls_are_recorded(tmp_path: Any) -> None:
    journal = tmp_path / "calls.jsonl"
    context = FakeContext()
    connector = connect(context, fake_answers={"cat": ""}, fake_record=str(journal))
    run(connector, "shell", {"_raw_params": "cat", "stdin": "in"}, environment={"A": "b"})
    expected = [{"call": "open"}, {"call": "execute", "command": "cat", "environment": {"A": "b"}, "stdin": "in\n"}]
    assert context.hosts["web1"].calls == expected
    assert [json.loads(line) for line in journal.read_text().splitlines()] == [{"host": "web1", **c} for c in expected]


def test_get_of_a_missing_file() -> None:
    with pytest.raises(errors.TransferError) as caught:
        connect().get("/nope", io.BytesIO(), Deadline.after(10))
    assert caught.value.reason == "missing"


@pytest.mark.parametrize(
    "variables",
    [
        {"fake_fault": "nonsense"},
        {"fake_answers": "text"},
        {"fake_answers": {"x": 3}},
        {"fake_answers": {"x": {"bogus": 1}}},
        {"fake_answers": {"x": {"rc": "one"}}},
        {"fake_answers": {"~(": "x"}},
        {"fake_files": ["a"]},
    ],
)
def test_wrong_variables_are_named(variables: dict[str, Any]) -> None:
    with pytest.raises(errors.OptionError, match=f"web1.*{next(iter(variables))}"):
        FakeOptions.from_vars(variables, "web1")


def test_a_closed_connection_answers_nothing() -> None:
    connector = connect()
    connector.close()
    connector.close()
    with pytest.raises(errors.ConnectionLostError) as caught:
        connector.execute(Command("x"), Output(), Deadline.after(10))
    assert not caught.value.started
