"""``sshexec recordings list``: which recordings there are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from sshexec.cli.moments import shown_moment, shown_size, shown_span
from sshexec.cli.recordings_folder import folder_option, json_option, none_yet, opened
from sshexec.cli.stderr import tell
from sshexec.cli.stdout import Stdout
from sshexec.cli.table import Cell, table
from sshexec.cli.untrusted import harmless
from sshexec.cli.values import count

if TYPE_CHECKING:
    from sshexec.terminal.recordings import Recorded


@click.command("list", short_help="show which recordings there are")
@folder_option
@click.option("-n", "--limit", type=count, default="20", metavar="N", show_default=True, help="So many of the latest.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--host", metavar="NAME", help="Those of this host.")
@click.option("--owner", metavar="NAME", help="Those of this user.")
@json_option
def command(
    folder: str | None, limit: int, everything: bool, host: str | None, owner: str | None, as_json: bool
) -> int:
    """Show which recordings there are, the latest first."""
    recordings = opened(folder)
    if recordings is None and not as_json:
        tell(harmless(none_yet()))
    found = recordings.list(host=host, owner=owner, limit=None if everything else limit) if recordings else []
    stdout = Stdout()
    if as_json:
        stdout.write(json.dumps({"version": 1, "recordings": [each.to_dict() for each in found]}) + "\n")
    elif found:
        head = ("name", "host", "owner", "began", ">length", ">size", "state")
        stdout.write(table(head, [_row(each) for each in found], stdout, ("host", "state")))
    elif recordings is not None:
        tell("sshexec: there is no such recording")
    stdout.flush()
    return 0


def _row(recorded: Recorded) -> list[Cell | str]:
    colour = {"running": "cyan", "broken": "yellow"}.get(recorded.state)
    state = recorded.state if recorded.reason in (None, "exited") else f"{recorded.state}: {recorded.reason}"
    return [
        recorded.name,
        recorded.host,
        recorded.owner,
        shown_moment(recorded.started),
        shown_span(recorded.seconds),
        shown_size(recorded.bytes),
        Cell(state, colour),
    ]
