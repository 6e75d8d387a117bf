"""Hosts that were begun, and runs that go on with others."""

from __future__ import annotations

from sqlalchemy import Column, Index, MetaData, String, Table, text

from sshexec.database import steps
from sshexec.database.types import Name, Time

revision = "2"
down_revision = "1"

_WORD = String(32)


def upgrade() -> None:
    """Add them; each run so far is the root of its own chain."""
    metadata = MetaData()
    steps.add(
        "sshexec_runs",
        Column("root", _WORD, nullable=False, comment="the first run of a chain of resumptions; its own id elsewhere"),
        _root,
    )
    steps.add("sshexec_runs", Column("resumes", _WORD, comment="the run that it goes on with"))
    steps.make_index(Index("sshexec_runs_root", Table("sshexec_runs", metadata, Column("root", _WORD)).c.root))
    steps.make(
        Table(
            "sshexec_starts",
            metadata,
            Column("run", _WORD, primary_key=True),
            Column("host", Name, primary_key=True),
            Column("started", Time, nullable=False),
        )
    )


def downgrade() -> None:
    """Drop them."""
    steps.drop("sshexec_starts")
    steps.remove("sshexec_runs", "root", "resumes", indexes=("sshexec_runs_root",))


def _root() -> None:
    steps.connection().execute(text("UPDATE sshexec_runs SET root = id WHERE root IS NULL"))
