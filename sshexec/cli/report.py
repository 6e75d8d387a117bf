"""What standard output gets to read: results in the manner of Ansible's ad-hoc command, folded, or as JSON.

A report turns events into text; it neither waits nor writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sshexec.cli.alike import Names, groups
from sshexec.cli.nodeset import fold
from sshexec.cli.untrusted import harmless
from sshexec.difference import unified
from sshexec.events import Event, HostFinished
from sshexec.results import HostResult, RunResult

if TYPE_CHECKING:
    from sshexec.artifacts import Artifacts

COLOURS = {
    "ok": "green",
    "changed": "yellow",
    "skipped": "cyan",
    "failed": "red",
    "timeout": "red",
    "unreachable": "bright_red",
    "cancelled": "magenta",
}

_TITLES = {"ok": "SUCCESS"}
"""Ansible's word where it is not the status itself."""

LINE_COLOURS = {"-": "red", "+": "green", "@": "cyan"}
"""Colours of a difference's lines, by their first character."""

_REASONS = 3
"""Different reasons for one status and cause that the summary gives; of more it gives an example."""

_STREAMS = {"stdout", "stdout_lines", "stderr", "stderr_lines"}
_OF_COMMANDS = {"changed", "rc", "msg", "failed", "skipped", "warnings", "exception", "invocation", "_ansible_no_log"}
_OF_COMMANDS |= {"cmd", "start", "end", "delta"} | _STREAMS
"""What a result of `command`, `shell`, `raw` and `script` may hold."""

_PROBLEMS = {
    "host_key_learned": "new host key not saved",
    "output_file": "output not in its file",
    "output_gap": "some output may be missing",
    "unknown_variables": "variables that mean nothing",
}
"""What a notice's problem means, by the notice's word."""


class Report:
    """Text for standard output, made from a run's events."""

    def event(self, event: Event) -> str:
        """Return what to print now."""
        return ""

    def end(self, result: RunResult) -> str:
        """Return what to print once every host has its result."""
        return ""


class JsonLines(Report):
    """One event a line."""

    def event(self, event: Event) -> str:
        """Return the event as a line of JSON."""
        return json.dumps(event.to_dict(), default=str) + "\n"


class RunnerLines(Report):
    """One event of ansible-runner a line.

    Args:
        take: makes them from the run's.
    """

    def __init__(self, take: Callable[[Event], Sequence[dict[str, Any]]]) -> None:
        self._take = take

    def event(self, event: Event) -> str:
        """Return the events as lines of JSON."""
        return "".join(json.dumps(each, default=str) + "\n" for each in self._take(event))


class Kept(Report):
    """Another report, of a run whose events are kept in files too.

    Args:
        report: makes the text.
        artifacts: the files.
    """

    def __init__(self, report: Report, artifacts: Artifacts) -> None:
        self._report = report
        self._artifacts = artifacts

    def event(self, event: Event) -> str:
        """Keep the event, and return what to print now."""
        self._artifacts.take(event)
        return self._report.event(event)

    def end(self, result: RunResult) -> str:
        """Return what to print once every host has its result."""
        return self._report.end(result)


class Json(Report):
    """One object for the whole run."""

    def end(self, result: RunResult) -> str:
        """Return `RunResult.to_dict` as JSON."""
        return json.dumps(result.to_dict(), default=str) + "\n"


