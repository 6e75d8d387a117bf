"""The optimistic start: what it saves, and all the ways in which it may go wrong, against real OpenSSH."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Command, Deadline, Phase, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.prompts import Answer, Prompts
from sshexec.connectors.ssh import optimistic
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.ssh.context import SshContext
from sshexec.connectors.ssh.execution import SessionRefusedError
from sshexec.connectors.ssh.optimistic import Start, Starts, group_of, tolerated
from sshexec.errors import AuthenticationError, CancelledError, ConnectionLostError, ConnectTimeoutError
from sshexec.secret import Secret
from tests.testbed import Sshd, keygen


@pytest.fixture
def context() -> Iterator[SshContext]:
    made = SshContext()
    yield made
    made.close()


def connector(sshd: Sshd, context: SshContext, number: int, **variables: Any) -> SshConnector:
    timeouts = variables.pop("timeouts", Timeouts())
    merged = sshd.variables(ansible_host=f"127.0.9.{number}") | variables
    options = SshConnector.Options.from_vars(merged, f"h{number}")
    return SshConnector(f"h{number}", options, context, timeouts)


def run(one: SshConnector, script: str = "echo hello") -> str:
    output = Output()
    done = one.execute(Command(script), output, Deadline.after(20))
    assert done.rc == 0
    return output.text("stdout").strip()


def opened_and_run(one: SshConnector) -> None:
    one.open(Deadline.after(20))
    run(one)


def prove(sshd: Sshd, context: SshContext, **variables: Any) -> None:
    """Have the canary log in."""
    canary = connector(sshd, context, 1, **variables)
    canary.open(Deadline.after(20))
    assert canary._start is None
    assert run(canary) == "hello"
    canary.close()


@pytest.fixture
def logins(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which way each connection went."""
    ways: list[str] = []
    patient, early = SshConnector._log_in, Start.open_channel

    def log_in(self: SshConnector, *arguments: Any) -> None:
        ways.append("patient")
        patient(self, *arguments)

    def open_channel(self: Start, guard: Callable[[], None]) -> Any:
        ways.append("early")
        return early(self, guard)

    monkeypatch.setattr(SshConnector, "_log_in", log_in)
    monkeypatch.setattr(Start, "open_channel", open_channel)
    return ways


def test_the_first_host_is_the_canary_for_the_others(sshd: Sshd, context: SshContext, logins: list[str]) -> None:
    prove(sshd, context)
    phases: list[Phase] = []
    one = connector(sshd, context, 2)
    one.on_phase = phases.append
    one.open(Deadline.after(20))
    assert one.alive
    assert not one._link.authenticated
    assert phases[-1] is Phase.AUTHENTICATING
    assert run(one) == "hello"
    assert phases[-2:] == [Phase.AUTHENTICATING, Phase.RUNNING]
    assert one.alive
    assert (
        run(
            one,
            "echo again; cat",
        )
        == "again"
    )
    assert logins == ["patient", "early"]
    one.close()


