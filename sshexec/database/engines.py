"""SQLAlchemy's engines, set up so that a database means the same to us whoever made it."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.pool import ConnectionPoolEntry

from sshexec.database.address import redacted
from sshexec.database.postgresql import patient_connection
from sshexec.errors import DatabaseError

CONNECT = 10
"""Seconds until a server must have answered."""
ANSWER = 60
"""Seconds that one statement may take."""
MIGRATION = 3600
"""Seconds that one statement of a migration may take."""
LOCKED = 30.0
"""Seconds that one waits for those who write at the same time."""

_DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
_PACKAGES = {"psycopg": "postgresql", "pymysql": "mysql"}


def parsed(url: str) -> URL:
    """Return an address in its parts, a driver among them, and the path of a file as an absolute one.

    Raises:
        DatabaseError: it is none, or of a kind that is not for us.
    """
    try:
        parts = make_url(url)
    except (exc.ArgumentError, ValueError):
        raise DatabaseError(f"{redacted(url)}: no address of a database, such as sqlite:///hosts.db") from None
    driver = _DRIVERS.get(parts.drivername, parts.drivername)
    if driver not in _DRIVERS.values():
        raise DatabaseError(
            f"{redacted(url)}: no such kind of database; there are {', '.join(sorted(_DRIVERS.values()))}"
        )
    parts = parts.set(drivername=driver)
    if driver != "sqlite+pysqlite":
        return parts
    if parts.database in (None, "", ":memory:") or str(parts.database).startswith("file:"):
        raise DatabaseError(f"{redacted(url)}: names no file; write sqlite:///hosts.db or sqlite:////srv/hosts.db")
    if parts.query:
        raise DatabaseError(f"{redacted(url)}: an address of SQLite takes no settings behind a '?'")
    return parts.set(database=os.path.abspath(str(parts.database)))


def engine_of(url: URL, *, migrates: bool = False) -> Engine:
    """Return an engine that has not connected yet.

    Args:
        url: of `parsed`.
        migrates: whether it is for changes of tables: they take long, and SQLite's foreign keys are off.

    Raises:
        DatabaseError: its driver is not installed.
        sqlalchemy.exc.ArgumentError: it says what the driver does not take; connecting may raise it, too.
    """
    answer = MIGRATION if migrates else ANSWER
    try:
        with _of_address():
            if url.drivername == "sqlite+pysqlite":
                engine = _sqlite(url, foreign_keys=not migrates)
            else:
                engine = _postgresql(url, answer) if url.drivername == "postgresql+psycopg" else _mysql(url, answer)
    except ModuleNotFoundError as error:
        extra = _PACKAGES.get(error.name or "")
        if extra is None:
            raise
        raise DatabaseError(
            f"{redacted(url.render_as_string())}: its driver is not installed: pip install 'sshexec[{extra}]'"
        ) from None

    @event.listens_for(engine, "handle_error")
    def refused(context: ExceptionContext) -> None:
        # What a driver could not even send, it calls by no name of its own.
        if isinstance(context.original_exception, (UnicodeEncodeError, OverflowError)):
            raise exc.ArgumentError("can hold no such text or number") from None

    return engine


def _sqlite(url: URL, *, foreign_keys: bool) -> Engine:
    # A statement that waits in SQLite stops all greenlets: the long waiting is patiently's.
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": 0.1})

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None
        patiently(lambda: connection.execute("PRAGMA journal_mode=WAL"))
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        raw: Any = connection.connection.dbapi_connection
        if connection.get_execution_options().get("sshexec_writes"):
            patiently(lambda: raw.execute("BEGIN IMMEDIATE"))
        else:
            raw.execute("BEGIN")
            # Only what is read first takes the snapshot.
            patiently(lambda: raw.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall())

    return engine


def patiently(act: Callable[[], object]) -> None:
    """Do something with SQLite that others may be in the way of, for `LOCKED` seconds.

    Raises:
        sqlite3.OperationalError: they still are.
    """
    deadline = time.monotonic() + LOCKED
    while True:
        try:
            act()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _postgresql(url: URL, answer: float) -> Engine:
    engine = create_engine(url, hide_parameters=True, isolation_level="READ COMMITTED", pool_pre_ping=True)

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, arguments: list[Any], settings: dict[str, Any]) -> Any:
        # A statement that was prepared is unknown to the next server that PgBouncer gives a transaction to.
        chosen = {"connect_timeout": CONNECT, "client_encoding": "utf8", "prepare_threshold": None, **settings}
        with _of_address():
            if chosen["prepare_threshold"] is not None:
                chosen["prepare_threshold"] = int(chosen["prepare_threshold"])
            return patient_connection(answer).connect(*arguments, **chosen)

    return engine


def _mysql(url: URL, answer: float) -> Engine:
    engine = create_engine(
        url, hide_parameters=True, isolation_level="REPEATABLE READ", pool_pre_ping=True, pool_recycle=1800
    )

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, _record: Any, arguments: list[Any], settings: dict[str, Any]) -> Any:
        chosen = {
            "connect_timeout": CONNECT,
            # Before the login is done, connect_timeout is for TCP alone.
            "read_timeout": CONNECT,
            "write_timeout": answer,
            "charset": "utf8mb4",
            # What does not fit is an error, whatever the server's default.
            "sql_mode": "STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
        }
        with _of_address():
            connection = dialect.loaded_dbapi.connect(*arguments, **{**chosen, **settings})
        if not connection.db:
            connection.close()
            raise exc.ArgumentError("this address names no database")
        if "read_timeout" not in settings:
            connection._read_timeout = answer
        return connection

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: ConnectionPoolEntry) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@max_allowed_packet")
            record.info["max_allowed_packet"] = cursor.fetchone()[0]

    return engine


@contextmanager
def _of_address() -> Iterator[None]:
    """Tell what drivers make of settings that they do not know or can't use: any kind of error there is."""
    try:
        yield
    except (TypeError, ValueError, AttributeError, OSError) as error:
        reason = "no such value of a setting" if isinstance(error, AttributeError) else str(error)
        raise exc.ArgumentError(f"this address can't be used: {reason}") from None