class Text(Report):
    """A block for each host, as it finishes.

    Args:
        terminal: whether a person's terminal reads it: control characters of hosts are written out, not obeyed.
        colour: colour the headings.
        verbose: show the whole result, not only what the task printed.
    """

    def __init__(self, *, terminal: bool = False, colour: bool = False, verbose: bool = False) -> None:
        self._terminal = terminal
        self._colour = colour
        self._verbose = verbose

    def event(self, event: Event) -> str:
        """Return the block of a host that has finished."""
        return self.block(event.result.host, event.result) if isinstance(event, HostFinished) else ""

    def block(self, name: str, result: HostResult) -> str:
        """Return a heading and, below it, what the host answered."""
        if _printed(result) and not self._verbose:
            told = not result.good or result.status == "skipped"
            parts = (result.stdout, result.stderr, result.why if told else "")
            body = "".join(part if part.endswith("\n") else f"{part}\n" for part in parts if part)
            return self._heading(name, result, " >>") + self.safe(body) + self._spilled(result)
        data = self._data(result)
        lines = unified(data.get("diff"))
        if lines or (isinstance(data.get("diff"), (list, dict)) and not self._verbose):
            del data["diff"]  # it is shown below, or says that nothing differs
        body = json.dumps(data, indent=4, ensure_ascii=False, default=str, sort_keys=True)
        heading = self._heading(name, result, " => ").removesuffix("\n")
        return f"{heading}{self.safe(body)}\n{self._difference(lines)}{self._spilled(result)}"

    def safe(self, text: str) -> str:
        """Return the text as it may go to where this report goes."""
        return harmless(text) if self._terminal else text

    def title(self, name: str, result: HostResult) -> str:
        """Return ``h1 | CHANGED | rc=0``, or the cause in the place of an exit status."""
        word = _TITLES.get(result.status, result.status.upper())
        detail = ""
        if result.status == "skipped":
            detail = ""  # what its rc is, where it has one, is nobody's exit status
        elif result.rc is not None:
            detail = f" | rc={result.rc}"
        elif result.cause not in (None, result.status):
            detail = f" | {result.cause}"
        return f"{self.safe(name)} | {word}{detail}"

    def paint(self, text: str, result: HostResult) -> str:
        """Return the text in the colour of the result's status, where colours are wanted."""
        return self._coloured(text, COLOURS[result.status])

    def _coloured(self, text: str, colour: str | None) -> str:
        if not self._colour or colour is None:
            return text
        import click

        return click.style(text, fg=colour)

    def _heading(self, name: str, result: HostResult, arrow: str) -> str:
        return self.paint(self.title(name, result) + arrow, result) + "\n"

    def _data(self, result: HostResult) -> dict[str, Any]:
        """Return the result without what only programs read."""
        data = result.to_ansible()
        if not self._verbose:
            for key in [key for key in data if key in ("failed", "invocation") or key.startswith("_ansible_")]:
                del data[key]
        return data

    def _difference(self, lines: list[str]) -> str:
        return "".join(f"{self._coloured(self.safe(line), LINE_COLOURS.get(line[:1]))}\n" for line in lines)

    def _spilled(self, result: HostResult) -> str:
        if not result.truncated:
            return ""
        return "".join(f"(whole {stream}: {path})\n" for stream, path in result.spilled.items())


class OneLine(Text):
    """One line for each host."""

    def block(self, name: str, result: HostResult) -> str:
        r"""Return the line; line ends within the output are written as ``\n``."""
        title = self.paint(self.title(name, result), result)
        if not _printed(result):
            body = json.dumps(self._data(result), ensure_ascii=False, default=str, sort_keys=True)
            return f"{title} => {self.safe(body)}\n"
        pieces = [("(stdout)", result.stdout), ("(stderr)", result.stderr)]
        if not result.good or result.status == "skipped":
            pieces.append(("(msg)", result.why))
        shown = " ".join(f"{mark} {_on_one_line(text)}" for mark, text in pieces if text)
        return f"{title} | {self.safe(shown)}\n" if shown else f"{title}\n"


class Folded(Text):
    """A block for each different answer at the end, the most frequent first.

    Args:
        names: how hosts are called; messages that differ in that alone are no different answers.
        **looks: as `Text`.
    """

    def __init__(self, names: Names | None = None, **looks: bool) -> None:
        super().__init__(**looks)
        self._names = names or Names()

    def event(self, event: Event) -> str:
        """Return nothing: answers are compared when all are there."""
        return ""

    def end(self, result: RunResult) -> str:
        """Return the blocks."""
        return "\n".join(self.block(_counted(group.hosts), group.result) for group in groups(result, self._names))


def summary(result: RunResult, names: Names | None = None, *, verbose: bool = False) -> list[str]:
    """Return the lines that tell an operator how a run ended: counts, and who did not end well and why.

    Args:
        result: the run's.
        names: how hosts are called; reasons that differ in that alone are given once.
        verbose: new host keys were shown already.
    """
    counts = ", ".join(f"{count} {status}" for status, count in sorted(result.counts.items(), key=_by_status))
    how = {"cancelled": "cancelled: ", "timeout": "run deadline passed: "}.get(result.state, "")
    hosts = "1 host" if len(result) == 1 else f"{len(result)} hosts"
    lines = [f"{how}{hosts} in {result.finished - result.started:.1f} s: {counts or 'nothing to do'}"]
    lines += _bad(result, names or Names()) + _cut(result) + _learned(result, verbose) + _problems(result)
    return lines + _recorded(result)


