"""Kinds of groups (sites, regions, tags), and hosts that are found by their address."""

from __future__ import annotations

import json

from sqlalchemy import Column, Index, MetaData, String, Table, bindparam, select, text

from sshexec.database import steps
from sshexec.database.types import NAME_LENGTH, Json, Name

revision = "2"
down_revision = "1"

_ROWS = 1000
"""Hosts that are looked at together."""


def upgrade() -> None:
    """Add both: so far every group is just a group, and addresses stand among the variables."""
    steps.add(
        "sshexec_groups",
        Column("kind", String(32), nullable=False, comment="group, site, region or tag"),
        lambda: _fill("UPDATE sshexec_groups SET kind = 'group' WHERE kind IS NULL"),
    )
    steps.add(
        "sshexec_hosts",
        Column("address", Name, comment="ansible_host where that is a plain text, to find the host by"),
        _addresses,
    )
    hosts = Table("sshexec_hosts", MetaData(), Column("address", Name))
    steps.make_index(Index("sshexec_hosts_address", hosts.c.address))


def downgrade() -> None:
    """Drop both; sites, regions and tags go on as groups."""
    steps.remove("sshexec_hosts", "address", indexes=("sshexec_hosts_address",))
    steps.remove("sshexec_groups", "kind")


def _fill(statement: str) -> None:
    steps.connection().execute(text(statement))


def _addresses() -> None:
    hosts = Table("sshexec_hosts", MetaData(), Column("name", Name), Column("address", Name), Column("variables", Json))
    found = steps.connection().execute(select(hosts.c.name, hosts.c.variables)).all()
    rows = [{"host": name, "given": _address(variables)} for name, variables in found]
    rows = [row for row in rows if row["given"] is not None]
    change = hosts.update().where(hosts.c.name == bindparam("host")).values(address=bindparam("given"))
    for start in range(0, len(rows), _ROWS):
        steps.connection().execute(change, rows[start : start + _ROWS])


def _address(variables: str) -> str | None:
    """Return a host's address, by the rule that `sshexec.inventory.cmdb.adding` has, too."""
    held = json.loads(variables)
    address = held.get("ansible_host") if isinstance(held, dict) else None
    plain = isinstance(address, str) and len(address) <= NAME_LENGTH and address.isprintable()
    return address if plain else None
