"""Logins to a WinRM service: each way works, a wrong password is tried once, and no secret shows anywhere."""

from __future__ import annotations

import base64
import logging
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import spnego

from sshexec.connectors.broker import Broker
from sshexec.connectors.deadline import Deadline
from sshexec.connectors.prompts import Question
from sshexec.connectors.winrm import options as options_module
from sshexec.connectors.winrm.context import WinrmContext
from sshexec.connectors.winrm.options import WinrmOptions
from sshexec.connectors.winrm.wire import Wire
from sshexec.errors import AuthenticationError, BannerError, NoRouteError, ProtocolError, RefusedError
from sshexec.secret import Secret
from tests.connectors import winrm_envelopes as envelopes
from tests.winrm_server import WinrmServer
from tests.winrm_server.conftest import no_realm  # noqa: F401 - a fixture

USERS = {"vagrant": "geheim-canary-€"}
WAYS = [("basic", "plaintext"), ("basic", "basic"), ("ntlm", "ntlm"), ("credssp", "credssp")]

pytestmark = pytest.mark.usefixtures("no_realm")


@contextmanager
def wire_to(variables: dict[str, Any], context: WinrmContext | None = None) -> Iterator[Wire]:
    own = context or WinrmContext()
    wire = Wire("win1", WinrmOptions.from_vars(variables, "win1"), own)
    try:
        wire.open(Deadline.after(20), 5, 5)
        yield wire
    finally:
        wire.close()
        if context is None:
            own.close()


def ask(variables: dict[str, Any], context: WinrmContext | None = None, message: bytes | None = None) -> None:
    with wire_to(variables, context) as wire:
        wire.send(message or envelopes.create(), Deadline.after(20), once=True)


@pytest.mark.parametrize(("offered", "transport"), WAYS)
def test_a_login(offered: str, transport: str) -> None:
    with WinrmServer(USERS, (offered,), allow_unencrypted=offered == "basic") as server:
        ask(server.variables(ansible_winrm_transport=transport))
        assert (server.logins, server.failed_logins, server.connections) == (1, 0, 1)
        assert server.unsealed == (1 if offered == "basic" else 0)


@pytest.mark.parametrize("user", ["vagrant", "SERVER\\vagrant"])
def test_a_user_of_a_domain(user: str) -> None:
    with WinrmServer({user: "secret"}, ("ntlm",)) as server:
        ask(server.variables())
        assert server.login_log[0][0]


@pytest.mark.parametrize(("offered", "transport"), WAYS)
def test_a_wrong_password_is_tried_once(offered: str, transport: str) -> None:
    with WinrmServer(USERS, (offered,), allow_unencrypted=True) as server:
        wrong = server.variables(ansible_winrm_transport=transport, ansible_password="wrong-canary")
        with pytest.raises(AuthenticationError, match="vagrant") as caught:
            ask(wrong)
        assert (server.logins, server.failed_logins) == (1, 1)
        assert (caught.value.host, caught.value.phase) == ("win1", "authenticating")
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("offered", "transport", "words"),
    [
        ("basic", "ntlm", r"does not log in by ntlm; it offers Basic \(ansible_winrm_transport: basic\)"),
        ("basic", "credssp", "does not log in by credssp; it offers Basic"),
        ("ntlm", "basic", "ansible_winrm_transport=ntlm works without"),
    ],
)
def test_a_login_that_is_not_offered(offered: str, transport: str, words: str) -> None:
    with WinrmServer(USERS, (offered,), allow_unencrypted=True) as server:
        with pytest.raises(AuthenticationError, match=words):
            ask(server.variables(ansible_winrm_transport=transport))
        assert server.failed_logins <= 1


def test_a_login_whose_connection_is_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "users").write_text(":u:p\n")
    monkeypatch.setenv("NTLM_USER_FILE", str(tmp_path / "users"))
    with WinrmServer(USERS, ("ntlm",)) as server:
        body = b"HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        challenge = spnego.server(protocol="ntlm").step(spnego.client("u", "p", protocol="ntlm").step())
        server.misbehave("garbage", "Login", data=body % base64.b64encode(challenge or b""))
        with pytest.raises(ProtocolError, match="does not keep its connection open, as a login by ntlm needs it"):
            ask(server.variables())


