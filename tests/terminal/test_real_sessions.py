"""Sessions on a real OpenSSH server: opened from an inventory, flooded, on threads and in a patched process."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sshexec import errors
from sshexec.connectors.terminal import Size
from sshexec.inventory.members import Host
from sshexec.inventory.model import Inventory
from sshexec.terminal.events import Ended
from sshexec.terminal.policy import TerminalPolicy
from sshexec.terminal.session import TerminalSession
from tests.terminal.flood import SHELL
from tests.terminal.puppet import PATIENCE, received, rest
from tests.testbed import Sshd

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def inventory(sshd: Sshd) -> Inventory:
    hosts = {**sshd.hosts(1), "fake": {"ansible_connection": "winrm", "ansible_password": "x", "ansible_user": "x"}}
    return Inventory.from_hosts([Host(name, variables) for name, variables in hosts.items()])


def test_a_shell_on_a_host_of_the_inventory(inventory: Inventory) -> None:
    with TerminalSession.open(inventory, "h001", owner="ann", size=Size(100, 40), command=SHELL) as session:
        viewer = session.attach(user="ann")
        received(viewer, b"READY> ")
        viewer.write("stty size; printf '%s|' \"$TERM\" zażółć 世界; echo\r".encode())
        text = received(viewer, "40 100\r\nxterm-256color|zażółć|世界|".encode())
        assert text.count(b"40 100") == 1
        viewer.resize(Size(132, 43))
        viewer.write(b"stty size\r")
        received(viewer, b"43 132")
        viewer.write(b"exit 5\r")
        assert rest(viewer)[1][-1] == Ended("exited", "the program has ended with status 5", exit_status=5)
    assert session.wait(PATIENCE)


def test_a_shell_goes_on_while_nobody_is_there(inventory: Inventory) -> None:
    with TerminalSession.open(inventory, "h001", command=SHELL) as session:
        first = session.attach()
        received(first, b"READY> ")
        seen = first.seq
        first.close()
        session.write(b"echo over $((40+2))\r")
        again = session.attach(since=seen)
        assert b"over 42\r\n" in received(again, b"READY> ")
        assert again.seq == session.info().sent


def test_files_go_beside_the_shell(inventory: Inventory, tmp_path: Path) -> None:
    with TerminalSession.open(inventory, "h001", command=SHELL) as session:
        viewer = session.attach()
        received(viewer, b"READY> ")
        done: list[int] = []
        session.put(b"content\n" * 100_000, str(tmp_path / "file"), mode=0o600, progress=done.append)
        assert done[-1] == 800_000
        viewer.write(b"wc -c < %s\r" % str(tmp_path / "file").encode())
        received(viewer, b"800000")
        target = io.BytesIO()
        session.get(str(tmp_path / "file"), target)
        assert target.getvalue() == b"content\n" * 100_000


def test_what_is_wrong_is_said_at_once(inventory: Inventory, sshd: Sshd) -> None:
    with pytest.raises(errors.PatternError):
        TerminalSession.open(inventory, "nowhere")
    with pytest.raises(errors.PatternError):
        TerminalSession.open(inventory, "-oProxyCommand=touch /tmp/owned")
    with pytest.raises(errors.OptionError, match="no terminal"):
        TerminalSession.open(inventory, "fake")
    with socket.socket() as unused:
        unused.bind(("127.0.1.2", 0))
        port = unused.getsockname()[1]
        with pytest.raises(errors.RefusedError):
            TerminalSession.open(inventory, "h001", variables={"ansible_port": port})


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_the_owner_trusts_a_key_that_is_not_known(inventory: Inventory, tmp_path: Path, answer: str) -> None:
    variables = {"ansible_ssh_common_args": f"-o UserKnownHostsFile={tmp_path / 'known'}"}
    policy = TerminalPolicy(accept_host_keys=True)
    asked: list[str] = []

    def ask(question: object) -> str:
        asked.append(str(getattr(question, "kind", "")))
        return answer

    def opened() -> TerminalSession:
        return TerminalSession.open(inventory, "h001", variables=variables, policy=policy, command=SHELL, ask=ask)

    if answer == "yes":
        opened().close()
        opened().close()
        assert asked == ["host_key"]
    else:
        with pytest.raises(errors.UnknownHostKeyError):
            opened()


def test_a_shell_that_is_left_alone_ends(inventory: Inventory) -> None:
    policy = TerminalPolicy(idle=0.2)
    with TerminalSession.open(inventory, "h001", command=SHELL, policy=policy) as session:
        ended = session.wait(PATIENCE)
        assert ended is not None
        assert ended.reason == "idle"


@pytest.mark.parametrize("mode", ["threads", "gevent"])
def test_floods_cost_little_and_hold_up_nobody(sshd: Sshd, mode: str) -> None:
    """Attack 7: owners who never read, in front of programs that never stop."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.terminal.flood", mode],
        input=json.dumps(sshd.hosts(1)),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["idle"] < 300 * 1024, report
    assert report["flood"] < 3 * 2**20, report
    assert report["beside"] < 0.5, report
    assert report["interrupted"] < 2.0, report
    assert report["threads"] <= 0, report
    assert report["sockets"] == 0, report
