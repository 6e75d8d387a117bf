"""The operator's terminal while the command is stopped, and when it goes on."""

from __future__ import annotations

import os
import pty
import signal
import sys
import termios

import pytest

from sshexec.cli.jobcontrol import Settings

JOB = """
import os, signal, sys, termios
from sshexec.cli.rawterminal import RawTerminal

def raw():
    return not termios.tcgetattr(0)[3] & termios.ICANON

before = termios.tcgetattr(0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # as a shell does
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    terminal = RawTerminal(0)
    terminal.enter()
    seen = [raw()]
    for _ in range(2):
        signal.raise_signal(int(sys.argv[1]))
        seen.append(raw())
    terminal.restore()
    os._exit(0 if seen == [True, True, True] and not raw() else 1)
for _ in range(2):
    assert os.WIFSTOPPED(os.waitpid(job, os.WUNTRACED)[1])
    assert raw() == (int(sys.argv[1]) == signal.SIGSTOP)  # nobody hears of that one
    termios.tcsetattr(0, termios.TCSANOW, before)
    os.kill(job, signal.SIGCONT)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]))
"""


@pytest.mark.parametrize("number", [signal.SIGTSTP, signal.SIGSTOP])
def test_a_stopped_command_gives_the_terminal_back(number: int) -> None:
    pid, descriptor = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", JOB, str(int(number))])
    seen = b""
    try:
        while data := os.read(descriptor, 65536):
            seen += data
    except OSError:  # Linux: the other side has closed
        pass
    os.close(descriptor)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, seen


def test_the_signals_are_as_they_were() -> None:
    ours, theirs = pty.openpty()
    try:
        before = [signal.getsignal(number) for number in (signal.SIGTSTP, signal.SIGCONT, signal.SIGTTOU)]
        settings = Settings(theirs)
        changed = termios.tcgetattr(theirs)
        changed[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, changed)
        settings.changed()
        signal.raise_signal(signal.SIGCONT)
        assert not termios.tcgetattr(theirs)[3] & termios.ECHO
        settings.end()
        settings.end()
        assert [signal.getsignal(number) for number in (signal.SIGTSTP, signal.SIGCONT, signal.SIGTTOU)] == before
        assert termios.tcgetattr(theirs) == settings.before
    finally:
        os.close(ours)
        os.close(theirs)