def test_login_session_and_command_leave_in_one_write(
    sshd: Sshd, context: SshContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    prove(sshd, context)
    one = connector(sshd, context, 2)
    one.open(Deadline.after(20))
    packets = one._link.packetizer
    writes: list[int] = []
    write = packets._write

    def count() -> None:
        writes.append(1)
        write()

    monkeypatch.setattr(packets, "_write", count)
    answered: list[int] = []
    settle = Start.settle

    def settled(self: Start, *arguments: Any) -> None:
        answered.append(len(writes))
        settle(self, *arguments)

    monkeypatch.setattr(Start, "settle", settled)
    assert run(one) == "hello"
    assert answered == [1]
    one.close()


def test_standard_input_and_output_are_whole(sshd: Sshd, context: SshContext, logins: list[str]) -> None:
    prove(sshd, context)
    one = connector(sshd, context, 2)
    one.open(Deadline.after(20))
    data = os.urandom(3_000_000)
    output = Output()
    assert one.execute(Command("cat", stdin=data), output, Deadline.after(30)).rc == 0
    assert output.stdout == data
    assert logins == ["patient", "early"]
    one.close()


def test_a_transfer_as_the_first_thing_logs_in_patiently(
    sshd: Sshd, context: SshContext, logins: list[str], tmp_path: Path
) -> None:
    prove(sshd, context)
    one = connector(sshd, context, 2)
    one.open(Deadline.after(20))
    one.put(b"content", str(tmp_path / "file"), Deadline.after(20))
    assert (tmp_path / "file").read_bytes() == b"content"
    assert run(one) == "hello"
    assert logins == ["patient", "patient"]
    one.close()


def test_it_is_off_by_an_option(sshd: Sshd, context: SshContext, logins: list[str]) -> None:
    prove(sshd, context)
    one = connector(sshd, context, 2, sshexec_optimistic=False)
    one.open(Deadline.after(20))
    assert one._link.authenticated
    assert logins == ["patient", "patient"]
    one.close()


@pytest.mark.parametrize("config", ["", "MaxAuthTries 1"])
def test_a_refused_credential_is_never_tried_again(
    tmp_path: Path, sshd: Sshd, context: SshContext, logins: list[str], config: str
) -> None:
    server = Sshd(tmp_path / "sshd", f"LogLevel VERBOSE\n{config}").start()
    try:
        key = {"ansible_private_key_file": str(sshd.key)}
        prove(sshd, context)
        for number in (2, 3):  # a refusal is no mishap of the optimistic start
            one = connector(server, context, number, **key)
            one.open(Deadline.after(20))
            with pytest.raises(AuthenticationError) as early:
                one.execute(Command("true"), Output(), Deadline.after(20))
            assert not one.alive
            one.close()
        assert logins == ["patient", "early", "early"]
        patient = connector(server, context, 4, sshexec_optimistic="no", **key)
        with pytest.raises(AuthenticationError) as usual:
            patient.open(Deadline.after(20))
        assert early.value.message.replace("127.0.9.3", "127.0.9.4") == usual.value.message
        assert (early.value.phase, early.value.host) == (Phase.AUTHENTICATING.value, "h3")
        assert usual.value.phase == Phase.AUTHENTICATING.value
        server.stop()
        assert server.log.read_text().count("Connection from") == 4  # the server's own probe among them
    finally:
        server.stop()


def fallen_back(server: Sshd, context: SshContext, number: int, sshd: Sshd) -> SshConnector:
    one = connector(server, context, number, ansible_private_key_file=str(sshd.key))
    server.authorized_keys.write_text(Path(f"{sshd.key}.pub").read_text())
    one.open(Deadline.after(20))
    return one


def test_a_host_that_wants_one_more_credential(
    tmp_path: Path, sshd: Sshd, context: SshContext, logins: list[str]
) -> None:
    server = Sshd(tmp_path / "sshd", "AuthenticationMethods publickey,publickey").start()
    try:
        prove(sshd, context)
        one = fallen_back(server, context, 2, sshd)
        with pytest.raises(AuthenticationError, match="one more credential"):
            one.execute(Command("true"), Output(), Deadline.after(20))
        assert logins == ["patient", "early", "patient"]
        one.close()
    finally:
        server.stop()


def test_a_host_that_opens_no_session(tmp_path: Path, sshd: Sshd, context: SshContext, logins: list[str]) -> None:
    server = Sshd(tmp_path / "sshd", "MaxSessions 0").start()
    try:
        prove(sshd, context)
        one = fallen_back(server, context, 2, sshd)
        with pytest.raises(SessionRefusedError):
            one.execute(Command("true"), Output(), Deadline.after(20))
        assert logins == ["patient", "early", "patient"]
        one.close()
        # That host is known now.
        one = fallen_back(server, context, 2, sshd)
        assert logins[3:] == ["patient"]
        one.close()
    finally:
        server.stop()


def test_a_banner_and_a_single_session_do_no_harm(
    tmp_path: Path, sshd: Sshd, context: SshContext, logins: list[str]
) -> None:
    (tmp_path / "banner").write_text("Authorized use only.\n" * 50)
    server = Sshd(tmp_path / "sshd", f"MaxSessions 1\nBanner {tmp_path / 'banner'}").start()
    try:
        prove(sshd, context)
        one = fallen_back(server, context, 2, sshd)
        assert run(one) == "hello"
        assert run(one) == "hello"
        assert logins == ["patient", "early"]
        one.close()
    finally:
        server.stop()


def test_a_forced_command_and_a_refused_shell_are_as_ever(
    tmp_path: Path, sshd: Sshd, context: SshContext, logins: list[str]
) -> None:
    server = Sshd(tmp_path / "sshd", "ForceCommand exit 7").start()
    try:
        prove(sshd, context)
        one = fallen_back(server, context, 2, sshd)
        assert one.execute(Command("true", verbatim=True), Output(), Deadline.after(20)).rc == 7
        assert logins == ["patient", "early"]
        one.close()
    finally:
        server.stop()


@pytest.fixture
def expired() -> Iterator[str]:
    """A user whose account has expired."""
    if os.geteuid() != 0 or shutil.which("useradd") is None or not Path("/etc/pam.d/sshd").exists():
        pytest.skip("no right to add a user, or no PAM")
    name = f"sshexec{os.getpid() % 10000}"
    subprocess.run(["useradd", "-M", "-d", "/", "-s", "/bin/sh", "-e", "2020-01-01", name], check=True)
    yield name
    subprocess.run(["userdel", name], check=True)


def test_an_account_that_has_expired(
    tmp_path: Path, sshd: Sshd, context: SshContext, logins: list[str], expired: str
) -> None:
    server = Sshd(tmp_path / "sshd").start()
    server.stop()
    server.config.write_text(server.config.read_text().replace("UsePAM no", "UsePAM yes"))
    place = Path(f"/tmp/sshexec-keys-{os.getpid()}")
    place.write_text(Path(f"{sshd.key}.pub").read_text())
    server.config.write_text(f"AuthorizedKeysFile {place}\n" + server.config.read_text())
    server.start()
    try:
        prove(sshd, context)
        user = {"ansible_user": expired, "ansible_private_key_file": str(sshd.key)}
        messages = []
        for allowed in (True, False):
            one = connector(server, context, 2, sshexec_optimistic=allowed, **user)
            # Its own user has no canary: the group is told that it does.
            context.starts.worked((expired, context.signing_keys(one.options)[0].blob))
            with pytest.raises(AuthenticationError) as caught:
                opened_and_run(one)
            messages.append(caught.value.message)
            one.close()
        assert messages[0] == messages[1]
        assert logins[:2] == ["patient", "early"]
    finally:
        server.stop()
        place.unlink()


class Relay:
    """Stands before a server and does something else with the flight of its first connection."""

    def __init__(self, sshd: Sshd, what: str, seen: Callable[[], bool] = lambda: True) -> None:
        self.listener = socket.create_server(("0.0.0.0", 0))
        self.port = self.listener.getsockname()[1]
        self.sshd = sshd
        self.what = what
        self.seen = seen
        self.connections = 0
        self.sockets: list[socket.socket] = []
        kind, blob = Path(f"{sshd.host_key}.pub").read_text().split()[:2]
        self.known_hosts = sshd.folder / f"known_hosts.{self.port}"
        self.known_hosts.write_text(f"[127.*]:{self.port} {kind} {blob}\n")
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def variables(self) -> dict[str, Any]:
        return {
            "ansible_port": self.port,
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.known_hosts}",
        }

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.connections += 1
                server = socket.create_connection(("127.0.0.1", self.sshd.port))
                self.sockets += [client, server]
                what = self.what if self.connections == 1 else "forward"
                threading.Thread(target=self.answers, args=(client, server, what), daemon=True).start()
                threading.Thread(target=self.requests, args=(client, server, what), daemon=True).start()

    def answers(self, client: socket.socket, server: socket.socket, what: str) -> None:
        got = 0
        with contextlib.suppress(OSError):
            while data := server.recv(100_000):
                # Greeting, proposal and keys come through; what answers the flight does not.
                if what == "reset" and got > 1000 and self.flown:
                    continue
                got += len(data)
                client.sendall(data)
            if what != "reset":
                client.shutdown(socket.SHUT_WR)

    flown = False

    def requests(self, client: socket.socket, server: socket.socket, what: str) -> None:
        chunks = 0
        with contextlib.suppress(OSError):
            while data := client.recv(100_000):
                chunks += 1
                if chunks == 3 and what != "forward":  # greeting and proposal, key, then new keys and all the rest
                    self.flown = True
                    self.interfere(client, server, data, what)
                    return
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def interfere(self, client: socket.socket, server: socket.socket, data: bytes, what: str) -> None:
        if what == "close":
            client.shutdown(socket.SHUT_RDWR)
        elif what == "reset":
            server.sendall(data)
            limit = time.monotonic() + 10
            while not self.seen() and time.monotonic() < limit:
                time.sleep(0.02)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        server.close() if what == "close" else None

    def close(self) -> None:
        for each in (self.listener, *self.sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def relay(sshd: Sshd) -> Iterator[Callable[..., Relay]]:
    made: list[Relay] = []

    def make(what: str, seen: Callable[[], bool] = lambda: True) -> Relay:
        made.append(Relay(sshd, what, seen))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_server_that_closes_without_an_answer(
    sshd: Sshd, context: SshContext, logins: list[str], relay: Callable[..., Relay]
) -> None:
    prove(sshd, context)
    between = relay("close")
    one = connector(sshd, context, 2, **between.variables)
    one.open(Deadline.after(20))
    assert run(one) == "hello"
    assert logins == ["patient", "early", "patient"]
    assert between.connections == 2
    one.close()


def test_a_command_that_may_have_been_started_is_not_started_again(
    sshd: Sshd, context: SshContext, logins: list[str], relay: Callable[..., Relay], tmp_path: Path
) -> None:
    prove(sshd, context)
    mark = tmp_path / "mark"
    between = relay("reset", mark.exists)
    one = connector(sshd, context, 2, **between.variables)
    one.open(Deadline.after(20))
    with pytest.raises(ConnectionLostError) as caught:
        run(one, f"echo once >> {mark}")
    assert caught.value.started
    assert mark.read_text() == "once\n"
    assert logins == ["patient", "early"]
    one.close()


def test_a_login_without_an_answer_ends_at_its_limit(
    sshd: Sshd, context: SshContext, logins: list[str], relay: Callable[..., Relay]
) -> None:
    prove(sshd, context)
    one = connector(sshd, context, 2, timeouts=Timeouts(auth=0.3), **relay("swallow").variables)
    one.open(Deadline.after(20))
    with pytest.raises(ConnectTimeoutError, match="login"):
        run(one)
    assert not one.alive
    assert logins == ["patient", "early"]
    one.close()


def test_a_login_without_an_answer_can_be_cancelled(
    sshd: Sshd, context: SshContext, relay: Callable[..., Relay]
) -> None:
    prove(sshd, context)
    one = connector(sshd, context, 2, **relay("swallow").variables)
    one.open(Deadline.after(20))
    threading.Timer(0.3, one.cancel).start()
    with pytest.raises(CancelledError) as caught:
        run(one)
    assert caught.value.killed is False
    assert not one.alive
    one.close()


def test_a_cancelled_command_is_ended(sshd: Sshd, context: SshContext, logins: list[str]) -> None:
    prove(sshd, context)
    one = connector(sshd, context, 2)
    one.open(Deadline.after(20))
    threading.Timer(0.5, one.cancel).start()
    with pytest.raises(CancelledError) as caught:
        run(one, "sleep 600")
    assert caught.value.killed is True
    assert logins == ["patient", "early"]
    one.close()


def test_a_host_that_numbers_its_sessions_in_another_way(
    sshd: Sshd, context: SshContext, logins: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prove(sshd, context)
    one = connector(sshd, context, 2)
    one.open(Deadline.after(20))
    monkeypatch.setattr("sshexec.connectors.ssh.channel.Channel.remote", property(lambda self: 1))
    assert run(one) == "hello"
    assert logins == ["patient", "early", "patient"]
    one.close()


def test_after_a_few_mishaps_a_group_goes_the_patient_way() -> None:
    starts = Starts()
    group = ("root", b"key")
    assert not starts.allowed(group, "h1")
    starts.worked(group)
    assert starts.allowed(group, "h1")
    starts.failed(group, "h1")
    assert not starts.allowed(group, "h1")
    assert starts.allowed(group, "h2")
    for number in range(2, 2 + optimistic._MOST_MISHAPS):
        starts.failed(group, f"h{number}")
    assert not starts.allowed(group, "h9")
    starts.worked(("root", b"other"))
    assert starts.allowed(("root", b"other"), "h9")
    starts.clear()
    assert not starts.allowed(("root", b"other"), "h9")


def test_only_one_credential_makes_a_group(sshd: Sshd, context: SshContext, tmp_path: Path) -> None:
    key = context.signing_keys(connector(sshd, context, 1).options)[0]
    secret = Secret("x")
    assert group_of("root", [key], None) == ("root", key.blob)
    assert group_of("root", [], secret) is not None
    assert group_of("root", [], secret) != group_of("root", [], Secret("y"))
    assert group_of("root", [key], secret) is None
    assert group_of("root", [key, key], None) is None
    assert group_of("root", [], None) is None


@pytest.mark.parametrize(
    ("greeting", "kind", "extensions", "borne"),
    [
        ("SSH-2.0-OpenSSH_9.2p1 Debian-2", "ssh-ed25519", {}, True),
        ("SSH-2.0-OpenSSH_10.0", "ssh-ed25519", {}, True),
        ("SSH-2.0-OpenSSH_6.6.1", "ssh-ed25519", {}, False),
        ("SSH-2.0-dropbear_2022.83", "ssh-ed25519", {}, False),
        ("SSH-2.0-paramiko_5.1.0", "ssh-ed25519", {}, False),
        ("SSH-2.0-OpenSSH_9.2", "ssh-rsa", {}, False),
        ("SSH-2.0-OpenSSH_9.2", "ssh-rsa", {"server-sig-algs": b"rsa-sha2-256"}, True),
    ],
)
def test_only_servers_that_bear_it_are_tried(greeting: str, kind: str, extensions: Any, borne: bool) -> None:
    class Link:
        remote_version = greeting
        server_extensions = extensions

    class Key:
        pass

    key = Key()
    key.kind = kind  # type: ignore[attr-defined]
    assert tolerated(Link(), [key]) is borne  # type: ignore[arg-type, list-item]


def test_rsa_keys_go_early_too(sshd: Sshd, context: SshContext, logins: list[str], tmp_path: Path) -> None:
    key = keygen(tmp_path / "id_rsa", "-t", "rsa", "-b", "2048", "-N", "")
    before = sshd.authorized_keys.read_text()
    sshd.authorized_keys.write_text(before + Path(f"{key}.pub").read_text())
    try:
        prove(sshd, context, ansible_private_key_file=str(key))
        one = connector(sshd, context, 2, ansible_private_key_file=str(key))
        one.open(Deadline.after(20))
        assert run(one) == "hello"
        assert logins[-1] in ("early", "patient")
        one.close()
    finally:
        sshd.authorized_keys.write_text(before)


class Asked(Prompts):
    """Somebody who knows no password."""

    available = True

    def __init__(self) -> None:
        self.questions: list[str] = []

    def ask(self, question: Any, *arguments: Any, **more: Any) -> Answer:
        self.questions.append(question.kind)
        return Answer(None)


def test_somebody_is_asked_after_a_refusal_and_the_key_is_not_offered_again(
    tmp_path: Path, sshd: Sshd, context: SshContext, logins: list[str]
) -> None:
    server = Sshd(tmp_path / "sshd", "LogLevel VERBOSE\nPasswordAuthentication yes").start()
    try:
        prove(sshd, context)
        context.prompts = asked = Asked()
        one = connector(server, context, 2, ansible_private_key_file=str(sshd.key))
        one.open(Deadline.after(20))
        with pytest.raises(AuthenticationError):
            one.execute(Command("true"), Output(), Deadline.after(20))
        assert logins == ["patient", "early", "patient"]
        assert "password" in asked.questions
        one.close()
        server.stop()
        assert server.log.read_text().count("Failed publickey") == 1
    finally:
        server.stop()
