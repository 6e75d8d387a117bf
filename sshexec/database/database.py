"""One database, and one schema in it."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Table, text
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from sshexec.database.address import redacted, state_directory
from sshexec.database.engines import LOCKED, engine_of, parsed
from sshexec.database.failures import translated
from sshexec.database.schema import Schema
from sshexec.database.versions import create, version_of
from sshexec.errors import DatabaseError, DatabaseUnavailableError

_writers: dict[str, threading.Lock] = {}
"""A lock for each SQLite file. A greenlet that waited in SQLite for another one's transaction would wait in vain."""


class Database:
    """One database, and one schema in it; threads and greenlets may share it.

    Nothing is opened before it is needed.

    Args:
        url: as SQLAlchemy writes them: ``sqlite:///hosts.db``, ``postgresql+psycopg://user@host/name``,
            ``mysql+pymysql://user@host/name``.
        schema: the tables.
        create: whether tables that are not there, and a file of SQLite, are made.

    Raises:
        DatabaseError: the address is wrong.
    """

    def __init__(self, url: str, schema: Schema, *, create: bool = True) -> None:
        self.url = redacted(url)
        self.schema = schema
        self._parts = parsed(url)
        self._create = create
        self._engine: Engine | None = None
        self._prepared = False
        self._lock = threading.RLock()

    @property
    def dialect(self) -> str:
        """``sqlite``, ``postgresql`` or ``mysql``."""
        name = self._parts.get_backend_name()
        return "mysql" if name == "mariadb" else name

    @property
    def path(self) -> str | None:
        """The absolute path of SQLite's file; None for a server."""
        return self._parts.database if self.dialect == "sqlite" else None

    def prepare(self) -> None:
        """Look at the tables, and make them where there are none; the first transaction does so, too.

        Raises:
            DatabaseError: the tables are of another version, or there are none and none are to be made.
            DatabaseUnavailableError: it does not answer.
        """
        if self._prepared:
            return
        with self._lock:
            if self._prepared:
                return
            self._make_file()
            with self._transaction(writes=False) as connection:
                version = version_of(connection, self.schema)
            if version is None:
                if not self._create:
                    raise DatabaseError(f"{self.url}: holds no {self.schema.title} (no such tables)")
                with self._turn(), self._transaction(writes=True, alone=True) as connection:
                    if version_of(connection, self.schema) is None:
                        create(connection, self.schema)
            self._prepared = True

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection whose statements all see the database as it is now.

        Raises:
            DatabaseError: something is wrong with a statement or the tables.
            DatabaseUnavailableError: it does not answer.
        """
        self.prepare()
        with self._transaction(writes=False) as connection:
            yield connection

    @contextmanager
    def writing(self, *, alone: bool = False) -> Iterator[Connection]:
        """Give a connection whose changes take effect together at the end, or not at all when something is raised.

        Args:
            alone: whether others who write alone to this schema, in any process, have to wait.

        Raises:
            DatabaseError: something is wrong with a statement or the tables.
            DatabaseUnavailableError: it does not answer, is full or locked.
        """
        self.prepare()
        with self._turn(), self._transaction(writes=True, alone=alone) as connection:
            yield connection

    def insert_new(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows; those whose primary key is there already are left out.

        Args:
            connection: of `writing`.
            table: of the schema.
            rows: all with the same columns.
        """
        if not rows:
            return
        keys = list(table.primary_key.columns)
        if self.dialect == "sqlite":
            statement: Any = sqlite.insert(table).on_conflict_do_nothing(index_elements=keys)
        elif self.dialect == "postgresql":
            statement = postgresql.insert(table).on_conflict_do_nothing(index_elements=keys)
        else:
            # INSERT IGNORE would cut off what is too long, too.
            statement = mysql.insert(table).on_duplicate_key_update({keys[0].name: keys[0]})
        connection.execute(statement, list(rows))

    def close(self) -> None:
        """Close its connections; they are opened again when it is used again."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()

    def _make_file(self) -> None:
        path = self.path
        if path is None or os.path.exists(path):
            return
        if not self._create:
            raise DatabaseError(f"{self.url}: holds no {self.schema.title} (no such file)")
        folder = os.path.dirname(path)
        try:
            if folder == os.path.abspath(state_directory()):
                os.makedirs(folder, mode=0o700, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        except FileNotFoundError:
            raise DatabaseError(f"{self.url}: there is no folder {folder}") from None
        except OSError as error:
            raise DatabaseUnavailableError(f"{self.url}: can't be made: {error.strerror}") from None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Have those of this process who write to a file do so one after another."""
        if self.path is None:
            yield
            return
        lock = _writers.setdefault(os.path.realpath(self.path), threading.Lock())
        if not lock.acquire(timeout=LOCKED):
            raise DatabaseUnavailableError(f"{self.url}: another transaction of this process is still not done")
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _transaction(self, *, writes: bool, alone: bool = False) -> Iterator[Connection]:
        try:
            with self._opened().connect() as connection:
                if writes:
                    connection = connection.execution_options(sshexec_writes=True)
                elif self.dialect == "postgresql":
                    connection = connection.execution_options(
                        isolation_level="REPEATABLE READ", postgresql_readonly=True
                    )
                lock = self._lock_name() if alone and self.dialect != "sqlite" else None
                with connection.begin():
                    self._take(connection, lock)
                    yield connection
                self._give_back(connection, lock)
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise translated(error, self.url, self._parts.password) from None

    def _opened(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = engine_of(self._parts)
            return self._engine

    def _lock_name(self) -> str:
        return f"sshexec_{self.schema.name}"

    def _take(self, connection: Connection, lock: str | None) -> None:
        if lock is None:
            return
        if self.dialect == "postgresql":
            connection.execute(
                text("SELECT pg_advisory_xact_lock(hashtext(:name || current_schema()))"), {"name": lock}
            )
            return
        taken = connection.execute(
            text("SELECT GET_LOCK(CONCAT(:name, '.', LEFT(MD5(DATABASE()), 16)), :seconds)"),
            {"name": lock, "seconds": LOCKED},
        ).scalar()
        if taken != 1:
            raise DatabaseUnavailableError(f"{self.url}: is locked by another process")

    def _give_back(self, connection: Connection, lock: str | None) -> None:
        if lock is not None and self.dialect == "mysql":
            connection.execute(
                text("SELECT RELEASE_LOCK(CONCAT(:name, '.', LEFT(MD5(DATABASE()), 16)))"), {"name": lock}
            )
            connection.commit()
