"""Runs, how they ended, and the results of their hosts."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects.mysql import LONGTEXT

from sshexec.database import steps
from sshexec.database.types import Json, Name, Time

revision = "1"
down_revision = None

_WORD = String(32)
_LINE = Text().with_variant(LONGTEXT(charset="utf8mb4"), "mysql", "mariadb")


def upgrade() -> None:
    """Make them."""
    metadata = MetaData()
    runs = Table(
        "sshexec_runs",
        metadata,
        Column("id", _WORD, primary_key=True),
        Column("actor", Name),
        Column("reason", _LINE),
        Column("labels", Json, nullable=False),
        Column("module", Name, nullable=False),
        Column("task", Json, nullable=False, comment="arguments and options, without what is secret"),
        Column("pattern", _LINE, nullable=False),
        Column("hosts", Json, nullable=False, comment="the names of all hosts, in order"),
        Column("count", Integer, nullable=False, comment="how many"),
        Column("runner", Json, nullable=False, comment="machine, process and version that ran it, and its journal"),
        Column("started", Time, nullable=False),
    )
    Index("sshexec_runs_started", runs.c.started)
    steps.make(runs)
    steps.make(
        Table(
            "sshexec_run_ends",
            metadata,
            Column("run", _WORD, primary_key=True),
            Column(
                "state",
                _WORD,
                nullable=False,
                comment="finished, cancelled, timeout, or died where nobody saw the end",
            ),
            Column("finished", Time, nullable=False),
        )
    )
    steps.make(
        Table(
            "sshexec_results",
            metadata,
            Column("run", _WORD, primary_key=True),
            Column("host", Name, primary_key=True),
            Column("status", _WORD, nullable=False),
            Column("cause", _WORD),
            Column("phase", _WORD),
            Column("rc", BigInteger),
            Column("changed", Boolean, nullable=False),
            Column("started", Time),
            Column("finished", Time),
            Column("phases", Json, nullable=False, comment="seconds in each phase"),
            Column("data", Json, nullable=False, comment="Ansible's dictionary without the streams, and notices"),
            Column("stdout", Json, nullable=False, comment="a JSON text, as much as the budget allows"),
            Column("stderr", Json, nullable=False),
        )
    )


def downgrade() -> None:
    """Drop them."""
    steps.drop("sshexec_results", "sshexec_run_ends", "sshexec_runs")
