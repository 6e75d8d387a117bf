"""``sshexec shell`` as an operator has it: on a terminal, against a real server."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshexec.cli.shell import _code
from tests.cli.command import PATIENCE, Terminal, sshexec
from tests.connectors.screen import settle
from tests.testbed import Sshd

Write = Callable[[dict[str, dict[str, Any]]], Path]
HERE = ("shell", "localhost", "--command")
LOOP = "echo re''ady; while :; do sleep 0.05; done"


@pytest.fixture(scope="session")
def sshd(shells_sshd: Sshd) -> Sshd:
    """The server whose login shells read no profile."""
    return shells_sshd


class Local(Terminal):
    """A terminal whose settings are looked at after the command has gone."""

    def __init__(self, *args: object, **more: Any) -> None:
        super().__init__(*args, **more)
        self.before = termios.tcgetattr(self.descriptor)

    @property
    def raw(self) -> bool:
        return not termios.tcgetattr(self.descriptor)[3] & termios.ICANON

    def code(self) -> int:
        """Read to the end, and return the exit code; the terminal has to be as it was."""
        limit = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < limit, self.seen
        _, status = os.waitpid(self.pid, 0)
        # Linux keeps the settings of a terminal whose programs have gone, for who holds this end.
        assert not self.raw, "it was not restored"
        assert termios.tcgetattr(self.descriptor) == self.before
        os.close(self.descriptor)
        return os.waitstatus_to_exitcode(status)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def test_a_login_shell_on_a_real_host(sshd: Sshd, inventory: Write) -> None:
    terminal = Local("shell", "h001", "-i", inventory(sshd.hosts(1)))
    terminal.type("stty -echo; PS1=; echo $TERM 'st''arted'\r")
    terminal.until("xterm started")
    assert terminal.raw
    loop = "trap 'stty size; echo re$((1+1))sized' WINCH; echo tr$((1+1))apped; while :; do sleep 0.05; done"
    terminal.type(f'sh -c "{loop}"\r')
    terminal.until("tr2apped")
    terminal.resize(101, 33)
    terminal.until("re2sized")
    assert "33 101" in terminal.seen
    terminal.type("\x03")
    terminal.type("\r~?")
    terminal.until("send the tilde")
    terminal.type("\r~~x() { echo call''ed; }\recho t=~~ 'grüße'\r")
    terminal.until("grüße")
    terminal.type("exit 9\r")
    assert terminal.code() == 9


def test_escapes_end_it(tmp_path: Path) -> None:
    terminal = Local(*HERE, f"echo $$ > {tmp_path}/pid; {LOOP}")
    terminal.until("ready")
    terminal.type("x~.")
    terminal.type("\r~.")
    assert terminal.code() == 130
    assert terminal.seen.rstrip().endswith("sshexec: localhost: connection closed")
    pid = (tmp_path / "pid").read_text().strip()
    settle(lambda: not Path(f"/proc/{pid}").exists())


def test_an_escape_is_heard_though_nothing_else_is_taken() -> None:
    terminal = Local(*HERE, "stty raw -echo; echo re''ady; exec sleep 600")
    terminal.until("ready")
    for _ in range(64):
        terminal.type("y" * 1024)
    terminal.type("\r~.")
    assert terminal.code() == 130


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [("exit 255", 255, ""), ("kill -TERM $$", 143, "ended by signal TERM"), ("kill -40 $$", 168, "signal 40")],
)
def test_the_exit_code_is_the_programs(command: str, code: int, text: str) -> None:
    terminal = Local(*HERE, command)
    assert terminal.code() == code
    assert text in terminal.seen


@pytest.mark.parametrize(("status", "code"), [(0, 0), (7, 7), (256, 255), (0xC0000100, 255), (0xC0000005, 5)])
def test_a_status_that_is_no_byte_is_no_success(status: int, code: int) -> None:
    assert _code(status) == code


def test_a_signal_restores_the_terminal_and_ends_the_session(tmp_path: Path) -> None:
    terminal = Local(*HERE, f"echo $$ > {tmp_path}/pid; {LOOP}")
    terminal.until("ready")
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.code() == 143
    settle(lambda: not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists())


@pytest.mark.parametrize(("leave", "code"), [("\r~.", 130), (signal.SIGTERM, 143)])
def test_it_is_left_though_the_terminal_takes_nothing(leave: Any, code: int) -> None:
    terminal = Local(*HERE, "echo re''ady; exec yes")
    terminal.until("ready")
    time.sleep(0.3)  # nobody reads: soon nothing more goes
    terminal.type(leave) if isinstance(leave, str) else os.kill(terminal.pid, leave)
    ended: list[int] = []

    def over() -> bool:
        pid, status = os.waitpid(terminal.pid, os.WNOHANG)
        ended.append(os.waitstatus_to_exitcode(status))
        return pid == terminal.pid

    settle(over)
    assert ended[-1] == code
    assert termios.tcgetattr(terminal.descriptor) == terminal.before
    os.close(terminal.descriptor)


def test_a_lost_connection_restores_the_terminal(sshd: Sshd, inventory: Write) -> None:
    command = "echo p=$PPID=; sleep 600"
    terminal = Local("shell", "h001", "-i", inventory(sshd.hosts(1)), "--command", command)
    terminal.until("=\r\n")
    os.kill(int(terminal.seen.split("=")[1]), signal.SIGKILL)
    assert terminal.code() == 4
    assert "sshexec: error: h001: the connection broke" in terminal.seen


def test_what_a_login_asks_is_asked_before(sshd: Sshd, inventory: Write, tmp_path: Path) -> None:
    key = tmp_path / "locked"
    locked = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "correct", "-f", str(key)]
    subprocess.run(locked, check=True, stdin=subprocess.DEVNULL)
    with sshd.authorized_keys.open("a") as file:
        file.write((tmp_path / "locked.pub").read_text())
    args = f"-o UserKnownHostsFile={tmp_path / 'known_hosts'} -o GlobalKnownHostsFile=none"
    host = {**sshd.hosts(1)["h001"], "ansible_ssh_common_args": args, "ansible_private_key_file": str(key)}
    hosts = inventory({"h001": host})
    terminal = Local("shell", "h001", "-i", hosts, "--command", "echo wel''come; exit 6")
    terminal.until("Passphrase of")
    assert not terminal.raw
    terminal.type("wrong\n")
    terminal.until("that was wrong")
    terminal.type("correct\n")
    terminal.until("Trust it? (yes/no): ")
    terminal.type("perhaps\n")
    terminal.until("Please type yes or no.")
    terminal.type("yes\n")
    assert terminal.code() == 6
    assert "new host key of" in terminal.seen
    assert "welcome" in terminal.seen
    assert "correct" not in terminal.seen
    (tmp_path / "known_hosts").unlink()
    terminal = Local("shell", "h001", "-i", hosts, "--private-key", sshd.key)
    terminal.until("Trust it? (yes/no): ")
    terminal.type("\x03")
    assert terminal.code() == 130


def test_who_can_not_be_reached_is_told_in_a_line(inventory: Write) -> None:
    hosts = inventory({"dead": {"ansible_host": "127.0.0.1", "ansible_port": 1}})
    terminal = Local("shell", "dead", "-i", hosts)
    assert terminal.code() == 4
    assert terminal.seen.strip().startswith("sshexec: error: dead: 127.0.0.1 port 1 refused")


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("web2x", "-i", "web1,web2,"), "did you mean web2?"),
        (("w", "-i", "w,", "-c", "winrm", "-e", "ansible_user=x ansible_password=x"), "has no terminal"),
    ],
)
def test_bad_input_contacts_nothing(args: tuple[str, ...], text: str) -> None:
    terminal = Local("shell", *args)
    assert terminal.code() == 5
    assert text in terminal.seen
    assert "Traceback" not in terminal.seen


def test_without_a_terminal_it_says_what_does() -> None:
    done = sshexec("shell", "localhost")
    assert done.returncode == 5
    assert "sshexec run" in done.stderr
