"""From one version of a schema to another, by Alembic's revisions. Only loaded where there is such a way to go."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from sshexec.database.schema import Schema
from sshexec.database.versions import version_table
from sshexec.errors import DatabaseError

_alone = threading.Lock()
"""Alembic has one place for the operations that are going on."""


def move(connection: Connection, schema: Schema, start: int, to: int, url: str) -> None:
    """Take a schema from one version to another, data included.

    Args:
        connection: in a transaction; on SQLite with foreign keys off, since a table that is made anew is dropped first.
        schema: what is moved.
        start: the version that it has; 0 where there is none.
        to: the version that is wanted; 0 for none.
        url: the database's, for messages.

    Raises:
        DatabaseError: rows that refer to others would have lost them.
    """
    script = _script(schema)
    table = version_table(schema)

    def steps(*_: Any) -> Iterator[MigrationStep]:
        if to > start:
            for revision in reversed(list(script.iterate_revisions(str(to), str(start or "base")))):
                yield MigrationStep.upgrade_from_script(script.revision_map, revision)
        else:
            for revision in script.iterate_revisions(str(start), str(to or "base")):
                yield MigrationStep.downgrade_from_script(script.revision_map, revision)

    context = MigrationContext.configure(connection, opts={"version_table": table.name, "fn": steps})
    with _alone, Operations.context(context):
        context.run_migrations()
    if to == 0:
        table.drop(connection)
    if connection.dialect.name == "sqlite":
        broken = {row[0] for row in connection.execute(text("PRAGMA foreign_key_check"))}
        if broken:
            raise DatabaseError(f"{url}: rows of {', '.join(sorted(broken))} refer to others that are not there")


def _script(schema: Schema) -> ScriptDirectory:
    (folder,) = importlib.import_module(schema.migrations).__path__
    return ScriptDirectory(folder, version_locations=[folder])