def _recorded(result: RunResult) -> list[str]:
    """Return under which name the run is recorded."""
    if result.recorded is None:
        return []
    name = result.id[:8]
    if result.recorded == "incomplete":  # perhaps there is nothing at all: the warning has said what is missing
        return [f"  not recorded, or not as a whole: run {name}"]
    more = "" if all(host.good for host in result.values()) else f" (--resume {name} goes on with it)"
    return [f"  recorded as run {name}{more}"]


def _bad(result: RunResult, names: Names) -> list[str]:
    """Return who did not end well, by status and cause, and by reason where there are few."""
    labels: dict[str, dict[str, list[HostResult]]] = {}
    for name, host in result.items():
        if not host.good:
            why = names.hide(reason(host), name)
            labels.setdefault(_label(host), {}).setdefault(why, []).append(host)
    lines: list[tuple[str, list[HostResult]]] = []
    for label, reasons in labels.items():
        alike = list(reasons.values())
        if len(alike) > _REASONS:
            alike = [[host for hosts in alike for host in hosts]]
        lines += [(label, hosts) for hosts in alike]
    return [_bad_line(label, hosts) for label, hosts in sorted(lines, key=lambda line: -len(line[1]))]


def _bad_line(label: str, hosts: list[HostResult]) -> str:
    reasons = {reason(host) for host in hosts}
    first = reason(hosts[0])
    such_as = f", such as {hosts[0].host}" if len(reasons) > 1 else ""
    line = f"{label}: {_counted([host.host for host in hosts])}{such_as}" + (f": {first}" if first else "")
    return f"  {harmless(line)}"


def _cut(result: RunResult) -> list[str]:
    """Return whose output was over the limit and is nowhere whole."""
    cut = [host for host in result.values() if host.truncated and not (host.spilled and not _unsaved(host))]
    if not cut:
        return []
    # Where the files could not be written, a line of its own tells why.
    how = "" if any(map(_unsaved, cut)) else " (--spill DIR or --output-dir DIR keeps all of it)"
    return [f"  output of {harmless(_counted([host.host for host in cut]))} is cut{how}"]


def _unsaved(host: HostResult) -> bool:
    return any(notice["notice"] == "output_file" for notice in host.notices)


def _learned(result: RunResult, verbose: bool) -> list[str]:
    """Return how many host keys were trusted on first sight, since whoever runs this answers for that."""
    count = len(result.learned_host_keys)
    if not count:
        return []
    keys, them = ("new host key", "it") if count == 1 else ("new host keys", "them")
    return [f"  {count} {keys} trusted" + ("" if verbose else f" (-v shows {them})")]


def _problems(result: RunResult) -> list[str]:
    """Return a line for each problem that connections took notice of and went on."""
    alike: dict[tuple[str, str], list[str]] = {}
    for name, host in result.items():
        for notice in host.notices:
            if notice.get("problem"):
                alike.setdefault((notice["notice"], notice["problem"]), []).append(name)
    return [
        f"  {_PROBLEMS.get(word, word)}: {harmless(_counted(names))}: {harmless(problem)}"
        for (word, problem), names in alike.items()
    ]


def _printed(result: HostResult) -> bool:
    """Return whether the result is what a command printed, or a message, rather than data to look at.

    Modules that run no command of the user's may have an ``rc`` too: Ansible's ``replace`` and ``dnf`` do.
    """
    if result.status in ("unreachable", "timeout", "cancelled", "skipped"):
        return True
    said = "stdout" in result.data or not result.good
    return "rc" in result.data and said and result.data.keys() <= _OF_COMMANDS


def _counted(names: list[str] | tuple[str, ...]) -> str:
    return f"{fold(names)} ({len(names)})" if len(names) > 1 else fold(names)


def _label(result: HostResult) -> str:
    if result.rc is not None and result.status == "failed":
        return f"failed, rc={result.rc}"
    return result.status if result.cause in (None, result.status) else f"{result.status}, {result.cause}"


def reason(result: HostResult) -> str:
    """Return the first line of why; the last line on standard error says more than "non-zero return code"."""
    said = result.stderr.strip().splitlines() if result.rc is not None else []
    text = said[-1] if said else (result.why.strip().splitlines() or [""])[0]
    return text.removeprefix(f"{result.host}: ")[:500]


def _on_one_line(text: str) -> str:
    return text.rstrip("\r\n").replace("\r\n", "\\n").replace("\n", "\\n")


def _by_status(item: tuple[str, int]) -> int:
    return list(COLOURS).index(item[0])
