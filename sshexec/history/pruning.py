"""How long a history remembers: the oldest runs go, with their files."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select

from sshexec.errors import DatabaseUnavailableError, HistoryError
from sshexec.history.records import VERSION
from sshexec.history.tables import ends, results, runs, starts

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from sshexec.database.database import Database

DAY = 86400.0
_RUN = re.compile(r"[0-9a-f]{32}")
"""What a run's folder is called; nothing else is ever removed."""
_YOUNG = 3600.0
"""Seconds for which a folder without a run is let be: its run may be about to come."""
_AMOUNT = re.compile(r"(\d{1,12}(?:\.\d+)?)\s*(d|days?|runs?|[kmgt]i?b?|b)", re.IGNORECASE)
_UNITS = {"b": 0, "k": 10, "m": 20, "g": 30, "t": 40}


@dataclass(frozen=True, slots=True)
class Keep:
    """What is kept. Each of them lets go of what is beyond it; None lets go of nothing.

    Args:
        days: runs that began no longer ago.
        bytes: as many of the latest runs as take no more room, about, files of output included.
        runs: that many of the latest runs.
    """

    days: float | None = None
    bytes: int | None = None
    runs: int | None = None

    def __post_init__(self) -> None:
        for name in ("days", "bytes", "runs"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise HistoryError(f"what is kept of the history: {name}: expected a number from 0 on, got {value!r}")

    @classmethod
    def read(cls, text: str) -> Keep:
        """Read ``90d,2G``, ``500 runs`` or ``all``.

        Raises:
            HistoryError: it is something else.
        """
        if text.strip().lower() in ("all", "forever"):
            return cls()
        found: dict[str, Any] = {}
        for word in text.split(","):
            amount = _AMOUNT.fullmatch(word.strip())
            if amount is None:
                raise HistoryError(f"what is kept of the history: expected something like 90d,2G or all, got {text!r}")
            unit = amount[2].lower()
            if unit.startswith("d"):
                found["days"] = float(amount[1])
            elif unit.startswith("run"):
                found["runs"] = int(float(amount[1]))
            else:
                found["bytes"] = int(float(amount[1]) * 2 ** _UNITS[unit[0]])
        return cls(**found)


DEFAULT = Keep(days=90, bytes=2 * 2**30)
"""What the command line keeps of its own history."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was let go of.

    Args:
        runs: the runs' identifiers, the oldest first.
        bytes: what they took, about.
        folders: folders of output that belonged to no run any more.
        kept: how many runs are left.
        dry: whether nothing was removed, only looked for.
        problems: files that could not be removed, and why.
        unfinished: whether the time was over before all was done.
    """

    runs: tuple[str, ...]
    bytes: int
    folders: int
    kept: int
    dry: bool = False
    problems: tuple[str, ...] = ()
    unfinished: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data with stable keys."""
        return {
            "version": VERSION,
            "runs": list(self.runs),
            "bytes": self.bytes,
            "folders": self.folders,
            "kept": self.kept,
            "dry": self.dry,
            "problems": list(self.problems),
            "unfinished": self.unfinished,
        }


@dataclass(slots=True)
class _Chain:
    """A run and those that resumed it: a later one can't be understood, nor resumed, without the earlier ones."""

    root: str
    latest: float = 0.0
    runs: list[tuple[float, str]] = field(default_factory=list)
    bytes: int = 0
    busy: bool = False


class Pruning:
    """Lets go of runs.

    Args:
        database: holds them.
        outputs: the folder of this machine that has a folder for each run's whole streams; None where there is none.
        journals: the folder of this machine that has a folder for each run that is not in the database yet; likewise.
        going_on: says of a run without an end whether it goes on.
    """

    def __init__(
        self, database: Database, outputs: str | None, journals: str | None, going_on: Callable[[str], bool]
    ) -> None:
        self._database = database
        self._outputs = outputs
        self._journals = journals
        self._going_on = going_on

    def prune(self, keep: Keep, *, dry: bool = False, seconds: float | None = None) -> Pruned:
        """Let go of runs; never of one that goes on, or whose journal is still to be delivered.

        Runs that resume one another go together. Files go after the rows that name them; what is left where that was
        broken off goes the next time.

        Args:
            keep: what stays.
            dry: whether nothing is removed.
            seconds: after which the rest is left for another time.

        Raises:
            DatabaseError: the database can't be read or written.
        """
        limit = None if seconds is None else time.monotonic() + seconds
        chains, known = self._chains(sizes=keep.bytes is not None)
        gone: list[str] = []
        size, unfinished = 0, False
        problems: list[str] = []
        for chain in _beyond(chains, keep):
            if limit is not None and time.monotonic() > limit:
                unfinished = True
                break
            if dry or self._remove(chain):
                gone += [run for _, run in chain.runs]
                size += chain.bytes
                problems += [] if dry else self._remove_folders([run for _, run in chain.runs])
        orphans = list(self._orphans(known))
        problems += [] if dry else self._remove_folders(orphans)
        return Pruned(tuple(gone), size, len(orphans), len(known) - len(gone), dry, tuple(problems), unfinished)

    def _chains(self, *, sizes: bool) -> tuple[list[_Chain], set[str]]:
        """Return the chains, the latest first, and all runs."""
        chains: dict[str, _Chain] = {}
        open_ones: list[tuple[str, str]] = []
        query = select(runs.c.id, runs.c.root, runs.c.started, ends.c.state)
        query = query.select_from(runs.outerjoin(ends, ends.c.run == runs.c.id)).order_by(runs.c.started, runs.c.id)
        with self._database.reading() as connection:
            taken = _sizes(connection) if sizes else {}
            for run, root, started, state in connection.execute(query):
                chain = chains.setdefault(root, _Chain(root))
                chain.runs.append((started, run))
                chain.latest = started
                chain.bytes += taken.get(run, 0)
                chain.busy |= self._is_undelivered(run)
                open_ones += [] if state is not None else [(root, run)]
        for root, run in open_ones:
            chains[root].busy = chains[root].busy or self._going_on(run)
        known = {run for chain in chains.values() for _, run in chain.runs}
        return sorted(chains.values(), key=lambda chain: chain.latest, reverse=True), known

    def _is_undelivered(self, run: str) -> bool:
        return self._journals is not None and os.path.lexists(os.path.join(self._journals, run))

    def _remove(self, chain: _Chain) -> bool:
        """Remove a chain's rows; False where it was resumed in the meantime."""
        names = [run for _, run in chain.runs]
        with self._database.writing() as connection:
            others = select(func.count()).where(runs.c.root == chain.root, runs.c.id.not_in(names))
            if connection.execute(others).scalar_one():
                return False
            for column in (results.c.run, starts.c.run, ends.c.run, runs.c.id):
                connection.execute(delete(column.table).where(column.in_(names)))
        return True

    def _remove_folders(self, names: Sequence[str]) -> list[str]:
        """Remove runs' folders; return what went wrong."""
        problems: list[str] = []
        for name in names:
            if self._outputs is None or not _RUN.fullmatch(name):
                continue
            path = os.path.join(self._outputs, name)
            try:
                shutil.rmtree(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                problems.append(f"{error.filename or path}: {error.strerror}")
        return problems

    def _orphans(self, known: set[str]) -> Iterator[str]:
        """Yield the folders that belong to no run."""
        if self._outputs is None:
            return
        with suppress(OSError):
            for entry in os.scandir(self._outputs):
                if not _RUN.fullmatch(entry.name) or entry.name in known or self._is_undelivered(entry.name):
                    continue
                with suppress(OSError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > _YOUNG:
                        yield entry.name


def _sizes(connection: Connection) -> dict[str, int]:
    taken = {run: int(size) for run, size in connection.execute(select(runs.c.id, func.length(runs.c.hosts)))}
    query = select(results.c.run, func.sum(results.c.size)).group_by(results.c.run)
    for run, size in connection.execute(query):
        taken[run] = taken.get(run, 0) + int(size)
    return taken


def _beyond(chains: Sequence[_Chain], keep: Keep) -> list[_Chain]:
    """Return the chains that are not kept, the oldest first."""
    oldest = None if keep.days is None else time.time() - keep.days * DAY
    beyond: list[_Chain] = []
    count = size = 0
    for place, chain in enumerate(chains):
        many = keep.runs is not None and count >= keep.runs
        count += len(chain.runs)
        size += chain.bytes
        old = oldest is not None and chain.latest < oldest
        # However large the latest one is: it has just been recorded, and not to be thrown away.
        large = keep.bytes is not None and size > keep.bytes and place > 0
        if (old or large or many) and not chain.busy:
            beyond.append(chain)
    return beyond[::-1]


def compact(database: Database) -> int:
    """Give the room that nothing takes any more back to the file system; return how many bytes that were.

    A server does that by itself. Nobody can write to a file of SQLite meanwhile.

    Raises:
        DatabaseUnavailableError: somebody else is at it, or there is no room for the copy that this needs.
    """
    if database.path is None:
        return 0
    before = os.path.getsize(database.path)
    try:
        with closing(sqlite3.connect(database.path, timeout=30, isolation_level=None)) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:
        raise DatabaseUnavailableError(f"{database.url}: can't be made smaller now: {error}") from None
    return max(0, before - os.path.getsize(database.path))
