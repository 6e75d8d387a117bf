"""Hosts, groups, and which are members of which."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table

from sshexec.database import steps
from sshexec.database.types import Json, Name, Time

revision = "1"
down_revision = None


def upgrade() -> None:
    """Make them."""
    metadata = MetaData()
    hosts = Table(
        "sshexec_hosts",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("name", Name, nullable=False, unique=True),
        Column("position", Integer, nullable=False, comment="their order"),
        Column("variables", Json, nullable=False),
        Column("created", Time, nullable=False),
        Column("updated", Time, nullable=False),
    )
    groups = Table(
        "sshexec_groups",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("name", Name, nullable=False, unique=True),
        Column("position", Integer, nullable=False),
        Column("variables", Json, nullable=False),
        Column("created", Time, nullable=False),
        Column("updated", Time, nullable=False),
    )
    members = Table(
        "sshexec_group_hosts",
        metadata,
        Column("group_id", ForeignKey(groups.c.id, ondelete="CASCADE"), primary_key=True),
        Column("host_id", ForeignKey(hosts.c.id, ondelete="CASCADE"), primary_key=True, index=True),
        Column("position", Integer, nullable=False),
    )
    children = Table(
        "sshexec_group_children",
        metadata,
        Column("parent_id", ForeignKey(groups.c.id, ondelete="CASCADE"), primary_key=True),
        Column("child_id", ForeignKey(groups.c.id, ondelete="CASCADE"), primary_key=True, index=True),
        Column("position", Integer, nullable=False),
    )
    for table in (hosts, groups, members, children):
        steps.make(table)


def downgrade() -> None:
    """Drop them."""
    steps.drop("sshexec_group_children", "sshexec_group_hosts", "sshexec_groups", "sshexec_hosts")
