"""Values of options that click has no type for."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import click

from sshexec import expect


def count(text: str) -> int:
    """Return a whole number above 0.

    Raises:
        click.BadParameter: it is something else.
    """
    return _whole(text, None)


def count_up_to(most: int) -> Callable[[str], int]:
    """Return a type for whole numbers from 1 to that many."""

    def count(text: str) -> int:
        return _whole(text, most)

    return count


def seconds(text: str) -> float:
    """Return a number of seconds above 0.

    Raises:
        click.BadParameter: it is something else.
    """
    value = _number(text)
    if value is None or value <= 0:
        raise click.BadParameter(f"expected a number of seconds above 0, got {text!r}")
    if value > expect.LONGEST:
        raise click.BadParameter(f"expected at most {expect.LONGEST} seconds, got {text!r}")
    return value


def number_from(least: float, most: float | None = None) -> Callable[[str], float]:
    """Return a type for numbers from one on, up to another one.

    click's own `FloatRange` takes ``nan``, which is in every range.
    """

    def number(text: str) -> float:
        value = _number(text)
        if value is None or value < least or (most is not None and value > most):
            bounds = f", {least:g} or more" if most is None else f" from {least:g} to {most:g}"
            raise click.BadParameter(f"expected a number{bounds}, got {text!r}")
        return value

    return number


def percentage(text: str) -> float:
    """Return a number from 0 to 100.

    Raises:
        click.BadParameter: it is something else.
    """
    value = _number(text)
    if value is None or not 0 <= value <= 100:
        raise click.BadParameter(f"expected a number from 0 to 100, got {text!r}")
    return value


def size(text: str) -> int:
    """Return a number of bytes: ``65536``, ``64k``, ``16M``, ``1G``.

    Raises:
        click.BadParameter: it is something else.
    """
    match = re.fullmatch(r"([0-9]{1,15})([kKmMgG]?)[bB]?", text.strip())
    if match is None or int(match[1]) == 0:
        raise click.BadParameter(f"expected a size such as 65536, 64k or 16M, got {text!r}")
    return int(match[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[match[2].lower()]


def serial(text: str) -> list[int | str]:
    """Return sizes of batches as the engine takes them: ``5``, ``20%``, ``1,10,50%``.

    Raises:
        click.BadParameter: it is something else.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"[0-9]+|[0-9]+(\.[0-9]+)?%", word) for word in words):
        raise click.BadParameter(f"expected hosts or percentages such as 5, 20% or 1,10,50%, got {text!r}")
    return [word if word.endswith("%") else int(word) for word in words]


def _whole(text: str, most: int | None) -> int:
    value = int(text) if re.fullmatch(r"[0-9]{1,9}", text.strip()) else 0
    if value < 1 or (most is not None and value > most):
        bounds = "above 0" if most is None else f"from 1 to {most}"
        raise click.BadParameter(f"expected a whole number {bounds}, got {text!r}")
    return value


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
