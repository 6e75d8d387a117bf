"""What a run's record must not show: the values of each host's secrets, and those of the task's own."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

from sshexec.recorder import Opening
from sshexec.secret import HIDDEN, Secret, is_secret_name, secrets_in, secrets_of

_SHORTEST = 3
"""Characters of the shortest secret that is hidden: less would make a text unreadable and give it away."""

_SHORTEST_LINE = 8
"""Characters of a line of a key that are hidden where the line stands alone."""

_SHORTEST_BASE64 = 8
"""Characters of a secret in base64 that are hidden."""

_LEFT_OUT = re.compile(r"\n\[\.\.\. \d+ bytes left out \.\.\.\]\n")
"""What `sshexec.connectors.output` writes into the middle of a stream that is over the run's limit."""

_MOST_NOTES = 100
"""Of them that are looked at in one stream."""

_EXPRESSION = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)
"""What is filled in where a secret is used, from variables that are hidden where they are secrets themselves."""


class Needles:
    """Some secrets, as they may stand in a text.

    Args:
        secrets: their texts.
    """

    __slots__ = ("_escaped", "_texts")

    def __init__(self, secrets: Iterable[str]) -> None:
        texts = {form for secret in secrets for form in _forms(secret)}
        self._texts = sorted(texts, key=len, reverse=True)
        self._escaped = [encode_basestring_ascii(text)[1:-1] for text in self._texts]

    def in_json(self, text: str) -> bool:
        """Return whether one of them may stand in a JSON text."""
        return any(needle in text for needle in self._escaped)

    def hide(self, text: str) -> str:
        """Return a text without them."""
        for needle in self._texts:
            if needle in text:
                text = text.replace(needle, HIDDEN)
        return text

    def hide_halves(self, text: str) -> str:
        """Return a text that was cut without the halves of those that were cut in two."""
        # A host may print such a line itself, as often as it likes.
        notes = _LEFT_OUT.findall(text)[:_MOST_NOTES]
        parts = _LEFT_OUT.split(text, _MOST_NOTES)
        for number in range(len(notes)):
            for needle in self._texts:
                sizes = range(len(needle) - 1, _SHORTEST - 1, -1)
                head, tail = parts[number : number + 2]
                if size := next((size for size in sizes if head.endswith(needle[:size])), 0):
                    parts[number] = head[:-size] + HIDDEN
                if size := next((size for size in sizes if tail.startswith(needle[-size:])), 0):
                    parts[number + 1] = HIDDEN + tail[size:]
        return "".join(part + note for part, note in zip(parts, [*notes, ""], strict=True))

    def hidden(self, value: Any) -> Any:
        """Return a copy of a value without them, keys of mappings included."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, Mapping):
            return {
                self.hide(name) if isinstance(name, str) else name: self.hidden(each) for name, each in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.hidden(each) for each in value]
        if isinstance(value, (int, float)) and not isinstance(value, bool) and str(value) in self._texts:
            return HIDDEN
        return value


_MARKUP = frozenset("<>&'")
"""What Jinja2's tojson escapes beside what JSON does."""


