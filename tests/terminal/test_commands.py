"""Which commands were typed, and what may be typed; with a real shell. Attack 11, as far as it can be met, and 15."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sshexec.errors import ArgumentError
from sshexec.terminal.commands import CommandLog, Lines
from tests.terminal.shells import Shell, session


class Log:
    """A shell, and what is seen of it."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.log = CommandLog(lambda info, command: self.commands.append(command.text))
        self.shell = Shell(self.log)


@pytest.fixture
def seen() -> Iterator[Log]:
    log = Log()
    yield log
    log.shell.end()


def test_a_command_is_seen_however_it_came_to_stand_there(seen):
    shell = seen.shell
    shell.keys("echo one")
    shell.type("\r")
    shell.type("\x1b[A", "echo one")
    shell.type("\r")
    shell.type("cd /us\t", "/usr/")
    shell.type("\r")
    shell.type("echo wrong\x15echo r\x7fright\r")
    shell.type("echo käse 漢字\r")
    long = "echo " + "x" * 150
    shell.type(long + "\r")
    assert seen.commands == ["echo one", "echo one", "cd /usr/", "echo right", "echo käse 漢字", long]


def test_each_line_of_a_paste_is_a_command(seen):
    seen.shell.type("echo a\recho b\recho c; echo e''nd\r", "end\r\n")
    assert seen.commands[:2] == ["echo a", "echo b"]
    assert seen.commands[2].endswith("echo c; echo e''nd")


def test_what_is_not_shown_is_no_command(seen):
    shell = seen.shell
    shell.type("read -s -p Pass''word: x; echo\r", "Password:")
    shell.type("hunter2\r")
    shell.type("read -s -p P''IN: x\r", "PIN:")
    shell.type("4711\r")
    shell.type("echo after\r")
    assert seen.commands == ["read -s -p Pass''word: x; echo", "read -s -p P''IN: x", "echo after"]


def test_a_cancelled_line_is_no_command(seen):
    seen.shell.type("rm -rf /", "rm -rf /")
    seen.shell.settle()
    seen.shell.type("\x03")
    seen.shell.type("echo x\r")
    assert seen.commands == ["echo x"]


def test_what_goes_on_in_a_full_screen_program_is_not_taken_for_commands(seen):
    shell = seen.shell
    shell.type("printf '\\033[?1049h'; read x; printf '\\033[?1049l'\r", "\x1b[?1049h")
    shell.type("secret\r")
    shell.type("echo x\r")
    assert seen.commands[-1] == "echo x"
    assert not [each for each in seen.commands if each == "secret"]


def refusing(*words: str) -> CommandLog:
    log = CommandLog(filters=[lambda info, text, user: next((f"no {word}" for word in words if word in text), None)])
    log.opened(session())
    return log


def test_a_filter_sees_each_line_before_it_is_typed():
    log = refusing("rm ")
    assert log.permits(b"ls\r", "ann") is None
    assert log.permits(b"rm -rf x\r", "ann") == "no rm "
    # All of a paste or nothing: half of it may do what nobody wanted (jumpserver#10976).
    assert log.permits(b"cd /tmp\rrm -rf x\rls\r", "ann") == "no rm "
    assert log.permits(b"cd /tmp\nrm -rf x\nls", "ann") == "no rm "
    for key in (b"r", b"m", b" ", b"x"):
        assert log.permits(key, "ann") is None
        log.typed(key, "ann")
        log.shown(key)
    assert log.permits(b"\r", "ann") == "no rm "
    assert log.permits(b"\r", "ann") == "no rm "
    assert log.permits(b"\x03", "ann") is None


def test_a_filter_sees_what_the_history_and_completion_brought():
    log = refusing("rm ")
    log.shown(b"$ ")
    log.typed(b"\x1b[A", "ann")
    log.shown(b"rm -rf /srv")
    assert log.permits(b"\r", "ann") == "no rm "


def test_keys_that_take_back_do_not_hide_what_is_left():
    log = refusing("rm ")
    assert log.permits(b"xx\x7f\x7frm -r\r", "ann") == "no rm "
    assert log.permits(b"rm -r\x15ls\r", "ann") is None


@pytest.mark.parametrize(
    "typed", ["r\\m x\r", "$(echo rm) x\r", "!r\r", "echo cm0gLXJmIC8K | base64 -d | sh\r", "ｒｍ x\r"]
)
def test_what_a_shell_makes_of_a_line_nobody_knows_here(typed):
    """The documented limit: these pass."""
    assert refusing("rm ").permits(typed.encode(), "ann") is None


def test_a_filter_that_fails_refuses(caplog):
    def broken(info: object, text: str, user: str) -> str | None:
        raise ValueError(text)

    log = CommandLog(filters=[broken])
    log.opened(session())
    assert log.permits(b"canary\r", "ann") == "the command can't be checked"
    assert "canary" not in caplog.text


def test_a_line_that_is_too_long_to_be_known_is_refused():
    log = refusing("rm ")
    assert log.permits(b"x" * 70000 + b" ; rm x\r", "ann") == "the line is too long to be checked"
    assert log.permits(b"x" * 70000, "ann") is None


def test_many_lines_do_not_hide_one():
    assert refusing("rm ").permits(b"\r" * 5000 + b"rm x\r" + b"\r" * 5000, "ann") == "no rm "


def test_a_sink_and_a_filter_may_act_on_what_they_are_told_of():
    """As to type something, or to show something meanwhile: neither holds what that needs."""

    def act(*told: object) -> None:
        assert log.permits(b"x\r", "ann") is None
        acted.append(told)

    acted: list[object] = []
    log = CommandLog(act, [lambda info, text, user: log.shown(b"meanwhile")])
    log.opened(session())
    log.typed(b"ls\r", "ann")
    log.shown(b"ls\r\n")
    assert len(acted) == 1


def test_a_filter_has_to_be_a_function():
    with pytest.raises(ArgumentError, match="expected a function"):
        CommandLog(filters=["rm"])  # type: ignore[list-item]


def test_what_was_typed_ahead_is_not_waited_for_without_end():
    lines = Lines(input=lambda data: None)
    for _ in range(1000):
        lines.typed(b"never shown\r", "ann")
        lines.shown(b"x\r\n" * 3)
    assert len(lines._waiting) <= 256
