"""The line that the cursor is on, as it is told from what a program writes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sshexec.terminal.echo import Echo


def line(data: str, columns: int = 80) -> str:
    echo = Echo(columns)
    echo.feed(data.encode(), None)
    return echo.text()


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ("$ ls", "$ ls"),
        ("one\r\n$ two", "$ two"),
        ("$ lx\b\x1b[Ks", "$ ls"),
        ("$ lx\b \bs", "$ ls"),
        ("$ wrong\r\x1b[K$ right", "$ right"),
        ("$ \x1b[32mgreen\x1b[0m", "$ green"),
        ("\x1b]0;title\x07$ ls", "$ ls"),
        ("\x1b]0;title\x1b\\$ ls", "$ ls"),
        ("\x1b[?2004h$ ls", "$ ls"),
        ("$ ab\x1b[Dx", "$ ax"),
        ("$ ab\x1b[D\x1b[1@x", "$ axb"),
        ("$ abc\x1b[2D\x1b[1P", "$ ac"),
        ("$ käse 漢字", "$ käse 漢字"),
        ("$ 漢x\b\x1b[K", "$ 漢"),
        ("$ e\u0301", "$ e\u0301"),
        ("$ ls\x1b[1;1H", ""),
        ("$ ls\x1b[2J", ""),
        ("$ ls\x1b[1K", ""),
        ("$ abc\r\x1b[3G\x1b[1X", "$  bc"),
        ("$ \x1b]8;;http://evil", "$"),
        ("$ ls\x1b[", "$ ls"),
        ("a\tb", "a       b"),
    ],
)
def test_what_shells_do_to_a_line(data, shown):
    assert line(data) == shown


def test_a_line_that_wraps_as_readline_wraps_it_is_one():
    assert line("$ " + "x" * 18 + " \r" + "yz", columns=20) == "$ " + "x" * 18 + "yz"


def test_a_full_screen_program_has_no_line():
    echo = Echo()
    ended: list[str] = []
    echo.feed(b"$ vim\x1b[?1049h\r\nsecret text\r\n", lambda: ended.append(echo.text()))
    assert (echo.alternate, echo.text(), ended) == (True, "", [])
    echo.feed(b"\x1b[?1049l$ ls", None)
    assert (echo.alternate, echo.text()) == (False, "$ ls")


def test_a_screen_that_came_and_went_in_a_flood_is_noticed():
    echo = Echo()
    echo.feed(b"\x1b[?1049h" + b"x\n" * 1000, None)
    assert echo.alternate


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=10), st.integers(1, 200))
def test_whatever_comes_it_stays_small_and_whole(pieces, columns):
    echo = Echo(columns)
    for piece in pieces:
        echo.feed(piece, lambda: None)
        echo.feed(piece, None)
    assert len(echo.text()) <= 4 * 4096


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60), st.data())
def test_however_it_is_cut_it_comes_to_the_same(text, data):
    whole = f"$ {text}".encode("utf-8", "surrogatepass")
    cut = data.draw(st.integers(0, len(whole)))
    one, two = Echo(), Echo()
    one.feed(whole, lambda: None)
    two.feed(whole[:cut], lambda: None)
    two.feed(whole[cut:], lambda: None)
    assert one.text() == two.text()


def test_a_flood_without_line_ends_costs_little():
    echo = Echo()
    for _ in range(200):
        echo.feed(b"x" * 65536, None)
    assert len(echo.text()) <= 4096
