"""One database, and one schema in it."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Executable, Table, func, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from sshexec.database import forks
from sshexec.database.address import redacted, state_directory
from sshexec.database.engines import LOCKED, engine_of, parsed
from sshexec.database.failures import translated
from sshexec.database.schema import Schema
from sshexec.database.versions import check, create, newest, version_of
from sshexec.errors import DatabaseError, DatabaseUnavailableError

_writers: dict[str, threading.Lock] = {}
"""A lock for each SQLite file. A greenlet that waited in SQLite for another one's transaction would wait in vain."""
_making = threading.Lock()
_inherited: list[Engine] = []
"""Of the process that this one was forked from: closing their connections might speak for it."""
_stranded: set[str] = set()
"""SQLite files that can't be used in this forked process."""
_LOCK = "CONCAT(:name, '.', LEFT(MD5(DATABASE()), 16))"
"""The name of MariaDB's lock for those who write alone; such names are the whole server's."""


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
        self._closing: weakref.finalize[..., Any] | None = None
        self._prepared = False
        self._in_use = False
        self._preparing = threading.RLock()
        self._lock = threading.Lock()
        forks.know(self)

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
        """Look at the tables once: where there are none they are made, and a file of an older version is upgraded.

        The first transaction does so, too.

        Raises:
            DatabaseError: the tables are of another version, or there are none and none are to be made.
            DatabaseUnavailableError: it does not answer.
        """
        with self._preparing:
            if self._prepared:
                return
            version = self.version()
            if version is None:
                if not self._create:
                    raise DatabaseError(f"{self.url}: holds no {self.schema.title} (no such tables)")
                self._make_file()
                version = self._make_tables()
            if version < newest(self.schema) and self.path is not None:
                version = self.migrate()
            check(self.schema, version, self.url)
            self._prepared = True

    def version(self) -> int | None:
        """Return the version of the tables; None where there are none. Nothing is made or changed.

        Raises:
            DatabaseUnavailableError: it does not answer.
        """
        if self.path is not None and not os.path.exists(self.path):
            return None
        with self._transaction(writes=False) as connection:
            return version_of(connection, self.schema, self.url)

    def migrate(self, to: int | None = None) -> int:
        """Take the tables to another version, with what they hold as far as that version can hold it.

        On SQLite and PostgreSQL nothing is changed unless all goes well. MariaDB has no such transactions: what was
        broken off there is gone on with the next time.

        Args:
            to: the version; None for this program's, 0 for none: nothing is left then.

        Returns:
            The version.

        Raises:
            DatabaseError: there is no such version, or what is there is of a newer program.
            DatabaseUnavailableError: it does not answer, or others are writing.
        """
        last = newest(self.schema)
        wanted = last if to is None else to
        if not 0 <= wanted <= last:
            raise DatabaseError(f"schema {self.schema.name} has no version {wanted}; there are 0 to {last}")
        self._make_file()
        engine = engine_of(self._parts, migrates=True)
        try:
            with self._turn(), self._transaction(writes=True, alone=True, engine=engine) as connection:
                start = version_of(connection, self.schema, self.url) or 0
                if start > last:
                    check(self.schema, start, self.url)
                if start == 0 and wanted == last:
                    create(connection, self.schema, self.url)
                elif start != wanted:
                    from sshexec.database.migration import move

                    move(connection, self.schema, start, wanted, self.url)
        finally:
            engine.dispose()
        self._prepared = False
        self.close()
        return wanted

    def _make_tables(self) -> int:
        with self._turn(), self._transaction(writes=True, alone=True) as connection:
            version = version_of(connection, self.schema, self.url)
            if version is None:
                create(connection, self.schema, self.url)
                return newest(self.schema)
            return version

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
        connection.execute(_insert_new(self.dialect, table), list(rows))

    def rows(self) -> dict[str, int]:
        """Count the rows of each table that is there, of whatever version.

        Raises:
            DatabaseUnavailableError: it does not answer.
        """
        with self._transaction(writes=False) as connection:
            look = inspect(connection)
            tables = [table for table in self.schema.metadata.sorted_tables if look.has_table(table.name)]
            return {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables
            }

    def close(self) -> None:
        """Close its connections; they are opened again when it is used again."""
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()

    def _make_file(self) -> None:
        path = self.path
        if path is None:
            return
        folder = os.path.dirname(path)
        try:
            # Who closes a file gives up all locks that this process has on it, SQLite's too.
            with _making:
                if not os.path.exists(path):
                    if folder == os.path.abspath(state_directory()):
                        os.makedirs(folder, mode=0o700, exist_ok=True)
                    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            return
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
    def _transaction(self, *, writes: bool, alone: bool = False, engine: Engine | None = None) -> Iterator[Connection]:
        forks.enter()
        try:
            with self._said_by(), (engine or self._opened()).connect() as connection:
                if writes:
                    connection = connection.execution_options(sshexec_writes=True)
                elif self.dialect == "postgresql":
                    connection = connection.execution_options(
                        isolation_level="REPEATABLE READ", postgresql_readonly=True
                    )
                try:
                    with connection.begin():
                        if alone:
                            self._take(connection)
                        yield connection
                finally:
                    if alone:
                        self._give_back(connection)
        finally:
            forks.leave()

    @contextmanager
    def _said_by(self) -> Iterator[None]:
        """Say in errors which database they are about."""
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise translated(error, self.url, self._parts.password) from None

    def _opened(self) -> Engine:
        with self._lock:
            if self.path is not None and os.path.realpath(self.path) in _stranded:
                raise DatabaseUnavailableError(
                    f"{self.url}: can't be used here, since this process was forked in the middle of a transaction"
                )
            if self._engine is None:
                self._engine = engine_of(self._parts)
                self._closing = weakref.finalize(self, self._engine.dispose)
            return self._engine

    def _take(self, connection: Connection) -> None:
        name = {"name": f"sshexec_{self.schema.name}"}
        if self.dialect == "postgresql":
            lock = "pg_advisory_xact_lock(hashtext(:name || current_schema()))"
            connection.execute(text(f"SELECT set_config('lock_timeout', '{LOCKED:g}s', true), {lock}"), name)
            return
        taken = (
            self.dialect == "sqlite" or connection.execute(text(f"SELECT GET_LOCK({_LOCK}, {LOCKED:g})"), name).scalar()
        )
        if not taken:
            raise DatabaseUnavailableError(f"{self.url}: is locked by another process")

    def _give_back(self, connection: Connection) -> None:
        """Give back MariaDB's lock, which the end of a transaction does not, and whose connection stays open."""
        if self.dialect != "mysql":
            return
        try:
            connection.execute(text(f"SELECT RELEASE_LOCK({_LOCK})"), {"name": f"sshexec_{self.schema.name}"})
            connection.commit()
        except SQLAlchemyError:
            connection.invalidate()

    def let_go(self) -> None:
        """Close the connections that nobody uses; before a fork."""
        self._in_use = False
        if self._engine is not None:
            pool = self._engine.pool
            self._in_use = isinstance(pool, QueuePool) and pool.checkedout() > 0
            self._engine.dispose()

    def start_anew(self) -> None:
        """Forget the connections of the process that this one was forked from."""
        self._preparing = threading.RLock()
        self._lock = threading.Lock()
        _writers.clear()
        if self._engine is None or self._closing is None:
            return
        self._closing.detach()
        _inherited.append(self._engine)
        if self.path is not None and self._in_use:
            _stranded.add(os.path.realpath(self.path))
        self._engine = None


def _insert_new(dialect: str, table: Table) -> Executable:
    """Return the statement that adds rows; each kind of database has its own, and loading all takes a while."""
    keys = list(table.primary_key.columns)
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table).on_conflict_do_nothing(index_elements=keys)
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table).on_conflict_do_nothing(index_elements=keys)
    from sqlalchemy.dialects import mysql

    # INSERT IGNORE would cut off what is too long, too.
    return mysql.insert(table).on_duplicate_key_update({keys[0].name: keys[0]})