@pytest.mark.parametrize("challenge", [b"", b"!", b"AAAA", b"TlRMTVNTUAACAAAA"])
def test_a_challenge_that_is_none(challenge: bytes) -> None:
    with WinrmServer(USERS, ("ntlm",)) as server:
        body = b"HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate %s\r\nContent-Length: 0\r\n\r\n" % challenge
        server.misbehave("garbage", "Login", data=body)
        with pytest.raises((ProtocolError, AuthenticationError)):
            ask(server.variables())
        assert server.logins == 0


def test_a_large_message_over_credssp() -> None:
    with WinrmServer(USERS, ("credssp",)) as server, wire_to(server.variables()) as wire:
        shell = envelopes.shell_of(wire.send(envelopes.create(), Deadline.after(20), once=True))
        started = wire.send(envelopes.command(shell, "cat"), Deadline.after(20), once=True)
        data = b"x" * 60_000  # more than four records of TLS
        wire.send(envelopes.send(shell, envelopes.command_of(started), data), Deadline.after(20), once=True)
        assert [event.detail["size"] for event in server.log if event.op == "Send"] == [len(data)]
        assert server.unsealed == 0


@pytest.mark.parametrize("status", [200, 500])
def test_credssp_that_ends_before_its_end(status: int) -> None:
    with WinrmServer(USERS, ("credssp",)) as server:
        server.misbehave("status", "Login", code=status)
        with pytest.raises(BannerError if status == 200 else ProtocolError):
            ask(server.variables())
        assert server.logins == 0


def test_without_a_password() -> None:
    with WinrmServer(USERS, ("ntlm",)) as server:
        variables = server.variables()
        del variables["ansible_password"]
        with pytest.raises(AuthenticationError, match="ansible_password is not set"):
            ask(variables)
        assert server.connections == 0


@pytest.mark.parametrize(("offered", "transport"), WAYS)
def test_a_password_is_asked_for(offered: str, transport: str) -> None:
    questions: list[Question] = []

    def person(question: Question) -> Secret:
        questions.append(question)
        return Secret("wrong" if len(questions) == 1 else USERS["vagrant"])

    with WinrmServer(USERS, (offered,), allow_unencrypted=True) as server:
        context = WinrmContext()
        context.prompts = Broker(person)
        variables = server.variables(ansible_winrm_transport=transport, ansible_password=None)
        context.check(WinrmOptions.from_vars(variables, "win1"))
        if offered == "basic":  # whether the answer is right is known from the first message on only
            with pytest.raises(AuthenticationError):
                ask(variables, context)
        for _ in range(3):
            ask(variables, context)
        assert [(question.kind, question.group) for question in questions] == [("password", "vagrant")] * 2
        assert questions[0].text == "WinRM password of vagrant"
        assert (server.logins, server.failed_logins) == (4, 1)


def test_nobody_is_asked_where_that_is_not_wanted() -> None:
    context = WinrmContext()
    context.prompts = Broker(lambda question: pytest.fail("asked"))
    with WinrmServer(USERS, ("ntlm",)) as server:
        variables = server.variables(ansible_password=None, sshexec_ask_password="no")
        with pytest.raises(AuthenticationError, match="ansible_password is not set"):
            ask(variables, context)


