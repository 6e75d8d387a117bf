"""A text that must not be shown."""

from __future__ import annotations

import functools
import hmac
import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NoReturn

HIDDEN = "********"


class Secret:
    """A password, passphrase or key text that shows itself only to `reveal()`.

    It has a redacted ``repr`` and ``str``, and refuses to be pickled, so that it can't slip into a queue message or a
    cache; the runtime's private pipe to its own workers unwraps it on purpose.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text itself."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret('{HIDDEN}')"

    def __str__(self) -> str:
        return HIDDEN

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(
            self._value.encode("utf-8", "surrogatepass"), other._value.encode("utf-8", "surrogatepass")
        )

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")


@functools.lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Return whether a variable of this name holds a secret: ``ansible_ssh_pass``, ``dbPassword``, ``api-key``."""
    words = _CAMEL.sub("_", name).replace("-", "_").lower()
    return bool(_SECRET.search(words)) and not _ABOUT.search(words)


def redact(variables: Any) -> Any:
    """Return a copy of variables with the values of secret names hidden, at every depth."""
    if isinstance(variables, dict):
        return {k: HIDDEN if isinstance(k, str) and is_secret_name(k) else redact(v) for k, v in variables.items()}
    if isinstance(variables, (list, tuple)):
        return [redact(item) for item in variables]
    return HIDDEN if isinstance(variables, Secret) else variables


def hide(value: Any, secrets: Collection[str]) -> Any:
    """Return a copy of a value with some texts hidden wherever they stand in it.

    Args:
        value: a text, or lists and mappings of texts.
        secrets: the texts.
    """
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, HIDDEN)
        return value
    if isinstance(value, Mapping):
        return {name: hide(item, secrets) for name, item in value.items()}
    return [hide(item, secrets) for item in value] if isinstance(value, (list, tuple)) else value


def secrets_of(variables: Any) -> list[str]:
    """Return the texts that the secrets among variables hold, at any depth, the longest first.

    Those of one or two characters are left out: hiding them would make a text unreadable and give them away.
    """
    return sorted({text for text in _values(variables, secret=False) if len(text) > 2}, key=len, reverse=True)


def mask(text: str, variables: Any) -> str:
    """Return a text with the values of secrets in it hidden.

    Args:
        text: a message, say; it may quote them as Python does.
        variables: may hold the secrets.
    """
    for value in secrets_of(variables):
        text = text.replace(value, HIDDEN).replace(repr(value)[1:-1], HIDDEN)
    return text


def shows_secret(value: Any, variables: Any) -> bool:
    """Return whether the value of a secret among the variables stands in a text, or in one at any depth of a value."""
    secrets = secrets_of(variables)
    return bool(secrets) and any(each in text for text in _values(value, secret=True) for each in secrets)


def secrets_in(arguments: str) -> list[str] | None:
    """Return the texts that a module's free-form arguments name as secrets, the longest first.

    None stands for arguments that name none: they may be shown. An empty list stands for ones that must not be shown
    although no text in them is known to be a secret: they hold what a file shall hold, say.

    Args:
        arguments: such as ``user=web password=...`` or ``mysql --password ... -e 'select 1'``.
    """
    try:
        words = shlex.split(arguments)
    except ValueError:
        words = arguments.split()
    found: list[str] | None = None
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if not equals and name.startswith("-"):
            value, equals = following, "="
        if equals and (name == "content" or is_secret_name(name)):
            found = [*(found or []), *([value] if name != "content" else [])]
    for login in _LOGIN.finditer(arguments):
        found = [*(found or []), login[1]]
    if arguments.lstrip().startswith("{"):
        for name, value in _PAIR.findall(arguments):
            if name == "content" or is_secret_name(name):
                found = [*(found or []), *([value] if value and name != "content" else [])]
    return found if found is None else sorted({text for text in found if len(text) > 2}, key=len, reverse=True)


_PAIR = re.compile(r'"([^"]+)"\s*:(?:\s*"((?:[^"\\]|\\.)*)")?')
_LOGIN = re.compile(r"://[^\s/:@]*:([^\s@]+)@")


def _values(value: Any, *, secret: bool) -> Iterator[str]:
    """Yield the texts that secrets hold."""
    if isinstance(value, Secret):
        yield value.reveal()
    elif isinstance(value, str) and secret:
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _values(item, secret=secret or (isinstance(name, str) and is_secret_name(name)))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _values(item, secret=secret)


_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SECRET = re.compile(
    r"passw(?:or)?d|passphrase|secret|credential"
    r"|(?:(?:^|_)(?:pass|pw|pwd)|tokens?|(?:^|_)(?:access|api|encryption|private|signing)_?keys?)$"
)
_ABOUT = re.compile(r"_(?:age|dir|file|group|length|path|policy|ttl|uri|url)$|^sshexec_ask_")
"""Such names say something about a secret: where it is kept, who shares it, whether it is asked for."""
