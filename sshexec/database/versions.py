"""Which version of a schema a database holds. Nothing here loads Alembic, whose table it is kept in."""

from __future__ import annotations

import importlib
import pkgutil
import re

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, inspect, select

from sshexec.database.schema import Schema
from sshexec.errors import DatabaseError

_REVISION = re.compile(r"v(\d+)_\w+")


def newest(schema: Schema) -> int:
    """Return the version that this program's tables have: that of the last revision, by its file's name."""
    package = importlib.import_module(schema.migrations)
    names = [_REVISION.fullmatch(module.name) for module in pkgutil.iter_modules(package.__path__)]
    return max((int(name[1]) for name in names if name), default=0)


def version_table(schema: Schema) -> Table:
    """Return the table of Alembic that holds a schema's version, as Alembic makes it."""
    name = f"sshexec_{schema.name}_version"
    column = Column("version_num", String(32), nullable=False)
    return Table(name, MetaData(), column, PrimaryKeyConstraint("version_num", name=f"{name}_pkc"))


def version_of(connection: Connection, schema: Schema, url: str) -> int | None:
    """Return the version of a schema in a database; None where it is not there.

    Args:
        connection: to the database.
        schema: the tables.
        url: the database's, for messages.

    Raises:
        DatabaseError: what is kept there is no version of ours.
    """
    table = version_table(schema)
    if not inspect(connection).has_table(table.name):
        return None
    found = connection.execute(select(table.c.version_num)).scalar()
    if found is None:
        return None
    if not found.isdecimal():
        raise DatabaseError(f"{url}: {table.name} holds {found!r}, which is no version of sshexec's")
    return int(found)


def create(connection: Connection, schema: Schema, url: str) -> None:
    """Make the tables of a schema, as this program has them.

    Args:
        connection: to the database.
        schema: the tables.
        url: the database's, for messages.

    Raises:
        DatabaseError: some of these tables are there, with rows in them.
    """
    look = inspect(connection)
    # MariaDB keeps what a process made that was killed before it had made all.
    left = [table for table in schema.metadata.sorted_tables if look.has_table(table.name)]
    for table in left:
        if connection.execute(select(1).select_from(table).limit(1)).first() is not None:
            raise DatabaseError(
                f"{url}: holds a table {table.name} with rows in it, and {version_table(schema).name} names no version"
            )
    schema.metadata.drop_all(connection, left)
    schema.metadata.create_all(connection)
    version = version_table(schema)
    version.create(connection, checkfirst=True)
    connection.execute(version.insert(), {"version_num": str(newest(schema))})


def check(schema: Schema, version: int, url: str) -> None:
    """Refuse to work with another version than this program's.

    Args:
        schema: the tables.
        version: that the database has.
        url: the database's, for messages.

    Raises:
        DatabaseError: it is another.
    """
    wanted = newest(schema)
    stands = f"{url}: schema {schema.name} is at version {version}"
    if version > wanted:
        raise DatabaseError(
            f"{stands}, this sshexec knows {wanted}: use a newer one, "
            f"or have that one run `sshexec database downgrade {url} --to {wanted}`"
        )
    if version < wanted:
        raise DatabaseError(f"{stands}, this sshexec needs {wanted}: run `sshexec database upgrade {url}`")
