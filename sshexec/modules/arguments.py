"""Module arguments: Ansible's ``key=value`` grammar, and the types and messages of its argument specs.

What is accepted, and the messages, follow ansible-core 2.19.14; a message has the module's name in front and, where an
argument's name is close to a known one, a suggestion behind.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sshexec.errors import ArgumentError
from sshexec.scalars import boolean, whole_number

Type = Literal["str", "bool", "int", "list", "path", "raw"]

FREE_FORM = "_raw_params"
"""Name of the argument that holds a free-form text."""

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[\\'\"abfnrtv])")
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_EQUALS = re.compile(r"(?<!\\)=")
_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""What neither UTF-8 nor `surrogateescape` can write."""
_LONGEST_SHOWN = 200
_BLOCKS = {"{{": "}}", "{%": "%}", "{#": "#}"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a module.

    Args:
        name: its name.
        type: what its value is converted to; a path stays as it is, since ``~`` and ``$VAR`` are the host's to expand.
        default: its value where it is not given.
        required: whether it must be given.
        aliases: other names for it.
        choices: the values allowed.
        inline: whether ``name=value`` is lifted out of a free-form text.
        help: what it is for, in one line of Markdown; docs/modules.md shows it.
    """

    name: str
    type: Type = "str"
    default: Any = None
    required: bool = False
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    inline: bool = False
    help: str = ""


def parse(
    module: str, parameters: Sequence[Parameter], args: str | Mapping[str, Any] | None, *, free_form: bool = False
) -> dict[str, Any]:
    """Return every parameter of a module with its value.

    Args:
        module: the module's name, for messages.
        parameters: what it takes.
        args: a text (free form, ``key=value``) or a mapping; None is the same as no arguments.
        free_form: whether a text that is not ``key=value`` is the command itself.

    Raises:
        ArgumentError: an argument is unknown, missing or wrong.
    """
    given = args if isinstance(args, Mapping) else split(module, parameters, args or "", free_form=free_form)
    names = {name: parameter for parameter in parameters for name in (parameter.name, *parameter.aliases)}
    unknown = [readable(name) for name in given if name not in names]
    if unknown:
        raise ArgumentError(_unsupported(module, parameters, unknown))
    values = {parameter.name: parameter.default for parameter in parameters}
    for name, value in given.items():
        if value is not None:
            values[names[name].name] = _convert(module, names[name], value)
    missing = sorted(
        parameter.name for parameter in parameters if parameter.required and values[parameter.name] is None
    )
    if missing:
        raise ArgumentError(f"{module}: missing required arguments: {', '.join(missing)}")
    return values


def split(module: str, parameters: Sequence[Parameter], text: str, *, free_form: bool = False) -> dict[str, str]:
    """Split a text into arguments, without checking or converting them.

    Quotes and Jinja2 blocks keep what they enclose together. With ``free_form`` only the module's inline parameters
    are lifted out, and what is left is the text as it was written.

    Raises:
        ArgumentError: a quote or block is not closed, or a word is not ``key=value``.
    """
    inline = {p.name for p in parameters if p.inline}
    given: dict[str, str] = {}
    rest: list[str] = []
    kept_to = 0
    for start, end in _words(module, text):
        name, equals, value = _key_value(text[start:end])
        if equals and (not free_form or name in inline):
            given[name] = value
            # The white space before a word that is lifted out goes with it.
            rest.append(text[kept_to:start].rstrip())
            kept_to = end
        elif not free_form:
            raise ArgumentError(f"{module}: expected key=value, got {quoted(text[start:end])}")
    rest.append(text[kept_to:])
    left = "".join(rest).strip()
    if free_form and left:
        given[FREE_FORM] = left
    return given


def first_word(module: str, text: str) -> tuple[str, str]:
    """Return the first word of a text without its quotes, and the rest as it was written.

    Raises:
        ArgumentError: a quote is not closed.
    """
    for start, end in _words(module, text):
        try:
            return " ".join(shlex.split(text[start:end])), text[end:].strip()
        except ValueError as error:
            raise ArgumentError(f"{module}: {error}: {quoted(text)}") from None
    return "", ""


def readable(value: object) -> str:
    """Return a value for a message, on one line and not endless; a text that is plain stands without quotes."""
    plain = isinstance(value, str) and value.isprintable() and value.strip() == value != ""
    return _cut(str(value)) if plain else quoted(value)


def quoted(value: object) -> str:
    """Return a value for a message as Python writes it, on one line and not endless."""
    try:
        # Cut before it is written out: a text may be as long as memory is.
        text = repr(value[: _LONGEST_SHOWN + 1]) if isinstance(value, (str, bytes)) else repr(value)
    except Exception:  # noqa: BLE001 - a caller's object may do anything
        text = f"<{type(value).__name__}>"
    return _cut(text if text.isprintable() else ascii(text))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def exclusive(module: str, arguments: Mapping[str, Any], *names: str) -> None:
    """Check that at most one of these arguments is given.

    Raises:
        ArgumentError: more are.
    """
    if sum(arguments.get(name) is not None for name in names) > 1:
        raise ArgumentError(f"{module}: parameters are mutually exclusive: {'|'.join(names)}")


def one_of(module: str, arguments: Mapping[str, Any], *names: str) -> None:
    """Check that one of these arguments is given.

    Raises:
        ArgumentError: none is.
    """
    if all(arguments.get(name) is None for name in names):
        raise ArgumentError(f"{module}: one of the following is required: {', '.join(names)}")


def _words(module: str, text: str) -> Iterator[tuple[int, int]]:
    """Yield where each word begins and ends."""
    at, size = 0, len(text)
    start: int | None = None
    closing = ""
    while at < size:
        char, pair = text[at], text[at : at + 2]
        if closing:
            if closing in "'\"" and char == "\\":
                at += 2
                continue
            if text.startswith(closing, at):
                at += len(closing)
                closing = ""
                continue
        elif char.isspace():
            if start is not None:
                yield start, at
                start = None
        else:
            start = at if start is None else start
            if pair in _BLOCKS:
                closing = _BLOCKS[pair]
                at += 1
            elif char in "'\"":
                closing = char
            elif char == "\\":
                at += 1
        at += 1
    if closing:
        raise ArgumentError(
            f"{module}: failed at splitting arguments, either an unbalanced jinja2 block or quotes: {quoted(text)}"
            f" (a mapping with {FREE_FORM} takes the text as it is)"
        )
    if start is not None:
        yield start, size


def _key_value(word: str) -> tuple[str, str, str]:
    """Split a word at its first ``=`` that no backslash stands before; unquote the value and read its escapes."""
    found = _EQUALS.search(word)
    if not found or not found.start():
        return word, "", ""
    name, value = word[: found.start()].strip(), _ESCAPE.sub(_unescape, word[found.end() :].strip())
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return name, "=", value


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] in "xuU":
        return chr(int(code[1:], 16)) if int(code[1:], 16) < 0x110000 else match[0]
    return _ESCAPED.get(code, code)


def _unsupported(module: str, parameters: Sequence[Parameter], unknown: list[str]) -> str:
    known = {p.name: f"{p.name} ({', '.join(p.aliases)})" if p.aliases else p.name for p in parameters}
    message = (
        f"Unsupported parameters for ({module}) module: {', '.join(sorted(unknown))}. "
        f"Supported parameters include: {', '.join(known[name] for name in sorted(known))}."
    )
    every = [name for p in parameters for name in (p.name, *p.aliases)]
    close = [match for name in unknown for match in difflib.get_close_matches(name, every, 1)]
    return f"{message} Did you mean {' or '.join(close)}?" if close else message


def _convert(module: str, parameter: Parameter, value: Any) -> Any:
    kind = parameter.type
    try:
        converted = _CONVERTERS[kind](value)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"{module}: argument {parameter.name!r} is of type {type(value).__name__} and we were unable to convert "
            f"to {kind}: {error}"
        ) from None
    if parameter.choices and converted not in parameter.choices:
        choices = ", ".join(parameter.choices)
        raise ArgumentError(f"{module}: value of {parameter.name} must be one of: {choices}, got: {readable(value)}")
    return converted


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
    try:
        return boolean(value)
    except ValueError:
        known = "yes, no, true, false, 1, 0"
        raise TypeError(f"The value {quoted(value)} is not a valid boolean. Valid booleans include: {known}") from None


def _int(value: Any) -> int:
    try:
        return whole_number(value)
    except ValueError:
        raise TypeError(f"{quoted(value)} cannot be converted to an int") from None


def _list(value: Any) -> list[str]:
    if isinstance(value, str):
        return _text(value).split(",")
    if isinstance(value, (list, tuple)):
        return [_text(item) for item in value]
    if isinstance(value, (int, float)):
        return [_text(value)]
    raise TypeError(f"{quoted(value)} cannot be converted to a list")


def _raw(value: Any) -> Any:
    return value


_CONVERTERS: dict[Type, Callable[[Any], Any]] = {
    "str": _text,
    "path": _text,
    "bool": _bool,
    "int": _int,
    "list": _list,
    "raw": _raw,
}
