"""Two runs beside each other: which hosts came out otherwise."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import select

from sshexec.history.records import VERSION, HostState, RecordedResult, RunRecord, RunSummary
from sshexec.history.rows import STREAMS
from sshexec.history.tables import results

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from sshexec.database.database import Database

_PAGE = 200


class Results(Protocol):
    """Returns results, as `Records.results` does."""

    def __call__(
        self, run: RunRecord, *, hosts: Collection[str] | None = None, streams: bool = False
    ) -> Iterator[RecordedResult]:
        """Return those of some hosts of a run."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a host came out of a run.

    Args:
        state: its state (`sshexec.history.records.HOST_STATES`).
        rc: exit status of the command; None where there was none.
        cause: a stable word for why it did not end well; None where it did.
    """

    state: HostState
    rc: int | None = None
    cause: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data with stable keys."""
        return {"state": self.state, "rc": self.rc, "cause": self.cause}


@dataclass(frozen=True, slots=True)
class HostChange:
    """A host that came out otherwise than before.

    Args:
        host: inventory name.
        before: how it came out of the first run.
        after: how it came out of the second one.
        streams: which streams differ.
    """

    host: str
    before: Outcome
    after: Outcome
    streams: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data with stable keys."""
        return {
            "host": self.host,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "streams": list(self.streams),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs beside each other.

    Args:
        before: the first run.
        after: the second one.
        changes: hosts of both that came out otherwise, in the order of the second run.
        same: how many came out the same.
        gone: hosts of the first run alone, in its order.
        new: hosts of the second run alone, in its order.
    """

    before: RunRecord
    after: RunRecord
    changes: tuple[HostChange, ...] = field(repr=False)
    same: int
    gone: tuple[str, ...] = field(repr=False)
    new: tuple[str, ...] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data with stable keys."""
        return {
            "version": VERSION,
            "before": RunSummary.to_dict(self.before),
            "after": RunSummary.to_dict(self.after),
            "same": self.same,
            "gone": list(self.gone),
            "new": list(self.new),
            "changes": [change.to_dict() for change in self.changes],
        }


def compare(
    database: Database,
    old: Mapping[str, HostState],
    new: Mapping[str, HostState],
    before: RunRecord,
    after: RunRecord,
) -> Comparison:
    """Return what is different in the second run.

    What hosts printed is compared by the database: it need not come here for that.

    Args:
        database: holds both.
        old: the states of the first run's hosts.
        new: those of the second run's.
        before: the first run.
        after: the second one.

    Raises:
        DatabaseError: the database can't be read.
    """
    both = set(before.hosts).intersection(after.hosts)
    with database.reading() as connection:
        first, second = results.alias(), results.alias()
        query = select(
            first.c.host,
            *(
                side.c[name].label(f"{name}_{place}")
                for place, side in enumerate((first, second))
                for name in _COMPARED
            ),
            *((first.c[stream] == second.c[stream]).label(f"same_{stream}") for stream in STREAMS),
        ).where(first.c.run == before.id, second.c.run == after.id, first.c.host == second.c.host)
        rows = {row.host: row for row in connection.execute(query)}
        lines = [_single_rows(connection, run.id) if len(rows) < len(both) else {} for run in (before, after)]
    changes = []
    for host in after.hosts:
        if host in both:
            facts, streams = _facts(rows[host]) if host in rows else ([side.get(host, _NONE) for side in lines], ())
            outcomes = Outcome(old[host], *facts[0]), Outcome(new[host], *facts[1])
            if outcomes[0] != outcomes[1] or streams:
                changes.append(HostChange(host, *outcomes, streams))
    return Comparison(
        before,
        after,
        tuple(changes),
        len(both) - len(changes),
        tuple(host for host in before.hosts if host not in both),
        tuple(host for host in after.hosts if host not in both),
    )


_COMPARED = ("rc", "cause", "files")
_Facts = tuple["int | None", "str | None"]
_NONE: _Facts = (None, None)


def _facts(row: Any) -> tuple[Sequence[_Facts], tuple[str, ...]]:
    """Return exit status and cause of both sides, and the streams that differ."""
    facts = [(getattr(row, f"rc_{place}"), getattr(row, f"cause_{place}")) for place in (0, 1)]
    # One that was not reached printed nothing: that is its state, and no other output.
    same_kind = (facts[0][0] is None) == (facts[1][0] is None)
    return facts, _different(row) if same_kind else ()


def _single_rows(connection: Connection, run: str) -> dict[str, _Facts]:
    query = select(results.c.host, results.c.rc, results.c.cause).where(results.c.run == run)
    return {row.host: (row.rc, row.cause) for row in connection.execute(query)}


def _different(row: Any) -> tuple[str, ...]:
    """Return the streams that differ; of those in files, of which rows hold head and tail alone, by their hashes."""
    hashes = [
        {stream: file["sha256"] for stream, file in json.loads(getattr(row, f"files_{place}")).items()}
        for place in (0, 1)
    ]
    return tuple(
        stream
        for stream in STREAMS
        if not getattr(row, f"same_{stream}") or hashes[0].get(stream) != hashes[1].get(stream)
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """Hosts whose output differs in the same way.

    Args:
        stream: stdout or stderr.
        hosts: their names.
        before: what the first of them printed in the first run, as much as the record itself holds.
        after: what it printed in the second one, likewise.
    """

    stream: str
    hosts: tuple[str, ...]
    before: str = field(repr=False)
    after: str = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data with stable keys."""
        return {"stream": self.stream, "hosts": list(self.hosts), "before": self.before, "after": self.after}


