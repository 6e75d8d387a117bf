"""The modes of a terminal that somebody gets back who comes late."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sshexec.terminal.modes import Modes


def after(*pieces: bytes) -> Modes:
    modes = Modes()
    for piece in pieces:
        modes.feed(piece)
    return modes


def test_a_terminal_as_it_is_at_first_needs_nothing() -> None:
    assert after(b"plain \x1b[31mred\x1b[0m \x1b[?7h\x1b[?25h").before(b"") == b""


def test_vim_s_screen_and_keys_come_back() -> None:
    modes = after(b"\x1b[?1049h\x1b[?1h\x1b=\x1b[?2004h\x1b[?25l")
    assert modes.alternate
    assert modes.before(b"") == b"\x1b[?1h\x1b[?25l\x1b=\x1b[?1049h\x1b[?2004h"
    modes.feed(b"\x1b[?1049l\x1b[?1l\x1b>\x1b[?2004l\x1b[?25h")
    assert modes.before(b"") == b""


def test_what_the_last_output_changes_was_the_other_way_round_before_it() -> None:
    entering, leaving = b"\x1b[?1049h", b"\x1b[?1049l"
    assert after(entering, b"text").before(b"text") == entering
    assert after(entering, leaving).before(leaving) == entering
    assert after(entering).before(entering) == b""
    assert after(entering, leaving, entering).before(leaving + entering) == entering


@given(st.integers(1, 40))
def test_a_sequence_may_come_in_pieces(cut: int) -> None:
    data = b"before\x1b[?1;1006;25l\x1b[?1049hafter a while, \x1b[?2004h"
    assert after(data[:cut], data[cut:]).before(b"") == after(data).before(b"") != b""


def test_a_reset_resets() -> None:
    full = b"\x1b[?1049h\x1b[?25l\x1b="
    assert after(full, b"\x1bc").before(b"") == b""
    assert after(full, b"\x1b[!p").before(b"") == b"\x1b[?1049h"


@given(st.lists(st.sampled_from([b"\x1b[?", b"\x1b", b"1049", b"h", b";", b"l", b"99999999999999", b"[", b"x"])))
def test_nonsense_does_no_harm(pieces: list[bytes]) -> None:
    modes = after(*pieces)
    assert len(modes.before(b"".join(pieces))) < 200
    assert len(modes._half) <= 70
