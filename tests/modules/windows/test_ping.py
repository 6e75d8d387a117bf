"""ping, win_ping and wait_for_connection on Windows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Host, Inventory
from sshexec.connectors.base import Connector, Deadline, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.registry import connector_class
from sshexec.errors import AuthenticationError
from sshexec.modules.base import Invocation
from sshexec.modules.registry import module_on
from sshexec.modules.windows import ping
from sshexec.secret import Secret
from tests.modules.windows.conftest import Run
from tests.winrm_server.server import WinrmServer


@pytest.mark.parametrize("module", ["win_ping", "ansible.windows.win_ping", "ping", "ansible.builtin.ping"])
def test_powershell_answers(module: str, run: Run, endpoint: WinrmServer) -> None:
    assert run(module) == {"changed": False, "ping": "pong", "invocation": {"module_args": {"data": "pong"}}}
    assert run(module, "data='a b'", check=True)["ping"] == "a b"
    assert [event.detail["script"] for event in endpoint.log if event.op == "Command"] == ["ping", "ping"]


def test_crash(run: Run, endpoint: WinrmServer) -> None:
    assert run("win_ping", "data=crash") == {"failed": True, "changed": False, "msg": "Module failed: boom"}
    assert "Command" not in endpoint.operations


def test_a_powershell_that_does_not_answer_says_why(
    run: Run, endpoint: WinrmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def command(self, *args: Any, **more: Any) -> Any:
            from sshexec.connectors.base import Command

            return Command("no such script")

    monkeypatch.setattr(ping, "_PING", Broken())
    result = run("win_ping")
    assert (result["failed"], result["changed"]) == (True, False)
    assert "has no answer to the script 'no such script'" in result["msg"]


def wait(endpoint: WinrmServer, args: str, **variables: Any) -> dict[str, Any]:
    kind = connector_class("winrm")
    context = kind.Context()
    options = kind.Options.from_vars({"inventory_hostname": "win1", **endpoint.variables(), **variables}, "win1")
    made: list[Connector[Any, Any]] = []

    def fresh() -> Connector[Any, Any]:
        made.append(kind("win1", options, context, Timeouts()))
        return made[-1]

    first = fresh()
    invocation = Invocation("win1", Output(), Deadline.after(30), fresh=fresh, sleep=time.sleep)
    try:
        return module_on("wait_for_connection", first.capabilities).from_args(args).run(first, invocation)
    finally:
        for each in made:
            each.close()
        context.close()


def test_wait_for_connection_asks_powershell(endpoint: WinrmServer) -> None:
    endpoint.misbehave("503", times=1)
    result = wait(endpoint, "sleep=0 timeout=20")
    assert (result["changed"], result["elapsed"]) == (False, 0)
    assert [event.detail["script"] for event in endpoint.log if event.op == "Command"] == ["ping"]
    assert endpoint.shells == {}


def test_wait_for_connection_gives_up(endpoint: WinrmServer) -> None:
    endpoint.misbehave("503", times=100)
    result = wait(endpoint, "sleep=0 timeout=0")
    assert result["failed"] is True
    assert result["msg"].startswith("timed out waiting for ping module test: ")


def test_what_attempts_have_to_say_is_said_once(endpoint: WinrmServer) -> None:
    endpoint.misbehave("503", times=3)
    variables = {**endpoint.variables(), "ansible_winrm_nosuch": 1}
    with Engine(Inventory.from_hosts([Host("win1", variables)])) as engine:
        result = engine.run("win1", "wait_for_connection", "sleep=0 timeout=20")["win1"]
    assert result.status == "ok"
    assert endpoint.connections >= 4
    assert [notice["notice"] for notice in result.notices] == ["unknown_variables"]


@pytest.mark.parametrize("transport", ["basic", "ntlm"])
def test_wait_for_connection_tries_a_wrong_password_once(tmp_path: Path, transport: str) -> None:
    # A few more attempts would lock the account.
    with WinrmServer({"vagrant": "secret"}, (transport,), allow_unencrypted=True, drive=tmp_path / "C") as host:
        with pytest.raises(AuthenticationError, match="not tried again") as caught:
            wait(host, "sleep=0 timeout=20", ansible_password=Secret("wrong"))
        assert host.failed_logins == 1
    assert caught.value.host == "win1"
