"""Host names with ranges and ports."""

from __future__ import annotations

import contextlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshexec.inventory.ranges import expand, split_port


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("web", ["web"]),
        ("n[1:9:4]", ["n1", "n5", "n9"]),
        ("w[01:03].x", ["w01.x", "w02.x", "w03.x"]),
        ("a[a:c]b[1:2]", ["aab1", "aab2", "abb1", "abb2", "acb1", "acb2"]),
        ("z[:2]", ["z0", "z1", "z2"]),
        ("y[08:11]", ["y08", "y09", "y10", "y11"]),
        ("r[001:010:3]", ["r001", "r004", "r007", "r010"]),
        ("q[5:5]", ["q5"]),
        ("q[y:B]", ["qy", "qz", "qA", "qB"]),
        ("2001:db8::[1:2]", ["2001:db8::1", "2001:db8::2"]),
    ],
)
def test_ranges_stand_for_names(text: str, names: list[str]) -> None:
    assert expand(text) == names


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("w[1]", "is no range"),
        ("w[1:2:3:4]", "is no range"),
        ("w[1:]", "has no end"),
        ("w[01:100]", "differ in length"),
        ("w[3:1]", "counts backwards"),
        ("w[c:a]", "counts backwards"),
        ("w[a:3]", "two numbers or two letters"),
        ("w[ab:cd]", "two numbers or two letters"),
        ("w[1:3:0]", "must be a number above 0"),
        ("w[1:3:x]", "must be a number above 0"),
        ("w[-1:3]", "two numbers or two letters"),
        ("w[1:3", "without its partner"),
        ("w1:3]x[1:2]", "without its partner"),
        ("w[0:999999999]", "more than 1000000"),
        ("w[0:9999][0:9999]", "more than 1000000"),
        ("w[0:" + "9" * 5000 + "]", "out of all measure"),
    ],
)
def test_a_wrong_range_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("[", r"\[")):
        expand(text)


@given(first=st.integers(0, 300), length=st.integers(1, 30), step=st.integers(1, 7), width=st.integers(0, 5))
def test_numbers_count_as_python_counts(first: int, length: int, step: int, width: int) -> None:
    last = first + length
    begin, end = str(first).zfill(width), str(last).zfill(width)
    padded = len(begin) if begin[0] == "0" and len(begin) > 1 else 0
    if padded and len(begin) != len(end):
        with pytest.raises(ValueError, match="differ in length"):
            expand(f"h[{begin}:{end}:{step}]")
        return
    expected = [f"h{str(n).zfill(padded)}" for n in range(first, last + 1) if (n - first) % step == 0]
    assert expand(f"h[{begin}:{end}:{step}]") == expected


@given(first=st.sampled_from(string.ascii_letters), last=st.sampled_from(string.ascii_letters))
def test_letters_count_through_the_alphabet(first: str, last: str) -> None:
    letters = string.ascii_lowercase + string.ascii_uppercase
    if letters.index(first) > letters.index(last):
        with pytest.raises(ValueError, match="backwards"):
            expand(f"[{first}:{last}]")
    else:
        assert "".join(expand(f"[{first}:{last}]")) == letters[letters.index(first) : letters.index(last) + 1]


@given(st.text(alphabet="ab[]:0129", max_size=12))
def test_any_text_expands_or_is_refused_with_a_reason(text: str) -> None:
    with contextlib.suppress(ValueError):
        names = expand(text)
        assert names
        assert not any("[" in name or "]" in name for name in names)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("web", "web", None),
        ("web:2222", "web", 2222),
        ("10.0.0.1:22", "10.0.0.1", 22),
        ("web[1:3]", "web[1:3]", None),
        ("web[1:3]:2222", "web[1:3]", 2222),
        ("[2001:db8::1]:22", "2001:db8::1", 22),
        ("[2001:db8::[1:2]]:22", "2001:db8::[1:2]", 22),
        ("2001:db8::1", "2001:db8::1", None),
        ("::1", "::1", None),
        ("web:ssh", "web:ssh", None),
        ("web:٢٢", "web:٢٢", None),
    ],
)
def test_a_port_stands_behind_the_last_colon(text: str, host: str, port: int | None) -> None:
    assert split_port(text) == (host, port)


@pytest.mark.parametrize("text", ["web:0", "web:65536", "[::1]:99999", "web:123456789012345678901234567890"])
def test_a_port_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not between 1 and 65535"):
        split_port(text)
