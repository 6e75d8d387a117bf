"""What a database really holds, read without the code that wrote it."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool


def table(url: str, name: str) -> list[dict[str, Any]]:
    """Return the rows of a table; none where the database has no such table yet."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        if not engine.dialect.has_table(connection, name):
            return []
        return [dict(row) for row in connection.execute(text(f"SELECT * FROM {name}")).mappings()]


def results(url: str) -> dict[str, dict[str, str]]:
    """Return the standard output of each host, by run."""
    found: dict[str, dict[str, str]] = {}
    for row in table(url, "sshexec_results"):
        stdout = row["stdout"]
        found.setdefault(row["run"], {})[row["host"]] = json.loads(stdout) if isinstance(stdout, str) else stdout
    return found
