"""Folded host names stand for exactly the names they were made of."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshexec.cli.nodeset import fold


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        ([], ""),
        (["db"], "db"),
        (["h001", "h002", "h003", "db1"], "h[001-003],db1"),
        (["h1", "h2", "h4"], "h[1-2,4]"),
        (["h9", "h10", "h11"], "h[9-11]"),
        (["h099", "h100"], "h[099-100]"),
        (["h1", "h01"], "h[1,01]"),
        (["web1.dc1.example", "web2.dc1.example"], "web[1-2].dc1.example"),
        (["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.0.1.2"], "10.0.[0-1].[1-2]"),
        (["h2", "h1", "h2"], "h[1-2]"),
        (["h", "h1", "h2"], "h,h[1-2]"),
        (["a1b1", "a2b2"], "a1b1,a2b2"),
    ],
)
def test_fold(names: list[str], folded: str) -> None:
    assert fold(names) == folded


def expand(text: str) -> list[str]:
    """Undo `fold` for names without brackets and commas."""
    names = []
    for item in re.findall(r"(?:\[[^]]*\]|[^,\[])+", text):
        parts = []
        for piece in re.split(r"(\[[^]]*\])", item):
            if not piece.startswith("["):
                parts.append([piece])
                continue
            values = []
            for part in piece[1:-1].split(","):
                first, _, last = part.partition("-")
                values += [str(n).zfill(len(first)) for n in range(int(first), int(last or first) + 1)]
            parts.append(values)
        names += ["".join(choice) for choice in itertools.product(*parts)]
    return names


@given(st.lists(st.from_regex(r"[a-c]{0,1}[0-9]{1,3}([.x][0-9]{1,2}){0,2}", fullmatch=True), unique=True))
def test_no_name_is_lost_or_made_up(names: list[str]) -> None:
    assert sorted(expand(fold(names))) == sorted(names)
