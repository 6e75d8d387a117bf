"""Keys, agent, passwords, against real OpenSSH."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Command, Deadline, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.ssh.context import SshContext
from sshexec.connectors.ssh.keys import strings
from sshexec.errors import AuthenticationError, CancelledError, ConnectTimeoutError, OptionError
from tests.testbed import Sshd, keygen


def log_in(sshd: Sshd, context: SshContext | None = None, **variables: Any) -> str:
    """Log in and return what `id -un` prints."""
    merged = {k: v for k, v in sshd.variables(ansible_host="127.0.8.1", **variables).items() if v is not None}
    own = context or SshContext()
    connector = SshConnector("web1", SshConnector.Options.from_vars(merged, "web1"), own, Timeouts())
    try:
        own.check(connector.options)
        connector.open(Deadline.after(20))
        output = Output()
        connector.execute(Command("id -un", verbatim=True), output, Deadline.after(20))
        return output.text("stdout").strip()
    finally:
        connector.close()
        if context is None:
            own.close()


@contextlib.contextmanager
def authorized(sshd: Sshd, public: Path) -> Iterator[None]:
    before = sshd.authorized_keys.read_text()
    sshd.authorized_keys.write_text(before + public.read_text())
    try:
        yield
    finally:
        sshd.authorized_keys.write_text(before)


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    socket = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            if socket.exists():
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        yield
    finally:
        process.terminate()
        process.wait(10)


def add(key: Path) -> None:
    subprocess.run(["ssh-add", "-q", str(key)], check=True, stdin=subprocess.DEVNULL, capture_output=True)


@pytest.fixture(autouse=True)
def _no_credentials_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    "options",
    [
        ("-t", "ed25519"),
        ("-t", "ecdsa", "-b", "256"),
        ("-t", "ecdsa", "-b", "521"),
        ("-t", "rsa", "-b", "2048"),
        ("-t", "rsa", "-b", "2048", "-m", "PEM"),
        ("-t", "ecdsa", "-m", "PKCS8"),
    ],
)
@pytest.mark.parametrize("phrase", ["", "correct horse"])
def test_every_type_of_key(sshd: Sshd, tmp_path: Path, options: tuple[str, ...], phrase: str) -> None:
    key = keygen(tmp_path / "key", *options, "-N", phrase)
    with authorized(sshd, tmp_path / "key.pub"):
        assert (
            log_in(sshd, ansible_private_key_file=str(key), ansible_private_key_passphrase=phrase or None) == sshd.user
        )


def test_a_certificate_beside_the_key_is_used(tmp_path: Path) -> None:
    keygen(tmp_path / "ca", "-t", "ed25519", "-N", "")
    server = Sshd(tmp_path / "sshd", f"TrustedUserCAKeys {tmp_path / 'ca.pub'}")
    server.authorized_keys.write_text("")
    sign = ["ssh-keygen", "-q", "-s", str(tmp_path / "ca"), "-I", "t", "-n", server.user]
    server.start()
    try:
        for kind in ("ed25519", "rsa"):
            key = keygen(tmp_path / kind, "-t", kind, "-N", "")
            subprocess.run([*sign, f"{key}.pub"], check=True, capture_output=True)
            assert log_in(server, ansible_private_key_file=str(key)) == server.user
    finally:
        server.stop()


def test_a_renewed_certificate_is_read_again(tmp_path: Path) -> None:
    keygen(tmp_path / "ca", "-t", "ed25519", "-N", "")
    key = keygen(tmp_path / "key", "-t", "ed25519", "-N", "")
    options = SshConnector.Options.from_vars({"ansible_private_key_file": str(key)}, "web1")
    context = SshContext()
    blobs = {context.signing_keys(options)[0].blob}
    for serial in ("1", "2"):
        sign = ["ssh-keygen", "-q", "-s", str(tmp_path / "ca"), "-I", "t", "-n", "me", "-z", serial, f"{key}.pub"]
        subprocess.run(sign, check=True, capture_output=True)
        blobs.add(context.signing_keys(options)[0].blob)
    Path(f"{key}-cert.pub").unlink()
    assert context.signing_keys(options)[0].kind == "ssh-ed25519"
    assert len(blobs) == 3


def test_a_wrong_key_is_told_with_what_was_offered(sshd: Sshd, tmp_path: Path) -> None:
    key = keygen(tmp_path / "key", "-t", "ed25519", "-N", "")
    with pytest.raises(AuthenticationError) as error:
        log_in(sshd, ansible_private_key_file=str(key))
    text = str(error.value)
    assert text.startswith(f"{sshd.user}@127.0.8.1: Permission denied (publickey).")
    assert f"{key} (ssh-ed25519 SHA256:" in text
    assert (error.value.host, error.value.phase) == ("web1", "authenticating")


def test_several_keys_are_offered_in_turn(sshd: Sshd, tmp_path: Path) -> None:
    wrong = keygen(tmp_path / "wrong", "-t", "rsa", "-b", "2048", "-N", "")
    more = f"-o UserKnownHostsFile={sshd.known_hosts} -i {wrong} -i {sshd.key}"
    assert log_in(sshd, ansible_private_key_file=None, ansible_ssh_common_args=more) == sshd.user


def test_no_credential_at_all(sshd: Sshd) -> None:
    with pytest.raises(AuthenticationError, match=r"\(publickey\).*no credential"):
        log_in(sshd, ansible_private_key_file=None)


def test_the_default_key_is_found(sshd: Sshd, tmp_path: Path) -> None:
    folder = tmp_path / "home" / ".ssh"
    folder.mkdir(parents=True)
    keygen(folder / "id_rsa", "-t", "rsa", "-b", "2048", "-N", "not known")
    (folder / "id_ed25519").write_bytes(sshd.key.read_bytes())
    (folder / "id_ed25519").chmod(0o600)
    assert log_in(sshd, ansible_private_key_file=None) == sshd.user


def test_why_no_key_is_offered_is_told(sshd: Sshd, tmp_path: Path) -> None:
    folder = tmp_path / "home" / ".ssh"
    folder.mkdir(parents=True)
    with pytest.raises(AuthenticationError, match=r"no credential to offer; neither an agent nor ~/.ssh holds a key: "):
        log_in(sshd, ansible_private_key_file=None)
    keygen(folder / "id_ed25519", "-t", "ed25519", "-N", "not known")
    with pytest.raises(
        AuthenticationError, match=r"no credential to offer; private key file .*id_ed25519 is encrypted"
    ):
        log_in(sshd, ansible_private_key_file=None)
    (folder / "config").write_text("IdentityFile ~/.ssh/nokey\n")
    with pytest.raises(AuthenticationError, match=r"to offer; private key file .*/nokey: No such file or directory"):
        log_in(sshd, ansible_private_key_file=None)


def test_a_key_that_others_may_read_is_refused_as_openssh_does(sshd: Sshd, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(sshd.key.read_bytes())
    key.chmod(0o640)
    with pytest.raises(OptionError, match=r"private key file .*/key: others may read it \(mode 0640\): chmod 600 it"):
        log_in(sshd, ansible_private_key_file=str(key))
    key.chmod(0o400)
    assert log_in(sshd, ansible_private_key_file=str(key)) == sshd.user


def test_a_public_half_whose_key_no_agent_holds(sshd: Sshd, agent: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=r"id_ed25519.pub: the agent does not hold its key \(ssh-add -l lists"):
        log_in(sshd, ansible_private_key_file=f"{sshd.key}.pub")
    monkeypatch.delenv("SSH_AUTH_SOCK")
    with pytest.raises(OptionError, match=r"id_ed25519.pub: there is no agent that could hold its key"):
        log_in(sshd, ansible_private_key_file=f"{sshd.key}.pub")


@pytest.mark.usefixtures("agent")
def test_the_agent_is_used_where_no_key_is_configured(sshd: Sshd, tmp_path: Path) -> None:
    add(keygen(tmp_path / "wrong", "-t", "ed25519", "-N", ""))
    rsa = keygen(tmp_path / "rsa", "-t", "rsa", "-b", "2048", "-N", "")
    add(rsa)
    with authorized(sshd, tmp_path / "rsa.pub"):
        assert log_in(sshd, ansible_private_key_file=None) == sshd.user


def test_a_silent_agent_costs_one_wait_and_not_one_for_each_host(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "agent"))
        listener.listen(8)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        context = SshContext()
        for _ in range(3):
            asked.append(context.keyring.agent.keys())
        context.close()
        listener.setblocking(False)
        connections = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                listener.accept()[0].close()
                connections += 1
    assert asked == [[], [], []]
    assert connections == 1


@contextlib.contextmanager
def agent_that_never_signs(path: Path, blob: bytes) -> Iterator[list[int]]:
    """An agent that lists one key and does not answer requests for a signature; yields what it was asked."""
    asked: list[int] = []
    clients: list[socket.socket] = []

    def serve(client: socket.socket) -> None:
        with contextlib.suppress(OSError, IndexError):
            while True:
                asked.append(client.recv(65536)[4])
                if asked[-1] == 11:
                    body = b"\x0c\0\0\0\x01" + strings(blob, b"stuck")
                    client.sendall(strings(body))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                clients.append(listener.accept()[0])
                threading.Thread(target=serve, args=(clients[-1],), daemon=True).start()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(8)
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for client in clients:
                client.close()


def test_a_stuck_signature_ends_with_its_hosts_deadline_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = base64.b64decode(
        keygen(tmp_path / "key", "-t", "ed25519", "-N", "").with_suffix(".pub").read_text().split()[1]
    )
    with agent_that_never_signs(tmp_path / "agent", blob) as asked:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        context = SshContext()
        (key,) = context.keyring.agent.keys()
        ended: list[str] = []
        patient = Deadline.after(15)

        def sign(name: str, deadline: Deadline, guard: Callable[[], None]) -> None:
            try:
                key.sign(b"data", "ssh-ed25519", deadline, guard)
            except Exception as error:
                ended.append(f"{name} {type(error).__name__}")

        cancelled = threading.Event()

        def guard() -> None:
            if cancelled.is_set():
                raise CancelledError("cancelled")

        first = threading.Thread(target=sign, args=("first", patient, guard))
        first.start()
        while 13 not in asked:
            time.sleep(0.01)
        # It waits behind the first, with a deadline of its own.
        sign("second", Deadline.after(0.3), lambda: None)
        cancelled.set()
        first.join(10)
        assert ended == ["second TimeoutError", "first CancelledError"]
        assert not patient.expired
        assert context.keyring.agent.keys() == [key]
        context.close()


@pytest.mark.usefixtures("agent")
def test_the_agent_is_not_used_for_another_configured_key(sshd: Sshd, tmp_path: Path) -> None:
    add(sshd.key)
    wrong = keygen(tmp_path / "wrong", "-t", "ed25519", "-N", "")
    with pytest.raises(AuthenticationError):
        log_in(sshd, ansible_private_key_file=str(wrong))


@pytest.mark.usefixtures("agent")
def test_the_agent_unlocks_an_encrypted_key(sshd: Sshd, tmp_path: Path) -> None:
    key = keygen(tmp_path / "key", "-t", "ed25519", "-N", "")
    add(key)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "phrase", "-f", str(key)], check=True, capture_output=True)
    with authorized(sshd, tmp_path / "key.pub"):
        assert log_in(sshd, ansible_private_key_file=str(key)) == sshd.user


def test_a_key_file_is_checked_before_anything_is_contacted(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no key")
    locked = keygen(tmp_path / "locked", "-t", "ed25519", "-N", "phrase")
    context = SshContext()
    for path, more, message in [
        (tmp_path / "none", {}, "No such file"),
        (tmp_path, {}, "directory"),
        (text, {}, "holds no private key"),
        (locked, {}, "encrypted"),
        (locked, {"ansible_private_key_passphrase": "guess"}, "passphrase is wrong"),
    ]:
        options = SshConnector.Options.from_vars({"ansible_private_key_file": str(path), **more}, "web1")
        for _ in range(2):  # the second answer comes from memory
            with pytest.raises(OptionError, match=message) as error:
                context.check(options)
            assert str(path) in str(error.value)
            assert "guess" not in str(error.value)


def test_a_key_is_parsed_once_and_again_when_it_changes(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sshexec.connectors.ssh import keys

    loads = []
    load = keys.load
    monkeypatch.setattr(keys, "load", lambda *args: loads.append(1) or load(*args))
    key = keygen(tmp_path / "key", "-t", "ed25519", "-N", "")
    options = SshConnector.Options.from_vars({"ansible_private_key_file": str(key)}, "web1")
    context = SshContext()
    for _ in range(100):
        context.check(options)
    assert len(loads) == 1
    key.unlink()
    keygen(key, "-t", "ecdsa", "-N", "")
    assert context.signing_keys(options)[0].kind == "ecdsa-sha2-nistp256"


@pytest.fixture(scope="module")
def user() -> Iterator[tuple[str, str]]:
    """A user with a password, removed again."""
    if os.geteuid():
        pytest.skip("only root can make a user with a password")
    name, password = f"sshexec{secrets.token_hex(3)}", secrets.token_hex(8)
    subprocess.run(["useradd", "-M", "-s", "/bin/sh", name], check=True)
    try:
        subprocess.run(["chpasswd"], input=f"{name}:{password}".encode(), check=True)
        yield name, password
    finally:
        subprocess.run(["userdel", name], check=True)


@pytest.mark.parametrize(
    "config",
    ["PasswordAuthentication yes", "UsePAM yes\nKbdInteractiveAuthentication yes\nPasswordAuthentication no"],
)
def test_passwords(tmp_path: Path, user: tuple[str, str], config: str) -> None:
    name, password = user
    folder = Path(os.path.realpath(tmp_path))
    server = Sshd(folder / "sshd", config).start()
    try:
        given = {"ansible_user": name, "ansible_private_key_file": None}
        assert log_in(server, ansible_password=password, **given) == name
        with pytest.raises(AuthenticationError) as error:
            log_in(server, ansible_password="wrong-one", **given)
        assert "Permission denied (publickey," in str(error.value)
        assert "password" in str(error.value)
        assert "wrong-one" not in str(error.value)
        # A key that is refused, then the password.
        both = {**given, "ansible_private_key_file": str(server.key)}
        server.authorized_keys.write_text("")
        assert log_in(server, ansible_password=password, **both) == name
    finally:
        server.stop()


def test_a_second_factor_that_is_missing_is_told(tmp_path: Path) -> None:
    server = Sshd(tmp_path / "sshd", "AuthenticationMethods publickey,password\nPasswordAuthentication yes").start()
    try:
        with pytest.raises(AuthenticationError, match="one more credential"):
            log_in(server)
    finally:
        server.stop()


def test_too_many_keys_are_told_as_a_refusal(tmp_path: Path) -> None:
    server = Sshd(tmp_path / "sshd", "MaxAuthTries 1").start()
    keys = [keygen(tmp_path / f"k{n}", "-t", "ed25519", "-N", "") for n in range(3)]
    more = " ".join(f"-i {key}" for key in keys)
    try:
        with pytest.raises(AuthenticationError, match="Too many authentication failures"):
            log_in(
                server,
                ansible_private_key_file=None,
                ansible_ssh_common_args=f"-o UserKnownHostsFile={server.known_hosts} {more}",
            )
    finally:
        server.stop()


def test_a_login_that_hangs_ends_at_its_limit(sshd: Sshd) -> None:
    import signal

    variables = sshd.variables(ansible_host="127.0.8.2")
    context = SshContext()
    connector = SshConnector(
        "web1", SshConnector.Options.from_vars(variables, "web1"), context, Timeouts(connect=20, auth=0.2)
    )
    stopped: list[int] = []

    def freeze(phase: object) -> None:
        if str(phase) == "authenticating":
            found = subprocess.run(["pgrep", "-P", str(sshd.pid)], capture_output=True, text=True).stdout.split()
            for pid in found:
                os.kill(int(pid), signal.SIGSTOP)
                stopped.append(int(pid))
                children = subprocess.run(["pgrep", "-P", pid], capture_output=True, text=True).stdout.split()
                for child in children:
                    os.kill(int(child), signal.SIGSTOP)
                    stopped.append(int(child))

    connector.on_phase = freeze
    try:
        with pytest.raises(ConnectTimeoutError) as error:
            connector.open(Deadline.after(20))
        assert error.value.phase == "authenticating"
        assert not connector.alive
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        connector.close()
        context.close()
