"""The wire to a WinRM service: when a message is sent again and when not, and what each failure is called."""

from __future__ import annotations

import base64
import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Phase
from sshexec.connectors.deadline import Deadline
from sshexec.connectors.winrm import refusals
from sshexec.connectors.winrm.context import WinrmContext
from sshexec.connectors.winrm.faults import NO_SHELL, OPERATION_TIMEOUT, Fault
from sshexec.connectors.winrm.options import WinrmOptions
from sshexec.connectors.winrm.wire import Aborted, NoAnswer, Wire
from sshexec.errors import (
    AuthenticationError,
    BannerError,
    ConnectionLostError,
    ConnectTimeoutError,
    HostError,
    NoRouteError,
    ProtocolError,
    RefusedError,
    ResolveError,
    UnreachableError,
)
from tests.connectors import winrm_envelopes as envelopes
from tests.winrm_server import WinrmServer
from tests.winrm_server.conftest import no_realm  # noqa: F401 - a fixture

USERS = {"vagrant": "s€cret:canary"}
SECONDS = 20


@pytest.fixture
def server() -> Iterator[WinrmServer]:
    with WinrmServer(USERS, ("ntlm", "basic"), allow_unencrypted=True) as running:
        yield running


@contextmanager
def wire_to(variables: dict[str, Any], *, opened: bool = True) -> Iterator[Wire]:
    context = WinrmContext()
    wire = Wire("win1", WinrmOptions.from_vars(variables, "win1"), context)
    try:
        if opened:
            wire.open(Deadline.after(SECONDS), 5, 5)
        yield wire
    finally:
        wire.close()
        context.close()


def soon() -> Deadline:
    return Deadline.after(SECONDS)


def started(wire: Wire, line: str) -> tuple[str, str]:
    shell = envelopes.shell_of(wire.send(envelopes.create(), soon(), once=True))
    return shell, envelopes.command_of(wire.send(envelopes.command(shell, line), soon(), once=True))


@pytest.mark.parametrize(("transport", "requests", "unsealed"), [("ntlm", 2, 0), ("basic", 0, 1)])
def test_a_session(server: WinrmServer, transport: str, requests: int, unsealed: int) -> None:
    phases: list[Phase] = []
    answered: list[bool] = []
    with wire_to(server.variables(ansible_winrm_transport=transport), opened=False) as wire:
        assert not wire.alive
        wire.on_phase, wire.on_answer = phases.append, lambda: answered.append(True)
        wire.open(soon(), 5, 5)
        wait_for(lambda: server.connections == 1)
        assert (wire.alive, server.requests) == (True, requests)
        shell, command = started(wire, "echo hallo")
        output = base64.b64decode(envelopes.output_of(wire.send(envelopes.receive(shell, command), soon())))
        assert output == b"hallo\r\n"
        wire.send(envelopes.delete(shell), soon())
        assert (server.requests, server.connections, server.logins) == (requests + 4, 1, 1)
        assert server.unsealed == 4 * unsealed
        wire.close()
        assert not wire.alive
    assert phases == [Phase.RESOLVING, Phase.CONNECTING, Phase.AUTHENTICATING]
    assert answered == [True]


@pytest.mark.parametrize("transport", ["ntlm", "basic"])
@pytest.mark.parametrize("once", [True, False])
def test_a_connection_that_was_closed_meanwhile_is_made_anew(server: WinrmServer, transport: str, once: bool) -> None:
    with wire_to(server.variables(ansible_winrm_transport=transport)) as wire:
        shell, _ = started(wire, "echo 1")
        for kind in ("drop", "close"):
            server.misbehave(kind, "Command")
            envelopes.command_of(wire.send(envelopes.command(shell, "echo 2"), soon(), once=True))
            wait_for(lambda: not wire.alive)
            wire.send(envelopes.command(shell, "echo 3"), soon(), once=once)
        assert (server.connections, server.operations.count("Command"), len(server.shells)) == (3, 5, 1)


@pytest.mark.parametrize("transport", ["ntlm", "basic"])
def test_what_must_not_act_twice_is_not_sent_again(server: WinrmServer, transport: str) -> None:
    with wire_to(server.variables(ansible_winrm_transport=transport)) as wire:
        shell, _ = started(wire, "echo 1")
        server.misbehave("cut", "Command", acted=True)
        with pytest.raises(ConnectionLostError) as caught:
            wire.send(envelopes.command(shell, "echo 2"), soon(), once=True)
        assert (caught.value.started, caught.value.host) == (True, "win1")
        assert server.operations.count("Command") == 2
        # The session goes on, in the same shell.
        wire.send(envelopes.command(shell, "echo 3"), soon(), once=True)
        assert (server.operations.count("Command"), server.connections) == (3, 2)


