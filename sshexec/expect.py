"""What public calls expect of their plain arguments: checked at once, and named where it is wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sshexec.errors import ArgumentError

LONGEST = 10**9
"""Seconds: 31 years. No clock of the system is asked to wait longer."""


def seconds(name: str, value: object, *, zero: bool = False, optional: bool = True) -> None:
    """Check a time.

    Args:
        name: of the argument.
        value: seconds, or None for no limit.
        zero: whether 0 is allowed.
        optional: whether None is.

    Raises:
        ArgumentError: it is no number, or out of range.
    """
    if value is None and optional:
        return
    if _number(value) and (value >= 0 if zero else value > 0) and value <= LONGEST:  # type: ignore[operator]
        return
    bounds = f"{'from' if zero else 'above'} 0"
    if _number(value) and value > LONGEST:  # type: ignore[operator]
        bounds += f", at most {LONGEST}"
    raise ArgumentError(f"{name}: expected seconds {bounds}, got {value!r}")


def count(name: str, value: object, what: str) -> None:
    """Check a whole number from 1.

    Args:
        name: of the argument.
        value: what was given.
        what: that is counted.

    Raises:
        ArgumentError: it is anything else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ArgumentError(f"{name}: expected a number of {what} from 1, got {value!r}")


def percentage(name: str, value: object) -> None:
    """Check a number from 0 to 100; None is allowed.

    Raises:
        ArgumentError: it is anything else.
    """
    if value is not None and not (_number(value) and 0 <= value <= 100):  # type: ignore[operator]
        raise ArgumentError(f"{name}: expected a number from 0 to 100, got {value!r}")


def mapping(name: str, value: object) -> None:
    """Check a mapping of names; None is allowed.

    Raises:
        ArgumentError: it is none, or a name in it is no text. Values are not shown: they may be secret.
    """
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise ArgumentError(f"{name}: expected a mapping of names to values, got {type(value).__name__}")
    for key in value:
        if not isinstance(key, str):
            raise ArgumentError(f"{name}: expected names that are texts, got {key!r}")


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)
