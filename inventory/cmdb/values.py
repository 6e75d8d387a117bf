"""Variables as JSON texts and back, without loss.

JSON has no word for some of what an inventory holds. Such a value is an object with one key, a word that begins with a
dollar sign:

=========================  ==================================================================
``{"$sealed": token}``     a secret, as the keyring sealed it
``{"$vault": text}``       what ansible-vault encrypted, as it was written
``{"$float": "nan"}``      a float that is no number: ``nan``, ``inf``, ``-inf``
``{"$int": "0x…"}``        a whole number of more digits than Python reads
``{"$map": [[key, v], …]}``  a mapping with a key that is no text, or that begins with a dollar sign
``{"$text": [a, b, …]}``   a text with two halves of a character that JSON would join
=========================  ==================================================================

The text is ASCII: NUL and lone surrogates are escaped, which databases would refuse.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Protocol

from sshexec.errors import InventoryError
from sshexec.inventory.members import MAX_DEPTH, is_too_deep
from sshexec.secret import Secret, is_secret_name

_SEALED, _VAULT, _FLOAT, _INT, _MAP, _TEXT = "$sealed", "$vault", "$float", "$int", "$map", "$text"
_PAIR = re.compile("(?<=[\ud800-\udbff])(?=[\udc00-\udfff])")
_EXPRESSION = re.compile(r"\{\{.*\}\}|\{%.*%\}", re.DOTALL)
_LONGEST_INT = 10_000
"""Bits; Python refuses to read more than 4,300 decimal digits."""
_BATCH = 500
"""Texts that are read in one go."""
_is_secret = functools.lru_cache(maxsize=4096)(is_secret_name)
_dumps = json.JSONEncoder(ensure_ascii=True, allow_nan=False, check_circular=False, separators=(",", ":")).encode


class Secrets(Protocol):
    """What seals secrets on their way into a database, and makes them of their tokens on the way out."""

    def seal(self, secret: Secret | str, variable: str, owner: str) -> str:
        """Return the token of a secret.

        Args:
            secret: the secret, or its text.
            variable: the variable that holds it, at any depth.
            owner: whose variable it is, for messages.

        Raises:
            CredentialError: there is no key.
        """
        ...

    def ciphertext(self, secret: Secret) -> str | None:
        """Return what ansible-vault made of a secret; None where it did not."""
        ...

    def expression(self, secret: Secret) -> str | None:
        """Return the text of a secret that is but a Jinja2 expression; None of any other."""
        ...

    def sealed(self, token: str, variable: str, owner: str) -> Secret:
        """Return the secret of a token; it is opened once it is asked for."""
        ...

    def vaulted(self, ciphertext: str, variable: str, owner: str) -> Secret:
        """Return what ansible-vault encrypted; it is opened once it is asked for."""
        ...


def encode(variables: Mapping[str, Any], secrets: Secrets, owner: str) -> str:
    """Return variables as a JSON text; secrets in it are sealed.

    A secret is a `Secret`, and every text or number below a name that says so (`sshexec.secret.is_secret_name`). A text
    with a Jinja2 expression in it is none: it says where the secret is.

    Args:
        variables: names and values.
        secrets: seals the secrets.
        owner: whose they are, for messages.

    Raises:
        InventoryError: a value is of a type that no inventory holds, or nested too deeply.
        CredentialError: there is no key to seal a secret with.
    """
    plain = {}
    for name, value in variables.items():
        if type(name) is not str:
            raise InventoryError(f"the variable name {name!r} of {owner} is not text")
        if is_too_deep(value):
            raise InventoryError(f"{name!r} of {owner} is nested deeper than {MAX_DEPTH} levels")
        plain[name] = _Encoder(name, secrets, owner).plain(value, secret=_is_secret(name))
    return _dumps(_mapping(plain))


def decode(text: str, secrets: Secrets, owner: str) -> dict[str, Any]:
    """Return the variables of a JSON text.

    Args:
        text: what `encode` returned.
        secrets: makes the secrets.
        owner: whose they are, for messages.

    Raises:
        InventoryError: it is no such text.
    """
    return next(decode_all([(owner, text)], secrets))


def decode_all(texts: Iterable[tuple[str, str]], secrets: Secrets) -> Iterator[dict[str, Any]]:
    """Yield the variables of many JSON texts, in their order; many at once are read faster.

    Args:
        texts: for each its owner and the text.
        secrets: makes the secrets.

    Raises:
        InventoryError: one is no such text.
    """
    rest = iter(texts)
    while batch := list(islice(rest, _BATCH)):
        joined = f"[{','.join([text for _, text in batch])}]"
        try:
            found = json.loads(joined)
            valid = len(found) == len(batch) and all(type(each) is dict for each in found)
        except (ValueError, RecursionError):
            valid = False
        if not valid or '"$' in joined:
            # One at a time: which is wrong, and which variable a secret belongs to.
            found = [_read(owner, text, secrets) for owner, text in batch]
        yield from found


def retold(text: str, change: Callable[[str, str], str], owner: str) -> str:
    """Return a JSON text with the token of every secret in it changed, for another key.

    Args:
        text: what `encode` returned.
        change: gets a token and its variable, and returns another token.
        owner: whose variables they are, for messages.

    Raises:
        InventoryError: it is no such text.
    """
    if f'"{_SEALED}"' not in text:
        return text

    def walk(value: Any, variable: str) -> Any:
        if isinstance(value, dict):
            if value.keys() == {_SEALED}:
                return {_SEALED: change(value[_SEALED], variable)}
            return {name: walk(item, variable) for name, item in value.items()}
        return [walk(item, variable) for item in value] if isinstance(value, list) else value

    variables = {name: walk(value, name) for name, value in _items(owner, text)}
    return _dumps(_mapping(variables))


class _Encoder:
    """Makes what JSON can hold of one variable's value."""

    def __init__(self, variable: str, secrets: Secrets, owner: str) -> None:
        self._variable = variable
        self._secrets = secrets
        self._owner = owner

    def plain(self, value: Any, *, secret: bool) -> Any:
        if isinstance(value, str):
            return self._text(str(value), secret=secret)
        if value is None or value is True or value is False:
            return value
        if isinstance(value, (int, float)):
            return self._sealed(_digits(value)) if secret else _number(value)
        if isinstance(value, Mapping):
            return _mapping({key: self._inner(key, item, secret=secret) for key, item in value.items()})
        if isinstance(value, (list, tuple)):
            return [self.plain(item, secret=secret) for item in value]
        if isinstance(value, Secret):
            return self._secret(value)
        raise self._error(f"a value of the type {type(value).__name__}, which no inventory can")

    def _secret(self, secret: Secret) -> Any:
        ciphertext = self._secrets.ciphertext(secret)
        if ciphertext is not None:
            return {_VAULT: ciphertext}
        expression = self._secrets.expression(secret)
        return self._sealed(secret) if expression is None else _joined(expression)

    def _inner(self, key: Any, value: Any, *, secret: bool) -> Any:
        if key is not None and not isinstance(key, (str, int, float)):
            raise self._error(f"a key of the type {type(key).__name__}, which no inventory can")
        return self.plain(value, secret=secret or (isinstance(key, str) and _is_secret(key)))

    def _text(self, text: str, *, secret: bool) -> Any:
        if secret and text and not _EXPRESSION.search(text):
            return self._sealed(text)
        return text if text.isascii() else _joined(text)

    def _sealed(self, secret: Secret | str) -> dict[str, str]:
        return {_SEALED: self._secrets.seal(secret, self._variable, self._owner)}

    def _error(self, what: str) -> InventoryError:
        return InventoryError(f"the variable {self._variable!r} of {self._owner} holds {what} hold")


