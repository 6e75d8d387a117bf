"""Where runs are recorded: the public face of the history."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
import weakref
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from sshexec.database.address import is_address, redacted, state_directory
from sshexec.errors import DatabaseError, DatabaseUnavailableError
from sshexec.history.courier import Courier
from sshexec.history.delivery import Parcel, deliver
from sshexec.history.hiding import Hiding
from sshexec.history.journals import Journals
from sshexec.history.outputs import Outputs
from sshexec.history.recorder import JournalRecorder
from sshexec.history.rows import Results, run_row, text_of
from sshexec.journal import line

if TYPE_CHECKING:
    from sshexec.database.database import Database
    from sshexec.history.pruning import Pruned
    from sshexec.history.reading import Records
    from sshexec.recorder import Opening, Resumption

log = logging.getLogger("sshexec.history")

OUTPUT_BUDGET = 2**16
"""Bytes of each stream of each host that stay in the database."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What became of the journals that runners have left behind.

    Args:
        delivered: how many are in the database now.
        left: how many are not.
        reason: why; None where none is left.
    """

    delivered: int
    left: int
    reason: str | None = None


class History:
    """Records runs in a database; given to an engine as ``Engine(inventory, history=History(...))``.

    Each result is in a journal on this machine before the caller sees it, and in the database a moment later. Where the
    database does not answer, the run goes on, and the journal is delivered once it does: by this history, or by the
    next one that is opened on this machine. It may be used from several threads, and in forked children.

    Args:
        url: of the database, as SQLAlchemy writes them: ``sqlite:///history.db``, ``postgresql+psycopg://host/name``;
            None is $SSHEXEC_HISTORY, and where that is not set a file of SQLite in the user's state directory.
        state: directory for the journals and outputs of a database that is a server; None is the user's state
            directory.
        output_budget: bytes of each stream of each host that stay in the database; the whole is in a file then.
        outputs: directory for those files; None is one beside the database's file, or in the state directory.
        patient: whether what a database needs is loaded for runs only that last for a second; the journals of others
            are delivered by whoever comes next. For programs that run for one task.
        create: whether a file and tables that are not there are made; without it they are an error.

    Raises:
        DatabaseError: the address is wrong.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        state: str | None = None,
        output_budget: int = OUTPUT_BUDGET,
        outputs: str | None = None,
        patient: bool = False,
        create: bool = True,
    ) -> None:
        state = os.path.abspath(state) if state is not None else state_directory()
        given = url or os.environ.get("SSHEXEC_HISTORY") or None
        self._url = given or f"sqlite:///{os.path.join(state, 'history.db')}"
        if not is_address(self._url):
            raise DatabaseError(f"{redacted(self._url)}: no address of a database, such as sqlite:///history.db")
        self.url = redacted(self._url)
        """The database's address, without what is secret in it."""
        beside = _file_of(self._url)
        if beside is None:
            own = hashlib.sha256(self.url.encode("utf-8", "surrogateescape")).hexdigest()[:16]
            folders = [os.path.join(state, kind, own) for kind in ("journals", "outputs")]
        else:
            folders = [f"{beside}-journals", f"{beside}-outputs"]
        self._made_by_us = state if given is None or beside is None else None
        self.journals = Journals(folders[0])
        self.outputs = Outputs(folders[1] if outputs is None else os.path.abspath(outputs))
        self._budget = output_budget
        self._create = create
        self._lock = threading.Lock()
        self._opened: Database | None = None
        self._courier = Courier(lambda: self.database, self.journals, patient=patient)
        self._warned = False
        _alive.add(self)

    @property
    def database(self) -> Database:
        """The database, which is opened with its first use.

        Raises:
            DatabaseError: the address is wrong.
            DatabaseUnavailableError: its folder can't be made.
        """
        if self._opened is None:
            from sshexec.database.database import Database
            from sshexec.history.tables import SCHEMA

            with self._lock:
                if self._opened is None:
                    if self._create:
                        try:
                            self._make_folder()
                        except OSError as error:
                            reason = f"{error.filename} can't be made: {error.strerror}"
                            raise DatabaseUnavailableError(f"{self.url}: {reason}") from None
                    self._opened = Database(self._url, SCHEMA, create=self._create)
        return self._opened

    @property
    def records(self) -> Records:
        """What is recorded: runs, results, outputs. Journals that wait are not in there: see `recover`.

        Raises:
            DatabaseError: the address is wrong.
        """
        from sshexec.history.reading import Records, alive_by

        return Records(self.database, alive_by(self.journals))

    def prune(
        self,
        *,
        keep_days: float | None = None,
        keep_bytes: int | None = None,
        keep_runs: int | None = None,
        dry: bool = False,
        seconds: float | None = None,
    ) -> Pruned:
        """Let go of the oldest runs, and of their files; never of a run that goes on, or whose journal waits.

        Args:
            keep_days: what began no longer ago stays; None for all.
            keep_bytes: the latest runs stay that take no more room than this, about, with their files; likewise.
            keep_runs: so many of the latest runs stay; likewise.
            dry: whether nothing is removed, only looked for.
            seconds: after which the rest is left for another time.

        Raises:
            DatabaseError: the database can't be read or written.
            HistoryError: what is to be kept makes no sense.
        """
        from sshexec.history.pruning import Keep, Pruning

        records = self.records
        pruning = Pruning(self.database, self.outputs.folder, self.journals.folder, records.going_on)
        return pruning.prune(Keep(keep_days, keep_bytes, keep_runs), dry=dry, seconds=seconds)

    def begin(self, opening: Opening) -> JournalRecorder:
        """Return the recorder of a run that is about to begin; see `sshexec.recorder.History`.

        What can't be recorded is logged once, and the run goes on.

        Raises:
            HistoryError: others have gone on with the same run since its hosts were chosen.
            DatabaseError: whether they have can't be read.
        """
        if not opening.passes:
            return self._begin(opening)
        from sshexec.history.resumption import next_pass

        with next_pass(self.database, self.journals, opening) as before:
            return self._begin(opening, before)

    def _begin(self, opening: Opening, after: float = 0.0) -> JournalRecorder:
        try:
            hiding = Hiding(opening)
            folder = os.path.join(self.journals.folder, opening.run)
            row = run_row(opening, hiding, self._root(opening), folder, after)
            self._make_folder()
            journal = self.journals.create(opening.run, line("opening", text_of(row)))
        except OSError as error:
            self._warn(f"{error.filename or self.journals.folder}: {error.strerror}")
            return JournalRecorder(None, None, self._courier)
        except Exception as error:  # noqa: BLE001 - whatever stands in a variable or argument: the run goes on
            self._warn(f"internal error: {type(error).__name__}")
            return JournalRecorder(None, None, self._courier)
        recorder = JournalRecorder(journal, Results(opening.run, hiding, self.outputs, self._budget), self._courier)
        self._courier.add(Parcel(journal, live=True, flush=recorder.flush))
        return recorder

    def _root(self, opening: Opening) -> str:
        """Return the first run of the chain that a run goes on with."""
        if opening.root is not None or opening.resumes is None:
            return opening.root or opening.run
        from sqlalchemy import select

        from sshexec.history.tables import runs

        with contextlib.suppress(DatabaseError), self.database.reading() as connection:
            root = connection.execute(select(runs.c.root).where(runs.c.id == opening.resumes)).scalar()
            if root is not None:
                return str(root)
        return opening.resumes

    def recover(self) -> Recovery:
        """Deliver the journals of runners that are gone, and say how many there were."""
        delivered, reason = 0, None
        for run in self.journals.all():
            journal = self.journals.take(run)
            if journal is None:
                continue
            try:
                deliver(self.database, Parcel(journal, live=False), lambda text: log.warning("history: %s", text))
                delivered += 1
            except (DatabaseError, OSError) as error:
                journal.release()
                reason = str(error)
                break
        left = 0 if reason is None else len(self.journals.waiting())
        return Recovery(delivered, left, reason)

    def resumption(self, run: str) -> Resumption:
        """Return what is known to whoever wants to go on with a run; see `sshexec.recorder.History`."""
        from sshexec.history.resumption import resumption, roots

        self.recover()
        return resumption(self.database, self.records, run, undelivered=roots(self.journals))

    def close(self) -> None:
        """Deliver what is left of runs that are done, for a few seconds, and close the database.

        It may be used again.
        """
        self._courier.close()
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def _make_folder(self) -> None:
        """Make the state directory, where it is ours to make."""
        if self._made_by_us is not None:
            os.makedirs(self._made_by_us, mode=0o700, exist_ok=True)
            os.makedirs(
                os.path.join(self._made_by_us, os.path.dirname(self.journals.folder)), mode=0o700, exist_ok=True
            )

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning("history: %s; runs are not recorded, and go on", reason)

    def __repr__(self) -> str:
        return f"<History in {self.url}>"

    def _forked(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _file_of(url: str) -> str | None:
    """Return the absolute path of SQLite's file; None for a server.

    Raises:
        DatabaseError: no file is named.
    """
    if not url.startswith("sqlite"):
        return None
    path = url.partition("://")[2].partition("?")[0]
    if not path.startswith("/") or path in ("/", "/:memory:") or path.startswith("/file:"):
        raise DatabaseError(f"{redacted(url)}: names no file; write sqlite:///history.db or sqlite:////srv/history.db")
    return os.path.abspath(path[1:])


_alive: weakref.WeakSet[History] = weakref.WeakSet()


def _after_fork() -> None:
    """Give a forked child's histories locks of their own: another thread may have held them."""
    for history in list(_alive):
        history._forked()


os.register_at_fork(after_in_child=_after_fork)
