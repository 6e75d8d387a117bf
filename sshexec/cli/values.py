"""Values of options that click has no type for."""

from __future__ import annotations

import re
from typing import Any

import click


class Size(click.ParamType):
    """A number of bytes: ``65536``, ``64k``, ``16M``, ``1G``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([0-9]{1,15})([kKmMgG]?)[bB]?", value.strip())
        if match is None or int(match[1]) == 0:
            self.fail(f"expected a size such as 65536, 64k or 16M, got {value!r}", param, ctx)
        return int(match[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[match[2].lower()]


class Serial(click.ParamType):
    """Sizes of batches: ``5``, ``20%``, ``1,10,50%``."""

    name = "sizes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int | str]:
        """Return the sizes as the engine takes them."""
        if isinstance(value, list):
            return value
        words = [word.strip() for word in value.split(",")]
        if not all(re.fullmatch(r"[0-9]+|[0-9]+(\.[0-9]+)?%", word) for word in words):
            self.fail(f"expected hosts or percentages such as 5, 20% or 1,10,50%, got {value!r}", param, ctx)
        return [word if word.endswith("%") else int(word) for word in words]


SECONDS = click.FloatRange(min=0, min_open=True)
"""A number of seconds above 0."""
