"""Booleans and whole numbers as they stand in variables and arguments."""

from __future__ import annotations

import re

_TRUE = frozenset({"y", "yes", "on", "1", "true", "t"})
_FALSE = frozenset({"n", "no", "off", "0", "false", "f"})
_LIMIT = 10**18
"""Above any port, size, time or count."""
_DIGITS = re.compile(r"[+-]?[0-9]{1,18}")


def boolean(value: object) -> bool:
    """Return what Ansible takes for a boolean: ``yes``, ``on``, ``true``, ``y``, ``t``, 1, and their opposites.

    As ``ansible.module_utils.parsing.convert_bool.boolean`` of ansible-core 2.19 in its strict form.

    Args:
        value: a boolean, a text (in any case, white space around it is let pass) or a number.

    Raises:
        ValueError: it is none of these words, nor 0 or 1.
    """
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    elif isinstance(value, (bool, int, float)) and value in (0, 1):
        return bool(value)
    raise ValueError("is no boolean")


def whole_number(value: object) -> int:
    """Return a whole number that is given as such, as digits in a text, or as a float without a fraction.

    Stricter than ``ansible.module_utils.common.validation.check_type_int`` of ansible-core 2.19 where that hides a
    slip: a boolean is no number, nor are the digits of other scripts, ``"1e3"``, or what has more than 18 digits.

    Args:
        value: a number, or a text (white space around it is let pass).

    Raises:
        ValueError: it is no whole number.
    """
    number: int | None = None
    if isinstance(value, str):
        number = int(value) if _DIGITS.fullmatch(value.strip()) else None
    elif (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer()):
        number = int(value)
    if number is None or abs(number) >= _LIMIT:
        raise ValueError("is no whole number")
    return number
