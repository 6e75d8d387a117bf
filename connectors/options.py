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
class Explained:
    """One effective setting of a connection, and where it came from.

    Args:
        name: the setting, by the name people know it by.
        value: its value; a `Secret` stays one.
        variable: the host variable that set it; empty where none did.
        place: file and line that set it; empty where none did. With neither it is the default.
        note: what else is worth knowing, such as that a file is missing.
        group: what it is a setting of, where that is not the host itself: a jump host.
    """

    name: str
    value: Any
    variable: str = ""
    place: str = ""
    note: str = ""
    group: str = ""


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
            OptionError: a value has the wrong type or is out of range; the message names host, variable and value.
        """
        return cls(**cls._given(variables, host))

    @classmethod
    def _given(cls, variables: Mapping[str, Any], host: str | None) -> dict[str, Any]:
        """Return the fields that a variable sets, for `from_vars`."""
        values: dict[str, Any] = {}
        for field, kind in _declared(cls):
            for variable in field.metadata["variables"]:
                value = variables.get(variable)
                if value is not None:
                    values[field.name] = _convert(field, kind, variable, value, host)
                    break
        return values

    @classmethod
    def explain(cls, variables: Mapping[str, Any], host: str | None = None) -> list[Explained]:
        """Return every effective setting and what set it, as `from_vars` would have it.

        Args:
            variables: the host's merged variables.
            host: the inventory name.

        Raises:
            OptionError: as `from_vars`.
        """
        options = cls.from_vars(variables, host)
        return [
            Explained(field.name, getattr(options, field.name), variable=_setting_variable(field, variables))
            for field, _ in _declared(cls)
        ]

    @classmethod
    def variables(cls) -> dict[str, str]:
        """Return every host variable these options read, with its help line."""
        return {name: field.metadata["help"] for field, _ in _declared(cls) for name in field.metadata["variables"]}


def setting_variable(cls: type[ConnectorOptions], name: str, variables: Mapping[str, Any]) -> str:
    """Return the variable that sets a field; empty where none does."""
    return next((_setting_variable(field, variables) for field, _ in _declared(cls) if field.name == name), "")


def settable(cls: type[ConnectorOptions]) -> list[str]:
    """Return the fields that a variable can set."""
    return [field.name for field, _ in _declared(cls)]


def _setting_variable(field: dataclasses.Field[Any], variables: Mapping[str, Any]) -> str:
    return next((name for name in field.metadata["variables"] if variables.get(name) is not None), "")


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
    hidden = kind is Secret or isinstance(value, Secret)
    if kind is not Secret and isinstance(value, Secret):
        # A setting may be a secret of the inventory, whatever it is: ansible-vault encrypts anything.
        value = value.reveal()

    def wrong(expected: str) -> OptionError:
        shown = HIDDEN if hidden else repr(value)
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
    bounds = "" if low is None else f" from {low:g} on" if high is None else f" from {low:g} to {high:g}"
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