@pytest.mark.parametrize("kind", ["cut", "truncated"])
def test_what_may_act_twice_is_sent_again_once(server: WinrmServer, kind: str) -> None:
    with wire_to(server.variables()) as wire:
        shell, command = started(wire, "echo hallo")
        server.misbehave(kind, "Receive")
        output = base64.b64decode(envelopes.output_of(wire.send(envelopes.receive(shell, command), soon())))
        assert output == (b"hallo\r\n" if kind == "cut" else b"")  # of the truncated answer the output is gone
        assert (server.connections, server.logins) == (2, 2)
        server.misbehave("cut", "Delete", times=2)
        with pytest.raises(ConnectionLostError):
            wire.send(envelopes.delete(shell), soon())
        assert server.operations.count("Delete") == 2


def test_a_message_that_could_not_be_decrypted_is_sent_again(server: WinrmServer) -> None:
    with wire_to(server.variables()) as wire:
        server.misbehave("undecryptable", "Seal")
        shell, _ = started(wire, "echo 1")
        assert (server.connections, server.operations) == (2, ["Create", "Command"])
        server.misbehave("undecryptable", "Seal", times=2)
        with pytest.raises(ProtocolError, match="HTTP 400"):
            wire.send(envelopes.command(shell, "echo 2"), soon(), once=True)
        assert server.operations.count("Command") == 1


def test_a_login_that_is_over_is_made_again(server: WinrmServer) -> None:
    with wire_to(server.variables()) as wire:
        shell, _ = started(wire, "echo 1")
        server.misbehave("denied", "Command")
        wire.send(envelopes.command(shell, "echo 2"), soon(), once=True)
        assert (server.connections, server.logins, server.failed_logins) == (2, 2, 0)


def test_a_deadline_that_has_passed_sends_nothing(server: WinrmServer) -> None:
    with wire_to(server.variables()) as wire:
        with pytest.raises(NoAnswer):
            wire.send(envelopes.create(), Deadline.after(0), once=True)
        wire.send(envelopes.create(), soon(), once=True)
        assert (server.operations, server.connections) == (["Create"], 1)


def test_a_host_that_is_gone_for_good(server: WinrmServer) -> None:
    with wire_to(server.variables()) as wire:
        shell, command = started(wire, "sleep 60")
        server.stop()
        with pytest.raises(RefusedError) as refused:  # nothing of it had begun
            wire.send(envelopes.command(shell, "echo 2"), soon(), once=True)
        assert refused.value.phase == "connecting"
        with pytest.raises(ConnectionLostError, match=r"reconnecting failed.*refused") as lost:
            wire.send(envelopes.receive(shell, command), soon())
        assert lost.value.started


def test_faults(server: WinrmServer) -> None:
    with wire_to(server.variables()) as wire:
        shell, command = started(wire, "sleep 60")
        server.misbehave("fault", "Receive", code=OPERATION_TIMEOUT)
        with pytest.raises(Fault) as timeout:
            wire.send(envelopes.receive(shell, command), soon())
        assert (timeout.value.code, timeout.value.subcode) == (OPERATION_TIMEOUT, "w:TimedOut")
        server.misbehave("forget", "Receive")
        with pytest.raises(Fault) as gone:
            wire.send(envelopes.receive(shell, command), soon())
        assert gone.value.code == NO_SHELL
        assert gone.value.reason
        assert wire.alive
        assert server.connections == 1


def test_the_deadline_ends_a_wait_for_an_answer(server: WinrmServer) -> None:
    with wire_to(server.variables()) as wire:
        shell, command = started(wire, "sleep 60")
        began = time.monotonic()
        with pytest.raises(NoAnswer):
            wire.send(envelopes.receive(shell, command), Deadline.after(0.3))
        assert 0.3 <= time.monotonic() - began < 3
        wire.send(envelopes.delete(shell), soon())
        assert not server.shells
        assert server.operations.count("Receive") == 1