def _forms(secret: str) -> set[str]:
    """Return a secret as programs may print it: as it is, quoted, in base64, and a key's lines one by one."""
    escaped = encode_basestring_ascii(secret)[1:-1]
    forms = {secret, repr(secret)[1:-1], escaped, encode_basestring(secret)[1:-1]}
    if "'" in secret:
        # As a shell's word, in the two usual ways.
        forms.update((shlex.quote(secret)[1:-1], secret.replace("'", "'\\''")))
    if not _MARKUP.isdisjoint(secret):
        forms.add("".join(f"\\u{ord(char):04x}" if char in _MARKUP else char for char in escaped))
    # Its last letter depends on what follows.
    data = secret.encode("utf-8", "surrogatepass")
    if (length := len(data) * 4 // 3) >= _SHORTEST_BASE64:
        forms.add(base64.b64encode(data).decode()[:length])
    if "{{" in secret or "{%" in secret:
        forms.update(part for part in _EXPRESSION.split(secret) if len(part) >= _SHORTEST_LINE)
    lines = secret.splitlines()
    if len(lines) > 1:
        forms.update(line for line in lines if len(line) >= _SHORTEST_LINE)
        forms.add(secret.strip())
    return {form for form in forms if len(form) >= _SHORTEST}


class Hiding:
    """The secrets of a run.

    Args:
        opening: the run.
    """

    def __init__(self, opening: Opening) -> None:
        self._nested: dict[tuple[int, bool], tuple[str, ...]] = {}
        self._own = tuple(_named(opening.task.args)) + tuple(secrets_of(opening.task.environment))
        made: dict[tuple[str, ...], Needles] = {}
        self._hosts: dict[str, Needles] = {}
        texts: set[str] = set(self._own)
        for target in opening.targets:
            secrets = tuple(self._secrets(target.variables))
            needles = made.get(secrets)
            if needles is None:
                needles = made[secrets] = Needles((*secrets, *self._own))
                texts.update(secrets)
            self._hosts[target.host] = needles
        self._nested.clear()
        self.everything = Needles(texts)
        """The secrets of all hosts."""

    def of(self, host: str) -> Needles:
        """Return the secrets of a host."""
        return self._hosts.get(host, self.everything)

    def _secrets(self, variables: Mapping[Any, Any]) -> Iterable[str]:
        for name, value in variables.items():
            kind = type(value)
            if kind is bool or value is None:
                continue
            if kind is str or kind is int or kind is float:
                if type(name) is str and is_secret_name(name):
                    text = str(value)
                    if len(text) >= _SHORTEST:
                        yield text
                continue
            if isinstance(value, Secret):
                # One that nobody has opened yet can't be in a result.
                if len(text := value.known or "") >= _SHORTEST:
                    yield text
                continue
            # Most of what is nested is the same object on all hosts of a group; the run's targets keep it alive.
            key = (id(value), isinstance(name, str) and is_secret_name(name))
            inside = self._nested.get(key)
            if inside is None:
                inside = self._nested[key] = tuple(secrets_of({name: value}))
            yield from inside


def _named(args: str | Mapping[str, Any] | None) -> list[str]:
    """Return the secrets that a task's own arguments name."""
    if args is None:
        return []
    if isinstance(args, str):
        return secrets_in(args) or []
    free = args.get("_raw_params")
    return [*secrets_of(args), *((secrets_in(free) or []) if isinstance(free, str) else [])]


def shown_args(args: str | Mapping[str, Any] | None, needles: Needles) -> tuple[Any, bool]:
    """Return a task's arguments as a record may show them, and whether something of them is hidden."""
    if isinstance(args, str):
        shown = needles.hide(args) if secrets_in(args) is None else HIDDEN
        return shown, shown != args
    if args is None:
        return None, False
    given = {name: HIDDEN if _is_hidden(name, value) else value for name, value in args.items()}
    shown = needles.hidden(_plain(given, hide=True))
    return shown, shown != _plain(args, hide=False)


def _is_hidden(name: Any, value: Any) -> bool:
    if name == "_raw_params" and isinstance(value, str):
        return secrets_in(value) is not None
    return value is not None and isinstance(name, str) and (name == "content" or is_secret_name(name))


def _plain(value: Any, *, hide: bool) -> Any:
    """Return a value with lists for tuples, and where that is wanted without the values of secret names."""
    if isinstance(value, Mapping):
        return {
            name: HIDDEN
            if hide and isinstance(name, str) and is_secret_name(name) and isinstance(each, str)
            else _plain(each, hide=hide)
            for name, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_plain(each, hide=hide) for each in value]
    return HIDDEN if hide and isinstance(value, Secret) else value
