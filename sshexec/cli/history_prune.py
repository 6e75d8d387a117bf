"""``sshexec history prune``: let go of old runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from sshexec.cli.history_source import NothingRecordedError, history_option, json_option, kept, opened
from sshexec.cli.moments import shown_size
from sshexec.cli.stderr import tell
from sshexec.cli.stdout import Stdout
from sshexec.cli.untrusted import harmless
from sshexec.cli.values import count, number_from, size

if TYPE_CHECKING:
    from sshexec.history.pruning import Pruned


@click.command("prune", short_help="let go of old runs")
@history_option
@click.option("--keep-days", type=number_from(0), metavar="N", help="Keep what began no longer ago.")
@click.option("--keep-size", type=size, metavar="SIZE", help="Keep the latest runs that take no more room: 500M, 2G.")
@click.option("--keep-runs", type=count, metavar="N", help="Keep so many of the latest runs.")
@click.option("-n", "--dry-run", is_flag=True, help="Remove nothing, say what would go.")
@click.option("--compact", is_flag=True, help="Make SQLite's file smaller; nobody can record meanwhile.")
@json_option
def command(url: str | None, dry_run: bool, compact: bool, as_json: bool, **keep: Any) -> int:
    """Let go of the oldest runs, with their files.

    Without an option, what $SSHEXEC_HISTORY_KEEP says is kept, or 90 days and 2 GiB. Runs that resume one another go
    together; a run in progress never goes, nor one whose record is not in the database yet.
    """
    days, limit, runs = keep["keep_days"], keep["keep_size"], keep["keep_runs"]
    if (days, limit, runs) == (None, None, None):
        usual = kept()
        days, limit, runs = usual.days, usual.bytes, usual.runs
    freed = 0
    try:
        with opened(url) as history:
            pruned = history.prune(keep_days=days, keep_bytes=limit, keep_runs=runs, dry=dry_run)
            if compact and not dry_run:
                from sshexec.history.pruning import compact as compacted

                freed = compacted(history.database)
    except NothingRecordedError:
        if url is not None:
            raise
        from sshexec.history.pruning import Pruned

        pruned = Pruned((), 0, 0, 0, dry_run)
    stdout = Stdout()
    stdout.write(json.dumps({**pruned.to_dict(), "freed": freed}) + "\n" if as_json else _text(pruned, freed))
    stdout.flush()
    for problem in pruned.problems:
        tell(f"sshexec: warning: not removed: {harmless(problem)}")
    return 0


def _text(pruned: Pruned, freed: int) -> str:
    verb = "would be removed" if pruned.dry else "removed"
    many = "1 run" if len(pruned.runs) == 1 else f"{len(pruned.runs)} runs"
    room = f" ({shown_size(pruned.bytes)})" if pruned.bytes else ""
    text = f"{many}{room} {verb}, {pruned.kept} kept\n"
    if pruned.folders:
        text += f"folders of output that belong to no run {verb}: {pruned.folders}\n"
    return text + (f"the file is smaller by {shown_size(freed)}\n" if freed else "")
