"""What a person sees: the live display, colours, and nothing that a host could do to the terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.command import Terminal

SHOW_CURSOR = "\x1b[?25h"
LOCAL = ("run", "all", "-i", "h1,h2,", "-c", "local", "-m", "shell")


def test_live_display_names_the_slowest_host(tmp_path) -> None:
    gate = tmp_path / "gate"
    code = f"test {{{{ inventory_hostname }}}} = h1 || until test -e {gate}; do sleep 0.1; done; echo done"
    terminal = Terminal(*LOCAL, "-a", code, "-o")
    seen = terminal.until("idle for 2 s")
    assert "1/2 hosts" in seen
    assert "1 changed" in seen
    assert "1 at work" in seen
    assert re.search(r"h2\S* +\S*running for \d+ s, idle for 2 s", seen)
    assert "h1 | CHANGED | rc=0" in seen, "results wait for nobody"
    gate.touch()
    assert terminal.end() == 0
    assert "h2 | CHANGED | rc=0" in terminal.seen
    assert "2 hosts in" in terminal.seen
    assert SHOW_CURSOR in terminal.seen


@pytest.mark.parametrize("options", [(), ("--processes", "2")], ids=["one process", "workers"])
def test_interrupt_from_the_keyboard(options: tuple[str, ...]) -> None:
    # The terminal sends SIGINT to the whole foreground group, worker processes included.
    terminal = Terminal(*LOCAL, "-a", "sleep 600", *options)
    terminal.until("2 at work")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "stopping the hosts" in terminal.seen
    assert "h1 | CANCELLED" in terminal.seen
    assert "cancelled: 2 hosts" in terminal.seen
    assert terminal.seen.rindex(SHOW_CURSOR) > terminal.seen.rindex("\x1b[?25l")


def test_second_interrupt_restores_the_cursor() -> None:
    terminal = Terminal(*LOCAL, "-a", "trap '' TERM; for i in $(seq 30); do sleep 1; done")
    terminal.until("2 at work")
    terminal.type("\x03")
    terminal.until("stopping the hosts")
    terminal.until("stopping for ")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "CANCELLED" not in terminal.seen
    assert terminal.seen.rindex(SHOW_CURSOR) > terminal.seen.rindex("\x1b[?25l")


def test_control_characters_of_hosts_are_shown_and_not_obeyed() -> None:
    terminal = Terminal(*LOCAL, "-a", r"printf '\033]0;owned\007\302\233 \342\200\256 end'", env={"NO_COLOR": "1"})
    assert terminal.end() == 0
    assert r"\x1b]0;owned\x07\x9b \u202e end" in terminal.seen
    assert "\x1b]0;" not in terminal.seen
    assert "\u202e" not in terminal.seen


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colours(env: dict[str, str], coloured: bool) -> None:
    terminal = Terminal(*LOCAL, "-a", "true", env=env)
    assert terminal.end() == 0
    assert ("\x1b[33mh1 | CHANGED" in terminal.seen) is coloured


def test_password_is_asked_for_and_not_shown() -> None:
    terminal = Terminal("run", "all", "-i", "h1,", "-c", "local", "-u", "deploy", "-k", "-a", "true", "-v")
    terminal.until("SSH password of deploy: ")
    terminal.type("hunter2\n")
    assert terminal.end() == 0
    assert "CHANGED" in terminal.seen
    assert "hunter2" not in terminal.seen


@pytest.mark.parametrize("login", [False, True])
def test_become_password_is_asked_for_and_not_shown(login: bool, tmp_path: Path) -> None:
    program = tmp_path / "sudo"
    program.write_text(
        '#!/bin/sh\nwhile [ "$1" != /bin/sh ]; do case $1 in -p) printf %s "$2" >&2 ;; -u) echo as "$2" ;; esac\n'
        'shift; done\nread -r answer; [ "$answer" = hunter2 ] || exit 1\nexec "$@"\n'
    )
    program.chmod(0o755)
    given = ("-b", "-K", "--become-user", "deploy", "-e", f"ansible_become_exe={program}", *(("-k",) if login else ()))
    terminal = Terminal("run", "all", "-i", "h1,", "-c", "local", *given, "-a", "echo welcome")
    if login:
        terminal.until("SSH password: ")
        terminal.type("hunter2\n")
        terminal.until("BECOME password[defaults to SSH password]: ")
        terminal.type("\n")
    else:
        terminal.until("BECOME password: ")
        terminal.type("hunter2\n")
    assert terminal.end() == 0
    assert "welcome" in terminal.seen
    assert "hunter2" not in terminal.seen


def test_interrupt_at_the_password_question() -> None:
    terminal = Terminal("run", "all", "-i", "h1,", "-c", "local", "-k", "-a", "true")
    terminal.until("SSH password: ")
    terminal.type("\x03")
    assert terminal.end() == 130
    assert "sshexec: error: interrupted" in terminal.seen
