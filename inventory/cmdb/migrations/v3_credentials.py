"""Credentials, and the hosts and groups that they are for."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, Text
from sqlalchemy.dialects.mysql import LONGTEXT

from sshexec.database import steps
from sshexec.database.types import Json, Name, Time

revision = "3"
down_revision = "2"

_LINE = Text().with_variant(LONGTEXT(charset="utf8mb4"), "mysql", "mariadb")


def upgrade() -> None:
    """Make them."""
    metadata = MetaData()
    hosts = Table("sshexec_hosts", metadata, Column("id", Integer, primary_key=True))
    groups = Table("sshexec_groups", metadata, Column("id", Integer, primary_key=True))
    credentials = Table(
        "sshexec_credentials",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("name", Name, nullable=False, unique=True),
        Column("description", _LINE),
        Column(
            "fields", Json, nullable=False, comment="plain settings, and for each secret its cipher or its reference"
        ),
        Column("created", Time, nullable=False),
        Column("updated", Time, nullable=False),
    )
    steps.make(credentials)
    for name, owner in (("host", hosts), ("group", groups)):
        steps.make(
            Table(
                f"sshexec_{name}_credentials",
                metadata,
                Column(f"{name}_id", ForeignKey(owner.c.id, ondelete="CASCADE"), primary_key=True),
                Column(
                    "credential_id",
                    ForeignKey(credentials.c.id, ondelete="CASCADE"),
                    primary_key=True,
                    index=True,
                ),
            )
        )


def downgrade() -> None:
    """Drop them: no earlier version knows what to do with them."""
    steps.drop("sshexec_host_credentials", "sshexec_group_credentials", "sshexec_credentials")
