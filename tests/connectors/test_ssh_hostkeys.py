"""known_hosts: lookups, refusals, learning; and the same through real connections."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import fcntl
import hmac
import multiprocessing
import os
import re
import socket
import stat
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import paramiko
import pytest
from paramiko.common import MSG_DISCONNECT, MSG_KEXINIT, MSG_NEWKEYS, MSG_USERAUTH_REQUEST

from sshexec.connectors.base import Deadline, Timeouts
from sshexec.connectors.ssh import knownhosts
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.ssh.hostkeys import HostKeys, Learned
from sshexec.connectors.ssh.keytypes import fingerprint
from sshexec.connectors.ssh.knownhosts import KnownHostsFile, bare_name, known_name
from sshexec.errors import AuthenticationError, ChangedHostKeyError, OptionError, UnknownHostKeyError
from tests.testbed import Sshd, keygen

KIND = "ssh-ed25519"
MSG_KEX_ECDH_INIT = 30


def blob(letter: str) -> bytes:
    return b"\0\0\0\x0bssh-ed25519\0\0\0 " + letter.encode() * 32


def line(names: str, letter: str, kind: str = KIND) -> str:
    return f"{names} {kind} {base64.b64encode(blob(letter)).decode()}\n"


def check(path: Path, name: str, letter: str, policy: str = "strict", kind: str = KIND) -> HostKeys:
    keys = HostKeys()
    keys.check(name, kind, blob(letter), [str(path)], policy)  # type: ignore[arg-type]
    return keys


@pytest.mark.parametrize(
    ("names", "name"),
    [
        ("web1", "web1"),
        ("WEB1", "web1"),
        ("a,web1,b", "web1"),
        ("[web1]:2222", "[web1]:2222"),
        ("[web*]:2222", "[web1]:2222"),
        ("web?", "web1"),
        ("*,!db*", "web1"),
        ("::1", "::1"),
    ],
)
def test_a_name_is_found(tmp_path: Path, names: str, name: str) -> None:
    file = tmp_path / "known_hosts"
    file.write_text("# comment\n\nnonsense\n@cert-authority * ssh-rsa AAAA\n" + line("other", "o") + line(names, "k"))
    check(file, name, "k")
    with pytest.raises(ChangedHostKeyError):
        check(file, name, "x")


@pytest.mark.parametrize("names", ["web", "web11", "[web1]:22", "*,!web1", "@cert-authority web1", "#web1"])
def test_another_name_is_not(tmp_path: Path, names: str) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(line(names, "k"))
    with pytest.raises(UnknownHostKeyError):
        check(file, "web1", "k")


def test_hashed_names_of_ssh_keygen_are_found(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(line("web1", "a") + line("[web2]:2222", "b"))
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    assert "web1" not in file.read_text()
    check(file, "web1", "a")
    check(file, "[web2]:2222", "b")
    with pytest.raises(ChangedHostKeyError):
        check(file, "web1", "b")
    with pytest.raises(UnknownHostKeyError):
        check(file, "web3", "a")


def test_the_errors_say_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text("\n" + line("web1", "a"))
    with pytest.raises(ChangedHostKeyError) as changed:
        check(file, "web1", "b")
    for part in (fingerprint(blob("a")), fingerprint(blob("b")), f"{file} line 2"):
        assert part in str(changed.value)
    with pytest.raises(UnknownHostKeyError, match="StrictHostKeyChecking=accept-new") as unknown:
        check(file, "web2", "b")
    assert fingerprint(blob("b")) in str(unknown.value)


def test_a_key_of_another_type_counts_as_changed_even_for_accept_new(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(line("web1", "a", "ssh-rsa"))
    with pytest.raises(ChangedHostKeyError):
        check(file, "web1", "a", "accept-new")


def test_a_revoked_key_is_refused_under_every_policy_but_off(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(line("web1", "a") + "@revoked " + line("*", "a"))
    for policy in ("strict", "accept-new"):
        with pytest.raises(ChangedHostKeyError, match="revoked"):
            check(file, "web1", "a", policy)
    check(file, "web1", "a", "off")


def test_accept_new_appends_and_keeps_what_it_can_not_read(tmp_path: Path) -> None:
    file = tmp_path / "ssh" / "known_hosts"
    keys = check(file, "web1", "a", "accept-new")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = "sk-something odd\nno end of line"
    file.write_text(before)
    keys.check("[web2]:2222", KIND, blob("b"), [str(file)], "accept-new")
    assert file.read_text() == f"{before}\n" + line("[web2]:2222", "b")
    keys.check("[web2]:2222", KIND, blob("b"), [str(file)], "strict")
    with pytest.raises(ChangedHostKeyError):
        keys.check("[web2]:2222", KIND, blob("c"), [str(file)], "accept-new")


def test_a_file_that_somebody_keeps_locked_is_waited_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knownhosts, "_LOCK_LIMIT", 0.05)
    file = tmp_path / "known_hosts"
    file.touch()
    asked = []
    lock = knownhosts._lock_file
    monkeypatch.setattr(knownhosts, "_lock_file", lambda handle: asked.append(handle) or lock(handle))
    keys = HostKeys()
    with file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for name in ("web1", "web2", "web3"):
            learned = keys.check(name, KIND, blob(name), [str(file)], "accept-new")
            assert learned is not None
            assert "another process keeps it locked" in learned.problem
    assert len(asked) == 1
    assert file.read_text() == ""


def test_what_was_learned_is_told_once(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    keys = HostKeys()
    learned = keys.check("web1", KIND, blob("a"), [str(file)], "accept-new")
    assert learned == Learned("web1", KIND, fingerprint(blob("a")), str(file))
    assert learned.notice() == {
        "notice": "host_key_learned",
        "message": f"new host key of web1 accepted: {KIND} {fingerprint(blob('a'))} (saved in {file})",
        "name": "web1",
        "kind": KIND,
        "fingerprint": fingerprint(blob("a")),
        "path": str(file),
        "problem": "",
    }
    assert keys.check("web1", KIND, blob("a"), [str(file)], "accept-new") is None


@pytest.mark.parametrize("paths", [["/dev/null"], ["/proc/version"], ["/proc/none/known_hosts"], []])
def test_a_key_that_can_not_be_saved_holds_for_the_run_and_that_is_told(paths: list[str]) -> None:
    keys = HostKeys()
    learned = keys.check("web1", KIND, blob("a"), paths, "accept-new")
    assert learned is not None
    assert learned.path is None
    assert learned.problem.startswith(f"{paths[0]}: " if paths else "no known_hosts file is named")
    assert learned.problem in learned.notice()["message"]
    assert keys.check("web1", KIND, blob("a"), paths, "accept-new") is None
    with pytest.raises(ChangedHostKeyError):
        keys.check("web1", KIND, blob("b"), paths, "accept-new")


def test_another_key_that_somebody_learns_meanwhile_is_the_known_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "known_hosts"
    lock = knownhosts._lock_file

    def lock_late(handle: int) -> None:
        lock(handle)
        file.write_text(line("web1", "b"))

    monkeypatch.setattr(knownhosts, "_lock_file", lock_late)
    with pytest.raises(ChangedHostKeyError):
        check(file, "web1", "a", "accept-new")
    assert file.read_text() == line("web1", "b")


def test_a_change_of_the_file_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(line("web1", "a"))
    keys = check(file, "web1", "a")
    with file.open("a") as more:
        more.write(line("web2", "b"))
    keys.check("web2", KIND, blob("b"), [str(file)], "strict")
    file.unlink()
    time.sleep(0.6)  # a known key is believed for half a second without another look
    with pytest.raises(UnknownHostKeyError):
        keys.check("web1", KIND, blob("a"), [str(file)], "strict")


def test_a_lookup_while_the_file_is_read_again_sees_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(line("web*", "w") + line("db1", "d"))
    file = KnownHostsFile(str(path))
    file.refresh()
    seen: list[int] = []
    compile_names = knownhosts._compile

    def look(names: bytes) -> list[tuple[bool, re.Pattern[str]]]:
        seen.append(len([*file.plain("db1"), *file.plain("web1")]))
        return compile_names(names)

    monkeypatch.setattr(knownhosts, "_compile", look)
    (tmp_path / "new").write_text(line("web*", "w") + line("db1,db2", "d"))
    (tmp_path / "new").rename(path)
    file.refresh(now=True)
    assert seen == [2]
    assert len(list(file.plain("db2"))) == 1


def test_an_answer_from_the_old_file_is_not_kept_for_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(text: str) -> None:
        other = tmp_path / "new"
        other.write_text(text)
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(other)], check=True, capture_output=True)
        other.rename(tmp_path / "known_hosts")

    write(line("web1", "a"))
    file = KnownHostsFile(str(tmp_path / "known_hosts"))
    file.refresh()
    digest = hmac.digest

    def replace(*args: Any) -> bytes:
        monkeypatch.undo()
        write(line("web2", "b"))
        file.refresh(now=True)
        return digest(*args)

    monkeypatch.setattr(hmac, "digest", replace)
    assert file.hashed("web2") == []
    assert len(file.hashed("web2")) == 1
    with (tmp_path / "known_hosts").open("a") as more:
        more.write((tmp_path / "known_hosts").read_text())
    file.refresh(now=True)
    assert len(file.hashed("web2")) == 2


def test_a_file_that_is_written_anew_in_place_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(line("web1", "a"))
    keys = check(path, "web1", "a")
    path.write_text(line("web2", "b") + line("web3", "c"))
    for name in ("web2", "web3"):
        keys.check(name, KIND, blob({"web2": "b", "web3": "c"}[name]), [str(path)], "strict")
    with pytest.raises(UnknownHostKeyError):
        keys.check("web1", KIND, blob("a"), [str(path)], "strict")


def test_half_a_line_on_a_full_disk_is_taken_back(small_disk: Path) -> None:
    path = small_disk / "known_hosts"
    path.write_text(line("web1", "a") + "#" * 4000 + "\n")  # the next line would begin a second page
    with contextlib.suppress(OSError), (small_disk / "big").open("wb", buffering=0) as big:
        while big.write(bytes(4096)):
            pass
    before = path.read_bytes()
    learned = HostKeys().check("web2", KIND, blob("b"), [str(path)], "accept-new")
    assert learned is not None
    assert learned.problem == f"{path}: No space left on device"
    assert path.read_bytes() == before


def test_the_known_types_are_told(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(line("web1", "a", "ssh-rsa") + line("web1", "b"))
    assert HostKeys().kinds("web1", [str(file)]) == ["ssh-rsa", KIND]
    assert HostKeys().kinds("web2", [str(file)]) == []
    assert known_name("Web1", 22) == "web1"
    assert known_name("web1", 2222) == "[web1]:2222"


def _learn(path: str, first: int) -> None:
    """Ten runs in one process, each with a store of its own, that learn four hosts of their own and two shared ones."""

    def run(number: int) -> None:
        keys = HostKeys()
        for host in range(4):
            keys.check(f"h{number}-{host}", KIND, blob("a"), [path], "accept-new")
            for shared in ("shared", "[both]:2222"):
                keys.check(shared, KIND, blob("s"), [path], "accept-new")

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        list(pool.map(run, range(first, first + 10)))


ODD = b"unreadable line\n\xff\xfe \x00|1|broken ssh-rsa\r\n@marker x y z\n|1|a ssh-ed25519\n\n# end\nno end of line"


def test_fifty_runs_that_learn_at_once_lose_and_break_nothing(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_bytes(ODD)
    inode = file.stat().st_ino
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_learn, args=(str(file), 10 * n)) for n in range(5)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    whole = file.read_bytes()
    assert whole.startswith(ODD + b"\n")
    assert file.stat().st_ino == inode
    learned = whole[len(ODD) + 1 :].decode().splitlines(keepends=True)
    shared = [line("shared", "s"), line("[both]:2222", "s")]
    assert sorted(learned) == sorted([line(f"h{n}-{host}", "a") for n in range(50) for host in range(4)] + shared)


def known_hashed(path: Path, text: str) -> None:
    """Write known_hosts with hashed names."""
    path.write_text(text)
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(path)], check=True, capture_output=True)
    path.with_name(path.name + ".old").unlink()


def test_a_host_behind_many_hashes_costs_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "known_hosts"
    known_hashed(file, _many())
    digest, tried = hmac.digest, []
    monkeypatch.setattr(hmac, "digest", lambda *args: tried.append(args) or digest(*args))
    keys = HostKeys()
    for n in range(10):
        assert keys.kinds(f"h{n}", [str(file)]) == [KIND, "ssh-rsa"]
        assert keys.check(f"h{n}", KIND, number(n), [str(file)], "strict") is None
    assert len(tried) == 10
    with pytest.raises(ChangedHostKeyError):
        keys.check("h1", KIND, number(2), [str(file)], "strict")
    with pytest.raises(UnknownHostKeyError):
        keys.check("other", KIND, number(3), [str(file)], "strict")


def number(n: int) -> bytes:
    """Return a key of its own for each number."""
    return b"\0\0\0\x0bssh-ed25519\0\0\0 " + n.to_bytes(32, "big")


def _many() -> str:
    lines = (f"h{n} {KIND} {base64.b64encode(number(n)).decode()}\n" for n in range(300))
    return "".join(lines) + line("other.example", "o", "ssh-rsa")


def test_a_host_of_another_type_behind_many_hashes_is_asked_again(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    rsa = keygen(tmp_path / "host_rsa", "-t", "rsa", "-b", "2048", "-N", "")
    server = Sshd(tmp_path / "sshd", f"HostKey {rsa}").start()
    kind, encoded = (tmp_path / "host_rsa.pub").read_text().split()[:2]
    try:
        known_hashed(file, _many() + f"[127.0.9.1]:{server.port} {kind} {encoded}\n")
        connect(server, file)
        known_hashed(file, _many() + line(f"[127.0.9.1]:{server.port}", "x", "ssh-rsa"))
        with pytest.raises(ChangedHostKeyError, match="shows ssh-rsa"):
            connect(server, file)
        known_hashed(file, _many() + line(f"[127.0.9.1]:{server.port}", "x", "ecdsa-sha2-nistp256"))
        with pytest.raises(ChangedHostKeyError, match="shows ssh-ed25519"):
            connect(server, file)
    finally:
        server.stop()


def test_the_bare_name_counts_where_nothing_is_known_of_the_port(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(line("web1", "a"))
    check(file, "[web1]:2222", "a")
    with pytest.raises(UnknownHostKeyError):
        check(file, "[web1]:2222", "b")
    file.write_text(line("web1", "a") + line("[web1]:2222", "b"))
    check(file, "[web1]:2222", "b")
    with pytest.raises(ChangedHostKeyError, match="line 2"):
        check(file, "[web1]:2222", "a")
    file.write_text(line("web1", "a") + "@revoked " + line("web1", "a"))
    with pytest.raises(ChangedHostKeyError, match="revoked"):
        check(file, "[web1]:2222", "a", "accept-new")
    assert bare_name("[::1]:22") == "::1"
    assert bare_name("::1") == "::1"
    assert bare_name("[odd") == "[odd"


def encoded(letter: str) -> str:
    return base64.b64encode(blob(letter)).decode()


@pytest.mark.parametrize(
    "value",
    [
        f"{KIND} {encoded('a')}",
        f"  {KIND}  {encoded('a')} root@web1\n",
        fingerprint(blob("a")),
        f"{KIND} {fingerprint(blob('a'))}",
        [f"{KIND} {encoded('b')}", fingerprint(blob("a"))],
    ],
)
def test_a_pinned_key_alone_counts(tmp_path: Path, value: object) -> None:
    options = SshConnector.Options.from_vars({"sshexec_host_key": value}, "web1")
    file = tmp_path / "known_hosts"
    file.write_text(line("web1", "c"))
    for policy in ("strict", "accept-new", "off"):
        assert HostKeys().check("web1", KIND, blob("a"), [str(file)], policy, pins=options.pinned) is None
        with pytest.raises(ChangedHostKeyError, match="sshexec_host_key holds") as refused:
            HostKeys().check("web1", KIND, blob("c"), [str(file)], policy, pins=options.pinned)
        for shown in (blob("a"), blob("c")):
            assert fingerprint(shown) in refused.value.message
    assert file.read_text() == line("web1", "c")


@pytest.mark.parametrize(
    "value",
    [
        "",
        [],
        "web1",
        KIND,
        "SHA256:abc",
        f"ssh-dss {encoded('a')}",
        f"ssh-rsa {encoded('a')}",
        f"{KIND} AAAA",
        f"{KIND} \xe9",
        f"web1 {KIND} {encoded('a')}",
        encoded("a"),
        5,
        [1],
        {"a": 1},
        [fingerprint(blob("a")), ""],
    ],
)
def test_a_pin_that_is_none_is_bad_input(value: object) -> None:
    expected = "host web1: sshexec_host_key: expected `ssh-ed25519 AAAA...`, `SHA256:...`, or a list, got "
    with pytest.raises(OptionError, match=f"^{re.escape(expected)}"):
        SshConnector.Options.from_vars({"sshexec_host_key": value}, "web1")


def test_a_pinned_host_is_asked_for_the_pinned_type(tmp_path: Path) -> None:
    rsa = keygen(tmp_path / "host_rsa", "-t", "rsa", "-b", "2048", "-N", "")
    server = Sshd(tmp_path / "sshd", f"HostKey {rsa}").start()
    file = tmp_path / "known_hosts"
    try:
        public = (tmp_path / "host_rsa.pub").read_text()
        shown = fingerprint(base64.b64decode(public.split()[1]))
        for pin in (public, f"ssh-rsa {shown}", [public, f"{KIND} {encoded('x')}"]):
            for more in ("", "-o StrictHostKeyChecking=no"):
                connect(server, file, more, sshexec_host_key=pin)
        for pin in (shown, f"{KIND} {encoded('x')}"):
            with pytest.raises(ChangedHostKeyError, match="not the pinned one: the host shows ssh-ed25519"):
                connect(server, file, "-o StrictHostKeyChecking=no", sshexec_host_key=pin)
    finally:
        server.stop()
    assert not file.exists()


def connect(
    sshd: Sshd, known_hosts: Path, more: str = "", address: str = "127.0.9.1", **variables: Any
) -> SshConnector:
    """Log in, where the host is trusted."""
    args = f"-o UserKnownHostsFile={known_hosts} {more}"
    variables = sshd.variables(ansible_host=address, ansible_ssh_common_args=args, **variables)
    context = SshConnector.Context()
    connector = SshConnector("web1", SshConnector.Options.from_vars(variables, "web1"), context, Timeouts())
    try:
        connector.open(Deadline.after(20))
    finally:
        connector.close()
        context.close()
    return connector


def test_a_host_is_checked_before_any_login(sshd: Sshd, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    other = keygen(tmp_path / "other", "-t", "ed25519", "-N", "")
    with pytest.raises(UnknownHostKeyError) as unknown:
        connect(sshd, file)
    assert (unknown.value.host, unknown.value.phase) == ("web1", "key exchange")
    file.write_text(f"[127.0.9.1]:{sshd.port} {(tmp_path / 'other.pub').read_text()}")
    for more in ("", "-o StrictHostKeyChecking=accept-new"):
        with pytest.raises(ChangedHostKeyError):
            connect(sshd, file, more)
    connect(sshd, file, "-o StrictHostKeyChecking=no")
    assert other.exists()


def test_accept_new_learns_a_real_host(sshd: Sshd, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    connector = connect(sshd, file, "-o StrictHostKeyChecking=accept-new")
    assert [notice["name"] for notice in connector.notices] == [f"[127.0.9.1]:{sshd.port}"]
    assert connect(sshd, file).notices == []
    connect(sshd, file, "-o HostKeyAlias=fleet -o StrictHostKeyChecking=accept-new", "127.0.9.2")
    connect(sshd, file, "-o HostKeyAlias=fleet", "127.0.9.3")


def test_a_server_with_several_keys_is_asked_for_the_known_one(tmp_path: Path) -> None:
    rsa = keygen(tmp_path / "host_rsa", "-t", "rsa", "-b", "2048", "-N", "")
    ecdsa = keygen(tmp_path / "host_ecdsa", "-t", "ecdsa", "-N", "")
    server = Sshd(tmp_path / "sshd", f"HostKey {ecdsa}\nHostKey {rsa}").start()
    try:
        for name in ("host_rsa", "host_ecdsa", "sshd/host_ed25519"):
            file = tmp_path / "known_hosts"
            kind, encoded = (tmp_path / f"{name}.pub").read_text().split()[:2]
            file.write_text(f"[127.0.9.1]:{server.port} {kind} {encoded}\n")
            connect(server, file)
    finally:
        server.stop()


def test_a_large_file_is_not_read_again_for_each_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "known_hosts"
    file.write_text("".join(line(f"h{n}", "a") for n in range(2000)))
    keys = check(file, "h1", "a")
    os.chmod(file, 0)

    def refuse(*args: object, **more: object) -> None:
        raise AssertionError("the file was opened again")

    monkeypatch.setattr("builtins.open", refuse)
    for n in range(0, 2000, 100):
        keys.check(f"h{n}", KIND, blob("a"), [str(file)], "strict")


class Recorder:
    """An SSH server that writes down the number of every packet it gets.

    Args:
        key: its host key.
    """

    def __init__(self, key: paramiko.PKey) -> None:
        self.seen: list[int] = []
        self._key = key
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        sock, _ = self._listener.accept()
        transport = paramiko.Transport(sock)
        transport.add_server_key(self._key)
        read = transport.packetizer.read_message

        def recorded() -> Any:
            number, message = read()
            self.seen.append(number)
            return number, message

        transport.packetizer.read_message = recorded  # type: ignore[method-assign]
        with contextlib.suppress(paramiko.SSHException, EOFError):
            transport.start_server(server=paramiko.ServerInterface())
        transport.join(20)
        transport.close()

    def close(self) -> None:
        """Wait until the client has gone."""
        self._thread.join(30)
        self._listener.close()


def test_a_changed_key_is_refused_before_any_credential_is_sent(tmp_path: Path) -> None:
    key = paramiko.Ed25519Key.from_private_key_file(str(keygen(tmp_path / "host", "-t", "ed25519", "-N", "")))
    file = tmp_path / "known_hosts"
    for trusted in (False, True):
        server = Recorder(key)
        name = f"[127.0.0.1]:{server.port}"
        shown = key.asbytes()
        file.write_text("# first\n" + (line(name, "x") if not trusted else f"{name} {KIND} {key.get_base64()}\n"))
        args = f"-o UserKnownHostsFile={file} -o GlobalKnownHostsFile=none -o StrictHostKeyChecking=accept-new"
        variables = {
            "ansible_host": "127.0.0.1",
            "ansible_port": server.port,
            "ansible_user": "someone",
            "ansible_password": "secret",
            "ansible_ssh_common_args": args,
        }
        context = SshConnector.Context()
        connector = SshConnector("web1", SshConnector.Options.from_vars(variables, "web1"), context, Timeouts())
        with pytest.raises(AuthenticationError if trusted else ChangedHostKeyError) as refused:
            connector.open(Deadline.after(20))
        context.close()
        server.close()
        if trusted:  # or the test would see nothing whatever is sent
            assert MSG_USERAUTH_REQUEST in server.seen
            continue
        assert set(server.seen) <= {MSG_KEXINIT, MSG_NEWKEYS, MSG_KEX_ECDH_INIT, MSG_DISCONNECT}
        for part in (fingerprint(shown), fingerprint(blob("x")), f"{file} line 2"):
            assert part in refused.value.message
