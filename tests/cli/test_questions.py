"""Passwords, passphrases and codes at the terminal."""

from __future__ import annotations

import os
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sshexec.cli import questions
from sshexec.cli.questions import TerminalQuestions
from sshexec.connectors.prompts import NoAnswerError, Question
from sshexec.secret import Secret
from tests.cli.command import Terminal, sshexec
from tests.pam import asking_sshd, failures
from tests.testbed import Sshd

Write = Callable[[dict[str, dict[str, Any]]], Path]
PASSWORD, CODE = "canary-password", "canary-975"


@pytest.fixture(scope="module")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Hosts that want a password."""
    config = "PasswordAuthentication yes\nKbdInteractiveAuthentication no"
    with asking_sshd(tmp_path_factory.mktemp("pam"), {"Password: ": PASSWORD}, config) as server:
        yield server


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Hosts that want a code beside the key."""
    config = "AuthenticationMethods publickey,keyboard-interactive"
    with asking_sshd(tmp_path_factory.mktemp("pam"), {"Code: ": CODE}, config) as server:
        yield server


def without_keys(server: Sshd, count: int, **more: Any) -> dict[str, dict[str, Any]]:
    hosts = server.hosts(count)
    for variables in hosts.values():
        del variables["ansible_private_key_file"]
        variables.update(more)
    return hosts


@pytest.mark.parametrize("processes", [(), ("--processes", "2")], ids=["pool", "workers"])
def test_a_mistyped_password_is_asked_for_again(passwords: Sshd, inventory: Write, processes: tuple[str, ...]) -> None:
    before = failures(passwords)
    # What the inventory has loses against what is asked for.
    path = inventory(without_keys(passwords, 5, ansible_ssh_pass="of the inventory"))
    terminal = Terminal("run", "all", "-i", path, "-k", "-a", "true", "-o", *processes)
    terminal.until("SSH password: ")
    terminal.type("canary-typo\n")
    terminal.until(f"that was wrong, please try again\r\nSSH password of {passwords.user}: ")
    terminal.type(f"{PASSWORD}\n")
    assert terminal.end() == 0, terminal.seen
    assert terminal.seen.count("CHANGED") == 5
    assert failures(passwords) - before == 1
    assert "canary" not in terminal.seen


def test_a_password_is_asked_for_with_k_only(passwords: Sshd, inventory: Write) -> None:
    terminal = Terminal("run", "all", "-i", inventory(without_keys(passwords, 2)), "-a", "true", "-o")
    assert terminal.end() == 4
    assert "SSH password of root: \r\n" not in terminal.seen
    assert "SSH password of root: -k asks for it" in terminal.seen
    assert "Permission denied" in terminal.seen


def test_a_host_that_wants_its_password_asked_for_needs_no_k(passwords: Sshd, inventory: Write) -> None:
    hosts = without_keys(passwords, 2)
    terminal = Terminal("run", "all", "-i", inventory(hosts), "-a", "true", "-o", "-e", "sshexec_ask_password=yes")
    terminal.until("SSH password of root: ")
    terminal.type("wrong\n")
    terminal.until("please try again")
    terminal.type("\x04")
    assert terminal.end() == 4


def test_a_password_that_a_host_takes_none_of_is_told(sshd: Sshd, inventory: Write) -> None:
    terminal = Terminal("run", "all", "-i", inventory(without_keys(sshd, 1)), "-a", "true", "-o", "-k")
    terminal.until("SSH password: ")
    terminal.type("any\n")
    assert terminal.end() == 4
    assert "no credential to offer; the host takes no password" in terminal.seen


def test_a_code_is_asked_for_once_and_nothing_is_drawn_meanwhile(codes: Sshd, inventory: Write) -> None:
    hosts: dict[str, dict[str, Any]] = {**codes.hosts(4), "here": {"ansible_connection": "local"}}
    terminal = Terminal("run", "all", "-i", inventory(hosts), "-m", "raw", "-a", "echo it; sleep 2", "-o")
    terminal.until(": Code: ")
    time.sleep(1)
    assert not terminal.shows_more(), "the display leaves the terminal to the question"
    terminal.type(f"{CODE}\n")
    assert terminal.end() == 0, terminal.seen
    assert terminal.seen.count(": Code: ") == 1
    assert terminal.seen.count("CHANGED") == 5
    assert "canary" not in terminal.seen


