"""known_hosts: lookups, refusals, learning; and the same through real connections."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hmac
import multiprocessing
import os
import re
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Deadline, Timeouts
from sshexec.connectors.ssh import knownhosts
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.ssh.hostkeys import HostKeys, Learned, fingerprint, known_name
from sshexec.connectors.ssh.knownhosts import KnownHostsFile
from sshexec.errors import ChangedHostKeyError, UnknownHostKeyError
from tests.testbed import Sshd, keygen

KIND = "ssh-ed25519"


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
    keys = HostKeys()
    for number in range(first, first + 20):
        keys.check(f"h{number}", KIND, blob("a"), [path], "accept-new")
        keys.check("shared", KIND, blob("s"), [path], "accept-new")


def test_ten_processes_that_learn_at_once_lose_and_break_nothing(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text("unreadable line\n")
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_learn, args=(str(file), 20 * n)) for n in range(10)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    lines = file.read_text().splitlines()
    assert lines[0] == "unreadable line"
    assert sorted(lines[1:]) == sorted([line(f"h{n}", "a").strip() for n in range(200)] + [line("shared", "s").strip()])


def connect(sshd: Sshd, known_hosts: Path, more: str = "", address: str = "127.0.9.1") -> SshConnector:
    variables = sshd.variables(
        ansible_host=address, ansible_ssh_common_args=f"-o UserKnownHostsFile={known_hosts} {more}"
    )
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
