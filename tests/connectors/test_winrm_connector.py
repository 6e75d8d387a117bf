"""The WinRM connector's contract beside commands and files: opening, closing, what it tells."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from sshexec.connectors.base import Capability, Deadline, Phase, Timeouts
from sshexec.connectors.winrm.connector import WinrmConnector
from sshexec.errors import AuthenticationError, ConnectionLostError, HostError, RefusedError, UnreachableError
from sshexec.secret import Secret
from tests.connectors.winrm_host import SOON, connector, open_and_run, opened, run
from tests.winrm_server import WinrmServer


@pytest.fixture(scope="module")
def service() -> Iterator[WinrmServer]:
    with WinrmServer({"vagrant": "secret"}, ("ntlm", "basic"), allow_unencrypted=True) as server:
        yield server


@pytest.fixture
def server(service: WinrmServer) -> WinrmServer:
    service.log.clear()
    service.misbehaviours.clear()
    service.forget()
    return service


def test_what_it_is() -> None:
    assert WinrmConnector.name == "winrm"
    assert WinrmConnector.capabilities == Capability.FILES | Capability.WINDOWS


@pytest.mark.parametrize("transport", ["ntlm", "basic"])
def test_phases_and_the_hosts_answer(server: WinrmServer, transport: str) -> None:
    told: list[object] = []
    win = connector(server, ansible_winrm_transport=transport)
    win.on_phase = told.append
    win.on_answer = lambda: told.append("answer")
    win.open(Deadline.after(SOON))
    run(win, "echo hi")
    win.put(b"x", "C:\\x", Deadline.after(SOON))
    win.close()
    shown = [each for each in told if each is not Phase.RESOLVING]
    assert shown == [Phase.CONNECTING, "answer", Phase.AUTHENTICATING, Phase.RUNNING, Phase.TRANSFERRING]


@pytest.mark.parametrize("transport", ["ntlm", "basic"])
def test_opening_makes_a_shell_and_closing_deletes_it(server: WinrmServer, transport: str) -> None:
    win = connector(server, ansible_winrm_transport=transport)
    assert not win.alive
    win.open(Deadline.after(SOON))
    assert win.alive
    assert win.worth_keeping
    assert server.operations == ["Create"]
    win.close()
    assert not win.alive
    assert server.operations == ["Create", "Delete"]
    win.close()
    assert server.operations == ["Create", "Delete"]


def test_opening_twice_leaves_one_shell(server: WinrmServer) -> None:
    win = connector(server)
    win.open(Deadline.after(SOON))
    win.open(Deadline.after(SOON))
    assert len(server.shells) == 1
    assert run(win, "echo hi")[0].rc == 0
    win.close()
    assert server.shells == {}


def test_what_is_not_open_runs_nothing(server: WinrmServer) -> None:
    win = connector(server)
    win.close()
    with pytest.raises(ConnectionLostError, match="nothing was run") as caught:
        run(win, "echo hi")
    assert caught.value.started is False
    assert caught.value.host == "win1"


@pytest.mark.parametrize("transport", ["ntlm", "basic"])
def test_a_wrong_password_is_one_attempt(server: WinrmServer, transport: str) -> None:
    before = server.logins
    win = connector(server, ansible_winrm_transport=transport, ansible_password=Secret("wrong"))
    with pytest.raises(AuthenticationError) as caught:
        win.open(Deadline.after(SOON))
    win.close()
    assert server.logins == before + 1
    assert (caught.value.host, caught.value.phase) == ("win1", "authenticating")
    assert "wrong" not in str(caught.value).replace("wrong user", "").replace("wrong password", "")


@pytest.mark.parametrize("transport", ["ntlm", "basic"])
def test_a_password_that_is_changed_meanwhile_is_tried_once(transport: str) -> None:
    with WinrmServer({"vagrant": "secret"}, (transport,), allow_unencrypted=True) as server:
        win = connector(server)
        win.open(Deadline.after(SOON))
        before = server.failed_logins
        server.misbehave("denied", times=50, op="any")
        server.cut_connections()
        with pytest.raises(AuthenticationError):
            run(win, "echo hi")
        requests = server.requests
        win.close()
        assert server.requests == requests
        assert server.failed_logins <= before + 1


@pytest.mark.parametrize("op", ["Command", "Receive", "Signal"])
def test_a_login_that_is_refused_in_the_middle_is_tried_once(op: str) -> None:
    with WinrmServer({"vagrant": "secret"}) as server:
        win = connector(server)
        win.open(Deadline.after(SOON))
        before = server.connections
        server.misbehave("denied", op="Login", times=50)
        if op == "Command":
            server.cut_connections()
        else:
            server.misbehave("cut", op=op)
        if op == "Signal":
            assert run(win, "exit 3")[0].rc == 3
        else:
            with pytest.raises(AuthenticationError):
                run(win, "sleep 60")
        win.close()
        # Neither the command nor its shell is ended: each attempt would count as one more wrong password.
        assert server.connections == before + 1


def test_nobody_listens(server: WinrmServer) -> None:
    with WinrmServer({"vagrant": "secret"}) as gone:
        port = gone.port
    win = connector(server, ansible_port=port)
    with pytest.raises(RefusedError) as caught:
        win.open(Deadline.after(SOON))
    assert (caught.value.host, caught.value.phase) == ("win1", "connecting")


def test_a_host_that_goes_away_between_commands() -> None:
    with WinrmServer({"vagrant": "secret"}) as server:
        win = connector(server)
        win.open(Deadline.after(SOON))
    assert not win.alive
    with pytest.raises(UnreachableError):
        run(win, "echo hi")
    win.close()


def test_unknown_variables_are_named(server: WinrmServer) -> None:
    with opened(server, ansible_winrm_nosuch=1, ansible_winrm_other="x") as win:
        (notice,) = win.notices
    assert notice["notice"] == "unknown_variables"
    assert "ansible_winrm_nosuch" in notice["message"]
    assert "ansible_winrm_other" in notice["message"]
    assert notice["problem"] == "ansible_winrm_nosuch, ansible_winrm_other"  # the summary of a run says it


def test_unknown_variables_are_named_where_the_login_fails_too(server: WinrmServer) -> None:
    win = connector(server, ansible_password="wrong", ansible_winrm_nosuch=1)
    with pytest.raises(AuthenticationError):
        win.open(Deadline.after(10))
    assert [notice["notice"] for notice in win.notices] == ["unknown_variables"]


def test_nothing_to_tell(server: WinrmServer) -> None:
    with opened(server) as win:
        assert win.notices == []


@pytest.mark.parametrize("kind", ["html", "empty200", "empty500", "503", "truncated", "garbage"])
@pytest.mark.parametrize("op", ["Create", "Command", "Receive"])
def test_whatever_the_host_answers_the_error_is_ours(server: WinrmServer, kind: str, op: str) -> None:
    if (kind, op) == ("truncated", "Receive"):
        pytest.skip("the wire asks again")
    server.misbehave(kind, op=op, **({"data": b"\x00\xff"} if kind == "garbage" else {}))
    win = connector(server)
    with pytest.raises(HostError) as caught:
        open_and_run(win, "sleep 60")
    assert caught.value.host == "win1"
    assert "\n" not in caught.value.message
    win.close()
    assert len(server.shells) <= (op == "Create")


@pytest.mark.parametrize("kind", ["gzip", "chunked", "no_content_type", "close", "drop"])
def test_what_is_odd_and_right_works(server: WinrmServer, kind: str) -> None:
    with opened(server, ansible_winrm_transport="basic") as win:
        server.misbehave(kind, times=3)
        assert run(win, "echo hi")[1].stdout == b"hi\r\n"


def test_one_slow_host_holds_up_nobody(server: WinrmServer) -> None:
    connections = [connector(server, Timeouts()) for _ in range(8)]
    for each in connections:
        each.open(Deadline.after(SOON))
    threads = [threading.Thread(target=run, args=(connections[0], "sleep 3"))]
    threads[0].start()
    for each in connections[1:]:
        assert run(each, "echo hi", seconds=2.5)[0].rc == 0
    assert threads[0].is_alive()
    threads[0].join(SOON)
    for each in connections:
        each.close()
    assert server.shells == {}
