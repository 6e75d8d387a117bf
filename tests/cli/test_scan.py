"""``sshexec hosts scan``: what hosts show, what is known of it, and what is added."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import PATIENCE, finish, sshexec, start
from tests.testbed import SSHD, Sshd, keygen

NO_FILES = "-o UserKnownHostsFile=none -o GlobalKnownHostsFile=none"
Write = Callable[[dict[str, dict[str, Any]]], Path]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An sshd with keys of three types, that writes down who logs in."""
    if SSHD is None:
        pytest.skip("openssh-server is not installed")
    folder = tmp_path_factory.mktemp("scan")
    rsa = keygen(folder / "host_rsa", "-t", "rsa", "-b", "2048", "-N", "")
    ecdsa = keygen(folder / "host_ecdsa", "-t", "ecdsa", "-N", "")
    server = Sshd(folder / "sshd", f"LogLevel DEBUG1\nHostKey {rsa}\nHostKey {ecdsa}").start()
    yield server
    server.stop()


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """A known_hosts file that is not there yet."""
    return tmp_path / "known_hosts"


def on(server: Sshd, known: Path, count: int = 1, **more: Any) -> dict[str, dict[str, Any]]:
    """Return hosts that use a known_hosts file of their own, with a key that is not there and not needed."""
    args = f"-o UserKnownHostsFile={known} -o GlobalKnownHostsFile=none"
    extra = {"ansible_ssh_common_args": args, "ansible_private_key_file": "/none/at/all", **more}
    return {name: {**variables, **extra} for name, variables in server.hosts(count).items()}


def scanned(server: Sshd, address: str) -> list[str]:
    """Return what ssh-keyscan says of a host."""
    command = ["ssh-keyscan", "-p", str(server.port), "-t", "ed25519,ecdsa,rsa", address]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE)
    return sorted(line for line in done.stdout.splitlines() if not line.startswith("#"))


def test_standard_output_is_what_ssh_keyscan_prints(server: Sshd, known: Path, inventory: Write) -> None:
    path = inventory(on(server, known, 3))
    done = sshexec("hosts", "scan", "all", "-i", path)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    assert sorted(printed) == sorted(line for n in (1, 2, 3) for line in scanned(server, f"127.0.1.{n + 1}"))
    assert [line.split()[0] for line in printed[::3]] == [f"[127.0.1.{n + 1}]:{server.port}" for n in (1, 2, 3)]
    assert done.stderr.splitlines()[-1] == "3 hosts, 9 keys: 9 new"
    known.write_text(done.stdout)
    shown = subprocess.run(["ssh-keygen", "-l", "-f", str(known)], check=True, capture_output=True, text=True)
    fingerprints = {line.split()[1] for line in shown.stdout.splitlines()}
    assert {line.split()[3] for line in done.stderr.splitlines()[:-1]} == fingerprints
    assert "userauth-request" not in server.log.read_text()
    # Its log would have told.
    sshexec("run", "h001", "-i", path, "-m", "ping", "-e", f"ansible_private_key_file={server.key}")
    assert "userauth-request" in server.log.read_text()
    again = sshexec("hosts", "scan", "all", "-i", path)
    assert again.stdout == done.stdout
    assert again.stderr.splitlines()[0].endswith(f"known ({known} line 1)")
    assert again.stderr.splitlines()[-1] == "3 hosts, 9 keys: 9 known"


def test_fingerprints_alone(server: Sshd, known: Path, inventory: Write) -> None:
    done = sshexec("hosts", "scan", "all", "-i", inventory(on(server, known)), "--fingerprints", "-q")
    assert done.stderr == ""
    assert [line.split()[2] for line in done.stdout.splitlines()] == ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"]
    assert all(line.startswith("h001  [127.0.1.2]:") and line.endswith("  new") for line in done.stdout.splitlines())


def test_append_adds_what_is_new_and_refuses_what_has_changed(server: Sshd, known: Path, inventory: Write) -> None:
    path = inventory(on(server, known, 4))
    names = [f"[127.0.1.{n + 1}]:{server.port}" for n in (1, 2, 3, 4)]
    keys = [line.split() for line in scanned(server, "127.0.1.2")]
    ed25519 = next(key for _, kind, key in keys if kind == "ssh-ed25519")
    other = Path(f"{keygen(known.parent / 'other', '-t', 'ed25519', '-N', '')}.pub").read_text().split()[1]
    before = (
        f"keep this\n{names[0]} ssh-ed25519 {other}\n{names[1]} ssh-ed25519 {ed25519}\n"
        f"@revoked {names[2]} ssh-ed25519 {ed25519}\n"
    )
    known.write_text(before)
    done = sshexec("hosts", "scan", "all", "-i", path, "--append")
    assert done.returncode == 2
    after = known.read_text()
    assert after.startswith(before)
    added = sorted(f"{name} {kind} {key}" for name in names[1::2] for _, kind, key in keys)
    added.remove(f"{names[1]} ssh-ed25519 {ed25519}")
    assert sorted(after[len(before) :].splitlines()) == added
    assert done.stdout == ""
    shown = sshexec("hosts", "scan", "all", "-i", path, "-q").stdout.splitlines()
    assert f"# CHANGED: {names[0]} ssh-ed25519 {ed25519}" in shown
    assert f"# REVOKED: {names[2]} ssh-ed25519 {ed25519}" in shown
    rows = done.stderr.splitlines()
    assert f"CHANGED ({known} line 2 holds SHA256:" in rows[0]
    assert [row.split()[4] for row in rows[3:6]] == ["known", "added", "added"]
    assert rows[-1] == "4 hosts, 12 keys: 7 new, 1 known, 1 REVOKED, 3 CHANGED; 5 added"
    quiet = sshexec("hosts", "scan", "h002,h004", "-i", path, "--append")
    assert quiet.returncode == 0
    assert known.read_text() == after


