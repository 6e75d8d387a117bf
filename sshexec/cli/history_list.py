"""``sshexec history list``: which runs there were."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from sshexec.cli.history_source import NothingRecordedError, history_option, json_option, opened
from sshexec.cli.keeping import label
from sshexec.cli.moments import moment, shown_moment, shown_span
from sshexec.cli.report import COLOURS
from sshexec.cli.stderr import tell
from sshexec.cli.stdout import Stdout
from sshexec.cli.table import Cell, table
from sshexec.cli.untrusted import harmless
from sshexec.cli.values import count

if TYPE_CHECKING:
    from sshexec.history.records import RunSummary

_LONGEST = 60
"""Characters of a task or a reason that a line shows."""


@click.command("list", short_help="show which runs there were")
@history_option
@click.option("-n", "--limit", type=count, default="20", metavar="N", show_default=True, help="So many of the latest.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--host", metavar="NAME", help="Those that this host was among.")
@click.option("--actor", metavar="NAME", help="Those of this one.")
@click.option(
    "--label", "labels", type=label, multiple=True, metavar="NAME=VALUE", help="Those with this label. May be repeated."
)
@click.option("-m", "--module-name", "module", metavar="NAME", help="Those of this module.")
@click.option("--since", type=moment, metavar="TIME", help="Those from then on: 2026-11-27, 2026-11-27T14:30, 2h, 7d.")
@click.option("--until", type=moment, metavar="TIME", help="Those before then.")
@click.option(
    "--state",
    type=click.Choice(["finished", "cancelled", "timeout", "died", "running"]),
    help="Those that ended like this; died: nobody saw the end.",
)
@json_option
def command(url: str | None, limit: int, everything: bool, as_json: bool, **conditions: Any) -> int:
    """Show which runs there were, the latest first."""
    conditions["labels"] = dict(conditions["labels"])
    found = True
    try:
        with opened(url) as history:
            runs = history.records.runs(None if everything else limit, **conditions)
    except NothingRecordedError as error:
        if url is not None:
            raise
        if not as_json:
            tell(f"sshexec: {harmless(str(error))}")
        runs, found = [], False
    stdout = Stdout()
    if as_json:
        from sshexec.history.records import VERSION

        stdout.write(json.dumps({"version": VERSION, "runs": [run.to_dict() for run in runs]}) + "\n")
    elif runs:
        head = ("run", "began", ">took", "actor", "task", ">hosts", "outcome", "why")
        stdout.write(table(head, [_row(run) for run in runs], stdout, ("task", "outcome", "why")))
    elif found:
        tell("sshexec: no such run is recorded")
    stdout.flush()
    return 0


def _row(run: RunSummary) -> list[Cell | str]:
    from sshexec.history.records import short

    why = " ".join([*([run.reason] if run.reason else []), *(f"{name}={value}" for name, value in run.labels.items())])
    return [
        short(run.id),
        shown_moment(run.started),
        shown_span(run.seconds),
        run.actor or "",
        cut(task_of(run)),
        str(run.count),
        Cell(outcome_of(run), colour_of(run)),
        cut(why),
    ]


def task_of(run: RunSummary) -> str:
    """Return the module and its arguments, as they were recorded."""
    args = run.args
    if args is None:
        return f"{run.module} ********" if "args" in run.task.get("hidden", ()) else run.module
    return f"{run.module} {args if isinstance(args, str) else json.dumps(args, ensure_ascii=False, default=str)}"


def outcome_of(run: RunSummary) -> str:
    """Return how a run ended, and how many of its hosts are in which state."""
    from sshexec.history.records import HOST_STATES

    counts = ", ".join(f"{run.counts[state]} {state}" for state in HOST_STATES if state in run.counts)
    return counts if run.state == "finished" else f"{run.state}: {counts}" if counts else run.state


def colour_of(run: RunSummary) -> str | None:
    """Return the colour of the worst that happened."""
    from sshexec.history.records import HOST_STATES

    bad = [state for state in HOST_STATES if state in run.counts and state not in ("ok", "changed", "skipped")]
    if run.state == "running":
        return "cyan"
    return COLOURS.get(bad[0], "magenta") if bad else "green"


def cut(text: str) -> str:
    """Return the beginning of a text that is too long for a line."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
