"""Output is kept within its budget: head, tail, and the whole in a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshexec.connectors.output import Budget, Capture, Output


def test_what_fits_is_kept_whole() -> None:
    capture = Capture(10)
    for piece in (b"12345", b"", b"67890"):
        capture.write(piece)
    assert (capture.value(), capture.dropped, capture.size) == (b"1234567890", 0, 10)


def test_head_and_tail_are_kept() -> None:
    capture = Capture(20_000)
    data = bytes(range(256)) * 400
    for start in range(0, len(data), 777):
        capture.write(data[start : start + 777])
    assert capture.dropped == len(data) - 20_000
    assert capture.value() == data[:10_000] + b"\n[... %d bytes left out ...]\n" % capture.dropped + data[-10_000:]


@given(st.lists(st.binary(max_size=3000), max_size=40), st.integers(min_value=1, max_value=20_000))
def test_nothing_is_lost_without_being_counted(pieces: list[bytes], limit: int) -> None:
    capture = Capture(limit)
    for piece in pieces:
        capture.write(piece)
    data = b"".join(pieces)
    assert capture.size == len(data)
    value = capture.value()
    if not capture.dropped:
        assert value == data
    else:
        head, gap, tail = value.partition(b"\n[... %d bytes left out ...]\n" % capture.dropped)
        assert gap
        assert len(head) + len(tail) + capture.dropped == len(data)
        assert data.startswith(head)
        assert data.endswith(tail)


def test_the_whole_stream_is_spilled(tmp_path: Path) -> None:
    output = Output(limit=10_000, spill=str(tmp_path))
    data = b"".join(b"line %d\n" % number for number in range(10_000))
    for start in range(0, len(data), 1000):
        output.write("stdout", data[start : start + 1000])
    output.write("stderr", b"short")
    output.close()
    assert output.truncated
    assert set(output.spilled) == {"stdout"}
    spilled = Path(output.spilled["stdout"])
    assert spilled.read_bytes() == data
    assert spilled.stat().st_mode & 0o777 == 0o600


def test_a_used_up_budget_leaves_each_stream_a_small_tail() -> None:
    budget = Budget(5000)
    first, second = Capture(10_000, budget), Capture(10_000, budget)
    first.write(b"a" * 4000)
    second.write(b"b" * 4000)
    for _ in range(100):
        second.write(b"c" * 1000)
    assert first.value() == b"a" * 4000
    assert second.dropped > 90_000
    assert second.value().endswith(b"c" * 1000)


def test_output_passes_pieces_on() -> None:
    seen: list[tuple[str, bytes]] = []
    output = Output(tee=lambda stream, data: seen.append((stream, data)))
    output.write("stdout", b"a\xff")
    output.write("stderr", b"")
    output.write("stderr", b"b")
    assert seen == [("stdout", b"a\xff"), ("stderr", b"b")]
    assert (output.text("stdout"), output.text("stderr")) == ("a\ufffd", "b")
    assert not output.truncated


@pytest.mark.parametrize("size", [1, 2, 3])
def test_tiny_limits(size: int) -> None:
    capture = Capture(size)
    capture.write(b"x" * 10_000)
    assert capture.dropped
    assert capture.size == 10_000


def test_the_tail_is_charged_to_the_budget_too() -> None:
    budget = Budget(30_000)
    captures = [Capture(20_000, budget) for _ in range(10)]
    for capture in captures:
        capture.write(b"x" * 100_000)
    assert sum(len(capture.value()) for capture in captures) <= 30_000 + 10 * (4096 + 50)


def test_a_spill_that_fails_is_none(tmp_path: Path) -> None:
    output = Output(limit=1000, spill=str(tmp_path / "nope"))
    output.write("stdout", b"x" * 10_000)
    output.close()
    assert output.truncated
    assert output.spilled == {}
    full = Capture(1000, spill=str(tmp_path))
    full.write(b"x" * 10_000)
    assert full._file is not None
    full._file.close()
    full._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
    full.write(b"x")
    full.close()
    assert full.path is None
    assert list(tmp_path.iterdir()) == []
