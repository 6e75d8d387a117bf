"""Runs of the history as pages see them: in the shape of those that go on."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sshexec.errors import HistoryError
from sshexec.history.hiding import Needles, shown_args
from sshexec.web.answers import Answers
from sshexec.web.order import Order

if TYPE_CHECKING:
    from sshexec.history.history import History
    from sshexec.history.records import HostOutput, RunRecord, RunSummary

SCANNED = 100
"""Runs that are looked at for one answer: of how many of them the user may know is not known before."""

_TOGETHER = 25
"""Runs whose hosts are fetched at once: each may have thousands."""

_IDENTIFIER = re.compile(r"[0-9a-f]{32}")

Sees = Callable[[Sequence[str]], bool]
"""Says whether the user may see what ran on all of these hosts."""


class Past:
    """The runs of a history.

    Args:
        history: holds them; None has none.
    """

    def __init__(self, history: History | None) -> None:
        self._history = history

    @property
    def there(self) -> bool:
        """Whether runs are recorded."""
        return self._history is not None

    def list(self, sees: Sees, limit: int, until: float | None = None) -> tuple[list[dict[str, Any]], float | None]:
        """Return runs that the user may see, the latest first, and how far was looked.

        Args:
            sees: of which hosts.
            limit: how many at most.
            until: those that began before that, seconds since the epoch.

        Returns:
            The runs, and when the last one began that was looked at; None where there are no more.

        Raises:
            DatabaseError: the database can't be read.
        """
        if self._history is None:
            return [], None
        # Short runs of a command line's history, and those of runners that are gone, wait for somebody who asks.
        self._history.recover()
        records = self._history.records
        found: list[dict[str, Any]] = []
        summaries = records.runs(SCANNED, until=until)
        for first in range(0, len(summaries), _TOGETHER):
            some = summaries[first : first + _TOGETHER]
            hosts = records.hosts([each.id for each in some])
            for summary in some:
                if sees(hosts.get(summary.id, ())):
                    found.append(_summary(summary))
                if len(found) >= limit:
                    return found, summary.started
        return found, summaries[-1].started if len(summaries) == SCANNED else None

    def snapshot(self, run: str, sees: Sees) -> dict[str, Any] | None:
        """Return everything about a run; None where there is none that the user may see.

        Args:
            run: its whole identifier.
            sees: of which hosts.

        Raises:
            DatabaseError: the database can't be read.
        """
        record = self._record(run, sees)
        if record is None or self._history is None:
            return None
        answers = Answers()
        rows: list[list[Any]] = []
        for each in self._history.records.results(record, streams=True):
            if each.result is None:
                rows.append([each.host, each.state, None, None])
                continue
            number, _ = answers.take(each.result)
            rows.append([each.host, each.state, number, each.seconds])
        return {**_summary(record), "hosts": rows, "answers": answers.all, "tails": {}}

    def output(self, run: str, host: str, stream: str, sees: Sees) -> HostOutput | None:
        """Return what a host printed, as whole as it was kept; None where there is nothing that the user may see.

        Args:
            run: the run's whole identifier.
            host: inventory name.
            stream: stdout or stderr.
            sees: of which hosts.

        Raises:
            DatabaseError: the database can't be read.
        """
        record = self._record(run, sees)
        if record is None or self._history is None or stream not in ("stdout", "stderr"):
            return None
        try:
            return self._history.records.output(record, host, stream)
        except HistoryError:
            return None

    def _record(self, run: str, sees: Sees) -> RunRecord | None:
        if self._history is None or not _IDENTIFIER.fullmatch(run):
            return None
        try:
            record = self._history.records.run(run)
        except HistoryError:
            self._history.recover()
            try:
                record = self._history.records.run(run)
            except HistoryError:
                return None
        return record if sees(record.hosts) else None


def shown(order: Order, needles: Needles) -> dict[str, Any]:
    """Return what is shown of an order, without its secrets; see `sshexec.web.board.Board.summary`.

    Args:
        order: what was asked for.
        needles: the secrets of all its hosts.
    """
    args, _ = shown_args(order.args, needles)
    return {
        "module": order.module,
        "args": args,
        "pattern": order.pattern,
        "reason": None if order.reason is None else needles.hide(order.reason),
        "check": order.check,
        "diff": order.diff,
        "become": order.become,
        "become_user": order.become_user,
    }


def _summary(run: RunSummary) -> dict[str, Any]:
    """Return what a list shows of a run; see `sshexec.web.board.Board.summary`."""
    options = run.task
    return {
        "id": run.id,
        "user": run.actor,
        "module": run.module,
        "args": run.args,
        "pattern": run.labels.get("pattern", run.pattern),
        "reason": run.reason,
        "check": bool(options.get("check")),
        "diff": bool(options.get("diff")),
        "become": bool(options.get("become")),
        "become_user": options.get("become_user"),
        "left_out": [],
        "started": run.started,
        "finished": run.finished,
        "state": run.state,
        "count": run.count,
        "counts": dict(run.counts),
        "cancelling": False,
        "recorded": True,
        "live": False,
    }
