"""Questions to the history: which runs there were, and what came of them on each host."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Select, and_, case, exists, func, literal, or_, select

from sshexec.errors import HistoryError
from sshexec.history.comparison import Comparison, Difference, compare, differences
from sshexec.history.files import problem_of
from sshexec.history.records import (
    HostOutput,
    HostState,
    OutputFile,
    RecordedResult,
    RunRecord,
    RunState,
    RunSummary,
    short,
)
from sshexec.history.rows import STREAMS, result_of
from sshexec.history.tables import ends, results, runs, starts
from sshexec.results import GOOD

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.sql.elements import ColumnElement

    from sshexec.database.database import Database
    from sshexec.history.journals import Journals

Found = Any
"""A row: its type is written differently for SQLAlchemy 2.0 and 2.1."""

Alive = Callable[[str, Mapping[str, Any]], bool | None]
"""Says of a run and its ``runner`` whether it goes on; None where that can't be seen from here."""


FRESH = 86400.0
"""Seconds after its last sign of life for which a run of another machine is believed to go on."""

_PAGE = 200
"""Rows with streams, or runs, that are fetched at once."""
_TAIL = 2000
"""Characters of JSON, at the end of standard error, that say why a host failed."""
_APART = re.compile(r"[^\\](?=\\)|[^\\]{5}(?=[^\\])")
"""What stands before a place in JSON's text that is within no escape, of which the longest has six characters."""
_LAST = re.compile(r"last(?:~(\d{1,6}))?")
_LINE = (results.c.host, results.c.status, results.c.cause, results.c.phase, results.c.rc, results.c.changed)
_BRIEF = (*_LINE, results.c.started, results.c.finished, results.c.phases, results.c.data, results.c.files)
_RUN = (
    *(runs.c[name] for name in ("id", "root", "resumes", "actor", "reason", "labels", "module", "task", "pattern")),
    *(runs.c[name] for name in ("runner", "started")),
    runs.c["count"].label("hosts"),  # a row has a method of that name
    ends.c.state,
    ends.c.finished,
)


