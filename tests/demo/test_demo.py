"""`sshexec demo`: with either server it works, and nothing is left behind however it ends."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import PATIENCE, Terminal, environment, finish, sshexec, start
from tests.testbed import SSHD

SERVERS = [
    pytest.param("openssh", marks=pytest.mark.skipif(SSHD is None, reason="openssh-server is not installed")),
    "embedded",
]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Yield where the demo makes its folder, and check that nothing is left there or running from there."""
    temporary = tmp_path / "temporary files"
    temporary.mkdir()
    yield temporary
    limit = time.monotonic() + PATIENCE
    while (left := [*temporary.iterdir(), *processes(temporary)]) and time.monotonic() < limit:
        time.sleep(0.05)
    assert left == []


def processes(folder: Path) -> list[str]:
    """Return the command lines and working directories that mention a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            text = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in text:
            found.append(text)
    return found


@pytest.mark.parametrize("server", SERVERS)
def test_a_command_a_script_and_a_copy(folder: Path, server: str) -> None:
    done = sshexec("demo", "--server", server, "--hosts", "4", env={"TMPDIR": str(folder)})
    assert done.returncode == 0, done.stderr
    assert re.search(r"^demo\[01-04\] \(4\) \| CHANGED \| rc=0 >>\nLinux ", done.stdout, re.MULTILINE)
    assert "demo[01-03] (3) | CHANGED | rc=0 >>\nweb: the service answers\n" in done.stdout
    assert "demo04 | CHANGED | rc=0 >>\ndb: the service answers\ndb: replication is in step\n" in done.stdout
    assert '"mode": "0644"' in done.stdout
    assert done.stderr.count("4 hosts in ") == 3
    assert "Try next" in done.stderr


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_ends(folder: Path, server: str, number: signal.Signals) -> None:
    process = start("demo", "--server", server, "--hosts", "3", env={"TMPDIR": str(folder)})
    assert process.stderr is not None
    while "A script" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(number)
    _, stderr = finish(process)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    assert "Traceback" not in stderr
    assert "A file" not in stderr


def as_suggested(line: str) -> int:
    """Run a line in a shell that does not know `sshexec`, somewhere else, and return its exit code."""
    env = environment(PATH="/usr/bin:/bin")
    return subprocess.run(line, shell=True, env=env, cwd="/", stdout=subprocess.DEVNULL).returncode


@pytest.mark.parametrize("server", SERVERS)
def test_keep(folder: Path, server: str) -> None:
    env = {"TMPDIR": str(folder), "PATH": "/usr/bin:/bin"}
    process = start("demo", "--server", server, "--hosts", "2", "--keep", env=env)
    assert process.stderr is not None
    try:
        said = ""
        while "until Ctrl-C" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        inventory = next(folder.iterdir()) / "hosts.yml"
        assert shlex.quote(str(inventory)) in said
        assert (inventory.parent / "id_ed25519").stat().st_mode & 0o777 == 0o600
        assert inventory.parent.stat().st_mode & 0o777 == 0o700
        suggested = [line for line in said.splitlines() if re.match(r"  [^$].*sshexec (run|hosts) ", line)]
        assert [as_suggested(line) for line in suggested] == [0, 0, 2, 0]
        content = inventory.parent / "local"
        content.write_bytes(bytes(range(256)) * 1000)
        arguments = f'src="{content}" dest="{{{{ home }}}}/a b"'
        copied = sshexec("run", "all", "-i", inventory, "-m", "copy", "-a", arguments)
        assert copied.returncode == 0, copied.stdout
        assert [path.read_bytes() == content.read_bytes() for path in inventory.parent.glob("hosts/*/a b")] == [
            True
        ] * 2
        failed = sshexec("run", "demo01", "-i", inventory, "-m", "shell", "-a", "echo out; echo err >&2; exit 3", "-o")
        assert failed.stdout == r"demo01 | FAILED | rc=3 | (stdout) out (stderr) err (msg) non-zero return code" + "\n"
        slow = sshexec("run", "demo02", "-i", inventory, "-a", "sleep 600", "--task-timeout", "1", "--json")
        assert '"killed": true' in slow.stdout
    finally:
        process.send_signal(signal.SIGINT)
        finish(process)
    assert process.returncode == 0


def test_live_display(folder: Path) -> None:
    terminal = Terminal("demo", "--server", "embedded", "--hosts", "3", env={"TMPDIR": str(folder)})
    assert terminal.end() == 0
    assert "3 at work" in terminal.seen


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_without_root(folder: Path) -> None:
    folder.chmod(0o777)
    for above in list(folder.parents)[:3]:
        above.chmod(above.stat().st_mode | 0o011)
    nobody = {"user": "nobody", "group": grp.getgrgid(pwd.getpwnam("nobody").pw_gid).gr_name, "extra_groups": []}
    try:
        subprocess.run([sys.executable, "-c", "import sshexec, gevent"], check=True, **nobody)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this Python is not for everybody")
    done = sshexec("demo", "--hosts", "2", env={"TMPDIR": str(folder)}, **nobody)
    assert done.returncode == 0, done.stderr
    assert "demo[01-02]" in done.stdout
