"""Credentials in the database: named, for hosts and groups, their secrets sealed or kept by somebody else."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, Table, bindparam, delete, insert, select, update

from sshexec.credentials.keyring import Keyring, SealedSecret, key_of
from sshexec.credentials.providers import Reference
from sshexec.credentials.vault import VaultSecret
from sshexec.database.database import Database
from sshexec.database.types import NAME_LENGTH
from sshexec.errors import CredentialError
from sshexec.inventory.cmdb.fields import FIELDS
from sshexec.inventory.cmdb.scopes import REFERENCE, SEALED, context_of, fields_of, values_of
from sshexec.inventory.cmdb.secrets import KeyringSecrets
from sshexec.inventory.cmdb.secrets import context_of as variable_context
from sshexec.inventory.cmdb.stored import read_ids
from sshexec.inventory.cmdb.tables import credentials, group_credentials, groups, host_credentials, hosts
from sshexec.inventory.cmdb.values import decode, retold
from sshexec.secret import LazySecret, Secret

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class CredentialRecord:
    """A credential.

    Args:
        name: its name.
        description: one line for people.
        fields: what it says; each secret is a `Secret`, which is opened once it is asked for.
        hosts: whom it is for, by name.
        groups: likewise.
        created: seconds since the epoch.
        updated: likewise, when it was changed last.
    """

    name: str
    description: str | None
    fields: Mapping[str, str | Secret]
    hosts: tuple[str, ...]
    groups: tuple[str, ...]
    created: float
    updated: float


@dataclass(frozen=True, slots=True)
class Rotated:
    """What `Credentials.rotate` did.

    Args:
        sealed: how many secrets are sealed with the first key by now.
        changed: how many of them were sealed with another one before.
    """

    sealed: int = 0
    changed: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """What `Credentials.check` found.

    Args:
        opened: how many secrets could be opened.
        problems: what is wrong with the others, a line each.
        keys: how many secrets are sealed with each key, by its fingerprint.
    """

    opened: int = 0
    problems: tuple[str, ...] = ()
    keys: Mapping[str, int] = field(default_factory=dict)


class Credentials:
    """The credentials of a CMDB; `Cmdb.credentials` is one. Every change is one transaction.

    A credential's fields (`sshexec.inventory.cmdb.fields.FIELDS`) act as variables of the hosts and groups that it is
    for, weaker than those set there. Two on one host or group that set the same field are refused.

    Args:
        database: where they are.
        secrets: seals and opens.
    """

    def __init__(self, database: Database, secrets: KeyringSecrets) -> None:
        self._database = database
        self._secrets = secrets

    def all(self) -> list[CredentialRecord]:
        """Return every credential, by name."""
        with self._database.reading() as connection:
            return self._records(connection)

    def get(self, name: str) -> CredentialRecord:
        """Return one credential.

        Raises:
            CredentialError: there is none of this name.
        """
        with self._database.reading() as connection:
            found = self._records(connection, name)
        if not found:
            raise CredentialError(f"there is no credential {name!r}")
        return found[0]

    def put(
        self,
        name: str,
        fields: Mapping[str, str | bool | Secret | Reference | None] | None = None,
        *,
        description: str | None = None,
        hosts: Sequence[str] = (),
        groups: Sequence[str] = (),
    ) -> None:
        """Insert a credential, or change what is given of it.

        Args:
            name: its name.
            fields: what is to be changed; None takes a field away. A secret is a text or a `Secret`, which is sealed,
                or a `Reference` to one that somebody else keeps.
            description: one line for people; an empty text is none.
            hosts: whom it is for, beside those whom it is for already.
            groups: likewise.

        Raises:
            CredentialError: a field is unknown or wrong, there is no key, or another credential says the same there.
            InventoryError: there is no such host or group.
        """
        _check_name(name)
        given = {key: self._stored(name, key, value) for key, value in (fields or {}).items()}
        with self._changing() as change:
            change.put(name, given, description)
            change.assign(name, hosts, groups)

    def remove(self, name: str) -> None:
        """Remove a credential.

        Raises:
            CredentialError: there is none of this name.
        """
        with self._changing() as change:
            change.remove(name)

    def rename(self, name: str, new: str) -> None:
        """Give a credential another name.

        Raises:
            CredentialError: there is none of this name, or one of the new name.
        """
        _check_name(new)
        with self._changing() as change:
            change.rename(name, new)

    def assign(self, name: str, *, hosts: Sequence[str] = (), groups: Sequence[str] = ()) -> None:
        """Make a credential one for hosts and groups, beside those whom it is for already.

        Raises:
            CredentialError: there is none of this name, or another one says the same there.
            InventoryError: there is no such host or group.
        """
        with self._changing() as change:
            change.assign(name, hosts, groups)

    def unassign(self, name: str, *, hosts: Sequence[str] = (), groups: Sequence[str] = ()) -> None:
        """Take a credential from hosts and groups.

        Raises:
            CredentialError: there is none of this name.
            InventoryError: there is no such host or group.
        """
        with self._changing() as change:
            change.unassign(name, hosts, groups)

    def rotate(self, keyring: Keyring | None = None) -> Rotated:
        """Seal every secret with the first key: those of credentials, and those among variables. All or nothing.

        Args:
            keyring: holds the new key first, and those that the secrets are sealed with; None is the CMDB's.

        Raises:
            CredentialError: one can't be opened.
        """
        rotation = _Rotation(keyring or self._secrets.keyring)
        with self._database.writing(alone=True) as connection:
            for table, column, tell in (
                (credentials, credentials.c.fields, rotation.credential),
                (groups, groups.c.variables, rotation.group),
                (hosts, hosts.c.variables, rotation.host),
            ):
                query = select(table.c.id, table.c.name, column).where(column.contains(f'"{SEALED}"'))
                changed = [
                    {"key": key, "text": new}
                    for key, name, text in connection.execute(query)
                    if (new := tell(name, text)) != text
                ]
                if changed:
                    change = (
                        update(table).where(table.c.id == bindparam("key")).values({column.name: bindparam("text")})
                    )
                    for at in range(0, len(changed), _BATCH):
                        connection.execute(change, changed[at : at + _BATCH])
        return Rotated(rotation.sealed, rotation.changed)

    def check(self) -> Checked:
        """Open every secret: those of credentials, and those among variables; nothing is shown or changed.

        What ansible-vault has encrypted is opened where there are passwords for it.
        """
        checking = _Checking()
        with self._database.reading() as connection:
            for name, text in connection.execute(select(credentials.c.name, credentials.c.fields)):
                checking.look(values_of(name, text, self._secrets))
            for kind, table in (("group", groups), ("host", hosts)):
                query = select(table.c.name, table.c.variables).where(table.c.variables.contains('"$'))
                for name, text in connection.execute(query):
                    checking.look(decode(text, self._secrets, f"{kind} {name!r}"))
        return Checked(checking.opened, tuple(checking.problems), dict(sorted(checking.keys.items())))

    def _records(self, connection: Connection, name: str | None = None) -> list[CredentialRecord]:
        query = select(credentials).order_by(credentials.c.name)
        if name is not None:
            query = query.where(credentials.c.name == name)
        scopes: list[dict[int, list[str]]] = []
        for table, scope in ((host_credentials, hosts), (group_credentials, groups)):
            listed = select(table.c.credential_id, scope.c.name).join_from(table, scope).order_by(scope.c.name)
            found: dict[int, list[str]] = {}
            for key, each in connection.execute(listed):
                found.setdefault(key, []).append(each)
            scopes.append(found)
        return [
            CredentialRecord(
                row.name,
                row.description,
                values_of(row.name, row.fields, self._secrets),
                tuple(scopes[0].get(row.id, ())),
                tuple(scopes[1].get(row.id, ())),
                row.created,
                row.updated,
            )
            for row in connection.execute(query)
        ]

    def _stored(self, owner: str, name: str, value: object) -> Any:
        """Return a field as the column has it."""
        known = FIELDS.get(name)
        what = f"{name} of credential {owner!r}"
        if known is None:
            raise CredentialError(f"a credential has no field {name!r} (there are: {', '.join(FIELDS)})")
        if value is None:
            return None
        if isinstance(value, Reference):
            if not known.secret:
                raise CredentialError(f"{what}: only a secret can be fetched from elsewhere")
            self._check_reference(what, value)
            return {REFERENCE: value.text}
        if name == "become" and isinstance(value, bool):
            return "yes" if value else "no"
        ours = isinstance(value, SealedSecret) and value.keyring is self._secrets.keyring
        if ours and isinstance(value, SealedSecret) and value.context == context_of(name):
            return {SEALED: value.token}
        text = value.reveal() if isinstance(value, Secret) else value
        if not isinstance(text, str):
            raise CredentialError(f"{what}: expected a text, got {type(value).__name__}")
        if not text:
            raise CredentialError(f"{what}: is empty")
        if known.secret:
            return {SEALED: self._secrets.keyring.seal(text, context=context_of(name), what=what)}
        return text

    def _check_reference(self, what: str, reference: Reference) -> None:
        try:
            self._secrets.providers.check(reference.text)
        except CredentialError as error:
            raise CredentialError(f"{what}: {error}") from None

    @contextmanager
    def _changing(self) -> Iterator[_Change]:
        with self._database.writing(alone=True) as connection:
            yield _Change(connection)


class _Change:
    """Changes within one transaction; nobody else writes meanwhile."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._now = time.time()

    def put(self, name: str, fields: Mapping[str, Any], description: str | None) -> None:
        row = self._connection.execute(select(credentials).where(credentials.c.name == name)).first()
        known = {} if row is None else fields_of(name, row.fields)
        kept = {key: value for key, value in {**known, **fields}.items() if value is not None}
        if not kept:
            raise CredentialError(f"credential {name!r} would say nothing: give it a field, such as user or password")
        ordered = {key: kept[key] for key in FIELDS if key in kept}
        values: dict[str, Any] = {"fields": json.dumps(ordered, ensure_ascii=True), "updated": self._now}
        if description is not None:
            values["description"] = description or None
        if row is None:
            self._connection.execute(insert(credentials).values(name=name, created=self._now, **values))
        else:
            self._connection.execute(update(credentials).where(credentials.c.id == row.id).values(values))

    def remove(self, name: str) -> None:
        self._connection.execute(delete(credentials).where(credentials.c.id == self._known(name).id))

    def rename(self, name: str, new: str) -> None:
        row = self._known(name)
        if new == name:
            return
        if self._connection.scalar(select(credentials.c.id).where(credentials.c.name == new)) is not None:
            raise CredentialError(f"there is a credential {new!r} already")
        self._connection.execute(
            update(credentials).where(credentials.c.id == row.id).values(name=new, updated=self._now)
        )

    def assign(self, name: str, host_names: Sequence[str], group_names: Sequence[str]) -> None:
        row = self._known(name)
        for table, scope, column, names in self._scopes(host_names, group_names):
            wanted = set(read_ids(self._connection, scope, names))
            query = select(table.c[column]).where(table.c.credential_id == row.id)
            new = wanted.difference(self._connection.scalars(query))
            if new:
                rows = [{column: key, "credential_id": row.id} for key in sorted(new)]
                self._connection.execute(insert(table), rows)
            self._check_overlap(row, table, scope, column)

    def unassign(self, name: str, host_names: Sequence[str], group_names: Sequence[str]) -> None:
        row = self._known(name)
        for table, scope, column, names in self._scopes(host_names, group_names):
            keys = read_ids(self._connection, scope, names)
            for at in range(0, len(keys), 500):
                some = table.c[column].in_(keys[at : at + 500])
                self._connection.execute(delete(table).where(table.c.credential_id == row.id, some))

    def _scopes(
        self, host_names: Sequence[str], group_names: Sequence[str]
    ) -> Iterable[tuple[Table, Table, str, Sequence[str]]]:
        if isinstance(host_names, str) or isinstance(group_names, str):
            raise CredentialError("hosts and groups are lists of names")
        yield host_credentials, hosts, "host_id", host_names
        yield group_credentials, groups, "group_id", group_names

    def _known(self, name: str) -> Row[Any]:
        row = self._connection.execute(select(credentials).where(credentials.c.name == name)).first()
        if row is None:
            raise CredentialError(f"there is no credential {name!r}")
        return row

    def _check_overlap(self, row: Row[Any], table: Table, scope: Table, column: str) -> None:
        """Refuse two credentials of one host or group that say the same: which of them would count?"""
        own = table.alias("own")
        query = (
            select(scope.c.name, credentials.c.name, credentials.c.fields)
            .select_from(own)
            .join(table, table.c[column] == own.c[column])
            .join(credentials, credentials.c.id == table.c.credential_id)
            .join(scope, scope.c.id == own.c[column])
            .where(own.c.credential_id == row.id, table.c.credential_id != row.id)
            .order_by(scope.c.name, credentials.c.name)
        )
        fields = fields_of(row.name, row.fields).keys()
        for scope_name, other, text in self._connection.execute(query):
            both = [name for name in FIELDS if name in fields and name in fields_of(other, text)]
            if both:
                kind = "host" if scope is hosts else "group"
                raise CredentialError(
                    f"the credentials {row.name!r} and {other!r} would both set {both[0]} of {kind} {scope_name!r}; "
                    "take one of them from it first"
                )