def differences(results_of: Results, comparison: Comparison, limit: int = 10) -> tuple[list[Difference], int]:
    """Return how the outputs of hosts differ: those of most hosts first, and how many others there are.

    Hosts are put together whose lines that went and came are the same, wherever they stand.

    Args:
        results_of: returns the results of some hosts of a run, with their streams.
        comparison: says whose differ.
        limit: how many differences at most.

    Raises:
        DatabaseError: the database can't be read.
    """
    changed = {change.host: change.streams for change in comparison.changes if change.streams}
    folded: dict[tuple[str, bytes], list[str]] = {}
    for host, before, after in _pairs(results_of, comparison, list(changed)):
        for stream in changed[host]:
            key = stream, _digest(before.stream(stream) or "", after.stream(stream) or "")
            folded.setdefault(key, []).append(host)
    ordered = sorted(folded.items(), key=lambda item: -len(item[1]))
    shown = ordered[:limit]
    firsts = dict.fromkeys(hosts[0] for _, hosts in shown)
    texts = {host: (before, after) for host, before, after in _pairs(results_of, comparison, list(firsts))}
    found = []
    for (stream, _), hosts in shown:
        old, new = (side.stream(stream) or "" for side in texts[hosts[0]])
        found.append(Difference(stream, tuple(hosts), old, new))
    return found, len(ordered) - len(shown)


def _pairs(
    results_of: Results, comparison: Comparison, hosts: Sequence[str]
) -> Iterator[tuple[str, RecordedResult, RecordedResult]]:
    """Yield hosts with what both runs have of them, and the streams; few at a time are held in memory."""
    for first in range(0, len(hosts), _PAGE):
        page = set(hosts[first : first + _PAGE])
        old = {each.host: each for each in results_of(comparison.before, hosts=page, streams=True)}
        for new in results_of(comparison.after, hosts=page, streams=True):
            yield new.host, old[new.host], new


def _digest(before: str, after: str) -> bytes:
    """Return the same for texts that differ in the same lines."""
    old, new = Counter(before.splitlines()), Counter(after.splitlines())
    differing: object = sorted((old - new).items()), sorted((new - old).items())
    if old == new:
        differing = before, after
    return hashlib.sha256(repr(differing).encode("utf-8", "surrogatepass")).digest()
