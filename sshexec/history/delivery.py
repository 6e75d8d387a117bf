"""Brings journals into the database, in batches, while runs go on and after their runner is gone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sshexec.errors import DatabaseError, DatabaseUnavailableError, ValueRefusedError
from sshexec.history.journals import Journal
from sshexec.history.outputs import hashed
from sshexec.history.rows import is_name, text_of
from sshexec.journal import Reader

if TYPE_CHECKING:
    from sshexec.database.database import Database

_ENOUGH = 10
"""Rows that a table refuses, one after the other, until it is believed to take none."""

_BATCH = 2**21
"""Bytes of journals that go into one transaction, about."""


class Batch:
    """Rows that are written together."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.starts: dict[tuple[str, str], dict[str, Any]] = {}
        self.results: list[dict[str, Any]] = []
        self.ends: list[dict[str, Any]] = []
        self.problems: list[str] = []
        """What could not be read of the journals, for people."""
        self.room = _BATCH

    @property
    def full(self) -> bool:
        """Whether there may be more to read than went into it."""
        return self.room < _BATCH // 2

    def __bool__(self) -> bool:
        return bool(self.runs or self.starts or self.results or self.ends)

    def parts(self) -> Iterator[tuple[str, Sequence[dict[str, Any]]]]:
        """Yield the rows of each table, in the order in which they are to be written."""
        yield "runs", self.runs
        yield "starts", list(self.starts.values())
        yield "results", self.results
        yield "ends", self.ends


class Parcel:
    """A journal on its way into the database.

    Args:
        journal: locked by this process.
        live: whether its run is still in progress in this process: then its opening waits for the first host.
        flush: writes what the journal had no room for, and says whether all is in there; None where nobody writes.
    """

    def __init__(self, journal: Journal, *, live: bool, flush: Callable[[], bool] | None = None) -> None:
        self.journal = journal
        self.live = live
        self._flush = flush
        self.held_up = False
        """Whether something waits for room on the journal's disk."""
        self.gaps = False
        """Whether something of the run is known to be missing in the journal."""
        self.ended = False
        """Whether the end of the run is delivered."""
        self.exhausted = False
        """Whether nothing was left to read at the last look."""
        self._reader: Reader | None = None
        self._opening: dict[str, Any] | None = None
        self._opened = False
        self._started: dict[str, float] = {}
        self._before: tuple[Any, ...] | None = None

    def fill(self, batch: Batch) -> None:
        """Put what the journal says next into a batch.

        Raises:
            OSError: it can't be read.
        """
        self.held_up = self._flush is not None and not self._flush()
        if self._reader is None:
            self._reader = self.journal.reader()
        started = dict(self._started)
        self._before = (self._reader.position, self._opening, self._opened, started, self.gaps, self.ended)
        self.exhausted = False
        while batch.room > 0 and not self.exhausted:
            position = self._reader.position
            lines = self._reader.read(batch.room)
            batch.room -= self._reader.position - position
            for line in lines:
                try:
                    self._put(line, batch)
                except (LookupError, TypeError, ValueError, AttributeError):
                    # Damaged, or somebody else's: it must hold up neither the other lines nor the other journals.
                    batch.problems.append(f"run {self.journal.run}: a line of its journal makes no sense: left out")
                    self.gaps = True
            self.exhausted = not lines
        if self.exhausted and not self.live and not self.ended:
            self._bury(batch)

    def rewind(self) -> None:
        """Forget the last `fill`: its batch was not written."""
        if self._before is not None and self._reader is not None:
            position, self._opening, self._opened, self._started, self.gaps, self.ended = self._before
            self._reader.position = position

    def _put(self, line: dict[str, Any], batch: Batch) -> None:
        run = self.journal.run
        if "opening" in line:
            self._opening = {**line["opening"]}
            return
        if self._opening is not None:
            # With the first host and not before: a run that could not be begun is taken back (Recorder.discard).
            batch.runs.append(self._opening)
            self._opening, self._opened = None, True
        if "start" in line:
            host, begun = line["start"], line["time"]
            named = is_name(host)
            self._started[host] = begun
            if named:
                batch.starts[run, host] = {"run": run, "host": host, "started": begun}
        elif "result" in line:
            row = {"run": run, **line["result"]}
            host, started, files = row["host"], row["started"], row["files"]
            if '"sha256":null' in files:
                row["files"] = text_of(hashed(json.loads(files)))
            if host in self._started:
                begun = self._started.pop(host)
                batch.starts.pop((run, host), None)
                if started is None:
                    # Whoever was at it is gone, or did not answer, and another one has made the result.
                    row["started"] = begun
            elif started is not None:
                self.gaps = True
            batch.results.append(row)
        elif "end" in line:
            batch.ends.append({"run": run, **line["end"]})
            self.ended = True

    def _bury(self, batch: Batch) -> None:
        """Note the end of a run whose runner is gone."""
        if self._opening is not None:
            batch.runs.append(self._opening)
            self._opening, self._opened = None, True
        if self._opened and self._reader is not None:
            batch.ends.append({"run": self.journal.run, "state": "died", "finished": self._reader.written})
            self.ended = True

    def close(self) -> None:
        """Stop reading, and let others deliver what is left."""
        if self._reader is not None:
            self._reader.close()
        self.journal.release()

    def done(self) -> None:
        """Remove the journal, all of which is delivered; one that makes no sense is kept aside."""
        if self._reader is not None:
            self._reader.close()
        if self.ended:
            self.journal.remove()
        else:
            self.journal.set_aside()


def write(database: Database, batch: Batch) -> list[str]:
    """Write a batch in one transaction; what is there already stays as it is.

    Returns:
        What could not be read, or the database refuses for what it is: a line each, empty as a rule. The rest is
        written.

    Raises:
        DatabaseError: it can't be written, now at least.
    """
    try:
        _write(database, batch.parts())
    except DatabaseUnavailableError:
        raise
    except DatabaseError:
        # Tables of another version take some rows and not others: then all have to wait.
        database.look_again()
        return batch.problems + _write_singly(database, batch)
    return batch.problems


def _write(database: Database, parts: Iterator[tuple[str, Sequence[dict[str, Any]]]]) -> None:
    from sshexec.history import tables

    with database.writing() as connection:
        for name, rows in parts:
            if rows:
                database.insert_new(connection, getattr(tables, name), rows)


def _write_singly(database: Database, batch: Batch) -> list[str]:
    """Find the rows that the database refuses; where a table takes none at all, the fault is not theirs."""
    problems = []
    for name, rows in batch.parts():
        taken = 0
        refused: list[DatabaseError] = []
        for row in rows:
            try:
                _write(database, iter([(name, [row])]))
                taken += 1
            except DatabaseUnavailableError:
                raise
            except DatabaseError as error:
                problems.append(f"run {row.get('run') or row.get('id')}: host {row.get('host', '-')}: {error}")
                if not isinstance(error, ValueRefusedError):
                    refused.append(error)
                    if len(refused) > _ENOUGH and not taken:
                        break
        if refused and not taken:
            raise refused[0]  # a table that is gone, or closed to us: the journals wait for who mends it
    return problems


def deliver(database: Database, parcel: Parcel, problems: Callable[[str], None]) -> None:
    """Deliver the journal of a runner who is gone, and remove it.

    Raises:
        DatabaseError: the database does not take it; the journal stays.
        OSError: the journal can't be read.
    """
    try:
        while not parcel.exhausted:
            batch = Batch()
            parcel.fill(batch)
            if batch:
                for problem in write(database, batch):
                    problems(problem)
    except BaseException:
        parcel.close()
        raise
    parcel.done()
