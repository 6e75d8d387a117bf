"""How a value is shown in a message: on one line, and not endless."""

from __future__ import annotations

_LONGEST_SHOWN = 200


def readable(value: object) -> str:
    """Return a value for a message; a text that is plain stands without quotes."""
    plain = isinstance(value, str) and value.isprintable() and value.strip() == value != ""
    return cut(str(value)) if plain else quoted(value)


def quoted(value: object) -> str:
    """Return a value for a message as Python writes it."""
    try:
        # Cut before it is written out: a text may be as long as memory is.
        text = repr(value[: _LONGEST_SHOWN + 1]) if isinstance(value, (str, bytes)) else repr(value)
    except Exception:  # noqa: BLE001 - a caller's object may do anything
        text = f"<{type(value).__name__}>"
    return cut(text if text.isprintable() else ascii(text))


def cut(text: str) -> str:
    """Return a text that is not endless."""
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."
