"""Databases for tests: SQLite files, and databases of their own on the servers that answer."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

POSTGRESQL = os.environ.get(
    "SSHEXEC_TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test?connect_timeout=5"
)
MYSQL = os.environ.get("SSHEXEC_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/test?connect_timeout=5")


_PATIENCE = {
    "postgresql": "SET lock_timeout = '20s'",
    "mysql": "SET SESSION lock_wait_timeout = 20",
    "mariadb": "SET SESSION lock_wait_timeout = 20",
}
"""So that a test that has left a transaction open fails instead of waiting for itself."""


def _on(server: URL, statement: str) -> None:
    engine = create_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(_PATIENCE[server.get_backend_name()]))
        connection.execute(text(statement))


def _make(server: str, statement: str) -> URL:
    """Do the first thing on a server, or leave the test out where none answers."""
    url = make_url(server)
    try:
        _on(url, statement)
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        reason = f"no database server at {url}: {str(error).splitlines()[0]}"
        if os.environ.get("SSHEXEC_REQUIRE_SERVICES"):
            pytest.fail(reason)
        pytest.skip(reason)
    return url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The address of a file that is not there yet."""
    return f"sqlite:///{tmp_path}/test.db"


@pytest.fixture
def postgresql_url() -> Iterator[str]:
    """An empty schema of PostgreSQL, dropped afterwards."""
    name = f"sshexec_{uuid.uuid4().hex}"
    server = _make(POSTGRESQL, f"CREATE SCHEMA {name}")
    yield server.update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(hide_password=False)
    _on(server, f"DROP SCHEMA {name} CASCADE")


@pytest.fixture
def mysql_url() -> Iterator[str]:
    """An empty database of MariaDB, dropped afterwards."""
    name = f"sshexec_{uuid.uuid4().hex}"
    server = _make(MYSQL, f"CREATE DATABASE {name}")
    yield server.set(database=name).render_as_string(hide_password=False)
    _on(server, f"DROP DATABASE {name}")


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
