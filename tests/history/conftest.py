"""Databases with the tables of a history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from sshexec.database.database import Database
from sshexec.history.tables import SCHEMA


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """One of each kind."""
    with closing(Database(database_url, SCHEMA)) as database:
        yield database


@pytest.fixture
def light(sqlite_url: str) -> Iterator[Database]:
    """SQLite's alone, for what is the same on all."""
    with closing(Database(sqlite_url, SCHEMA)) as database:
        yield database
