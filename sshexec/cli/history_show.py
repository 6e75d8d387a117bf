"""``sshexec history show``: a run, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from sshexec.cli.alike import Names
from sshexec.cli.history_list import outcome_of, task_of
from sshexec.cli.history_source import history_option, json_option, opened
from sshexec.cli.moments import shown_moment, shown_span
from sshexec.cli.nodeset import fold
from sshexec.cli.report import COLOURS, Folded, Text, reason, summary
from sshexec.cli.stdout import Stdout
from sshexec.cli.table import Cell, coloured, one_line, table
from sshexec.cli.untrusted import harmless
from sshexec.results import RunResult

if TYPE_CHECKING:
    from sshexec.history.records import RecordedResult, RunRecord

_STATES = (
    *("ok", "changed", "skipped", "failed", "timeout", "unreachable", "cancelled"),
    *("unknown", "running", "pending"),
)
_MEANING = {
    "unknown": "may have been run: nobody saw a result, and --resume leaves them alone without --include-unknown",
    "running": "not done yet",
    "pending": "never contacted",
}
_OPTIONS = {
    "check": "check",
    "diff": "diff",
    "become_user": "become {}",
    "become_method": "by {}",
    "serial": "serial {}",
    "max_fail_percentage": "at most {} % failed",
    "timeout": "{} s a host",
    "run_timeout": "{} s in all",
    "no_log": "no_log",
}


@click.command("show", short_help="show a run, and what came of it")
@click.argument("run")
@history_option
@click.option("--hosts", is_flag=True, help="Print a line for each host.")
@click.option("-F", "--fold", is_flag=True, help="Print what the hosts answered, equal answers once.")
@click.option("--host", "names", multiple=True, metavar="NAME", help="Print what this host answered.")
@click.option("--state", "states", multiple=True, type=click.Choice(_STATES), help="Of the hosts, those in this state.")
@click.option("-v", "--verbose", is_flag=True, help="Print results with all their keys.")
@click.option("--output", "streams", is_flag=True, help="With --json: also what the hosts printed.")
@json_option
def command(run: str, url: str | None, hosts: bool, names: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Show a run: who ran what, where and why, how it ended, and who did not end well.

    RUN is its identifier or the beginning of one; last is the latest run, last~1 the one before it.
    """
    views = [flag for flag, given in (("--hosts", hosts), ("--fold", options["fold"]), ("--json", as_json)) if given]
    if len(views) > 1:
        raise click.UsageError(f"{' and '.join(views)} exclude each other", click.get_current_context())
    if options["streams"] and not as_json:
        raise click.UsageError("--output goes with --json", click.get_current_context())
    whole = not views and bool(names)
    with opened(url) as history:
        records = history.records
        record = records.run(run)
        streams = options["streams"] or options["fold"] or whole
        found = records.results(record, hosts=names or None, streams=streams, reasons=not as_json)
        results = [each for each in found if not options["states"] or each.state in options["states"]]
    stdout = Stdout()
    looks = {"terminal": stdout.terminal, "colour": coloured(stdout), "verbose": options["verbose"]}
    if as_json:
        from sshexec.history.records import VERSION

        plain = {"version": VERSION, "run": record.to_dict(), "hosts": [each.to_dict() for each in results]}
        text = json.dumps(plain) + "\n"
    elif hosts:
        head = ("host", "state", ">rc", ">took", "cause", "why")
        text = table(head, [_row(each) for each in results], stdout, ("why",))
    elif options["fold"]:
        text = "".join(_unfinished(results)) + Folded(**looks).end(_answers(record, results))
    elif whole:
        blocks = Text(**looks)
        text = "".join(_unfinished(results))
        text += "".join(_block(blocks, each, record.id) for each in results)
    else:
        text = "".join(f"{line}\n" for line in [*_head(record), "", *_summary(record, results)])
    stdout.write(text)
    stdout.flush()
    return 0


def _block(blocks: Text, each: RecordedResult, run: str) -> str:
    from sshexec.history.records import short

    if each.result is None:
        return ""
    files = [f"({name} is longer: sshexec history output {short(run)} {each.host}" for name in each.files]
    flags = {"stderr": " --stderr", "data": " --result"}
    more = [f"{line}{flags.get(name, '')})\n" for line, name in zip(files, each.files, strict=True)]
    return blocks.block(each.host, each.result) + blocks.safe("".join(more))


def _row(each: RecordedResult) -> list[Cell | str]:
    why = "" if each.result is None or each.good else reason(each.result)
    state = Cell(each.state, COLOURS.get(each.state, "magenta"))
    rc = "" if each.rc is None else str(each.rc)
    return [each.host, state, rc, shown_span(each.seconds), each.cause or "", why]


def _head(record: RunRecord) -> Iterator[str]:
    """Yield what is known of the run itself."""
    runner, task = record.runner, record.task
    given = [form.format(task[name]) for name, form in _OPTIONS.items() if task.get(name)]
    if task.get("become") and not task.get("become_user"):
        given.append("become")
    where = f"process {runner.get('pid')} on {runner.get('machine')}"
    facts = {
        "run": record.id,
        "task": task_of(record),
        "options": ", ".join(given),
        "not shown": ", ".join(task.get("hidden", ())),
        "hosts": f"{record.pattern} ({record.count})",
        "actor": f"{record.actor} ({where})" if record.actor else where,
        "reason": record.reason or "",
        "labels": ", ".join(f"{name}={value}" for name, value in record.labels.items()),
        "began": shown_moment(record.started),
        "ended": shown_moment(record.finished),
        "resumes": record.resumes or "",
    }
    for name, text in facts.items():
        if text:
            yield f"{name:<10}{one_line(text)}"


def _summary(record: RunRecord, results: list[RecordedResult]) -> Iterator[str]:
    """Yield how it ended, as the run itself tells it, and what became of hosts that have no result."""
    hosts = "1 host" if record.count == 1 else f"{record.count} hosts"
    took = f" in {shown_span(record.seconds)}" if record.seconds is not None else ""
    yield f"{hosts}{took}: {outcome_of(record) or 'nothing to do'}"
    yield from summary(_answers(record, results), Names())[1:]
    yield from (line.rstrip("\n") for line in _unfinished(results, "  "))


def _unfinished(results: list[RecordedResult], indent: str = "") -> Iterator[str]:
    """Yield a line for the hosts in each state that is no result's."""
    for state, meaning in _MEANING.items():
        hosts = [each.host for each in results if each.state == state]
        if hosts:
            many = f" ({len(hosts)})" if len(hosts) > 1 else ""
            yield f"{indent}{state}: {harmless(fold(hosts))}{many}: {meaning}\n"


def _answers(record: RunRecord, results: list[RecordedResult]) -> RunResult:
    hosts = {each.host: each.result for each in results if each.result is not None}
    return RunResult(record.id, record.module, hosts, record.started, record.finished or record.started)