def _number(value: int | float) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_FLOAT: repr(float(value))}
    return int(value) if value.bit_length() <= _LONGEST_INT else {_INT: hex(value)}


def _digits(value: float) -> str:
    return hex(value) if isinstance(value, int) and value.bit_length() > _LONGEST_INT else str(value)


def _joined(text: str) -> Any:
    """Return a text that JSON would change as the parts between which it would."""
    parts = _PAIR.split(text)
    return text if len(parts) == 1 else {_TEXT: parts}


def _mapping(items: dict[Any, Any]) -> dict[str, Any]:
    """Return a mapping of values that JSON can hold as one whose keys it can hold too."""
    if all(isinstance(key, str) and key[:1] != "$" and (key.isascii() or not _PAIR.search(key)) for key in items):
        return items
    return {_MAP: [[_key(key), value] for key, value in items.items()]}


def _key(key: Any) -> Any:
    if isinstance(key, str):
        return _joined(key)
    return key if key is None or isinstance(key, bool) else _number(key)


def _read(owner: str, text: str, secrets: Secrets) -> dict[str, Any]:
    decoder = _Decoder(secrets, owner)
    try:
        return {name: decoder.value(value, name) for name, value in _items(owner, text)}
    except (ValueError, TypeError, LookupError) as error:
        if isinstance(error, InventoryError):
            raise
        raise _unreadable(owner) from None


def _items(owner: str, text: str) -> list[tuple[str, Any]]:
    """Return the names and JSON values of a text of variables."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise _unreadable(owner) from None
    if isinstance(data, dict) and data.keys() == {_MAP}:
        return [(_Decoder.key(name), value) for name, value in data[_MAP]]
    if not isinstance(data, dict):
        raise _unreadable(owner)
    return list(data.items())


def _unreadable(owner: str) -> InventoryError:
    # Without the text: there may be secrets in it that somebody put there by hand.
    return InventoryError(f"the variables of {owner} are not the JSON text that sshexec writes")


class _Decoder:
    """Makes values of what JSON holds."""

    def __init__(self, secrets: Secrets, owner: str) -> None:
        self._secrets = secrets
        self._owner = owner

    def value(self, value: Any, variable: str) -> Any:
        if isinstance(value, list):
            return [self.value(item, variable) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(word, content)] = value.items()
            if word[:1] == "$":
                return self._special(word, content, variable)
        return {key: self.value(item, variable) for key, item in value.items()}

    def _special(self, word: str, content: Any, variable: str) -> Any:
        if word == _SEALED:
            return self._secrets.sealed(content, variable, self._owner)
        if word == _VAULT:
            return self._secrets.vaulted(content, variable, self._owner)
        if word == _MAP:
            return {self.key(key): self.value(item, variable) for key, item in content}
        return self.key({word: content})

    @staticmethod
    def key(key: Any) -> Any:
        """Return a plain value, which may be the key of a mapping."""
        if not isinstance(key, dict):
            return key
        [(word, content)] = key.items()
        if word == _TEXT:
            return "".join(content)
        if word == _FLOAT:
            return float(content)
        if word == _INT:
            return int(content, 16)
        raise ValueError(word)
