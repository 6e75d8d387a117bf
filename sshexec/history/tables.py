"""The tables of the history. Rows are added and removed, never changed: whoever adds one twice adds it once."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects.mysql import LONGTEXT

from sshexec.database.schema import Schema
from sshexec.database.types import Json, Name, Time

metadata = MetaData()

_Word = String(32)
_Line = Text().with_variant(LONGTEXT(charset="utf8mb4"), "mysql", "mariadb")

runs = Table(
    "sshexec_runs",
    metadata,
    Column("id", _Word, primary_key=True),
    Column("root", _Word, nullable=False, comment="the first run of a chain of resumptions; its own id elsewhere"),
    Column("resumes", _Word, comment="the run that it goes on with"),
    Column("actor", Name),
    Column("reason", _Line),
    Column("labels", Json, nullable=False),
    Column("module", Name, nullable=False),
    Column("task", Json, nullable=False, comment="arguments and options, without what is secret"),
    Column("pattern", _Line, nullable=False),
    Column("hosts", Json, nullable=False, comment="the names of all hosts, in order"),
    Column("count", Integer, nullable=False, comment="how many"),
    Column("runner", Json, nullable=False, comment="machine, process and version that ran it, and its journal"),
    Column("started", Time, nullable=False),
)
Index("sshexec_runs_started", runs.c.started)
Index("sshexec_runs_root", runs.c.root)

ends = Table(
    "sshexec_run_ends",
    metadata,
    Column("run", _Word, primary_key=True),
    Column("state", _Word, nullable=False, comment="finished, cancelled, timeout, or died where nobody saw the end"),
    Column("finished", Time, nullable=False),
)

starts = Table(
    "sshexec_starts",
    metadata,
    Column("run", _Word, primary_key=True),
    Column("host", Name, primary_key=True),
    Column("started", Time, nullable=False),
)
"""Hosts that were about to be contacted, and whose result was not there when this was written."""

results = Table(
    "sshexec_results",
    metadata,
    Column("run", _Word, primary_key=True),
    Column("host", Name, primary_key=True),
    Column("status", _Word, nullable=False),
    Column("cause", _Word),
    Column("phase", _Word),
    Column("rc", BigInteger),
    Column("changed", Boolean, nullable=False),
    Column("started", Time),
    Column("finished", Time),
    Column("phases", Json, nullable=False, comment="seconds in each phase"),
    Column("data", Json, nullable=False, comment="Ansible's dictionary without the streams, and notices"),
    Column("stdout", Json, nullable=False, comment="a JSON text, as much as the budget allows"),
    Column("stderr", Json, nullable=False),
    Column("files", Json, nullable=False, comment="for each stream that is over the budget: path, bytes, sha256"),
    Column("size", BigInteger, nullable=False, comment="bytes that the row and its files take, about"),
)

SCHEMA = Schema("history", metadata, "sshexec.history.migrations")
