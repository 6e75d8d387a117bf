"""``sshexec recordings prune``: let go of old recordings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from sshexec.cli.moments import shown_size
from sshexec.cli.recordings_folder import folder_option, json_option, opened
from sshexec.cli.stderr import tell
from sshexec.cli.stdout import Stdout
from sshexec.cli.untrusted import harmless
from sshexec.cli.values import number_from, size

if TYPE_CHECKING:
    from sshexec.terminal.recordings import Pruned


@click.command("prune", short_help="let go of old recordings")
@folder_option
@click.option("--keep-days", type=number_from(0), metavar="N", help="Keep what began no longer ago.")
@click.option("--keep-size", type=size, metavar="SIZE", help="Keep the latest that take no more room: 500M, 2G.")
@click.option("-n", "--dry-run", is_flag=True, help="Remove nothing, say what would go.")
@json_option
def command(folder: str | None, keep_days: float | None, keep_size: int | None, dry_run: bool, as_json: bool) -> int:
    """Let go of the oldest recordings; what is still recorded never goes."""
    if keep_days is None and keep_size is None:
        raise click.UsageError("say what to keep: --keep-days, --keep-size or both")
    from sshexec.terminal.recordings import Pruned

    recordings = opened(folder)
    pruned = Pruned((), 0, 0, dry_run)
    if recordings is not None:
        pruned = recordings.prune(keep_days=keep_days, keep_bytes=keep_size, dry=dry_run)
    stdout = Stdout()
    stdout.write(json.dumps({"version": 1, **pruned.to_dict()}) + "\n" if as_json else _text(pruned))
    stdout.flush()
    for problem in pruned.problems:
        tell(f"sshexec: warning: not removed: {harmless(problem)}")
    return 0


def _text(pruned: Pruned) -> str:
    many = "1 recording" if len(pruned.names) == 1 else f"{len(pruned.names)} recordings"
    room = f" ({shown_size(pruned.bytes)})" if pruned.bytes else ""
    return f"{many}{room} {'would be removed' if pruned.dry else 'removed'}, {pruned.kept} kept\n"
