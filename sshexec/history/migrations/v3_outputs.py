"""Output that is kept in files, and what each result takes."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, text

from sshexec.database import steps
from sshexec.database.types import Json

revision = "3"
down_revision = "2"


def upgrade() -> None:
    """Add both; so far no output is in files."""
    steps.add(
        "sshexec_results",
        Column("files", Json, nullable=False, comment="for each stream that is over the budget: path, bytes, sha256"),
        _no_files,
    )
    steps.add(
        "sshexec_results",
        Column("size", BigInteger, nullable=False, comment="bytes that the row and its files take, about"),
        _size,
    )


def downgrade() -> None:
    """Drop both; the files stay where they are."""
    steps.remove("sshexec_results", "files", "size")


def _no_files() -> None:
    steps.connection().execute(text("UPDATE sshexec_results SET files = '{}' WHERE files IS NULL"))


def _size() -> None:
    length = "LENGTH(data) + LENGTH(stdout) + LENGTH(stderr)"
    steps.connection().execute(text(f"UPDATE sshexec_results SET size = {length} WHERE size IS NULL"))  # noqa: S608
