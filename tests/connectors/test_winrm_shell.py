"""The one shell of a connection: quotas, its loss, its end; nothing runs twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sshexec.connectors.base import Deadline
from sshexec.connectors.winrm import faults
from sshexec.connectors.winrm.connector import WinrmConnector
from sshexec.errors import AuthenticationError, ConnectionLostError, HostError, UnreachableError
from tests.connectors.winrm_host import SOON, connector, open_and_run, opened, run
from tests.winrm_server import WinrmServer


@pytest.fixture(scope="module", params=["ntlm", "basic"])
def service(request: pytest.FixtureRequest) -> Iterator[WinrmServer]:
    with WinrmServer({"vagrant": "secret"}, (request.param,), allow_unencrypted=request.param == "basic") as server:
        yield server


@pytest.fixture
def server(service: WinrmServer) -> WinrmServer:
    service.log.clear()
    service.misbehaviours.clear()
    return service


@pytest.fixture
def win(server: WinrmServer) -> Iterator[WinrmConnector]:
    with opened(server) as connection:
        server.log.clear()
        yield connection


@pytest.fixture
def counted(tmp_path: Path) -> str:
    """A command that leaves a line each time it runs."""
    return f"echo ran >>{tmp_path}/count; cat {tmp_path}/count"


def test_operations_that_are_used_up_cost_a_new_shell() -> None:
    with WinrmServer({"vagrant": "secret"}, max_operations=3) as server, opened(server) as win:
        for _ in range(7):
            assert run(win, "echo hi")[1].stdout == b"hi\r\n"
        assert server.operations.count("Create") == 3
        assert server.operations.count("Delete") == 2
        assert len(server.shells) == 1


def test_operations_that_stay_used_up(win: WinrmConnector, server: WinrmServer) -> None:
    server.misbehave("fault", op="Command", times=9, code=faults.MAX_OPERATIONS, wmi=True)
    with pytest.raises(UnreachableError, match="MaxConcurrentOperationsPerUser") as caught:
        run(win, "echo hi")
    assert type(caught.value) is UnreachableError
    assert server.operations == ["Command", "Delete", "Create", "Command", "Delete"]
    server.misbehaviours.clear()
    assert run(win, "echo hi")[0].rc == 0


def test_too_many_shells() -> None:
    with WinrmServer({"vagrant": "secret"}, max_shells=1) as server, opened(server) as win:
        other = connector(server)
        with pytest.raises(UnreachableError, match="MaxShellsPerUser") as caught:
            other.open(Deadline.after(SOON))
        assert (caught.value.status, caught.value.cause, caught.value.host) == ("unreachable", "unreachable", "win1")
        assert not other.alive
        win.close()
        other.open(Deadline.after(SOON))
        assert run(other, "echo hi")[0].rc == 0
        # Its own shell does not stand in the way of another one of its own.
        assert run(other, "echo hi", environment={"A": "1"})[0].rc == 0
        other.close()


def test_a_user_who_may_not(server: WinrmServer) -> None:
    server.misbehave("fault", op="Create", code=faults.ACCESS_DENIED, reason="Access is denied. ")
    win = connector(server)
    with pytest.raises(AuthenticationError, match=r"Access is denied.*Remote Management Users"):
        win.open(Deadline.after(SOON))
    assert server.operations == ["Create"]


def test_a_shell_that_was_lost_before_a_command(win: WinrmConnector, server: WinrmServer, counted: str) -> None:
    server.forget()
    assert run(win, counted)[1].stdout == b"ran\r\n"
    assert server.operations[:3] == ["Command", "Create", "Command"]


def test_a_new_shell_that_is_lost_at_once_is_an_error(win: WinrmConnector, server: WinrmServer) -> None:
    server.misbehave("forget", op="Command", times=5)
    with pytest.raises(HostError, match="did not start"):
        run(win, "echo hi")
    assert server.operations == ["Command", "Create", "Command"]


@pytest.mark.parametrize("op", ["Receive", "Send"])
def test_a_shell_that_is_lost_in_the_middle(win: WinrmConnector, server: WinrmServer, op: str, counted: str) -> None:
    server.misbehave("forget", op=op)
    with pytest.raises(ConnectionLostError, match="gone") as caught:
        run(win, f"{counted}; cat; sleep 60", b"x")
    assert caught.value.started is True
    assert server.operations.count("Command") == 1
    assert run(win, "echo again")[1].stdout == b"again\r\n"


@pytest.mark.parametrize("op", ["Create", "Command", "Receive"])
def test_any_other_fault_is_told(server: WinrmServer, op: str) -> None:
    server.misbehave("fault", op=op, code=2150858767, reason="It is\n raining. ")
    win = connector(server)
    with pytest.raises(HostError, match="It is raining") as caught:
        open_and_run(win, "sleep 60")
    assert "2150858767" in caught.value.message
    assert "\n" not in caught.value.message
    win.close()
    assert server.shells == {}


@pytest.mark.parametrize("op", ["Signal", "Delete"])
@pytest.mark.parametrize("kind", ["fault", "empty500", "cut", "html", "relates_to"])
def test_a_result_outlives_what_fails_behind_it(server: WinrmServer, op: str, kind: str) -> None:
    win = connector(server)
    win.open(Deadline.after(SOON))
    server.misbehave(kind, op=op, **({"code": 5} if kind == "fault" else {}))
    assert run(win, "echo hi; exit 3")[0].rc == 3
    win.close()
    assert len(server.shells) <= (op == "Delete")
    server.forget()


@pytest.mark.parametrize("op", ["Create", "Command", "Receive", "Send"])
def test_an_answer_to_another_request(server: WinrmServer, op: str) -> None:
    server.misbehave("relates_to", op=op)
    win = connector(server)
    with pytest.raises(ConnectionLostError, match="another request"):
        open_and_run(win, "cat; sleep 60", b"x")
    win.close()
    assert len(server.shells) <= (op == "Create")
    server.forget()


# The connection goes, the shell stays


def test_a_dropped_connection_costs_no_shell(win: WinrmConnector, server: WinrmServer, counted: str) -> None:
    shells = list(server.shells)
    for number in range(1, 4):
        server.cut_connections()
        assert run(win, counted)[1].stdout == b"ran\r\n" * number
    assert list(server.shells) == shells
    assert "Create" not in server.operations


@pytest.mark.parametrize("op", ["Receive", "Signal"])
def test_a_connection_that_drops_while_a_command_runs(
    win: WinrmConnector, server: WinrmServer, op: str, counted: str
) -> None:
    server.misbehave("cut", op=op)
    assert run(win, counted)[1].stdout == b"ran\r\n"
    assert server.operations.count("Command") == 1
    # What the host answered while nobody listened is not known.
    assert [notice["notice"] for notice in win.notices] == (["output_gap"] if op == "Receive" else [])


@pytest.mark.parametrize("kind", ["cut", "truncated"])
def test_output_that_was_lost_on_its_way_is_told(win: WinrmConnector, server: WinrmServer, kind: str) -> None:
    server.misbehave(kind, op="Receive", acted=True)
    done, _ = run(win, "echo lost; sleep 1; echo there")
    assert done.rc == 0
    assert [notice["notice"] for notice in win.notices] == ["output_gap"]


@pytest.mark.parametrize("acted", [False, True])
def test_a_command_is_never_run_twice(win: WinrmConnector, server: WinrmServer, counted: str, acted: bool) -> None:
    """The connection breaks before the answer: nobody knows whether it has begun."""
    server.misbehave("cut", op="Command", acted=acted)
    with pytest.raises(ConnectionLostError) as caught:
        run(win, counted)
    assert caught.value.started is True
    assert server.operations.count("Command") == 1
    assert server.shells == {}
    done, output = run(win, counted)
    assert done.rc == 0
    # It may have been ended together with its shell before it did anything.
    assert output.stdout.count(b"ran") in ((1, 2) if acted else (1,))


def test_a_message_that_the_host_could_not_read_goes_again(server: WinrmServer, counted: str) -> None:
    if server.transports == ("basic",):
        pytest.skip("nothing is encrypted")
    with opened(server) as win:
        server.misbehave("undecryptable", op="Seal")
        assert run(win, counted)[1].stdout == b"ran\r\n"


def test_a_directory_that_makes_no_shell_is_no_unreachable_host(server: WinrmServer) -> None:
    with opened(server) as win:
        server.misbehave("fault", op="Create", code=267, reason="The directory name is invalid. ")
        with pytest.raises(HostError, match=r"no shell in C:\\nosuch: The directory name is invalid") as caught:
            run(win, "exit 0", directory="C:\\nosuch")
        assert type(caught.value) is HostError
