"""``sshexec recordings search``: in which recordings something was typed."""

from __future__ import annotations

import json

import click

from sshexec.cli.moments import shown_moment
from sshexec.cli.recordings_folder import folder_option, json_option, none_yet, opened
from sshexec.cli.stderr import tell
from sshexec.cli.stdout import Stdout
from sshexec.cli.table import table
from sshexec.cli.untrusted import harmless
from sshexec.cli.values import count


@click.command("search", short_help="find recordings by what was typed")
@click.argument("text")
@folder_option
@click.option("-n", "--limit", type=count, default="50", metavar="N", show_default=True, help="So many recordings.")
@json_option
def command(text: str, folder: str | None, limit: int, as_json: bool) -> int:
    """Show the commands that have TEXT in them, the latest recordings first.

    Commands are found as far as they could be seen from outside: what ran in scripts and editors, by an alias, or while
    nothing was shown of it is not among them.
    """
    recordings = opened(folder)
    if recordings is None and not as_json:
        tell(harmless(none_yet()))
    if not text:
        raise click.BadParameter("expected a part of a command", param_hint="TEXT")
    found = recordings.search(text, limit=limit) if recordings else []
    stdout = Stdout()
    if as_json:
        listed = [{**one.to_dict(), "commands": [each.to_dict() for each in commands]} for one, commands in found]
        stdout.write(json.dumps({"version": 1, "recordings": listed}) + "\n")
    elif found:
        rows = [
            [one.name, one.host, each.user, shown_moment(each.time), each.text]
            for one, commands in found
            for each in commands
        ]
        stdout.write(table(("name", "host", "user", "when", "command"), rows, stdout, ("command",)))
    elif recordings is not None:
        tell("sshexec: in no recording such a command was seen")
    stdout.flush()
    return 0