@pytest.mark.parametrize("transport", ["ntlm", "credssp", "basic", "wrong", "html"])
def test_no_secret_in_any_log(transport: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    logging.disable(logging.NOTSET)
    secret = USERS["vagrant"]
    offered = transport if transport in ("credssp", "basic") else "ntlm"
    with WinrmServer(USERS, (offered,), allow_unencrypted=True) as server:
        if transport == "html":
            server.misbehave("html", "Create")
        variables = server.variables(ansible_winrm_proxy="")
        if transport == "wrong":
            secret = "wrong-canary"
            variables["ansible_password"] = secret
        shown = ""
        try:
            with wire_to(variables) as wire:
                shell = envelopes.shell_of(wire.send(envelopes.create(), Deadline.after(20), once=True))
                wire.send(envelopes.command(shell, "echo line-canary"), Deadline.after(20), once=True)
                shown = repr(wire)
        except Exception as error:
            shown = "".join(traceback.format_exception(error)) + repr(error)
    records = "\n".join(f"{record.name} {record.getMessage()} {record.args!r}" for record in caplog.records) + shown
    login = f"vagrant:{secret}"
    hidden = [secret, "canary", base64.b64encode(login.encode()).decode()]
    assert [text for text in hidden if text in records] == []


# Proxies.


def test_a_proxy_for_http() -> None:
    with WinrmServer(USERS, ("ntlm",)) as server, proxy(server.port) as through:
        variables = server.variables(
            ansible_host="win1.invalid", ansible_winrm_proxy=f"http://u:p%40ss@{through.where}"
        )
        ask(variables)
        assert server.connections == 1
        assert through.firsts == [f"POST http://win1.invalid:{server.port}/wsman HTTP/1.1"] * 3
        assert set(through.logins) == {"Basic " + base64.b64encode(b"u:p@ss").decode()}


def test_a_proxy_for_https(tmp_path: Any) -> None:
    from tests.winrm_server import Tls
    from tests.winrm_server.certificates import Certificates

    made = Certificates(tmp_path)
    tls = Tls(made.right.certificate, made.right.key, made.authority.certificate)
    with WinrmServer(USERS, ("ntlm",), tls) as server, proxy(server.port) as through:
        ask(server.variables(ansible_host="localhost", ansible_winrm_proxy=f"http://{through.where}"))
        assert through.firsts == [f"CONNECT localhost:{server.port} HTTP/1.1"]
        for status, error in ((407, ProtocolError), (502, NoRouteError), (403, ProtocolError)):
            through.answer = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()
            with pytest.raises(error, match=r"proxy"):
                ask(server.variables(ansible_host="localhost", ansible_winrm_proxy=f"http://{through.where}"))
        through.answer = b"SSH-2.0-x\r\n"
        with pytest.raises(BannerError, match="the proxy did not connect us"):
            ask(server.variables(ansible_host="localhost", ansible_winrm_proxy=f"http://{through.where}"))


def test_a_proxy_that_is_not_there() -> None:
    with WinrmServer(USERS, ("ntlm",)) as server:
        with pytest.raises(RefusedError, match=r"the proxy 127\.0\.0\.1 port 1 refused"):
            ask(server.variables(ansible_winrm_proxy="http://127.0.0.1:1"))
        assert server.connections == 0


class Proxy:
    """An HTTP proxy that leads every host's name to one port here."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.where = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.firsts: list[str] = []
        self.logins: list[str] = []
        self.answer = b""

    def run(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self, sock: socket.socket) -> None:
        with sock, socket.create_connection(("127.0.0.1", self._target)) as target:
            first = self._note(sock.recv(65536))
            if self.answer:
                sock.sendall(self.answer)
                return
            if first.startswith(b"CONNECT"):
                sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                target.sendall(_origin_form(first))
            back = threading.Thread(target=_pump, args=(target, sock, bytes), daemon=True)
            back.start()
            _pump(sock, target, bytes if first.startswith(b"CONNECT") else lambda data: _origin_form(self._note(data)))
            back.join(5)

    def _note(self, data: bytes) -> bytes:
        if data.startswith((b"POST ", b"CONNECT ")):
            lines = data.decode("latin-1").split("\r\n")
            self.firsts.append(lines[0])
            self.logins += [line.partition(": ")[2] for line in lines if line.startswith("Proxy-Authorization")]
        return data


def _origin_form(data: bytes) -> bytes:
    if not data.startswith(b"POST http://"):
        return data
    return b"POST /" + data.removeprefix(b"POST http://").partition(b"/")[2]


def _pump(source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes]) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(change(data))
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@contextmanager
def proxy(port: int) -> Iterator[Proxy]:
    running = Proxy(port)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.stop()
        thread.join(5)


def test_which_package_is_missing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    options_module._present.cache_clear()
    monkeypatch.setattr(options_module.importlib.util, "find_spec", lambda name: None)
    assert not options_module._present("credssp")
    assert options_module._present("ntlm")
    options_module._present.cache_clear()
