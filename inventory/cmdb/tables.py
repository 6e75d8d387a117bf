"""The tables of the inventory."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects.mysql import LONGTEXT

from sshexec.database.schema import Schema
from sshexec.database.types import Json, Name, Time

metadata = MetaData()

_Word = String(32)
_Line = Text().with_variant(LONGTEXT(charset="utf8mb4"), "mysql", "mariadb")

hosts = Table(
    "sshexec_hosts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Name, nullable=False, unique=True),
    Column("position", Integer, nullable=False, comment="their order"),
    Column("address", Name, comment="ansible_host where that is a plain text, to find the host by"),
    Column("variables", Json, nullable=False),
    Column("created", Time, nullable=False),
    Column("updated", Time, nullable=False),
)
Index("sshexec_hosts_address", hosts.c.address)

groups = Table(
    "sshexec_groups",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Name, nullable=False, unique=True),
    Column("position", Integer, nullable=False),
    Column("kind", _Word, nullable=False, comment="group, site, region or tag"),
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

credentials = Table(
    "sshexec_credentials",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Name, nullable=False, unique=True),
    Column("description", _Line),
    Column("fields", Json, nullable=False, comment="plain settings, and for each secret its cipher or its reference"),
    Column("created", Time, nullable=False),
    Column("updated", Time, nullable=False),
)

host_credentials = Table(
    "sshexec_host_credentials",
    metadata,
    Column("host_id", ForeignKey(hosts.c.id, ondelete="CASCADE"), primary_key=True),
    Column("credential_id", ForeignKey(credentials.c.id, ondelete="CASCADE"), primary_key=True, index=True),
)

group_credentials = Table(
    "sshexec_group_credentials",
    metadata,
    Column("group_id", ForeignKey(groups.c.id, ondelete="CASCADE"), primary_key=True),
    Column("credential_id", ForeignKey(credentials.c.id, ondelete="CASCADE"), primary_key=True, index=True),
)

SCHEMA = Schema("cmdb", metadata, "sshexec.inventory.cmdb.migrations")
