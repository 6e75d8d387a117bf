"""``sshexec history diff``: which hosts came out otherwise in another run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from sshexec.cli.history_list import cut, task_of
from sshexec.cli.history_source import history_option, json_option, opened
from sshexec.cli.moments import shown_moment
from sshexec.cli.nodeset import fold
from sshexec.cli.report import LINE_COLOURS
from sshexec.cli.stdout import Stdout
from sshexec.cli.table import coloured, one_line
from sshexec.cli.untrusted import harmless
from sshexec.cli.values import count
from sshexec.difference import unified

if TYPE_CHECKING:
    from sshexec.history.comparison import Comparison, Difference, Outcome
    from sshexec.history.records import RunRecord

_LINES = 40
"""Lines of one difference that are shown."""


@click.command("diff", short_help="show which hosts came out otherwise in another run")
@click.argument("before", metavar="RUN")
@click.argument("after", metavar="RUN")
@history_option
@click.option("--brief", is_flag=True, help="Do not show how outputs differ.")
@click.option(
    "-n", "--limit", type=count, default="10", metavar="N", show_default=True, help="Differences of output to show."
)
@json_option
def command(before: str, after: str, url: str | None, brief: bool, limit: int, as_json: bool) -> int:
    """Show which hosts came out otherwise in the second RUN: state, exit status, output.

    RUN is an identifier or the beginning of one; last is the latest run, last~1 the one before it. Hosts that differ in
    the same way are put together.
    """
    stdout = Stdout()
    with opened(url) as history:
        records = history.records
        comparison = records.diff(before, after)
        found, others = ([], 0) if brief else records.differences(comparison, limit)
    if as_json:
        plain = {**comparison.to_dict(), "differences": [each.to_dict() for each in found], "others": others}
        stdout.write(json.dumps(plain) + "\n")
    else:
        paint = coloured(stdout)
        lines = [*_lines(comparison), *(line for each in found for line in _difference(each, comparison, paint))]
        if others:
            lines += ["", f"... and {others} other differences of output (-n shows more, --json has the hosts)"]
        stdout.write("".join(f"{line}\n" for line in lines))
    stdout.flush()
    return 0


def _lines(comparison: Comparison) -> Iterator[str]:
    from sshexec.history.records import short

    for mark, run in (("-", comparison.before), ("+", comparison.after)):
        what = one_line(cut(task_of(run)))
        yield f"{mark} {short(run.id)}  {shown_moment(run.started)}  {what}  ({_hosts(run)})"
    same = "1 host" if comparison.same == 1 else f"{comparison.same} hosts"
    yield f"{same} came out the same"
    alike: dict[tuple[Any, ...], list[str]] = {}
    for change in comparison.changes:
        what = f"{_shown(change.before)} -> {_shown(change.after)}" if change.before != change.after else ""
        parts = [part for part in (what, " and ".join(change.streams)) if part]
        alike.setdefault(tuple(parts), []).append(change.host)
    for kind, hosts in sorted(alike.items(), key=lambda item: -len(item[1])):
        yield f"  {one_line('; '.join(kind))}: {_counted(hosts)}"
    for run, hosts_of_one in ((comparison.before, comparison.gone), (comparison.after, comparison.new)):
        if hosts_of_one:
            yield f"  only in {short(run.id)}: {_counted(list(hosts_of_one))}"


def _difference(each: Difference, comparison: Comparison, paint: bool) -> Iterator[str]:
    from sshexec.history.records import short

    sides = {
        # Ansible's results end before the last line's end.
        "before": _ended(each.before),
        "after": _ended(each.after),
        "before_header": short(comparison.before.id),
        "after_header": short(comparison.after.id),
    }
    lines = unified(sides)
    yield ""
    yield f"{each.stream} of {_counted(list(each.hosts))}:"
    for line in lines[:_LINES]:
        text = harmless(line)
        colour = LINE_COLOURS.get(line[:1])
        yield click.style(text, fg=colour) if paint and colour else text
    if len(lines) > _LINES:
        yield f"... and {len(lines) - _LINES} more lines"


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


def _shown(outcome: Outcome) -> str:
    detail = "" if outcome.rc in (None, 0) else f", rc={outcome.rc}"
    cause = f", {outcome.cause}" if outcome.cause not in (None, outcome.state) and outcome.rc is None else ""
    return f"{outcome.state}{detail}{cause}"


def _hosts(run: RunRecord) -> str:
    return "1 host" if run.count == 1 else f"{run.count} hosts"


def _counted(hosts: list[str]) -> str:
    return harmless(f"{fold(hosts)} ({len(hosts)})" if len(hosts) > 1 else fold(hosts))
