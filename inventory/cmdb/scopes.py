"""What credentials mean for the hosts and groups that they are for: variables, weaker than those set there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Table, select

from sshexec.credentials.keyring import SealedSecret
from sshexec.credentials.providers import ReferencedSecret
from sshexec.errors import InventoryError
from sshexec.inventory.cmdb.fields import FIELDS
from sshexec.inventory.cmdb.secrets import KeyringSecrets
from sshexec.inventory.cmdb.tables import credentials, group_credentials, host_credentials
from sshexec.secret import Secret

SEALED, REFERENCE = "$sealed", "$from"


def context_of(field: str) -> str:
    """Return what the secret of a field is bound to; not the credential, which may be renamed or copied."""
    return f"credential {field}"


@dataclass(frozen=True, slots=True)
class Scoped:
    """The variables that credentials set.

    Args:
        hosts: for each host that has some, by its id.
        groups: likewise.
    """

    hosts: Mapping[int, Mapping[str, Any]]
    groups: Mapping[int, Mapping[str, Any]]

    @staticmethod
    def below(scoped: Mapping[int, Mapping[str, Any]], key: int, own: dict[str, Any]) -> dict[str, Any]:
        """Return the variables of a host or group over those of its credentials.

        Args:
            scoped: those of hosts, or of groups.
            key: the id of the host or group.
            own: the variables that it sets itself.
        """
        found = scoped.get(key)
        if not found:
            return own
        hidden = {
            field.variable for field in FIELDS.values() if any(own.get(other) is not None for other in field.others)
        }
        return {name: value for name, value in found.items() if name not in hidden} | own


def read_scoped(connection: Connection, secrets: KeyringSecrets) -> Scoped:
    """Return what every credential means: one query, and two more where there are credentials.

    A secret is one object for all hosts and groups that it is for: it is opened once.
    """
    query = select(credentials.c.id, credentials.c.name, credentials.c.fields)
    known = {
        key: {FIELDS[name].variable: value for name, value in values_of(owner, text, secrets).items()}
        for key, owner, text in connection.execute(query)
    }
    if not known:
        return Scoped({}, {})
    host = _scoped(connection, host_credentials, host_credentials.c.host_id, known)
    return Scoped(host, _scoped(connection, group_credentials, group_credentials.c.group_id, known))


def _scoped(
    connection: Connection, table: Table, scope: Column[Any], known: Mapping[int, Mapping[str, Any]]
) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for key, credential in connection.execute(select(scope, table.c.credential_id)):
        # No two of them set the same: that is refused when they are assigned.
        found.setdefault(key, {}).update(known.get(credential, {}))
    return found


def values_of(owner: str, text: str, secrets: KeyringSecrets) -> dict[str, str | Secret]:
    """Return the fields of a credential as the column has them.

    Args:
        owner: the credential's name, for messages.
        text: the column.
        secrets: opens the secrets once they are asked for.

    Raises:
        InventoryError: it is not what sshexec writes.
    """
    return {name: _value(owner, name, value, secrets) for name, value in fields_of(owner, text).items()}


def fields_of(owner: str, text: str) -> dict[str, Any]:
    """Return the fields of a credential: plain texts, and for each secret its token or its reference.

    Raises:
        InventoryError: it is not what sshexec writes.
    """
    try:
        fields = json.loads(text)
        if not isinstance(fields, dict) or not fields.keys() <= FIELDS.keys():
            raise ValueError
    except ValueError:
        raise InventoryError(f"credential {owner!r} is not what this sshexec writes; set it again") from None
    return fields


def _value(owner: str, name: str, value: Any, secrets: KeyringSecrets) -> str | Secret:
    what = f"{name} of credential {owner!r}"
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and isinstance(token := value.get(SEALED), str):
        return SealedSecret(token, secrets.keyring, context=context_of(name), what=what)
    if isinstance(value, dict) and isinstance(reference := value.get(REFERENCE), str):
        return ReferencedSecret(reference, secrets.providers, what=what)
    raise InventoryError(f"{what} is not what this sshexec writes; set it again")
