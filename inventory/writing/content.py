"""What is to be written: each member's own variables as plain values, with secrets that stay secret."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sshexec.credentials.vault import VaultSecret
from sshexec.errors import InventoryError
from sshexec.inventory.draft import PRIORITY
from sshexec.inventory.levels import own_variables
from sshexec.secret import Secret, is_secret_name

if TYPE_CHECKING:
    from sshexec.inventory.model import Inventory

Encrypt = Callable[[str], str]
"""Makes of a text what ansible-vault makes of it: ``$ANSIBLE_VAULT;1.1;AES256`` and lines of digits."""

_LEFT_OUT = object()
_EXPRESSION = re.compile(r"\{\{.*\}\}|\{%.*%\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Vaulted:
    """A value that stands encrypted in the file.

    Args:
        ciphertext: in ansible-vault's format.
    """

    ciphertext: str


@dataclass(frozen=True, slots=True)
class Content:
    """The variables of an inventory, ready to be written.

    Args:
        groups: of each group by name; its priority is among them where it has one.
        hosts: of each host by name.
        left_out: the secrets that were left out, as ``host web1: ansible_password``.
    """

    groups: dict[str, dict[str, Any]]
    hosts: dict[str, dict[str, Any]]
    left_out: list[str] = field(default_factory=list)


def content(inventory: Inventory, *, encrypt: Encrypt | None = None, without_secrets: bool = False) -> Content:
    """Return what each member of an inventory sets itself.

    A secret is a `Secret`, and any text or number under a name that `is_secret_name`. A text with a Jinja2 expression
    in it is none: it says where the secret is. What is encrypted already with ansible-vault stays as it is.

    Args:
        inventory: whichever.
        encrypt: encrypts the other secrets.
        without_secrets: leave them all out instead.

    Raises:
        InventoryError: there are secrets, and neither is asked for; or a value is of a kind that no file has.
        CredentialError: a secret can't be opened.
    """
    levels = own_variables(inventory)
    writer = _Values(functools.cache(encrypt) if encrypt else None, without_secrets)
    groups = {}
    for name, variables in levels.groups.items():
        groups[name] = writer.variables(f"group {name}", variables)
        if inventory.groups[name].priority != 1:
            groups[name][PRIORITY] = inventory.groups[name].priority
    hosts = {name: writer.variables(f"host {name}", variables) for name, variables in levels.hosts.items()}
    return Content(groups, hosts, writer.left_out)


class _Values:
    def __init__(self, encrypt: Encrypt | None, without_secrets: bool) -> None:
        self.encrypt = encrypt
        self.without_secrets = without_secrets
        self.left_out: list[str] = []

    def variables(self, owner: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        return self._mapping(variables, owner, "", secret=False)

    def _mapping(self, mapping: Mapping[Any, Any], owner: str, where: str, *, secret: bool) -> dict[Any, Any]:
        found = {}
        for key, value in mapping.items():
            if type(key) is not str and not (key is None or isinstance(key, (str, int, float))):
                raise InventoryError(f"{owner}: {where or 'a variable'} has a key of type {type(key).__name__}")
            hides = secret or (isinstance(key, str) and is_secret_name(key))
            kept = self._value(value, owner, f"{where}.{key}" if where else str(key), secret=hides)
            if kept is not _LEFT_OUT:
                found[key] = kept
        return found

    def _value(self, value: Any, owner: str, where: str, *, secret: bool) -> Any:
        if isinstance(value, Secret):
            return self._secret(value, owner, where)
        if value is None or isinstance(value, bool) or value == "":
            return value
        if secret and isinstance(value, str) and _EXPRESSION.search(value):
            return str(value)
        if secret and (self.without_secrets or isinstance(value, (str, int, float))):
            return self._secret(value, owner, where)
        if isinstance(value, str):
            return str(value)
        if isinstance(value, (int, float)):
            return value
        if isinstance(value, Mapping):
            return self._mapping(value, owner, where, secret=secret)
        if isinstance(value, (list, tuple)):
            items = (self._value(each, owner, f"{where}[{n}]", secret=secret) for n, each in enumerate(value))
            return [each for each in items if each is not _LEFT_OUT]
        raise InventoryError(f"{owner}: {where} is of type {type(value).__name__}, which no file holds")

    def _secret(self, value: Any, owner: str, where: str) -> Any:
        """Return a secret as it may stand in a file."""
        if self.without_secrets:
            self.left_out.append(f"{owner}: {where}")
            return _LEFT_OUT
        if isinstance(value, VaultSecret):
            return Vaulted(value.ciphertext)
        if self.encrypt is None:
            raise InventoryError(
                f"{owner}: {where} is a secret, which is never written as plain text: give a password of ansible-vault "
                "to encrypt it with (--vault-password-file), or leave secrets out (--without-secrets)"
            )
        return Vaulted(self.encrypt(value.reveal() if isinstance(value, Secret) else str(value)))
