"""A text that must not be shown."""

from __future__ import annotations

import hmac
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


def is_secret_name(name: str) -> bool:
    """Return whether a host variable of this name holds a secret (Ansible's connection variables and their kin)."""
    lowered = name.lower()
    return lowered.endswith(_SECRET_ENDINGS) or lowered in _SECRET_NAMES


def redact(variables: Any) -> Any:
    """Return a copy of variables with the values of secret names hidden, at every depth."""
    if isinstance(variables, dict):
        return {k: HIDDEN if isinstance(k, str) and is_secret_name(k) else redact(v) for k, v in variables.items()}
    if isinstance(variables, (list, tuple)):
        return [redact(item) for item in variables]
    return HIDDEN if isinstance(variables, Secret) else variables


_SECRET_ENDINGS = ("_pass", "_password", "_passphrase", "_secret", "_token")
_SECRET_NAMES = frozenset({"password", "passphrase", "ansible_private_key", "ansible_ssh_private_key"})