def test_a_host_that_shows_only_other_types_has_changed(sshd: Sshd, known: Path, inventory: Write) -> None:
    rsa = Path(f"{keygen(known.parent / 'rsa', '-t', 'rsa', '-b', '2048', '-N', '')}.pub").read_text().split()
    known.write_text(f"[127.0.1.2]:{sshd.port} {rsa[0]} {rsa[1]}\n")
    before = known.read_text()
    done = sshexec("hosts", "scan", "all", "-i", inventory(on(sshd, known)), "--append")
    assert done.returncode == 2
    assert f"CHANGED ({known} line 1 holds ssh-rsa SHA256:" in done.stderr
    assert known.read_text() == before


def test_pins_and_aliases_count(server: Sshd, known: Path, inventory: Write) -> None:
    _, kind, key = scanned(server, "127.0.1.2")[-1].split()
    hosts = on(server, known, 2, ansible_ssh_common_args=f"-o UserKnownHostsFile={known} -o HostKeyAlias=fleet")
    hosts["h001"].update(sshexec_host_key="{{ its_key }}", its_key=f"{kind} {key}")
    hosts["h002"]["sshexec_host_key"] = "SHA256:" + "A" * 43
    done = sshexec("hosts", "scan", "all", "-i", inventory(hosts), "--append")
    rows = done.stderr.splitlines()
    assert [row.split()[4] for row in rows[:6] if row.split()[2] == kind] == ["known", "CHANGED"]
    assert done.returncode == 2
    assert not known.exists()
    assert f"fleet {kind} {key}" in sshexec("hosts", "scan", "-i", inventory(hosts)).stdout.splitlines()


def test_a_host_that_is_dead_is_one_line(server: Sshd, known: Path, inventory: Write) -> None:
    with socket.socket() as taken:  # bound and not listening: refused
        taken.bind(("127.0.0.1", 0))
        hosts = on(server, known)
        hosts["dead"] = {**hosts["h001"], "ansible_host": "127.0.0.1", "ansible_port": taken.getsockname()[1]}
        done = sshexec("hosts", "scan", "all", "-i", inventory(hosts), "--append")
    assert done.returncode == 4
    assert [line for line in done.stderr.splitlines() if "dead" in line] == [
        f"dead: 127.0.0.1 port {hosts['dead']['ansible_port']} refused the connection"
    ]
    assert done.stderr.splitlines()[-1] == "2 hosts, 3 keys: 3 new; 3 added; 1 host not reached"
    assert len(known.read_text().splitlines()) == 3


def test_what_can_not_be_saved_is_told(server: Sshd, tmp_path: Path, inventory: Write) -> None:
    (tmp_path / "file").touch()
    path = inventory(on(server, tmp_path / "file" / "known_hosts"))
    done = sshexec("hosts", "scan", "all", "-i", path, "--append")
    assert done.returncode == 2
    assert f"h001: not saved: {tmp_path}/file/known_hosts: Not a directory" in done.stderr.splitlines()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("none", "-i", "web1,"), "none"),
        (("all", "-i", "web1,", "-e", "sshexec_host_key=odd"), "host web1: sshexec_host_key: expected `ssh-ed25519"),
        (
            ("all", "-i", "web1,", "--append", "--ssh-common-args", NO_FILES),
            "host web1: --append: no known_hosts file is named",
        ),
    ],
)
def test_bad_input_contacts_nobody(args: tuple[str, ...], told: str) -> None:
    done = sshexec("hosts", "scan", *args)
    assert (done.returncode, done.stdout) == (5, "")
    assert told in done.stderr


def test_hosts_without_ssh_are_left_out(inventory: Write) -> None:
    done = sshexec("hosts", "scan", "all", "-i", inventory({"here": {"ansible_connection": "local"}}))
    assert (done.returncode, done.stdout) == (0, "")
    assert "here is left out: a local connection has no host keys" in done.stderr


def test_a_host_called_scan_can_be_shown(inventory: Write) -> None:
    path = inventory({"scan": {}, "web1": {}})
    for args in (("scan,", "-i", path), ("-i", path, "scan"), ("-i", path, "--", "scan")):
        assert sshexec("hosts", *args).stdout == "scan\n"


def test_many_hosts_at_once_and_an_interrupt_ends_it(known: Path, inventory: Write) -> None:
    with contextlib.ExitStack() as stack:
        # It takes connections and says nothing: one host after the other would take 30 times as long.
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))
        variables = {
            "ansible_host": "127.0.0.1",
            "ansible_port": silent.getsockname()[1],
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={known}",
        }
        path = inventory({f"h{n}": variables for n in range(30)})
        began = time.monotonic()
        done = sshexec("hosts", "scan", "all", "-i", path, "-T", "2")
        assert time.monotonic() - began < 30
        assert done.returncode == 4
        assert done.stderr.count("sent no SSH greeting in time") == 30
        silent.setblocking(False)
        with contextlib.suppress(BlockingIOError):  # those of the first scan
            while True:
                silent.accept()[0].close()
        process = start("hosts", "scan", "all", "-i", path, "-T", "100", "-f", "10")
        stack.callback(process.kill)
        silent.settimeout(PATIENCE)
        for _ in range(10):
            stack.enter_context(silent.accept()[0])
        process.send_signal(signal.SIGINT)
        _, told = finish(process)
        assert process.returncode == 130
        assert told.count("cancelled") == 30
