"""A database: transactions, and rows that are added once."""

from __future__ import annotations

import os
import stat

import pytest
from sqlalchemy import select

from sshexec.database.database import Database
from sshexec.history.tables import SCHEMA, starts


def row(host: str, started: float = 1.0) -> dict[str, object]:
    return {"run": "r1", "host": host, "started": started}


def hosts(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.execute(select(starts.c.host).order_by(starts.c.host)).scalars())


def test_what_is_written_is_read(database_url):
    database = Database(database_url, SCHEMA)
    with database.writing() as connection:
        database.insert_new(connection, starts, [row("a"), row("b")])
    assert hosts(database) == ["a", "b"]
    again = Database(database_url, SCHEMA, create=False)
    assert hosts(again) == ["a", "b"]
    database.close()
    again.close()


def test_what_raises_leaves_nothing(database_url):
    database = Database(database_url, SCHEMA)

    def fail() -> None:
        with database.writing(alone=True) as connection:
            database.insert_new(connection, starts, [row("a")])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert hosts(database) == []
    with database.writing(alone=True) as connection:
        database.insert_new(connection, starts, [row("b")])
    assert hosts(database) == ["b"]
    database.close()


def test_rows_are_added_once(database_url):
    database = Database(database_url, SCHEMA)
    for _ in range(2):
        with database.writing() as connection:
            database.insert_new(connection, starts, [row("a"), row("b", 2.0)])
    with database.writing() as connection:
        database.insert_new(connection, starts, [row("b", 3.0), row("c")])
    with database.reading() as connection:
        found = connection.execute(select(starts.c.host, starts.c.started).order_by(starts.c.host)).all()
    assert [tuple(each) for each in found] == [("a", 1.0), ("b", 2.0), ("c", 1.0)]
    database.close()


def test_a_file_is_for_its_owner(sqlite_url, tmp_path):
    database = Database(sqlite_url, SCHEMA)
    with database.writing() as connection:
        database.insert_new(connection, starts, [row("a")])
        modes = {name: stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in os.listdir(tmp_path)}
    assert set(modes.values()) == {0o600}
    assert "test.db-wal" in modes
    database.close()
