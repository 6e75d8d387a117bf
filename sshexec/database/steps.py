"""What revisions are made of.

Each step looks first whether it is done already: of a revision that was broken off, MariaDB keeps what was done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alembic import op
from sqlalchemy import Column, Connection, Index, Table, inspect
from sqlalchemy.engine import Inspector


def connection() -> Connection:
    """Return the connection of the revision that is going on."""
    return op.get_bind()


def make(table: Table) -> None:
    """Make a table and its indexes."""
    table.create(connection(), checkfirst=True)
    for index in table.indexes:
        make_index(index)


def make_index(index: Index) -> None:
    """Make an index."""
    table = index.table
    if table is None or _has(_look().get_indexes(table.name), index.name):
        return
    index.create(connection())


def drop(*tables: str) -> None:
    """Drop tables; those that refer to others first."""
    for table in tables:
        if _look().has_table(table):
            op.drop_table(table)


def add(table: str, column: Column[Any], fill: Callable[[], None] | None = None) -> None:
    """Add a column.

    Args:
        table: its table's name.
        column: whether it may be empty holds only once it is filled.
        fill: gives rows their value where they have none.
    """
    wanted = column.nullable
    if not _has(_look().get_columns(table), column.name):
        op.add_column(table, Column(column.name, column.type, nullable=True, comment=column.comment))
    if fill is not None:
        fill()
    if not wanted:
        with op.batch_alter_table(table) as batch:
            batch.alter_column(column.name, existing_type=column.type, existing_comment=column.comment, nullable=False)


def remove(table: str, *columns: str, indexes: tuple[str, ...] = ()) -> None:
    """Remove columns, and indexes on them."""
    for index in indexes:
        if _has(_look().get_indexes(table), index):
            op.drop_index(index, table)
    for column in columns:
        if _has(_look().get_columns(table), column):
            op.drop_column(table, column)


def _look() -> Inspector:
    return inspect(connection())


def _has(found: list[Any], name: str | None) -> bool:
    return any(each["name"] == name for each in found)
