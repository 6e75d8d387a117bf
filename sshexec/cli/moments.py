"""Points in time and spans, as people write and read them."""

from __future__ import annotations

import re
import time
from datetime import datetime

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def moment(text: str) -> float:
    """Return a point in time as seconds since the epoch: ``2026-11-27``, ``2026-11-27 14:30``, or ``2h`` ago.

    Raises:
        click.BadParameter: it is something else.
    """
    text = text.strip()
    ago = re.fullmatch(r"([0-9]{1,6})([smhdw])", text)
    if ago is not None:
        return time.time() - int(ago[1]) * _UNITS[ago[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(
            f"expected a date such as 2026-11-27, a time such as 2026-11-27T14:30, or 90m, 2h, 7d ago, got {text!r}"
        ) from None


def shown_moment(seconds: float | None) -> str:
    """Return a point in time in this place's own time; nothing for None."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def shown_span(seconds: float | None) -> str:
    """Return a span: ``4.2 s``, ``3 min 20 s``, ``2 h 5 min``; nothing for None."""
    if seconds is None:
        return ""
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def shown_size(size: int) -> str:
    """Return a number of bytes: ``512 bytes``, ``3.4 MiB``."""
    if size < 1024:
        return f"{size} bytes"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if value < 1024 or unit == "TiB":
            break
    return f"{value:.1f} {unit}"