def test_interrupting_a_question_stops_the_run_and_restores_the_terminal(codes: Sshd, inventory: Write) -> None:
    terminal = Terminal("run", "all", "-i", inventory(codes.hosts(6)), "-a", "true", "-o")
    before = termios.tcgetattr(terminal.descriptor)[3] & termios.ECHO
    terminal.until(": Code: ")
    assert before
    assert not termios.tcgetattr(terminal.descriptor)[3] & termios.ECHO
    terminal.type("\x03")
    terminal.until("CANCELLED")
    assert termios.tcgetattr(terminal.descriptor)[3] & termios.ECHO
    assert terminal.end() == 130
    assert terminal.seen.count("CANCELLED") == 6, "none of them counts as a host that has failed"


def test_a_run_that_ends_before_a_question_is_answered_restores_the_terminal(codes: Sshd, inventory: Write) -> None:
    terminal = Terminal("run", "all", "-i", inventory(codes.hosts(2)), "-a", "true", "-o", "--run-timeout", "3")
    kept = os.dup(terminal.descriptor)
    try:
        terminal.until(": Code: ")
        assert not termios.tcgetattr(kept)[3] & termios.ECHO
        assert terminal.end() == 2, terminal.seen
        assert termios.tcgetattr(kept)[3] & termios.ECHO
    finally:
        os.close(kept)


def test_without_a_terminal_nobody_is_asked(codes: Sshd, inventory: Write) -> None:
    done = sshexec("run", "all", "-i", inventory(codes.hosts(2)), "-a", "true", "-o", start_new_session=True)
    assert done.returncode == 4
    assert "the host asks 'Code:'" in done.stdout
    done = sshexec("run", "all", "-i", "h1,", "-a", "true", "-k", start_new_session=True)
    assert done.returncode == 5
    assert "-k: there is no terminal to ask for the password at" in done.stderr


def test_a_passphrase_is_asked_for_with_standard_input_elsewhere(sshd: Sshd, inventory: Write, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.write_bytes(sshd.key.read_bytes())
    locked.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "canary-phrase", "-f", str(locked)], check=True)
    hosts = {name: {**v, "ansible_private_key_file": str(locked)} for name, v in sshd.hosts(3).items()}
    path = inventory(hosts)
    terminal = Terminal("run", "all", "-i", path, "-a", "true", "-o", stdin="/dev/null")
    terminal.until(f"Passphrase of {locked}: ")
    terminal.type("canary-wrong\n")
    terminal.until("that was wrong")
    terminal.until(f"again\r\nPassphrase of {locked}: ")
    terminal.type("canary-phrase\n")
    assert terminal.end() == 0, terminal.seen
    assert terminal.seen.count("CHANGED") == 3
    assert "canary" not in terminal.seen
    done = sshexec("run", "all", "-i", path, "-a", "true", start_new_session=True)
    assert done.returncode == 5
    assert "is encrypted: give ansible_private_key_passphrase" in done.stderr


def test_a_key_file_of_the_command_line_wins_over_a_key_in_the_inventory(sshd: Sshd, inventory: Write) -> None:
    hosts = without_keys(sshd, 1, ansible_ssh_private_key="canary-no-key")
    path = inventory(hosts)
    done = sshexec("run", "all", "-i", path, "-a", "true", "--private-key", sshd.key, start_new_session=True)
    assert done.returncode == 0, done.stdout + done.stderr
    done = sshexec("run", "all", "-i", path, "-a", "true", start_new_session=True)
    assert done.returncode == 5
    assert "ansible_private_key holds no private key" in done.stderr
    assert "canary" not in done.stdout + done.stderr


def question(kind: Any, group: str = "root") -> Question:
    return Question(kind, group, f"{kind} of {group}", "h1")


def test_a_question_that_nobody_answers_does_not_keep_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "PATIENCE", 0.0)
    monkeypatch.setattr(questions, "_AFTER", 0.5)
    ours, theirs = os.openpty()
    try:
        answers: list[object] = []
        asker = threading.Thread(
            target=lambda: answers.append(TerminalQuestions(theirs, {})(question("code"))), daemon=True
        )
        asker.start()
        asker.join(20)
        assert answers == [None]
        assert termios.tcgetattr(theirs)[3] & termios.ECHO
    finally:
        os.close(ours)
        os.close(theirs)


def test_the_become_password_is_the_ssh_password_where_it_is_left_empty() -> None:
    ask = TerminalQuestions(-1, {"password": Secret("login"), "become": Secret("")})
    assert ask(question("become")) == Secret("login")
    assert ask(question("become", "other")) == Secret("login")
    ask = TerminalQuestions(-1, {"password": Secret("login"), "become": Secret("own")})
    assert ask(question("become")) == Secret("own")
    assert ask(question("password")) == Secret("login")
    ask = TerminalQuestions(-1, {})
    with pytest.raises(NoAnswerError, match="-K asks for it"):
        ask(question("become"))
    with pytest.raises(NoAnswerError, match="-k asks for it"):
        ask(question("password"))
