"""A set of tables that belongs together, and the way its versions lead from one to the next."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import MetaData


@dataclass(frozen=True)
class Schema:
    """The tables of one room; several may share a database, each with a version of its own.

    Args:
        name: its name, and part of that of the table that holds its version: ``sshexec_NAME_version``.
        metadata: the tables as this version has them; their names begin with ``sshexec_``.
        migrations: the package that holds Alembic's revisions, such as ``sshexec.history.migrations``.
    """

    name: str
    metadata: MetaData
    migrations: str

    @property
    def title(self) -> str:
        """What it holds, in a word for people."""
        return {"cmdb": "inventory"}.get(self.name, self.name)
