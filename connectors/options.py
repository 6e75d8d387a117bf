"""Connection settings as frozen, typed dataclasses made from host variables.

Validation and documentation come from the fields::

    @dataclass(frozen=True)
    class FakeOptions(ConnectorOptions):
        port: int = option(22, "ansible_port", "ansible_ssh_port", help="TCP port", minimum=1, maximum=65535)
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sshexec.errors import OptionError
from sshexec.scalars import boolean, whole_number
from sshexec.secret import HIDDEN, Secret

T = TypeVar("T", bound="ConnectorOptions")

Fields = tuple[tuple["dataclasses.Field[Any]", type], ...]

_DECLARED: dict[type, Fields] = {}
"""The fields of each options class with their types; resolving annotations is slow."""


def option(
    default: Any,
    *variables: str,
    help: str,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
    read: Callable[[str], str] | None = None,
) -> Any:
    """Declare a field of a `ConnectorOptions` class.

    Args:
        default: its value where no variable sets it.
        variables: names of the host variables that set it, the strongest first.
        help: one line for people.
        minimum: smallest number allowed.
        maximum: largest number allowed.
        choices: texts allowed.
        read: of a field that is a tuple, which a text or a list of texts sets: makes each element of a text, or
            raises ValueError where the text is none.
    """
    metadata = {
        "variables": variables,
        "help": help,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "read": read,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class ConnectorOptions:
    """Settings of one connection."""

    @classmethod
    def from_vars(cls: type[T], variables: Mapping[str, Any], host: str | None = None) -> T:
        """Read the options from a host's variables.

        Args:
            variables: the host's merged variables; names that no field declares are left alone.
            host: the inventory name, for messages.

        Raises:
            OptionError: a value has the wrong type or is out of range, or the host asks for privilege escalation; the
                message names host, variable and value.
        """
        _refuse_become(variables, host)
        values: dict[str, Any] = {}
        for field, kind in _declared(cls):
            for variable in field.metadata["variables"]:
                value = variables.get(variable)
                if value is not None:
                    values[field.name] = _convert(field, kind, variable, value, host)
                    break
        return cls(**values)

    @classmethod
    def variables(cls) -> dict[str, str]:
        """Return every host variable these options read, with its help line."""
        return {name: field.metadata["help"] for field, _ in _declared(cls) for name in field.metadata["variables"]}


def _refuse_become(variables: Mapping[str, Any], host: str | None) -> None:
    """Refuse to run as the login user what was meant to run as another one."""
    value = variables.get("ansible_become")
    if value is None or value == "":
        return
    where = f"{f'host {host}: ' if host else ''}ansible_become"
    try:
        wanted = boolean(value)
    except ValueError:
        raise OptionError(f"{where}: expected yes or no, got {value!r}") from None
    if wanted:
        raise OptionError(f"{where}: privilege escalation is not available yet")


def _declared(cls: type[ConnectorOptions]) -> Fields:
    known = _DECLARED.get(cls)
    if known is None:
        hints = typing.get_type_hints(cls)
        fields = [(f, _plain(hints[f.name])) for f in dataclasses.fields(cls) if "variables" in f.metadata]
        known = _DECLARED[cls] = tuple(fields)
    return known


def _plain(hint: Any) -> type:
    """Return X of ``X`` and of ``X | None``, and tuple of a tuple of anything."""
    if typing.get_origin(hint) is tuple:
        return tuple
    kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    plain: type = kinds[0] if kinds else hint
    return plain


def _convert(field: dataclasses.Field[Any], kind: type, variable: str, value: Any, host: str | None) -> Any:
    def wrong(expected: str) -> OptionError:
        shown = HIDDEN if kind is Secret else repr(value)
        return OptionError(f"{f'host {host}: ' if host else ''}{variable}: expected {expected}, got {shown}")

    if kind is Secret:
        if isinstance(value, Secret):
            return value
        if isinstance(value, (dict, list, tuple)):
            raise wrong("a text")
        return Secret(str(value))
    if kind is bool:
        try:
            return boolean(value)
        except ValueError:
            raise wrong("yes or no") from None
    if kind in (int, float):
        return _number(field, kind, value, wrong)
    if kind is tuple:
        return _texts(field, value, wrong)
    if isinstance(value, (dict, list, tuple)):
        raise wrong("a text")
    text = str(value)
    if "\0" in text or "\n" in text:
        raise wrong("a text without line breaks or NUL")
    choices = field.metadata["choices"]
    if choices and text not in choices:
        raise wrong(f"one of {', '.join(choices)}")
    return text


def _texts(field: dataclasses.Field[Any], value: Any, wrong: Any) -> tuple[str, ...]:
    texts = value if isinstance(value, (list, tuple)) else [value]
    try:
        if not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError
        return tuple(map(field.metadata["read"], texts))
    except ValueError:
        raise wrong(field.metadata["help"].partition(": ")[2]) from None


def _number(field: dataclasses.Field[Any], kind: type, value: Any, wrong: Any) -> int | float:
    low, high = field.metadata["minimum"], field.metadata["maximum"]
    bounds = f" from {low:g} to {high:g}" if low is not None and high is not None else ""
    expected = ("a whole number" if kind is int else "a number") + bounds
    try:
        if isinstance(value, bool):
            raise ValueError
        number: int | float = whole_number(value) if kind is int else float(value)
    except (TypeError, ValueError, OverflowError):
        raise wrong(expected) from None
    if (low is not None and not number >= low) or (high is not None and not number <= high):
        raise wrong(expected)
    return number
