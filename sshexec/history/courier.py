"""The thread of a history that delivers journals: those of its runs, and those that others have left behind."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from sshexec.errors import DatabaseError, DatabaseUnavailableError
from sshexec.history.delivery import Batch, Parcel, write
from sshexec.history.journals import Journals

if TYPE_CHECKING:
    from sshexec.database.database import Database
    from sshexec.results import Recorded

log = logging.getLogger("sshexec.history")

INTERVAL = 0.25
"""Seconds between two looks at the journals of runs in progress."""

GRACE = 5.0
"""Seconds that the end of a run waits for the database; what is not there by then is delivered later."""

PATIENCE = 1.0
"""Seconds that a run has to last until a patient history loads what it needs for a database."""

FEW = 50
"""Journals that a patient history leaves for later at most."""

SMALL = 16 * 2**20
"""Bytes of journals that a patient history leaves for later at most."""

_SLOWEST = 10.0
"""Seconds between two attempts at a database that does not take anything, at most."""

_LINGER = 2.0
"""Seconds that the thread waits for the next run."""

_AT_ONCE = 8
"""Journals of others that are being delivered at the same time."""

_TELL_AGAIN = 600.0
"""Seconds after which another outage is told again."""

_alive: weakref.WeakSet[Courier] = weakref.WeakSet()

Settle = Callable[["Recorded"], None]


class Delivered:
    """Tells once where the record of a run is.

    Args:
        settle: is told.
    """

    def __init__(self, settle: Settle) -> None:
        self._settle: Settle | None = settle
        self._lock = threading.Lock()
        self.timer: threading.Timer | None = None

    def tell(self, recorded: Recorded) -> None:
        """Tell it, unless it was told."""
        with self._lock:
            settle, self._settle = self._settle, None
        if self.timer is not None:
            self.timer.cancel()
        if settle is not None:
            try:
                settle(recorded)
            except Exception:
                # The courier goes on for the other runs.
                log.exception("the end of a run could not be told")


class Consignment:
    """A run whose journal the courier delivers.

    Args:
        parcel: its journal.
        due: when delivery may begin, on the monotonic clock.
    """

    def __init__(self, parcel: Parcel, due: float) -> None:
        self.parcel = parcel
        self.due = due
        self.delivered: Delivered | None = None
        """Told once its end is in the database; None while it goes on."""


class Courier:
    """Delivers journals in a thread of its own, which ends when there is nothing to do.

    Args:
        database: makes the database, or raises DatabaseError; called when the first journal is due.
        journals: of this history.
        patient: whether short runs are left to whoever comes next.
    """

    def __init__(self, database: Callable[[], Database], journals: Journals, *, patient: bool) -> None:
        self._database = database
        self._journals = journals
        self._patient = patient
        self._reset()
        _alive.add(self)

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._filling = threading.Lock()  # a journal is not closed while it is being read; taken inside of _changed
        self._consignments: dict[str, Consignment] = {}
        self._thread: object = None
        self._closing = False
        self._hurried = False
        self._looked = False
        self._answered = False
        self._next = 0.0
        self._rounds = 0
        self._failures = 0
        self._failed = 0
        self._down_since = 0.0
        self._told = float("-inf")
        self._down = False

    # ------------------------------------------------------------------ for recorders

    def add(self, parcel: Parcel) -> None:
        """Deliver the journal of a run that is about to begin."""
        due = time.monotonic() + (PATIENCE if self._patient else 0.0)
        with self._changed:
            self._consignments[parcel.journal.run] = Consignment(parcel, due)
            self._closing = False
            self._start()
            self._changed.notify_all()

    def drop(self, run: str) -> None:
        """Deliver nothing of a run that was not begun, and remove its journal."""
        with self._changed:
            consignment = self._consignments.pop(run, None)
            if consignment is not None:
                with self._filling:
                    consignment.parcel.ended = True
                    consignment.parcel.done()

    def end(self, run: str, settle: Settle) -> None:
        """Deliver what is left of a run, and tell then, or after `GRACE` seconds, where its record is."""
        delivered = Delivered(settle)
        with self._changed:
            consignment = self._consignments.get(run)
            later = consignment is None or self._closing or self._is_left_for_later(consignment)
            if consignment is not None and not later:
                consignment.delivered = delivered
                consignment.due = self._next = 0.0
                self._hurried = True
                delivered.timer = threading.Timer(GRACE, delivered.tell, ("journal",))
                delivered.timer.daemon = True
                delivered.timer.start()
                self._start()
                self._changed.notify_all()
            elif consignment is not None:
                del self._consignments[run]
                with self._filling:
                    consignment.parcel.close()
                self._changed.notify_all()
        if later:
            delivered.tell("journal")

    def _is_left_for_later(self, consignment: Consignment) -> bool:
        if not self._patient or consignment.due <= time.monotonic():
            return False
        runs = self._journals.all()
        return len(runs) <= FEW and sum(map(self._journals.size, runs)) <= SMALL

    def is_told(self) -> None:
        """The user knows that records can't be kept as they should: a database that fails too is no news."""
        self._told = time.monotonic()

    # ------------------------------------------------------------------ the thread

    def _start(self) -> None:
        if self._thread is None:
            # Whoever finds another token than his own in a forked child, to which gevent hands greenlets, ends.
            token = self._thread = object()
            threading.Thread(target=self._work, args=(token,), name="sshexec-history", daemon=True).start()

    def _work(self, token: object) -> None:
        try:
            self._deliver(token)
        except Exception:
            # A fault of ours: the journals stay, and the next run starts another thread.
            log.exception("history: the delivery of journals ended")
        finally:
            with self._changed:
                if self._thread is token:
                    self._thread = None
                    self._changed.notify_all()

    def _deliver(self, token: object) -> None:
        idle = time.monotonic()
        while True:
            if self._thread is token:
                self._collect()
            with self._changed:
                if self._thread is not token:
                    return
                now = time.monotonic()
                ready = [each for each in self._consignments.values() if each.due <= now]
                if self._consignments:
                    idle = now
                if self._closing or now - idle > _LINGER:
                    self._thread = None
                    self._changed.notify_all()
                    return
                self._hurried = False
            wait = self._round(ready, token) if ready and now >= self._next else INTERVAL
            with self._changed:
                if self._thread is not token:
                    return
                if wait and not self._hurried and not self._closing:
                    self._changed.wait(wait)

    def _round(self, ready: list[Consignment], token: object) -> float:
        """Write what the journals have to say, and return the seconds until the next look."""
        batch = Batch()
        filled: list[Consignment] = []
        self._rounds += 1
        turn = self._rounds % len(ready)  # what one journal holds may fill a batch: each comes first once
        try:
            for consignment in ready[turn:] + ready[:turn]:
                filled.append(consignment)
                if not self._fill(consignment, batch):
                    filled.remove(consignment)
            if batch:
                problems = write(self._database(), batch)
                self._answers()
                if self._thread is token:
                    self._collect()
                for problem in problems:
                    log.warning("history: %s", problem)
                if problems:
                    for consignment in filled:
                        consignment.parcel.gaps = True
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the delivery: the journals are there
            if self._thread is token:
                for consignment in filled:
                    consignment.parcel.rewind()
                self._fails(error)
            return INTERVAL
        if self._thread is not token:
            return 0.0
        for consignment in filled:
            self._settle(consignment)
        more = batch.full or (self._answered and not self._looked) or len(self._consignments) > len(ready)
        return 0.0 if more else INTERVAL

    def _fill(self, consignment: Consignment, batch: Batch) -> bool:
        try:
            with self._filling:
                if self._consignments.get(consignment.parcel.journal.run) is not consignment:
                    return False  # taken back meanwhile
                consignment.parcel.fill(batch)
        except OSError as error:
            log.warning("history: the journal of run %s can't be read: %s", consignment.parcel.journal.run, error)
            self._leave(consignment)
            return False
        return True

    def _settle(self, consignment: Consignment) -> None:
        parcel = consignment.parcel
        if parcel.live and not (parcel.ended and consignment.delivered is not None):
            return
        if not parcel.live and not parcel.exhausted:
            return
        parcel.done()
        with self._changed:
            self._consignments.pop(parcel.journal.run, None)
            self._changed.notify_all()
        if consignment.delivered is not None:
            consignment.delivered.tell("incomplete" if parcel.gaps else "database")

    def _leave(self, consignment: Consignment) -> None:
        with self._changed:
            self._consignments.pop(consignment.parcel.journal.run, None)
        consignment.parcel.close()
        if consignment.delivered is not None:
            consignment.delivered.tell("incomplete")

    def _collect(self) -> None:
        """Take over journals that others have left, a few at a time, once the database has taken something."""
        if self._looked or not self._answered:
            return
        taken = sum(not each.parcel.live for each in list(self._consignments.values()))
        for run in self._journals.all():
            if taken >= _AT_ONCE:
                return
            journal = self._journals.take(run)
            if journal is not None:
                with self._changed:
                    self._consignments[run] = Consignment(Parcel(journal, live=False), 0.0)
                taken += 1
        self._looked = True

    def _answers(self) -> None:
        if self._down:
            log.info("history: the database takes the record of runs again")
        self._down, self._failures, self._next, self._answered = False, 0, 0.0, True

    def _fails(self, error: Exception) -> None:
        now = time.monotonic()
        self._next = now + min(INTERVAL * 2**self._failures, _SLOWEST)
        self._failures = min(self._failures + 1, 10)
        if not self._down:
            self._down, self._down_since = True, now
        with self._changed:
            self._failed += 1
            waiting = [each.delivered for each in self._consignments.values() if each.delivered is not None]
            self._changed.notify_all()
        lasts = not isinstance(error, DatabaseUnavailableError) or now - self._down_since > GRACE
        for delivered in waiting if lasts else ():
            delivered.tell("journal")  # nothing that a moment would mend
        if now - self._told < _TELL_AGAIN:
            return
        self._told = now
        reason = str(error) if isinstance(error, DatabaseError) else f"internal error: {type(error).__name__}"
        log.warning(
            "history: %s; records of runs are kept in %s and delivered when it takes them",
            reason,
            self._journals.folder,
        )
        log.debug("history: delivery failed", exc_info=error)

    # ------------------------------------------------------------------ the end

    def close(self) -> None:
        """Deliver what is left of runs that are done, for `GRACE` seconds, and let go of the rest."""
        limit = time.monotonic() + GRACE
        with self._changed:
            failed = self._failed
            self._next, self._hurried = 0.0, True
            self._changed.notify_all()
            while self._thread is not None and self._failed == failed and self._has_work():
                left = limit - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(min(left, INTERVAL))
            self._closing = True
            self._changed.notify_all()
            while self._thread is not None and (left := limit - time.monotonic()) > 0:
                self._changed.wait(left)
            stuck = self._thread is not None
            self._thread = None
            left_over = [each for each in self._consignments.values() if each.delivered or not each.parcel.live]
            for consignment in left_over:
                del self._consignments[consignment.parcel.journal.run]
        for consignment in left_over:
            if not stuck:
                consignment.parcel.close()
            if consignment.delivered is not None:
                consignment.delivered.tell("journal")

    def _has_work(self) -> bool:
        """Return whether there are journals that nobody adds to any more, and that may be delivered now."""
        consignments = list(self._consignments.values())
        waits = any((each.delivered or not each.parcel.live) and not each.parcel.held_up for each in consignments)
        return waits or (self._answered and not self._looked)

    def _forked(self) -> None:
        """In a child: its parent's runs are its parent's."""
        self._reset()


def _after_fork() -> None:
    for courier in list(_alive):
        courier._forked()


os.register_at_fork(after_in_child=_after_fork)
