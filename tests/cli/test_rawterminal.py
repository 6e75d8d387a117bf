"""Raw mode and its escapes."""

from __future__ import annotations

import itertools
import os
import pty
import termios
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshexec.cli.rawterminal import Escapes, RawTerminal, Typed
from sshexec.connectors.terminal import Size


def feed(*pieces: bytes) -> tuple[bytes, bool, bool]:
    """Return what is for the host, whether it ended, and whether help was wanted."""
    escapes, out, wanted = Escapes(), b"", False
    for piece in pieces:
        typed = escapes.feed(piece)
        out += typed.data
        wanted = wanted or typed.help
        if typed.end:
            return out, True, wanted
    return out, False, wanted


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (b"~.", (b"", True, False)),
        (b"ls\r~.rest", (b"ls\r", True, False)),
        (b"ls\n~.", (b"ls\n", True, False)),
        (b"a~.", (b"a~.", False, False)),
        (b"\r~~.", (b"\r~.", False, False)),
        (b"~~~.", (b"~~.", False, False)),
        (b"~?~.", (b"", True, True)),
        (b"~?ls\r", (b"ls\r", False, True)),
        (b"~x\r~.", (b"~x\r", True, False)),
        (b"~\r~.", (b"~\r", True, False)),
        (b"~", (b"", False, False)),
        (b"cd ~/a\r", (b"cd ~/a\r", False, False)),
        (b"\xc3\xa9\r\x03", (b"\xc3\xa9\r\x03", False, False)),
    ],
)
def test_escapes_however_they_are_cut(typed: bytes, expected: tuple[bytes, bool, bool]) -> None:
    assert feed(typed) == expected
    assert feed(*(bytes((byte,)) for byte in typed)) == expected


@given(st.lists(st.sampled_from([b"~", b".", b"?", b"\r", b"\n", b"a", b"~~"]), max_size=12))
def test_pieces_say_the_same_as_the_whole(pieces: list[bytes]) -> None:
    assert feed(*pieces) == feed(b"".join(pieces))


def test_nothing_is_lost_without_a_tilde() -> None:
    every = bytes(byte for byte in range(256) if byte != ord("~"))
    assert Escapes().feed(every) == Typed(every)


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


def test_raw_and_back(terminal: tuple[int, int]) -> None:
    _, theirs = terminal
    before = termios.tcgetattr(theirs)
    raw = RawTerminal(theirs)
    raw.restore()
    for _ in range(2):
        raw.enter()
        raw.enter()
        local = termios.tcgetattr(theirs)[3]
        assert not any(local & flag for flag in (termios.ECHO, termios.ICANON, termios.ISIG))
        raw.restore()
        raw.restore()
        assert termios.tcgetattr(theirs) == before


def test_sizes(terminal: tuple[int, int]) -> None:
    _, theirs = terminal
    raw = RawTerminal(theirs)
    for rows, columns in itertools.product((0, 33, 5000), (0, 101, 5000)):
        termios.tcsetwinsize(theirs, (rows, columns)) if hasattr(termios, "tcsetwinsize") else pytest.skip(
            "Python 3.11"
        )
        assert raw.size == Size(min(columns or 80, 1000), min(rows or 24, 1000))
    with open(os.devnull) as nothing:
        assert RawTerminal(nothing.fileno()).size == Size(80, 24)
        RawTerminal(nothing.fileno()).enter()