class _Rotation:
    """Seals anew, and counts."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self.sealed = 0
        self.changed = 0

    def credential(self, name: str, text: str) -> str:
        fields = fields_of(name, text)
        for key, value in fields.items():
            if isinstance(value, dict) and SEALED in value:
                token = self._again(value[SEALED], context_of(key), f"{key} of credential {name!r}")
                fields[key] = {SEALED: token}
        return json.dumps(fields, ensure_ascii=True)

    def group(self, name: str, text: str) -> str:
        return self._variables(f"group {name!r}", text)

    def host(self, name: str, text: str) -> str:
        return self._variables(f"host {name!r}", text)

    def _variables(self, owner: str, text: str) -> str:
        return retold(text, lambda token, name: self._again(token, variable_context(name), f"{name} of {owner}"), owner)

    def _again(self, token: str, context: str, what: str) -> str:
        new = self._keyring.reseal(token, context=context, what=what)
        self.sealed += 1
        self.changed += new != token
        return new


class _Checking:
    """Opens secrets, and counts."""

    def __init__(self) -> None:
        self.opened = 0
        self.problems: list[str] = []
        self.keys: dict[str, int] = {}

    def look(self, value: Any) -> None:
        if isinstance(value, dict):
            for item in value.values():
                self.look(item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self.look(item)
        elif isinstance(value, LazySecret):
            self._open(value)

    def _open(self, secret: LazySecret) -> None:
        if isinstance(secret, SealedSecret):
            key = key_of(secret.token)
            self.keys[key] = self.keys.get(key, 0) + 1
        if isinstance(secret, VaultSecret) and not secret.openable:
            return
        try:
            secret.reveal()
            self.opened += 1
        except CredentialError as error:
            self.problems.append(str(error))


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or name != name.strip():
        raise CredentialError(f"{name!r} can't be the name of a credential")
    if len(name) > NAME_LENGTH:
        raise CredentialError(f"the name of a credential has at most {NAME_LENGTH} characters")
