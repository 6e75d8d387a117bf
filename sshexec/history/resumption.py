"""Which hosts of a run are to have their turn again, by what it and the runs that went on with it have recorded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sshexec.errors import HistoryError, WorkerLostError
from sshexec.journal import RECORDS, Reader
from sshexec.recorder import Resumption
from sshexec.results import GOOD

if TYPE_CHECKING:
    from sshexec.database.database import Database
    from sshexec.history.journals import Journals
    from sshexec.history.reading import Records
    from sshexec.history.records import RunRecord, RunState
    from sshexec.recorder import Opening

Fate = Literal["done", "failed", "unknown", "never_reached"]
"""What is known of a host, over all passes."""

_OPTIONS = (
    *("check", "diff", "environment", "timeout", "output_limit", "spill", "output_dir", "binary", "no_log"),
    *("become", "become_user", "become_method", "become_flags", "serial", "max_fail_percentage", "run_timeout"),
)
"""What the record of a task has under the name of a keyword of `Engine.start`."""

_FIRST = 2**16
"""Bytes of a journal in which its opening is looked for; one that is longer is read to its end."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one run has recorded of one host.

    Args:
        status: of its result; None where it was begun and has none.
        cause: likewise.
        started: when its turn came, seconds since the epoch; None where it never did.
    """

    status: str | None
    cause: str | None = None
    started: float | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """One run over hosts of the chain.

    Args:
        state: the run's.
        hosts: its hosts, in order.
        seen: what is recorded of those that have any record.
    """

    state: RunState
    hosts: Sequence[str]
    seen: Mapping[str, Seen] = field(repr=False)


def fates(passes: Iterable[Pass]) -> dict[str, Fate]:
    """Return what is known of each host, in the order of the first run.

    The latest that happened on a host counts. A pass in which its turn never came says nothing of it: a host of which
    nothing was known before stays one.

    Args:
        passes: the runs of the chain, the oldest first.
    """
    found: dict[str, Fate] = {}
    for each in passes:
        for host in each.hosts:
            fate = _fate(each.seen.get(host), each.state)
            if fate is not None or host not in found:
                found[host] = fate or "never_reached"
    return found


def _fate(seen: Seen | None, state: RunState) -> Fate | None:
    """Return what one run says of a host; None where nothing happened on it."""
    if seen is None:
        # A run that came to its end has seen a result of every host: it is the record that lacks this one.
        return None if state == "died" else "unknown"
    if seen.status is None:
        return "unknown"
    if seen.cause == WorkerLostError.cause and seen.started is not None:
        return "unknown"  # it was at work, and who would have had its answer is gone
    if seen.status in GOOD:
        return None if seen.cause == "unauthorized" else "done"
    return "failed" if seen.started is not None else None


def resumption(
    database: Database, records: Records, reference: str, undelivered: Mapping[str, str] | None = None
) -> Resumption:
    """Return what is known to whoever wants to go on with a run.

    Args:
        database: holds the records.
        records: questions to it.
        reference: what `Records.run` finds the run by.
        undelivered: runs of which this machine has a journal that is not in the database as a whole, and the first of
            the chain that each goes on with.

    Raises:
        HistoryError: there is no such run, it or one that goes on with it is in progress, or not all is recorded yet.
        DatabaseError: the database can't be read.
    """
    run = records.run(reference)
    waiting = {each for each, root in (undelivered or {}).items() if root == run.root}
    chain = [run if each == run.id else records.run(each) for each in _chain(database, run.root)]
    for each in chain:
        if each.state == "running":
            where = f"on {each.runner.get('machine')}, process {each.runner.get('pid')}"
            raise HistoryError(f"run {each.id[:8]} is still going on ({where}): wait for its end, or stop it")
    for name in sorted(waiting.difference(each.id for each in chain)):
        raise HistoryError(f"run {name[:8]} goes on with it at this moment: wait for its end, or stop it")
    for each in chain:
        if each.id in waiting:
            raise HistoryError(
                f"run {each.id[:8]} is not in the database as a whole yet: `sshexec history list` says why"
            )
    sorted_out = fates(Pass(each.state, each.hosts, _seen(database, each.id)) for each in chain)
    return Resumption(
        *(run.id, run.root, run.module, run.args, tuple(sorted_out)),
        failed=_with(sorted_out, "failed"),
        never_reached=_with(sorted_out, "never_reached"),
        unknown=_with(sorted_out, "unknown"),
        done=_with(sorted_out, "done"),
        passes=tuple(each.id for each in chain),
        **_task(run),
    )


@contextlib.contextmanager
def next_pass(database: Database, journals: Journals, opening: Opening) -> Iterator[float]:
    """Keep others of this machine from going on with runs, until one that goes on with another has its journal.

    Gives the time by which the pass before it had begun: clocks are set back, and other machines' are ahead, but the
    passes of a chain are told apart by when they began.

    Raises:
        HistoryError: others have gone on with the same run since its hosts were chosen.
        DatabaseError: the database can't be read.
    """
    from sqlalchemy import func, select

    from sshexec.history.tables import runs

    with journals.alone():
        root = opening.root or opening.run
        begun = {run for run, first in roots(journals).items() if first == root}  # before the database: they move there
        begun.update(_chain(database, root))
        for run in sorted(begun.difference(opening.passes)):
            raise HistoryError(f"run {run[:8]} has gone on with it since its hosts were chosen: resume it again")
        with database.reading() as connection:
            latest = connection.execute(select(func.max(runs.c.started)).where(runs.c.root == root)).scalar()
        yield 0.0 if latest is None else latest


def _with(sorted_out: Mapping[str, Fate], fate: Fate) -> tuple[str, ...]:
    return tuple(host for host, own in sorted_out.items() if own == fate)


def _task(run: RunRecord) -> dict[str, Any]:
    """Return how the run was started, and what of that its record does not hold."""
    hidden = {str(name).partition(".")[0] for name in run.task.get("hidden", ())}
    options = {name: run.task[name] for name in _OPTIONS if name in run.task and name not in hidden}
    return {
        "pattern": run.pattern,
        "options": {**options, "reason": run.reason, "labels": dict(run.labels)},
        "withheld": tuple(sorted(hidden)),
        "extra": tuple(run.task.get("extra", ())),
    }


def roots(journals: Journals) -> dict[str, str]:
    """Return the runs of which there are journals, and the first of the chain that each goes on with."""
    found = {}
    for run in journals.all():
        with contextlib.suppress(OSError):
            reader = Reader(os.path.join(journals.folder, run, RECORDS))
            try:
                lines = reader.read(_FIRST)
            finally:
                reader.close()
            found[run] = next((str(line["opening"]["root"]) for line in lines if "opening" in line), run)
    return found


def _chain(database: Database, root: str) -> list[str]:
    """Return the runs of a chain, the oldest first."""
    from sqlalchemy import select

    from sshexec.history.tables import runs

    with database.reading() as connection:
        query = select(runs.c.id).where(runs.c.root == root).order_by(runs.c.started, runs.c.id)
        return list(connection.execute(query).scalars())


def _seen(database: Database, run: str) -> dict[str, Seen]:
    """Return what a run has recorded of its hosts."""
    from sqlalchemy import select

    from sshexec.history.tables import results, starts

    with database.reading() as connection:
        begun = select(starts.c.host, starts.c.started).where(starts.c.run == run)
        seen = {host: Seen(None, None, started) for host, started in connection.execute(begun)}
        columns = (results.c.host, results.c.status, results.c.cause, results.c.started)
        for host, status, cause, started in connection.execute(select(*columns).where(results.c.run == run)):
            # Where a worker was lost, its parent made the result, and only the mark tells whether the host was begun.
            before = seen[host].started if host in seen else None
            seen[host] = Seen(status, cause, before if started is None else started)
    return seen
