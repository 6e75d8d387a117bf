"""Values of options that click has no type for."""

from __future__ import annotations

import re

import click

SECONDS = click.FloatRange(min=0, min_open=True)
"""A number of seconds above 0."""


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
