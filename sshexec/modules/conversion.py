"""What the types of arguments take, and the words for what they do not, as in ansible-core 2.19.14.

Stricter than Ansible where it would hide a slip: a list or a mapping is no text, a text holds no NUL and no half
character, and a number has at most `_DIGITS` digits.
"""

from __future__ import annotations

import ast
import decimal
import json
import re
from collections.abc import Callable
from typing import Any, Literal

from sshexec.modules.wording import cut, quoted
from sshexec.scalars import boolean

Type = Literal["str", "bool", "int", "float", "list", "dict", "path", "raw"]

_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""What neither UTF-8 nor `surrogateescape` can write."""
_DIGITS = 4000
_BOOLEANS = "0, 1, '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'"


def convert(kind: Type, value: Any) -> Any:
    """Return a value as its type has it.

    Raises:
        TypeError: it can't be converted; the message says what it is and why.
        ValueError: likewise.
    """
    return _CONVERTERS[kind](value)


def _text(value: Any) -> str:
    if isinstance(value, (str, bool, int, float)):
        text = str(value)
        if "\0" in text:
            raise ValueError("it holds a NUL character")
        if _HALF.search(text):
            raise ValueError("it holds half a surrogate pair, which no text does")
        return text
    raise TypeError(f"{quoted(value)} is not a string and conversion is not allowed")


def _bool(value: Any) -> bool:
    if not isinstance(value, (str, bool, int, float)):
        raise TypeError(f"{type(value)} cannot be converted to a bool")
    try:
        return boolean(value)
    except ValueError:
        text = str(value)
        shown = cut(text if text.isprintable() else ascii(text)[1:-1])
        raise TypeError(f"The value '{shown}' is not a valid boolean. Valid booleans include: {_BOOLEANS}") from None


def _int(value: Any) -> int:
    if isinstance(value, int):
        return value
    try:
        number = decimal.Decimal(value if isinstance(value, (str, float)) else "")
        if number.is_finite() and number.adjusted() < _DIGITS and number == int(number):
            return int(number)
    except (decimal.DecimalException, TypeError, ValueError):
        pass
    raise TypeError(f'"{quoted(value)}" cannot be converted to an int')


def _float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{type(value)} cannot be converted to a float") from None


def _list(value: Any) -> list[Any]:
    if isinstance(value, str):
        return _text(value).split(",")
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, (int, float)):
        return [_text(value)]
    raise TypeError(f"{type(value)} cannot be converted to a list")


def _dict(value: Any) -> dict[Any, Any]:
    if isinstance(value, dict):
        return value
    if not isinstance(value, str):
        raise TypeError(f"{type(value)} cannot be converted to a dict")
    if value.startswith("{"):
        return _literal(value)
    if "=" not in value:
        raise TypeError("dictionary requested, could not parse JSON or key=value")
    pairs = [field.partition("=") for field in _fields(value.strip())]
    if not all(equals for _, equals, _ in pairs):
        raise TypeError('unable to evaluate string in the "key=value" format as dictionary')
    return {name: held for name, _, held in pairs}


def _literal(text: str) -> dict[Any, Any]:
    """Return a mapping that is written as JSON or as Python."""
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    raise TypeError("unable to evaluate string as dictionary")


def _fields(text: str) -> list[str]:
    """Split a text at commas and spaces outside quotes; a backslash takes the meaning of what follows away."""
    fields, field, quote, escaped = [], "", "", False
    for char in text:
        if escaped or (char not in "\\'\", ") or (quote and char not in ("\\", quote)):
            field += char
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in "'\"":
            quote = "" if quote else char
        else:
            fields.append(field)
            field = ""
    return [field for field in [*fields, field] if field]


def _raw(value: Any) -> Any:
    return value


_CONVERTERS: dict[Type, Callable[[Any], Any]] = {
    "str": _text,
    "path": _text,
    "bool": _bool,
    "int": _int,
    "float": _float,
    "list": _list,
    "dict": _dict,
    "raw": _raw,
}
