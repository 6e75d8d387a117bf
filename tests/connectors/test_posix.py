"""The frame around a command, in whatever pieces its lines come, and by whatever shell."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshexec.connectors.base import Command
from sshexec.connectors.output import Output
from sshexec.connectors.posix import MAX_LINE, NOTE, Frame, quote
from sshexec.errors import ArgumentError

SHELLS = [shell for shell in (["dash"], ["bash"], ["busybox", "sh"]) if shutil.which(shell[0])]


def played(command: Command, shell: list[str], path: str | None = None) -> tuple[Frame, Output, int]:
    """Run a frame's line by a shell, with that shell also in place of /bin/sh."""
    output = Output()
    frame = Frame(command, output)
    program = [str(shutil.which(shell[0])), *shell[1:]]
    line = frame.line().decode("utf-8", "surrogateescape").replace("exec /bin/sh", f"exec {' '.join(program)}", 1)
    env = {"PATH": path} if path is not None else None
    argv = [*program, "-c", line]
    done = subprocess.run(argv, capture_output=True, check=False, env=env, stdin=subprocess.DEVNULL)
    frame.feed_stdout(done.stdout)
    frame.feed(done.stderr)
    return frame, output, done.returncode


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_frame_tells_pid_status_times_and_note(shell: list[str]) -> None:
    command = Command(f"echo out; echo err >&2; {NOTE} word 7; exit 5", environment={"A": "it's"})
    frame, output, rc = played(command, shell)
    assert (output.stdout, output.stderr) == (b"out\n", b"err\n")
    assert isinstance(frame.pid, int)
    assert frame.rc == rc == 5
    done = frame.finish(rc)
    assert (done.rc, done.note) == (5, "word 7")
    assert done.start is not None
    assert done.end is not None
    assert done.delta is not None
    assert timedelta(0) <= done.delta < timedelta(seconds=60)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize(
    "text", ["", "a b", "it's", "'", "''", "\\", "$HOME `id`", "a\nb", "*", "~", "é", "\udcff", "-n", "!"]
)
def test_quoted_words_arrive_as_they_are(shell: list[str], text: str) -> None:
    _, output, _ = played(Command(f'printf %s {quote(text)}; printf %s "$A"', environment={"A": text}), shell)
    assert output.stdout.decode("utf-8", "surrogateescape") == text * 2


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if len(shell) == 1], ids=" ".join)
def test_a_host_without_a_clock(shell: list[str]) -> None:
    frame, output, rc = played(Command("echo out; echo err >&2; exit 3"), shell, path="/nonexistent")
    done = frame.finish(rc)
    assert (frame.rc, done.start, done.end, done.delta) == (3, None, None, None)
    assert (output.stdout, output.stderr) == (b"out\n", b"err\n")


@pytest.mark.parametrize("clock", ["1700000000 N 2023-11-14 22:13:20", "1700000000  2023-11-14 22:13:20"])
def test_a_clock_without_parts_of_a_second(clock: str) -> None:
    frame = Frame(Command("x"), Output())
    token = frame._mark.decode()
    frame.feed(
        f"{token} start 12 {clock}\n{token} end 0 {clock.replace(':20', ':25').replace('000 ', '005 ', 1)}\n".encode()
    )
    done = frame.finish(0)
    assert done.delta == timedelta(seconds=5)
    assert str(done.start) == "2023-11-14 22:13:20"


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_shell_s_own_words_about_a_killed_command_are_left_out(shell: list[str]) -> None:
    frame, output, rc = played(Command("exec sh -c 'kill -9 $$'"), shell)
    assert (rc, frame.rc, output.stderr) == (137, 137, b"")


@given(
    pieces=st.lists(
        st.binary(max_size=40) | st.sampled_from([b"\x1e", b"\n", b"\x1e0123456789abcdef end 0\n"]), max_size=8
    ),
    cuts=st.lists(st.integers(min_value=0, max_value=600), max_size=12),
)
def test_frame_lines_are_found_however_the_bytes_are_cut(pieces: list[bytes], cuts: list[int]) -> None:
    output = Output()
    frame = Frame(Command("x"), output)
    frame_line = frame._mark
    printed = b"".join(pieces)
    half = len(printed) // 2
    data = (
        frame_line + b" start 42 1700000000 5000 2023-11-14 22:13:20\n" + printed[:half]
        + frame_line + b" creates\n" + printed[half:] + frame_line + b" end 3 1700000001 7000 2023-11-14 22:13:21\n"
    )  # fmt: skip
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for begin, end in itertools.pairwise(places):
        frame.feed(data[begin:end])
    done = frame.finish(3)
    assert output.stderr == printed
    assert (frame.pid, frame.rc, done.note) == (42, 3, "creates")
    assert done.delta == timedelta(seconds=1, microseconds=2)


def test_what_looks_like_a_frame_and_never_ends_is_given_back() -> None:
    output = Output()
    frame = Frame(Command("x"), output)
    frame.feed(frame._mark[:9])
    assert output.stderr == b""
    assert frame.finish(1).rc == 1
    assert output.stderr == frame._mark[:9]


def test_verbatim_commands_have_no_frame() -> None:
    output = Output()
    frame = Frame(Command("echo 'x", verbatim=True), output)
    assert frame.line() == b"echo 'x"
    frame.feed(b"\x1e")
    assert output.stderr == b"\x1e"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (Command("x" * MAX_LINE), "too long"),
        (Command("a\0b"), "NUL"),
        (Command("a\ud800b"), "half a character"),
        (Command("x", environment={"A-B": "c"}), "'A-B' is not a variable name"),
        (Command("x", environment={"A\n": "c"}), "is not a variable name"),
    ],
)
def test_commands_that_no_host_can_take(command: Command, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Frame(command, Output()).line()


NOISE = b"welcome\n" * 3


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_what_start_files_print_before_the_frame_is_left_out(size: int) -> None:
    frame = Frame(Command("echo out; echo err >&2"), Output())
    done = subprocess.run(["sh", "-c", frame.line()], capture_output=True, check=True)
    for feed, data in ((frame.feed_stdout, NOISE + done.stdout), (frame.feed, NOISE + done.stderr)):
        for at in range(0, len(data), size):
            feed(data[at : at + size])
    frame.finish(0)
    assert (frame.output.stdout, frame.output.stderr) == (b"out\n", b"err\n")


def test_what_is_said_instead_of_the_frame_is_kept() -> None:
    frame = Frame(Command("true"), Output())
    frame.feed_stdout(b"This account is ")
    frame.feed_stdout(b"currently not available.\n")
    frame.feed(b"bye\n")
    frame.finish(1)
    assert frame.output.stdout == b"This account is currently not available.\n"
    assert frame.output.stderr == b"bye\n"


def test_noise_without_end_is_not_kept_back() -> None:
    frame = Frame(Command("true"), Output())
    for _ in range(200):
        frame.feed_stdout(b"x" * 1000)
        frame.feed(b"y" * 1000)
    frame.finish(1)
    assert frame.output.stdout == b"x" * 200_000
    assert frame.output.stderr.count(b"y") == 200_000
