"""A text that must not be shown."""

from __future__ import annotations

import functools
import hmac
import os
import re
import shlex
import threading
from collections.abc import Collection, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, NoReturn

from sshexec.errors import CredentialError

HIDDEN = "********"


class _Turns:
    """Whose turn it is to open what is opened once: of one thread after another, in a forked child anew."""

    def __init__(self) -> None:
        self.lock = threading.RLock()

    def forked(self) -> None:
        """Forget who had the turn: that thread is the parent's, and would never end it here."""
        self.lock = threading.RLock()


_turns = _Turns()
os.register_at_fork(after_in_child=_turns.forked)


def opening() -> AbstractContextManager[object]:
    """Return what keeps other threads from opening secrets, and from reading keys and passwords, meanwhile.

    Whoever has it may ask for it again: a secret reads its key.
    """
    return _turns.lock


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

    @property
    def known(self) -> str | None:
        """The text, where it is open already: what is not can't stand anywhere, and need not be hidden."""
        return self.reveal()

    def __repr__(self) -> str:
        return f"Secret('{HIDDEN}')"

    def __str__(self) -> str:
        return HIDDEN

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        if self is other:
            return True
        mine, theirs = (each.reveal().encode("utf-8", "surrogatepass") for each in (self, other))
        return hmac.compare_digest(mine, theirs)

    def __hash__(self) -> int:
        return hash((Secret, self.reveal()))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")


class SecretExpression(Secret):
    """A secret with Jinja2 expressions in it, which are filled in where it is used."""

    __slots__ = ()


class LazySecret(Secret):
    """A secret that is opened when it is asked for: decrypted, or fetched from somewhere.

    Until then it needs no key and shows nothing. Two that are the same on the outside (`sealed`) are equal unopened.
    """

    __slots__ = ("_text",)
    kept = True
    """Whether what came out once is kept; else it is asked for anew, by a run once for all its hosts."""

    def __init__(self) -> None:
        self._text: str | None = None

    def _open(self) -> str:
        """Return the text; raises CredentialError where it can't be had."""
        raise NotImplementedError

    def sealed(self) -> Hashable:
        """Return what it is made of, by which two can be told apart without opening them."""
        raise NotImplementedError

    def reveal(self) -> str:
        """Return the text itself, opened if need be.

        Raises:
            CredentialError: it can't be opened.
        """
        if self._text is not None:
            return self._text
        if not self.kept:
            return self._open()
        with opening():
            if self._text is None:
                self._text = self._open()
            return self._text

    @property
    def known(self) -> str | None:
        """The text, where it is open already; None where it is not."""
        return self._text

    def __bool__(self) -> bool:
        """Tell whether there is a text; of one that is not open it is assumed."""
        return self._text != ""

    def __eq__(self, other: object) -> bool:
        if isinstance(other, LazySecret) and type(other) is type(self) and self.sealed() == other.sealed():
            return True
        return super().__eq__(other)

    def __hash__(self) -> int:
        return super().__hash__()


class LockedSecret(LazySecret):
    """A secret that could not be opened, in its place: whoever asks for its text is told why.

    Args:
        reason: what is missing, one line.
    """

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason

    def _open(self) -> str:
        raise CredentialError(self.reason)

    def sealed(self) -> Hashable:
        """Return the reason."""
        return self.reason


def closed(value: Any) -> Any:
    """Return a value in which each secret that nobody has opened yet stands as `HIDDEN`; none is opened for it."""
    if isinstance(value, Mapping):
        return {key: closed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [closed(item) for item in value]
    return Secret(HIDDEN) if isinstance(value, LazySecret) and value.known is None else value


def holds_secret(value: Any) -> bool:
    """Return whether there is a `Secret` in a value, at any depth."""
    if isinstance(value, Mapping):
        return any(map(holds_secret, value.values()))
    return any(map(holds_secret, value)) if isinstance(value, (list, tuple)) else isinstance(value, Secret)


def as_secrets(value: Any) -> Any:
    """Return a value with each text and number in it as a `Secret`; so is read what stands in an encrypted file."""
    if isinstance(value, str):
        return SecretExpression(value) if "{{" in value or "{%" in value else Secret(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Secret(str(value))
    if isinstance(value, dict):
        return {key: as_secrets(item) for key, item in value.items()}
    return [as_secrets(item) for item in value] if isinstance(value, (list, tuple)) else value


def opened(variables: Mapping[str, Any], host: str, known: dict[Hashable, Any] | None = None) -> dict[str, Any]:
    """Return a host's variables with every lazily opened secret in them opened, at any depth.

    One that can't be opened is an error where it says how to reach the host. Any other becomes a `LockedSecret`, which
    is an error once it is used: as with Ansible, hosts may have secrets that a task has no need of.

    Args:
        variables: the host's merged variables; they are not changed.
        host: inventory name, for messages.
        known: what was opened already; with the same one for all hosts of a run each secret is opened once.

    Raises:
        CredentialError: a secret in a connection variable can't be opened.
    """
    opener = _Opener({} if known is None else known)
    found = dict(variables)
    for name, value in variables.items():
        if type(value) in _PLAIN:
            continue
        try:
            found[name] = opener.open(value, locks=not name.startswith(("ansible_", "sshexec_")))
        except CredentialError as error:
            raise CredentialError(f"host {host}: {name}: {error}") from None
    return found


_PLAIN = frozenset({str, int, bool, float, type(None)})


class _Opener:
    def __init__(self, known: dict[Hashable, Any]) -> None:
        self._known = known

    def open(self, value: Any, *, locks: bool) -> Any:
        """Return a value with its secrets open; the same object where it holds none."""
        if isinstance(value, LazySecret):
            return self._secret(value, locks=locks)
        if not isinstance(value, (dict, list, tuple)):
            return value
        # Hosts share what their groups set: it is walked once. The value itself is kept, so that its id stays its own.
        place = (id(value), locks)
        if place not in self._known:
            self._known[place] = (value, self._inside(value, locks=locks))
        return self._known[place][1]

    def _inside(self, value: Any, *, locks: bool) -> Any:
        if isinstance(value, dict):
            items = {key: self.open(item, locks=locks) for key, item in value.items()}
            return items if any(items[key] is not value[key] for key in value) else value
        inner = [self.open(item, locks=locks) for item in value]
        return inner if any(new is not old for new, old in zip(inner, value, strict=True)) else value

    def _secret(self, secret: LazySecret, *, locks: bool) -> Secret:
        key = (type(secret), secret.sealed())
        if key not in self._known:
            try:
                self._known[key] = Secret(secret.reveal())
            except CredentialError as error:
                self._known[key] = LockedSecret(str(error))
        found: Secret = self._known[key]
        if isinstance(found, LockedSecret) and not locks:
            raise CredentialError(found.reason)
        return found


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

    Those of one or two characters are left out: hiding them would make a text unreadable and give them away. So are
    those that nobody has opened yet.
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
        if (text := value.known) is not None:
            yield text
    elif secret and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        yield str(value)
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
