"""Keeps the record of one run: each line is in its journal before anybody sees what it tells."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from sshexec.history.journals import Journal
from sshexec.history.rows import Results, is_name, text_of
from sshexec.journal import line

if TYPE_CHECKING:
    from sshexec.history.courier import Courier
    from sshexec.results import HostResult, Recorded, RunResult

log = logging.getLogger("sshexec.history")

_HELD = 8 * 2**20
"""Bytes of lines that are held in memory while the disk of the journal is full."""


class JournalRecorder:
    """Keeps the record of one run; made by `sshexec.history.history.History`.

    Args:
        journal: of the run; None where none could be made: then nothing is kept.
        results: makes its rows.
        courier: brings the journal into the database.
    """

    def __init__(self, journal: Journal | None, results: Results | None, courier: Courier) -> None:
        self._journal = journal
        self._results = results
        self._courier = courier
        self._run = "" if journal is None else journal.run
        self._lock = threading.Lock()
        self._held: deque[bytes] = deque()
        self._held_size = 0
        self._gaps = journal is None
        self._warned = False
        self._owner = os.getpid()

    @property
    def journal(self) -> str | None:
        """The file in which executors mark each host; see `sshexec.recorder.Recorder`."""
        return None if self._journal is None else self._journal.path

    def take(self, result: HostResult) -> None:
        """Keep a result; see `sshexec.recorder.Recorder`."""
        if self._journal is None or self._results is None or os.getpid() != self._owner:
            return
        with self._lock:
            if not is_name(result.host):
                self._gaps = True
                self._warn(f"host {result.host[:300]!r}: no name that databases hold (up to 255 characters, no NUL)")
                return
            try:
                data = line("result", text_of(self._results.row(result)))
            except Exception as error:  # noqa: BLE001 - whatever a module has put into its result: the run goes on
                self._gaps = True
                self._warn(f"the result of host {result.host} can't be kept: internal error: {type(error).__name__}")
                return
            if self._results.problem is not None:
                self._gaps = True
                self._warn(f"{self._results.problem}: the whole output of hosts can't be kept")
            self._append(data)

    def end(self, result: RunResult, recorded: Callable[[RunResult], None]) -> None:
        """Keep how the run ended; see `sshexec.recorder.Recorder`."""
        if self._journal is None or os.getpid() != self._owner:
            recorded(replace(result, recorded="incomplete"))
            return
        with self._lock:
            self._append(line("end", text_of({"state": result.state, "finished": result.finished})))
            if self._held:
                self._gaps = True
        gaps, held = self._gaps, bool(self._held)

        def settle(where: Recorded) -> None:
            recorded(replace(result, recorded="incomplete" if gaps else where))

        def keep_still(where: Recorded) -> None:
            """The caller was told already: he does not wait for room on a disk."""

        if held:
            settle("incomplete")
        try:
            self._courier.end(self._run, keep_still if held else settle)
        except Exception:
            log.exception("the record of run %s could not be delivered", self._run)
            settle("journal")

    def discard(self) -> None:
        """Keep nothing of a run that was not begun; see `sshexec.recorder.Recorder`."""
        if self._journal is not None and os.getpid() == self._owner:
            self._courier.drop(self._run)

    def flush(self) -> bool:
        """Write what the journal had no room for; return whether all of it is in there."""
        with self._lock:
            self._write()
            return not self._held

    def _append(self, data: bytes) -> None:
        """Write a line, after those that could not be written before."""
        self._held.append(data)
        self._held_size += len(data)
        self._write()

    def _write(self) -> None:
        journal = self._journal
        if journal is None or not self._held:
            return
        try:
            while self._held:
                journal.append(self._held[0])
                self._held_size -= len(self._held.popleft())
        except OSError as error:
            self._warn(f"{journal.path}: {error.strerror}")
            self._courier.is_told()
            while self._held_size > _HELD:
                self._held_size -= len(self._held.popleft())
                self._gaps = True

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning("history: %s; the record of run %s may not be complete, the run goes on", reason, self._run)
