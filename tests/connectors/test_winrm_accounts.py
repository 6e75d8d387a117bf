"""Passwords of domain accounts, which a fleet must not use up the attempts of."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from sshexec.connectors.deadline import Deadline
from sshexec.connectors.winrm import accounts
from sshexec.connectors.winrm.context import WinrmContext
from sshexec.connectors.winrm.options import WinrmOptions
from sshexec.connectors.winrm.wire import Aborted, Wire
from sshexec.errors import AuthenticationError, HostError
from sshexec.secret import Secret
from tests.winrm_server.server import WinrmServer

USER = "CORP\\vagrant"


@pytest.fixture
def context() -> Iterator[WinrmContext]:
    context = WinrmContext()
    yield context
    context.close()


@pytest.fixture
def server() -> Iterator[WinrmServer]:
    with WinrmServer({USER: "secret", "vagrant": "secret"}, ("ntlm", "credssp")) as server:
        yield server


def wire(context: WinrmContext, host: str, variables: dict[str, Any]) -> Wire:
    return Wire(host, WinrmOptions.from_vars({"ansible_user": USER, **variables}, host), context)


def log_in(context: WinrmContext, host: str, variables: dict[str, Any]) -> HostError | None:
    """Log in and return what went wrong."""
    one = wire(context, host, variables)
    try:
        one.open(Deadline.after(20), 10, 10)
    except HostError as error:
        return error
    finally:
        one.close()
    return None


def fleet(context: WinrmContext, variables: dict[str, Any], count: int = 12) -> list[HostError | None]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda number: log_in(context, f"win{number}", variables), range(count)))


def wrong(server: WinrmServer, **more: Any) -> dict[str, Any]:
    return server.variables(ansible_user=USER, ansible_password=Secret("wrong"), **more)


@pytest.mark.parametrize("transport", ["ntlm", "credssp"])
def test_a_wrong_password_costs_the_account_three_attempts(
    server: WinrmServer, context: WinrmContext, transport: str
) -> None:
    errors = fleet(context, wrong(server, ansible_winrm_transport=transport))
    assert all(isinstance(error, AuthenticationError) and error.counted for error in errors)
    assert server.failed_logins == accounts.TRIES
    left_out = [str(error) for error in errors if "not tried here" in str(error)]
    assert len(left_out) == len(errors) - accounts.TRIES
    assert all(f"refused the password of {USER}; " in text and "wrong" not in text for text in left_out)


def test_a_right_one_is_every_host_s(server: WinrmServer, context: WinrmContext) -> None:
    assert fleet(context, server.variables(ansible_user=USER)) == [None] * 12
    assert len(server.login_log) == 12


def test_a_corrected_one_is_tried_at_once(server: WinrmServer, context: WinrmContext) -> None:
    fleet(context, wrong(server))
    assert log_in(context, "win1", server.variables(ansible_user=USER)) is None


def test_accounts_of_a_host_are_its_own(server: WinrmServer, context: WinrmContext) -> None:
    for user in ("vagrant", ".\\vagrant"):
        before = server.failed_logins
        fleet(context, {**wrong(server), "ansible_user": user}, 5)
        assert server.failed_logins == before + 5


def test_odd_hosts_do_not_keep_the_others_out(server: WinrmServer, context: WinrmContext) -> None:
    with WinrmServer({"somebody": "else"}, ("ntlm",)) as odd:
        hosts = [odd, odd, server, odd, odd, server, odd, server]
        errors = [
            log_in(context, f"win{number}", each.variables(ansible_user=USER, ansible_password=Secret("secret")))
            for number, each in enumerate(hosts)
        ]
    assert [error is None for error in errors] == [each is server for each in hosts]
    assert odd.failed_logins == 5


def test_after_a_while_it_is_tried_again(
    server: WinrmServer, context: WinrmContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "REFUSED_FOR", 0.0)
    for number in range(accounts.TRIES + 2):
        error = log_in(context, f"win{number}", wrong(server))
        assert "refused user" in str(error)


@pytest.fixture
def frozen(context: WinrmContext) -> Iterator[Wire]:
    """A host that takes the connection and answers nothing, with somebody who tries to log in there."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        variables = {
            "ansible_host": "127.0.0.1",
            "ansible_port": listener.getsockname()[1],
            "ansible_password": Secret("secret"),
            "ansible_winrm_scheme": "http",
            "ansible_winrm_transport": "ntlm",
        }
        one = wire(context, "frozen", variables)
        trying: Future[None] = pool.submit(one.open, Deadline.after(30), 10, 30)
        peer, _ = listener.accept()
        with peer:
            assert peer.recv(1) == b"P"  # its login has begun
            yield one
            one.abort()
            with pytest.raises(Aborted):
                trying.result(10)


def test_one_that_is_frozen_holds_up_nobody(
    server: WinrmServer, context: WinrmContext, frozen: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "PATIENCE", 0.2)
    assert fleet(context, server.variables(ansible_user=USER)) == [None] * 12


def test_who_waits_can_be_cancelled(
    server: WinrmServer, context: WinrmContext, frozen: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "PATIENCE", 60.0)
    waiting = wire(context, "win1", server.variables(ansible_user=USER))
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(waiting.open, Deadline.after(30), 10, 30)
        while server.connected == 0:
            pass
        waiting.abort()
        with pytest.raises(Aborted):
            result.result(10)
    assert server.login_log == []
