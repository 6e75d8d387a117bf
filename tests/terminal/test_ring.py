"""The ring against a plain byte string, which keeps everything."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sshexec.terminal.ring import Ring


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 9000), st.lists(st.binary(max_size=3000) | st.sampled_from([b"x" * 5000, b"y" * 20000]), max_size=12)
)
def test_it_keeps_the_end_of_all_there_was(size: int, pieces: list[bytes]) -> None:
    ring, everything = Ring(size), b""
    for piece in pieces:
        ring.append(piece)
        everything += piece
        assert ring.end == len(everything)
        assert ring.end - ring.start <= size
        assert ring.end - ring.start >= min(len(everything), size) or ring.start == 0
        assert ring.read(ring.start, size) == everything[ring.start :]
    for seq in {ring.start, (ring.start + ring.end) // 2, ring.end}:
        assert ring.read(seq, 7) == everything[seq : seq + 7]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 700), max_size=30), st.integers(64, 1000))
def test_a_cursor_sees_each_byte_once_or_hears_that_it_missed_some(steps: list[int], size: int) -> None:
    ring, seq, number = Ring(size), 0, 0
    for step in steps:
        data = bytes((number + n) % 251 for n in range(step))
        number += step
        ring.append(data)
        if seq < ring.start:
            with pytest.raises(IndexError):
                ring.read(seq, 1)
            seq = ring.start
        piece = ring.read(seq, 333)
        assert all(byte == (seq + n) % 251 for n, byte in enumerate(piece))
        seq += len(piece)


def test_what_is_not_there_is_no_byte() -> None:
    ring = Ring(100)
    ring.append(b"abc")
    with pytest.raises(IndexError):
        ring.read(4, 1)
    with pytest.raises(IndexError):
        ring.read(-1, 1)
    assert ring.read(3, 10) == b""


def test_it_is_small_until_it_is_needed() -> None:
    ring = Ring(2**30)
    ring.append(b"x" * 5000)
    assert len(ring._buffer) < 20_000


def beginning(data: bytes, most: int = 100) -> bytes:
    """Return where somebody begins who sees the last bytes only."""
    ring = Ring(len(data) + 10)
    ring.append(b"." * 10 + data)
    ring.append(b"." * 10)  # so that the first ones are gone
    return ring.read(ring.fresh_start(most), most)[:-10]


def test_who_comes_late_begins_at_a_line() -> None:
    assert beginning(b"\x1b[31mhalf a line\r\nwhole\r\n", 30).startswith(b"whole")


def test_without_a_line_at_an_escape_sequence_or_a_character() -> None:
    assert beginning(b"3;1mred\x1b[0mplain").startswith(b"\x1b[0m")
    assert beginning("é".encode()[1:] + "世界".encode()) == "世界".encode()
    assert beginning(b"\x80" * 20) == b"\x80" * 20


def test_who_comes_early_enough_begins_at_the_beginning() -> None:
    ring = Ring(100)
    ring.append(b"no line yet")
    assert ring.fresh_start(100) == 0
    assert ring.fresh_start(4) == 7
