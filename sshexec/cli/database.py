"""``sshexec database``: the versions of a database's tables."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sshexec.cli.stdout import Stdout
from sshexec.database.address import redacted
from sshexec.errors import DatabaseError

if TYPE_CHECKING:
    from sshexec.database.database import Database

_Function = TypeVar("_Function", bound=Callable[..., Any])

_EPILOG = """\b
Examples:
  sshexec database show sqlite:///hosts.db
  sshexec database upgrade postgresql+psycopg://cmdb@db1/cmdb
  sshexec database downgrade postgresql+psycopg://cmdb@db1/cmdb --schema history --to 2

A file of SQLite is upgraded when it is used; a server's tables only by this command."""


@click.group(epilog=_EPILOG, short_help="show, upgrade and downgrade the tables of a database", no_args_is_help=False)
def command() -> None:
    """Show, upgrade and downgrade the tables of a database.

    A database may hold an inventory (schema cmdb), a history (schema history), or both; each has a version of its own.
    """


def _options(function: _Function) -> _Function:
    schema = click.option(
        "--schema", type=click.Choice(["cmdb", "history"]), help="Which tables; without it, those that are there."
    )
    return click.argument("url")(schema(function))


@command.command(short_help="show which tables there are, and of which version")
@_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(url: str, schema: str | None, as_json: bool) -> int:
    """Show which tables the database at URL holds, of which version, and how many rows."""
    from sshexec.database.versions import newest

    found: dict[str, Any] = {}
    for database in _all(url, schema):
        if database.path is not None and not os.path.exists(database.path):
            raise DatabaseError(f"{database.url}: there is no such file")
        with closing(database):
            version = database.version()
            rows = {} if version is None else database.rows()
            found[database.schema.name] = {"version": version, "newest": newest(database.schema), "rows": rows}
    stdout = Stdout()
    if as_json:
        stdout.write(json.dumps({"url": redacted(url), "schemas": found}, indent=2) + "\n")
    else:
        stdout.write("".join(_lines(found)))
    stdout.flush()
    return 0


def _lines(found: dict[str, Any]) -> Iterator[str]:
    for name, held in found.items():
        if held["version"] is None:
            yield f"{name}: not there\n"
            continue
        order = held["newest"] - held["version"]
        says = (
            "the newest" if order == 0 else f"{'older' if order > 0 else 'newer'} than this sshexec's {held['newest']}"
        )
        yield f"{name}: version {held['version']}, {says}\n"
        for table, count in held["rows"].items():
            yield f"  {table}  {count}\n"


@command.command(short_help="take the tables to a newer version")
@_options
@click.option("--to", type=click.IntRange(min=1), metavar="N", help="The version; without it, the newest.")
def upgrade(url: str, schema: str | None, to: int | None) -> int:
    """Take the tables of the database at URL to a newer version, with all they hold.

    With --schema, tables that are not there yet are made.
    """
    return _move(url, schema, to, forward=True)


@command.command(short_help="take the tables back to an older version")
@_options
@click.option("--to", type=click.IntRange(min=0), metavar="N", required=True, help="The version; 0 for none.")
@click.option("--yes", is_flag=True, help="With --to 0: delete these tables, and all they hold.")
def downgrade(url: str, schema: str | None, to: int, yes: bool) -> int:
    """Take the tables of the database at URL back to an older version.

    What the older version has no place for is deleted: make a copy first.
    """
    if to == 0 and not yes:
        raise click.UsageError("--to 0 deletes the tables and all they hold; add --yes", click.get_current_context())
    return _move(url, schema, to, forward=False)


def _move(url: str, schema: str | None, to: int | None, *, forward: bool) -> int:
    databases = [(each, each.version()) for each in _all(url, schema)]
    if schema is None:
        databases = [(each, version) for each, version in databases if version is not None]
        if not databases:
            raise DatabaseError(f"{redacted(url)}: holds no tables of sshexec's; say which to make by --schema")
        if to is not None and len(databases) > 1:
            raise click.UsageError("it holds two schemas: say whose version, by --schema", click.get_current_context())
    stdout = Stdout()
    for database, version in databases:
        start = version or 0
        if to is not None and start != to and (to > start) is not forward:
            word = "upgrade" if to > start else "downgrade"
            raise DatabaseError(f"{database.url}: {database.schema.name} is at version {start}: `{word}` leads to {to}")
        with closing(database):
            reached = database.migrate(to)
        way = f"{start} already" if reached == start else f"{start} -> {reached}"
        stdout.write(f"{database.schema.name}: version {way}\n")
    stdout.flush()
    return 0


def _all(url: str, name: str | None) -> list[Database]:
    from sshexec.database.database import Database
    from sshexec.history.tables import SCHEMA as HISTORY
    from sshexec.inventory.cmdb.tables import SCHEMA as CMDB

    return [Database(url, schema) for schema in (CMDB, HISTORY) if name in (None, schema.name)]