class Records:
    """The records of a history.

    Args:
        database: holds them.
        alive: tells whether a run without an end goes on; None where nothing can be said of any.
    """

    def __init__(self, database: Database, alive: Alive | None = None) -> None:
        self._database = database
        self._alive = alive

    def runs(
        self,
        limit: int | None = 20,
        *,
        actor: str | None = None,
        labels: Mapping[str, str] | None = None,
        host: str | None = None,
        module: str | None = None,
        since: float | None = None,
        until: float | None = None,
        state: RunState | None = None,
    ) -> list[RunSummary]:
        """Return runs, the latest first.

        Args:
            limit: how many at most; None for all.
            actor: those of this one.
            labels: those that have all of these labels with these values.
            host: those that had this host among theirs.
            module: those of this module.
            since: those that began then or later, seconds since the epoch.
            until: those that began before that.
            state: those in this state.

        Raises:
            DatabaseError: the database can't be read.
        """
        wanted = dict(labels or {})
        conditions = [
            *([runs.c.actor == actor] if actor is not None else []),
            *([runs.c.module == module] if module is not None else []),
            *([runs.c.started >= since] if since is not None else []),
            *([runs.c.started < until] if until is not None else []),
            *([_has_host(host)] if host is not None else []),
            *([_ended(state)] if state is not None else []),
            # The text is looked through, so that few rows come here; what they say exactly is looked at here.
            *(runs.c.labels.contains(json.dumps(text), autoescape=True) for pair in wanted.items() for text in pair),
        ]
        with self._database.reading() as connection:
            found: list[tuple[Found, RunState]] = []
            for row in _pages(connection, _select_runs().where(*conditions)):
                if limit is not None and len(found) >= limit:
                    break
                now = self._state(connection, row)
                held = json.loads(row.labels)
                if state in (None, now) and all(held.get(name) == value for name, value in wanted.items()):
                    found.append((row, now))
            counts = _counts(connection, found)
        return [_summary(row, now, counts[row.id]) for row, now in found]

    def run(self, reference: str) -> RunRecord:
        """Return one run.

        Args:
            reference: its identifier, or as much of its beginning as no other run has; ``last`` is the one that was
                begun last, ``last~1`` the one before it.

        Raises:
            HistoryError: there is no such run, or more than one.
            DatabaseError: the database can't be read.
        """
        with self._database.reading() as connection:
            row = self._find(connection, reference)
            state = self._state(connection, row)
            counts = _counts(connection, [(row, state)])
            hosts = connection.execute(select(runs.c.hosts).where(runs.c.id == row.id)).scalar_one()
        summary = _summary(row, state, counts[row.id])
        fields = {name: getattr(summary, name) for name in RunSummary.__dataclass_fields__}
        return RunRecord(**fields, hosts=tuple(json.loads(hosts)))

    def hosts(self, references: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the hosts of several runs, by their identifiers; runs that are not there are left out.

        Args:
            references: whole identifiers.

        Raises:
            DatabaseError: the database can't be read.
        """
        found: dict[str, tuple[str, ...]] = {}
        with self._database.reading() as connection:
            for some in _slices(references):
                query = select(runs.c.id, runs.c.hosts).where(runs.c.id.in_(some))
                found.update({run: tuple(json.loads(hosts)) for run, hosts in connection.execute(query)})
        return found

    def results(
        self,
        run: RunRecord | str,
        *,
        hosts: Collection[str] | None = None,
        streams: bool = False,
        reasons: bool = False,
    ) -> Iterator[RecordedResult]:
        """Yield what is recorded of each host, in the order of the run.

        Args:
            run: the run, or what `run` finds it by.
            hosts: of its hosts, these only.
            streams: whether what they printed is wanted, as much of it as the record itself holds.
            reasons: where it is not: whether the end of standard error is, of those hosts on which a command failed.

        Raises:
            HistoryError: there is no such run, or no such host in it.
            DatabaseError: the database can't be read.
        """
        record = run if isinstance(run, RunRecord) else self.run(run)
        if hosts is not None:
            _check_hosts(record, hosts)
        chosen = None if hosts is None else set(hosts)
        wanted = [host for host in record.hosts if chosen is None or host in chosen]
        # With streams a page at a time: the whole may be larger than the memory. Rows never change, so the pages fit.
        size = _PAGE if streams else max(len(wanted), 1)
        for first in range(0, len(wanted), size):
            page = wanted[first : first + size]
            few = page if len(page) <= _PAGE else None  # databases take only so many values in one statement
            with self._database.reading() as connection:
                rows = _rows(connection, record.id, few, streams=streams, reasons=reasons)
                begun = _begun(connection, record.id, few) if len(rows) < len(page) else {}
            for host in page:
                row = rows.get(host)
                yield _recorded(row, cut=not streams) if row is not None else _unfinished(record, host, begun.get(host))

    def states(self, run: RunRecord | str) -> dict[str, HostState]:
        """Return the state of each host, in the order of the run.

        Raises:
            HistoryError: there is no such run.
            DatabaseError: the database can't be read.
        """
        record = run if isinstance(run, RunRecord) else self.run(run)
        with self._database.reading() as connection:
            query = select(results.c.host, results.c.status).where(results.c.run == record.id)
            there = {row[0]: row[1] for row in connection.execute(query)}
            begun = _begun(connection, record.id, None) if len(there) < len(record.hosts) else {}
        return {
            host: cast("HostState", there[host]) if host in there else _unfinished(record, host, begun.get(host)).state
            for host in record.hosts
        }

    def output(self, run: RunRecord | str, host: str, stream: str = "stdout") -> HostOutput:
        """Return what a host printed: the whole of it, from its file where it was more than the budget allows.

        The file is read through and compared with its hash; where it is gone or is another one by now, the answer says
        so and has what the record itself holds.

        Args:
            run: the run, or what `run` finds it by.
            host: inventory name.
            stream: stdout, stderr, or ``data``: the dictionary that Ansible returns, without the streams, as JSON.

        Raises:
            HistoryError: there is no such run, no such host in it, or no result of that host.
            DatabaseError: the database can't be read.
        """
        if stream not in (*STREAMS, "data"):
            raise HistoryError(f"stream: expected stdout, stderr or data, got {stream!r}")
        record = run if isinstance(run, RunRecord) else self.run(run)
        found = next(self.results(record, hosts=[host], streams=stream != "data"))
        if found.result is None:
            raise HistoryError(f"run {short(record.id)}: there is no result of {host}: {found.state}")
        kept = json.dumps(dict(found.result.data)) if stream == "data" else found.stream(stream) or ""
        file = found.files.get(stream)
        cut = found.result.truncated and stream not in found.result.spilled
        return HostOutput(host, stream, kept, file, problem_of(file, kept, record.runner, cut=cut))

    def diff(self, before: RunRecord | str, after: RunRecord | str) -> Comparison:
        """Return which hosts came out otherwise in the second of two runs.

        Args:
            before: a run, or what `run` finds it by.
            after: another one.

        Raises:
            HistoryError: there is no such run.
            DatabaseError: the database can't be read.
        """
        old, new = (run if isinstance(run, RunRecord) else self.run(run) for run in (before, after))
        return compare(self._database, self.states(old), self.states(new), old, new)

    def differences(self, comparison: Comparison, limit: int = 10) -> tuple[list[Difference], int]:
        """Return how the outputs of hosts differ: those of most hosts first, and how many others there are.

        Raises:
            DatabaseError: the database can't be read.
        """
        return differences(self.results, comparison, limit)

    def going_on(self, run: str) -> bool:
        """Return whether a run goes on.

        Raises:
            HistoryError: there is no such run.
            DatabaseError: the database can't be read.
        """
        with self._database.reading() as connection:
            return self._state(connection, self._find(connection, run)) == "running"

    def _find(self, connection: Connection, reference: str) -> Found:
        last = _LAST.fullmatch(reference)
        if last is not None:
            row = connection.execute(_select_runs().limit(1).offset(int(last[1] or 0))).first()
            if row is None:
                raise HistoryError(
                    f"{self._database.url} holds no run {reference!r}: nothing, or not so much, was recorded"
                )
            return row
        if not re.fullmatch(r"[0-9A-Za-z_.-]{1,32}", reference):
            raise HistoryError(f"{reference!r} is no run: expected an identifier, the beginning of one, or 'last'")
        begins = runs.c.id.startswith(reference.lower(), autoescape=True)
        found = connection.execute(_select_runs().where(begins).limit(5)).all()
        exact = [row for row in found if row.id == reference.lower()]
        if len(found) > 1 and not exact:
            some = ", ".join(row.id[: max(12, len(reference) + 4)] for row in found)
            raise HistoryError(f"more than one run begins with {reference!r}: {some}; give more of it")
        if not found:
            raise HistoryError(
                f"there is no run {reference!r} in {self._database.url}: `sshexec history list` shows which there are"
            )
        return (exact or found)[0]

    def _state(self, connection: Connection, row: Found) -> RunState:
        if row.state is not None:
            return cast("RunState", row.state)
        alive = None if self._alive is None else self._alive(row.id, json.loads(row.runner))
        if alive is None:
            alive = time.time() - _last_sign(connection, row) < FRESH
        return "running" if alive else "died"


def _select_runs() -> Select[Any]:
    return (
        select(*_RUN)
        .select_from(runs.outerjoin(ends, ends.c.run == runs.c.id))
        .order_by(runs.c.started.desc(), runs.c.id.desc())
    )


def _pages(connection: Connection, query: Select[Any]) -> Iterator[Found]:
    """Yield a query's rows, without fetching all of them where the first ones are enough."""
    first = 0
    while rows := connection.execute(query.limit(_PAGE).offset(first)).all():
        yield from rows
        first += _PAGE


def _has_host(host: str) -> ColumnElement[bool]:
    """Return the condition that a run had a host among its own."""
    there = exists().where(results.c.run == runs.c.id, results.c.host == host)
    begun = exists().where(starts.c.run == runs.c.id, starts.c.host == host)
    # Where all is recorded these are enough; the long list of names is looked through for the others alone.
    open_end = or_(ends.c.state.is_(None), ends.c.state == "died")
    # LIKE does not tell capital letters apart in SQLite.
    named = runs.c.hosts != func.replace(runs.c.hosts, json.dumps(host), "")
    return or_(there, begun, and_(open_end, named))


def _ended(state: RunState) -> ColumnElement[bool]:
    if state in ("running", "died"):
        return or_(ends.c.state.is_(None), ends.c.state == state)
    return ends.c.state == state


def _last_sign(connection: Connection, row: Found) -> float:
    """Return when a run was heard of last."""
    seen: list[float] = [row.started]
    for column, run in ((results.c.finished, results.c.run), (starts.c.started, starts.c.run)):
        latest = connection.execute(select(func.max(column)).where(run == row.id)).scalar()
        seen += [latest] if latest is not None else []
    return max(seen)


def _counts(connection: Connection, found: Sequence[tuple[Found, RunState]]) -> dict[str, dict[HostState, int]]:
    """Return how many hosts are in which state, for each of some runs."""
    counts: dict[str, dict[str, int]] = {row.id: {} for row, _ in found}
    for some in _slices(list(counts)):
        query = (
            select(results.c.run, results.c.status, func.count())
            .where(results.c.run.in_(some))
            .group_by(results.c.run, results.c.status)
        )
        for run, status, count in connection.execute(query):
            counts[run][status] = count
    # Of most runs every host has a result; only of the others it matters which were begun.
    open_ones = {row.id: (state, row.hosts) for row, state in found if sum(counts[row.id].values()) < row.hosts}
    begun: dict[str, int] = dict.fromkeys(open_ones, 0)
    for some in _slices(list(open_ones)):
        result = exists().where(results.c.run == starts.c.run, results.c.host == starts.c.host)
        query = select(starts.c.run, func.count()).where(starts.c.run.in_(some), ~result).group_by(starts.c.run)
        begun.update({row[0]: row[1] for row in connection.execute(query)})
    for run, (state, count) in open_ones.items():
        left = count - sum(counts[run].values())
        started = min(begun[run], left)
        for host_state, number in ((_open_state(state, True), started), (_open_state(state, False), left - started)):
            if number:
                counts[run][host_state] = counts[run].get(host_state, 0) + number
    return cast("dict[str, dict[HostState, int]]", counts)


def _open_state(state: RunState, begun: bool) -> HostState:
    """Return the state of a host that has no result."""
    if state == "running":
        return "running" if begun else "pending"
    if state == "died":
        return "unknown" if begun else "pending"
    # The run saw a result of every host before it ended: it is the record that lacks something.
    return "unknown"


def _slices(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(names), _PAGE):
        yield names[first : first + _PAGE]


def _rows(
    connection: Connection, run: str, hosts: Sequence[str] | None, *, streams: bool, reasons: bool
) -> dict[str, Found]:
    nothing = literal(None)
    if streams:
        query = select(*_BRIEF, results.c.stdout, results.c.stderr)
    elif not reasons:
        query = select(*_BRIEF, nothing.label("stdout"), nothing.label("stderr"))
    else:
        length = func.length(results.c.stderr)
        end = func.substr(results.c.stderr, case((length > _TAIL, length - _TAIL), else_=1))
        failed = and_(results.c.status.not_in(GOOD), results.c.rc.is_not(None))
        query = select(*_BRIEF, nothing.label("stdout"), case((failed, end), else_=None).label("stderr"))
    query = query.where(results.c.run == run)
    if hosts is not None:
        query = query.where(results.c.host.in_(hosts))
    return {row.host: row for row in connection.execute(query)}


def _begun(connection: Connection, run: str, hosts: Sequence[str] | None) -> dict[str, float]:
    query = select(starts.c.host, starts.c.started).where(starts.c.run == run)
    if hosts is not None:
        query = query.where(starts.c.host.in_(hosts))
    return {row[0]: row[1] for row in connection.execute(query)}


def _check_hosts(record: RunRecord, hosts: Collection[str]) -> None:
    strangers = set(hosts).difference(record.hosts)
    if strangers:
        raise HistoryError(f"run {short(record.id)} had no host {min(strangers)!r}")


def _summary(row: Found, state: RunState, counts: Mapping[HostState, int]) -> RunSummary:
    plain = {name: getattr(row, name) for name in ("id", "module", "pattern", "started", "finished")}
    plain |= {name: getattr(row, name) for name in ("actor", "reason", "root", "resumes")}
    data = {name: json.loads(getattr(row, name)) for name in ("task", "labels", "runner")}
    return RunSummary(**plain, **data, count=row.hosts, state=state, counts=counts)


def _recorded(row: Found, *, cut: bool) -> RecordedResult:
    plain = dict(row._mapping)
    if cut:
        plain["stderr"] = _end_of(row.stderr)
    result = result_of(plain)
    files = {name: OutputFile(**file) for name, file in json.loads(row.files).items()} if row.files != "{}" else {}
    # Of most rows nothing is left out, and none of those need be read again to know that.
    left_out = json.loads(row.data).get("left_out", ()) if "data" in files else ()
    return RecordedResult(row.host, row.status, result.started, result, files, tuple(left_out))


def _unfinished(record: RunRecord, host: str, started: float | None) -> RecordedResult:
    return RecordedResult(host, _open_state(record.state, started is not None), started)


def _end_of(value: str | None) -> str | None:
    """Return the end of a JSON text as a whole one; those that are whole are shorter than what is cut off."""
    if value is None or len(value) <= _TAIL:
        return value
    apart = _APART.search(value)
    return f'"{value[apart.end() :]}' if apart else '""'


def alive_by(journals: Journals) -> Alive:
    """Return what looks at this machine's journals to say whether a run goes on."""

    def alive(run: str, runner: Mapping[str, Any]) -> bool | None:
        folder = os.path.join(journals.folder, run)
        if os.path.lexists(folder):
            return journals.alive(run)
        # The end comes into the database before the journal goes: without either, its runner is gone.
        return False if (runner.get("machine"), runner.get("journal")) == (socket.gethostname(), folder) else None

    return alive
