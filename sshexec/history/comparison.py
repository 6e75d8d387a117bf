"""Two runs beside each other: which hosts came out otherwise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from sshexec.history.records import STREAMS, VERSION, HostState, RecordedResult, RunRecord, RunSummary
from sshexec.history.tables import results

if TYPE_CHECKING:
    from sqlalchemy import Row

    from sshexec.database.database import Database
    from sshexec.history.reading import Records

_PAGE = 200


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


def compare(database: Database, records: Records, before: RunRecord, after: RunRecord) -> Comparison:
    """Return what is different in the second run.

    What hosts printed is compared by the database: it need not come here for that.

    Raises:
        DatabaseError: the database can't be read.
    """
    both = set(before.hosts).intersection(after.hosts)
    states = records.states(before), records.states(after)
    with database.reading() as connection:
        first, second = results.alias(), results.alias()
        query = select(
            first.c.host,
            *(side.c[name].label(f"{name}_{place}") for place, side in enumerate((first, second)) for name in _COMPARED),
            *((first.c[stream] == second.c[stream]).label(f"same_{stream}") for stream in STREAMS),
        ).where(first.c.run == before.id, second.c.run == after.id, first.c.host == second.c.host)
        rows = {row.host: row for row in connection.execute(query)}
        lines = [_single_rows(connection, run.id) if len(rows) < len(both) else {} for run in (before, after)]
    changes = []
    for host in after.hosts:
        if host not in both:
            continue
        row = rows.get(host)
        if row is not None:
            old, new = (Outcome(states[place][host], *_facts(row, place)) for place in (0, 1))
            streams = _different(row)
        else:
            old, new = (Outcome(states[place][host], *lines[place].get(host, (None, None))) for place in (0, 1))
            streams = ()
        if old != new or streams:
            changes.append(HostChange(host, old, new, streams))
    return Comparison(
        before,
        after,
        tuple(changes),
        len(both) - len(changes),
        tuple(host for host in before.hosts if host not in both),
        tuple(host for host in after.hosts if host not in both),
    )


_COMPARED = ("rc", "cause", "files")


def _facts(row: Row[Any], place: int) -> tuple[int | None, str | None]:
    return getattr(row, f"rc_{place}"), getattr(row, f"cause_{place}")


def _single_rows(connection: Any, run: str) -> dict[str, tuple[int | None, str | None]]:
    query = select(results.c.host, results.c.rc, results.c.cause).where(results.c.run == run)
    return {row.host: (row.rc, row.cause) for row in connection.execute(query)}


def _different(row: Row[Any]) -> tuple[str, ...]:
    """Return the streams that differ; of those in files the hashes are compared, since rows hold head and tail alone."""
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
    """How the output of some hosts differs.

    Args:
        stream: stdout or stderr.
        hosts: those for which it is the very same difference.
        lines: unified, without line ends; of streams in files, what the record itself holds is compared.
    """

    stream: str
    hosts: tuple[str, ...]
    lines: tuple[str, ...] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data with stable keys."""
        return {"stream": self.stream, "hosts": list(self.hosts), "lines": list(self.lines)}


def differences(records: Records, comparison: Comparison) -> list[Difference]:
    """Return how the outputs of the hosts that changed differ: equal differences once, that of most hosts first.

    Raises:
        DatabaseError: the database can't be read.
    """
    changed = {change.host: change.streams for change in comparison.changes if change.streams}
    folded: dict[tuple[str, bytes], tuple[list[str], tuple[str, ...]]] = {}
    for before, after in _pairs(records, comparison, list(changed)):
        for stream in changed[before.host]:
            texts = [getattr(side, stream) or "" for side in (before, after)]
            lines = _lines(*texts)
            key = (stream, hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).digest())
            folded.setdefault(key, ([], lines))[0].append(before.host)
    found = [Difference(stream, tuple(hosts), lines) for (stream, _), (hosts, lines) in folded.items()]
    return sorted(found, key=lambda each: -len(each.hosts))