def test_a_trickling_answer_does_not_outlive_the_deadline() -> None:
    def trickle(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            sock.sendall(b" ")
            if stop.wait(0.05):
                return

    stop = threading.Event()
    with listening(trickle) as port, wire_to(plain(port)) as wire:
        began = time.monotonic()
        with pytest.raises(NoAnswer):
            wire.send(b"<a/>", Deadline.after(0.5))
        assert time.monotonic() - began < 3
        stop.set()


def test_silence_breaks_the_connection(server: WinrmServer) -> None:
    variables = server.variables(ansible_winrm_read_timeout_sec=2, ansible_winrm_operation_timeout_sec=1)
    with wire_to(variables) as wire:
        server.misbehave("slow", "Create", seconds=30)
        with pytest.raises(ConnectionLostError, match="said nothing for 2 s") as caught:
            wire.send(envelopes.create(), soon(), once=True)
        assert caught.value.started


@pytest.mark.parametrize("before", [False, True])
def test_abort(server: WinrmServer, before: bool) -> None:
    with wire_to(server.variables()) as wire:
        shell, command = started(wire, "sleep 60")
        if before:
            wire.abort()
        else:
            threading.Thread(
                target=lambda: (wait_for(lambda: server.operations.count("Receive") == 1), wire.abort()), daemon=True
            ).start()
        with pytest.raises(Aborted):
            wire.send(envelopes.receive(shell, command), soon())
        assert server.operations.count("Receive") == (0 if before else 1)
        wire.send(envelopes.delete(shell), soon())
        assert (server.connections, len(server.shells)) == (2, 0)
        wire.abort()
        wire.resume()
        wire.send(envelopes.create(), soon(), once=True)


def test_abort_ends_the_opening() -> None:
    with listening(lambda sock: sock.recv(65536) and wait_closed(sock)) as port:
        with wire_to(plain(port, "ntlm"), opened=False) as wire:
            threading.Timer(0.2, wire.abort).start()
            with pytest.raises(Aborted):
                wire.open(soon(), 10, 10)
        with wire_to(plain(port, "ntlm", scheme="https"), opened=False) as wire:
            threading.Timer(0.2, wire.abort).start()
            with pytest.raises(Aborted):
                wire.open(soon(), 10, 10)


def test_an_unencrypted_answer_is_not_believed(server: WinrmServer) -> None:
    for kind in ("unsealed", "no_content_type"):
        with wire_to(server.variables()) as wire:
            server.misbehave(kind, "Create")
            with pytest.raises(ProtocolError, match="without encryption in an encrypted session") as caught:
                wire.send(envelopes.create(), soon(), once=True)
            assert caught.value.host == "win1"


def test_answers_that_are_whole_though_odd(server: WinrmServer) -> None:
    for transport in ("ntlm", "basic"):
        with wire_to(server.variables(ansible_winrm_transport=transport)) as wire:
            for kind in ("gzip", "chunked", *(["no_content_type"] if transport == "basic" else [])):
                server.misbehave(kind, "Create")
                wire.send(envelopes.create(), soon(), once=True)


@pytest.mark.parametrize(
    ("kind", "detail", "error", "words"),
    [
        ("html", {}, BannerError, "answers with a web page"),
        ("empty200", {}, ProtocolError, "answered with nothing"),
        ("empty500", {}, ProtocolError, "AllowUnencrypted=false"),
        ("503", {}, UnreachableError, "HTTP 503"),
        ("status", {"code": 403}, AuthenticationError, "HTTP 403"),
        ("status", {"code": 404}, BannerError, "no WinRM service at /wsman"),
        ("status", {"code": 407}, ProtocolError, "proxy asks for a user"),
        ("status", {"code": 413}, ProtocolError, "MaxEnvelopeSizekb"),
        ("status", {"code": 502}, UnreachableError, "proxy before"),
        ("status", {"code": 418}, ProtocolError, "HTTP 418"),
        ("garbage", {}, BannerError, "does not speak HTTP, it says 'SSH-2.0-OpenSSH_9.2p1"),
        ("garbage", {"data": b"HTTP/1.1 what\r\n\r\n"}, BannerError, "no HTTP status"),
        ("garbage", {"data": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"}, BannerError, "length is no number"),
        ("garbage", {"data": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"}, BannerError, "99999999999"),
        (
            "garbage",
            {"data": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"},
            BannerError,
            "without their length",
        ),
        (
            "garbage",
            {"data": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\n\r\nabc"},
            BannerError,
            "compressed and damaged",
        ),
        ("garbage", {"data": b"HTTP/1.1 200 OK\r\n\r\n<s:Envelope"}, BannerError, "does not speak WinRM at /wsman"),
        ("garbage", {"data": b"\x15\x03\x01\x00\x02\x02\x46"}, BannerError, "speaks TLS.*ansible_winrm_scheme=https"),
        ("denied", {}, AuthenticationError, "wrong user or password"),
        ("cut", {}, BannerError, "closed the connection without an answer"),
    ],
)
def test_what_does_not_answer_as_winrm(
    server: WinrmServer, kind: str, detail: dict[str, Any], error: type[HostError], words: str
) -> None:
    with wire_to(server.variables(ansible_winrm_transport="basic")) as wire:
        server.misbehave(kind, "Create", **detail)
        with pytest.raises(error, match=words) as caught:
            wire.send(envelopes.create(), soon(), once=True)
        assert type(caught.value) is error
        assert (caught.value.host, server.requests) == ("win1", 1)


@pytest.mark.parametrize(
    ("kind", "detail", "error", "words"),
    [
        ("html", {}, BannerError, "let us in without a login"),
        ("503", {}, UnreachableError, "HTTP 503"),
        ("empty500", {}, ProtocolError, "HTTP 500"),
        ("status", {"code": 404}, BannerError, "no WinRM service at /wsman"),
        ("garbage", {}, BannerError, "does not speak HTTP"),
        ("cut", {}, BannerError, "closed the connection without an answer"),
    ],
)
def test_what_does_not_answer_as_winrm_to_a_login(
    server: WinrmServer, kind: str, detail: dict[str, Any], error: type[HostError], words: str
) -> None:
    server.misbehave(kind, "Login", **detail)
    with pytest.raises(error, match=words) as caught, wire_to(server.variables()):
        pass
    assert (caught.value.host, caught.value.phase) == ("win1", "authenticating")
    assert type(caught.value) is error
    assert server.logins == 0


def test_a_host_that_takes_encrypted_messages_only() -> None:
    with (
        WinrmServer(USERS, ("basic",), allow_unencrypted=False) as server,
        wire_to(server.variables()) as wire,
        pytest.raises(ProtocolError, match="AllowUnencrypted=false"),
    ):
        wire.send(envelopes.create(), soon(), once=True)


def test_what_to_set_where_a_host_takes_encrypted_messages_only(server: WinrmServer) -> None:
    for variables, words in (
        ({"ansible_winrm_transport": "basic"}, "ansible_winrm_transport=ntlm, or https"),
        ({"ansible_winrm_message_encryption": "never"}, "ansible_winrm_message_encryption=auto, or https"),
    ):
        with wire_to(server.variables(ansible_winrm_transport="ntlm") | variables) as wire:
            server.misbehave("empty500", "Create")
            with pytest.raises(ProtocolError, match=words):
                wire.send(envelopes.create(), soon(), once=True)


def test_a_library_that_does_not_load() -> None:
    options = WinrmOptions.from_vars({"ansible_user": "u", "ansible_winrm_transport": "ntlm"}, "w")
    error = refusals.login("w port 5986", options, ImportError("libgssapi_krb5.so.2: no such file"))
    assert error.message == "ntlm can't be used here, its library does not load: libgssapi_krb5.so.2: no such file"


@pytest.mark.usefixtures("no_realm")
@pytest.mark.parametrize("transport", ["ntlm", "basic", "credssp"])
def test_the_largest_message(transport: str) -> None:
    with (
        WinrmServer(USERS, (transport,), allow_unencrypted=True) as server,
        wire_to(server.variables()) as wire,
    ):
        shell, command = started(wire, "cat")
        empty = len(envelopes.send(shell, command, b""))
        room = (wire.max_envelope - empty) // 4 * 3
        wire.send(envelopes.send(shell, command, bytes(room)), soon(), once=True)
        assert [event.detail["size"] for event in server.log if event.op == "Send"] == [room]
        with pytest.raises((ProtocolError, Fault)):
            wire.send(envelopes.send(shell, command, bytes(room + 3100)), soon(), once=True)


def test_another_path() -> None:
    with WinrmServer(USERS, ("ntlm",), path="/other") as server:
        with wire_to(server.variables()) as wire:
            wire.send(envelopes.create(), soon(), once=True)
        with (
            pytest.raises(BannerError, match="no WinRM service at /wsman"),
            wire_to(server.variables(ansible_winrm_path="/wsman")),
        ):
            pass


def test_ipv6() -> None:
    with WinrmServer(USERS, ("ntlm",), host="::1") as server, wire_to(server.variables()) as wire:
        wire.send(envelopes.create(), soon(), once=True)
        assert server.connections == 1


def test_a_closed_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(RefusedError) as caught, wire_to(plain(port)):
        pass
    assert (caught.value.host, caught.value.phase) == ("win1", "connecting")


def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(ResolveError) as caught, wire_to({**plain(1), "ansible_host": "nosuch.invalid"}):
        pass
    assert caught.value.phase == "resolving"


def test_a_name_that_is_none() -> None:
    with pytest.raises(ResolveError), wire_to({**plain(1), "ansible_host": "a" * 64 + "ü"}):
        pass


def test_nobody_accepts() -> None:
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = full.getsockname()
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            assert sock.connect_ex(address) in (0, errno.EINPROGRESS)
        began = time.monotonic()
        variables = {**plain(address[1]), "ansible_timeout": 0.3}
        with pytest.raises(ConnectTimeoutError) as caught, wire_to(variables):
            pass
        assert time.monotonic() - began < 3
        assert caught.value.phase == "connecting"


def test_a_login_that_takes_too_long() -> None:
    with listening(lambda sock: sock.recv(65536) and wait_closed(sock)) as port:
        with (
            wire_to(plain(port, "ntlm"), opened=False) as wire,
            pytest.raises(ConnectTimeoutError, match="did not answer the login in time") as caught,
        ):
            wire.open(soon(), 10, 0.3)
        assert caught.value.phase == "authenticating"


def test_no_route() -> None:
    with pytest.raises((NoRouteError, UnreachableError)) as caught, wire_to({**plain(1), "ansible_host": "fe80::1"}):
        pass
    assert type(caught.value) is NoRouteError


def test_the_environment_is_not_listened_to(
    server: WinrmServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password wrong\n")
    netrc.chmod(0o600)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        for each in (name, name.upper()):
            monkeypatch.setenv(each, "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", str(netrc))
    with wire_to(server.variables()) as wire:
        wire.send(envelopes.create(), soon(), once=True)
    assert server.failed_logins == 0


def test_under_gevent(server: WinrmServer) -> None:
    """Hosts do not wait for one that is slow, and what waits can be ended: for an answer, TLS, a connection."""
    variables = {**server.variables(), "ansible_password": USERS["vagrant"]}
    with ExitStack() as stack:
        dumb = stack.enter_context(listening(lambda sock: sock.recv(65536) and wait_closed(sock)))
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        given = {
            "good": variables,
            "dumb": {**variables, "ansible_port": dumb},
            "tls": {**variables, "ansible_port": dumb, "ansible_winrm_scheme": "https"},
            "full": {**variables, "ansible_port": full.getsockname()[1]},
            "message": envelopes.create().decode(),
        }
        program = Path(__file__).with_name("winrm_gevent.py")
        done = subprocess.run(
            [sys.executable, "-W", "error", str(program)],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stderr == ""
    assert json.loads(done.stdout) == {"good": ["Element"] * 20, "dumb": "Aborted", "tls": "Aborted", "full": "Aborted"}


def test_nothing_global_is_changed(server: WinrmServer) -> None:
    message = envelopes.create()  # pywinrm's own transport does change the filters
    before = list(warnings.filters), dict(os.environ)
    with wire_to(server.variables(ansible_winrm_server_cert_validation="ignore")) as wire:
        wire.send(message, soon(), once=True)
    assert (list(warnings.filters), dict(os.environ)) == before


# What stands in the place of a host.


def plain(port: int, transport: str = "basic", scheme: str = "http") -> dict[str, Any]:
    return {
        "ansible_host": "127.0.0.1",
        "ansible_port": port,
        "ansible_user": "u",
        "ansible_password": "p",
        "ansible_winrm_transport": transport,
        "ansible_winrm_scheme": scheme,
    }


@contextmanager
def listening(serve: Callable[[socket.socket], object]) -> Iterator[int]:
    """Accept connections, and serve each on a thread."""

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            peers.append(sock)
            threading.Thread(target=quietly, args=(sock,), daemon=True).start()

    def quietly(sock: socket.socket) -> None:
        with sock:
            try:
                serve(sock)
            except OSError:
                return

    peers: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def wait_closed(sock: socket.socket) -> None:
    sock.settimeout(SECONDS)
    while sock.recv(65536):
        pass


def wait_for(condition: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
