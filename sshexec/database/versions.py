"""Which version of a schema a database holds. Nothing here loads Alembic, whose table it is kept in."""

from __future__ import annotations

import importlib
import pkgutil
import re

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, inspect, select

from sshexec.database.schema import Schema

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


def version_of(connection: Connection, schema: Schema) -> int | None:
    """Return the version of a schema in a database; None where it is not there."""
    table = version_table(schema)
    if not inspect(connection).has_table(table.name):
        return None
    found = connection.execute(select(table.c.version_num)).scalar()
    return None if found is None else int(found)


def create(connection: Connection, schema: Schema) -> None:
    """Make the tables of a schema, as this program has them."""
    table = version_table(schema)
    schema.metadata.create_all(connection)
    table.create(connection, checkfirst=True)
    connection.execute(table.insert(), {"version_num": str(newest(schema))})
