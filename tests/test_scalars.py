"""Booleans and whole numbers; the accepted ones are what ansible-core 2.19.14 made of the same values."""

from __future__ import annotations

from typing import Any

import pytest

from sshexec.scalars import boolean, whole_number


@pytest.mark.parametrize("value", ["y", "yes", "on", "1", "true", "t", "YES", " True\n", 1, 1.0, True])
def test_what_is_true(value: object) -> None:
    assert boolean(value) is True


@pytest.mark.parametrize("value", ["n", "no", "off", "0", "false", "f", "OFF", " False ", 0, 0.0, False])
def test_what_is_false(value: object) -> None:
    assert boolean(value) is False


@pytest.mark.parametrize(
    "value", ["", "maybe", "1.0", "2", "+1", "١", "yes yes", 2, -1, 0.5, float("nan"), None, [], {}]
)
def test_what_is_no_boolean(value: Any) -> None:
    with pytest.raises(ValueError, match="is no boolean"):
        boolean(value)


@pytest.mark.parametrize(
    ("value", "number"),
    [(22, 22), ("22", 22), (" 22\n", 22), ("-5", -5), ("+5", 5), ("007", 7), (22.0, 22), ("9" * 18, 10**18 - 1)],
)
def test_what_is_a_whole_number(value: object, number: int) -> None:
    assert whole_number(value) == number
    assert type(whole_number(value)) is int


@pytest.mark.parametrize(
    "value",
    [
        *(True, False, None, [], {}, b"22", 1.5, float("inf"), float("nan"), 1e300, 10**18, -(10**400)),
        *("", "-", "ssh", "1.5", "1e3", "0x10", "٣", "２２", "1 2", "9" * 19, "9" * 10_000, "-" + "9" * 19),
    ],
)
def test_what_is_no_whole_number(value: Any) -> None:
    with pytest.raises(ValueError, match="is no whole number"):
        whole_number(value)
