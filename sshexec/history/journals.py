"""The journals of this machine: a directory a run, locked by whoever writes or delivers it.

A lock is the operating system's (fcntl) and ends with its process, so that a journal whose lock is free is that of a
runner who is gone. Such a lock belongs to the whole process and ends when any descriptor of its file is closed: each
is opened once, and `_held` keeps this process from locking what it has locked itself.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator

from sshexec.errors import HistoryError
from sshexec.journal import RECORDS, Reader, append

_LOCK = "lock"
_RUN = re.compile(r"[0-9a-f]{32}")
_NEW = ".new-"
_TURN = "resuming"
_ABANDONED = 3600.0
"""Seconds after which a journal that its maker never finished making is removed."""

_PATIENCE = 30.0
"""Seconds to wait for those who are going on with runs."""


class _Held:
    """The journals that this process has locked."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.folders: set[str] = set()


_held = _Held()


class Journal:
    """A journal that this process has locked; made by `Journals`.

    Args:
        run: the run's identifier.
        folder: its directory.
        lock: descriptor of the locked file.
    """

    def __init__(self, run: str, folder: str, lock: int) -> None:
        self.run = run
        self.folder = folder
        self.path = os.path.join(folder, RECORDS)
        self._lock = lock
        self._writing: int | None = None
        self._owner = os.getpid()

    def append(self, data: bytes) -> None:
        """Write a line.

        Raises:
            OSError: it is not in there.
        """
        if self._writing is None:
            self._writing = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        append(self._writing, data)

    def reader(self) -> Reader:
        """Return a reader that begins at the first line.

        Raises:
            OSError: the file can't be opened.
        """
        return Reader(self.path)

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        with contextlib.suppress(OSError):
            return os.stat(self.path).st_size
        return 0

    def remove(self) -> None:
        """Remove it: all of it is in the database."""
        if os.getpid() == self._owner:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.release()

    def set_aside(self) -> None:
        """Keep it for people to look at, and have nobody try to deliver it again."""
        with contextlib.suppress(OSError):
            os.rename(self.folder, f"{self.folder}.damaged")
        self.release()

    def release(self) -> None:
        """Let others deliver it."""
        lock, self._lock = self._lock, -1
        writing, self._writing = self._writing, None
        if writing is not None:
            with contextlib.suppress(OSError):
                os.close(writing)
        if lock >= 0:
            with contextlib.suppress(OSError):
                os.close(lock)
            if os.getpid() == self._owner:
                with _held.lock:
                    _held.folders.discard(os.path.realpath(self.folder))


class Journals:
    """The journals that belong to one history.

    Args:
        folder: where they are; it is made with the first of them.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def create(self, run: str, opening: bytes) -> Journal:
        """Make a journal that holds one line, and lock it.

        Raises:
            OSError: it can't be made; nothing is left of it.
        """
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.folder, 0o700)
        # Under another name until it is locked and has its opening, so that nobody takes it for an old one.
        making = tempfile.mkdtemp(prefix=_NEW, dir=self.folder)
        folder = os.path.join(self.folder, run)
        lock = -1
        try:
            lock = os.open(os.path.join(making, _LOCK), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            records = os.open(os.path.join(making, RECORDS), flags, 0o600)
            try:
                append(records, opening)
            finally:
                os.close(records)
            with _held.lock:
                os.rename(making, folder)
                _held.folders.add(os.path.realpath(folder))
        except OSError:
            if lock >= 0:
                os.close(lock)
            shutil.rmtree(making, ignore_errors=True)
            raise
        return Journal(run, folder, lock)

    def all(self) -> list[str]:
        """Return the runs that have a journal, those in progress included."""
        try:
            names = os.listdir(self.folder)
        except OSError:
            return []
        return sorted(name for name in names if _RUN.fullmatch(name))

    def waiting(self) -> list[str]:
        """Return the runs whose journals wait for somebody to deliver them, and forget what was never made whole."""
        found = [run for run in self.all() if not self.alive(run)]
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.name.startswith(_NEW) and entry.stat().st_mtime < time.time() - _ABANDONED:
                        shutil.rmtree(entry.path, ignore_errors=True)
        return found

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others of this machine out, threads of this process among them, who ask for the same.

        Where nobody can be kept out, no journal can be made either.

        Raises:
            HistoryError: they take too long.
        """
        with contextlib.suppress(OSError):
            os.mkdir(self.folder, 0o700)
        try:
            descriptor = os.open(os.path.join(self.folder, _TURN), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            yield
            return
        try:
            limit = time.monotonic() + _PATIENCE
            while not _is_taken(descriptor):
                if time.monotonic() > limit:
                    raise HistoryError(f"{self.folder}: others go on with runs at this moment: try again")
                time.sleep(0.01)  # greenlets of this process may be those others
            yield
        finally:
            os.close(descriptor)

    def size(self, run: str) -> int:
        """Return the bytes of a run's journal."""
        try:
            return os.stat(os.path.join(self.folder, run, RECORDS)).st_size
        except OSError:
            return 0

    def alive(self, run: str) -> bool:
        """Return whether a process of this machine still writes or delivers the journal of a run."""
        folder = os.path.join(self.folder, run)
        with _held.lock:
            if os.path.realpath(folder) in _held.folders:
                return True
            lock = _locked(folder)
            if lock is None:
                return os.path.exists(os.path.join(folder, _LOCK))
            os.close(lock)
        return False

    def take(self, run: str) -> Journal | None:
        """Lock the journal of a runner who is gone; None where he is not, or another one is at it."""
        folder = os.path.join(self.folder, run)
        with _held.lock:
            real = os.path.realpath(folder)
            if real in _held.folders:
                return None
            lock = _locked(folder)
            if lock is None:
                return None
            _held.folders.add(real)
        return Journal(run, folder, lock)


def _is_taken(descriptor: int) -> bool:
    """Take a lock that belongs to the descriptor, and not to the whole process."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EINTR)  # a file system without locks keeps nobody out
    return True


def _locked(folder: str) -> int | None:
    """Lock a journal and return the descriptor; None where somebody has locked it, or it is gone."""
    lock = records = -1
    try:
        lock = os.open(os.path.join(folder, _LOCK), os.O_RDWR | os.O_CLOEXEC)
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A worker that has outlived its parent for a moment still marks hosts (`sshexec.journal.Marks`).
        records = os.open(os.path.join(folder, RECORDS), os.O_RDWR | os.O_CLOEXEC)
        fcntl.lockf(records, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(records)
        return lock
    except OSError:
        for descriptor in (records, lock):
            if descriptor >= 0:
                os.close(descriptor)
        return None


def _after_fork() -> None:
    """A child holds none of its parent's locks."""
    _held.lock = threading.Lock()
    _held.folders.clear()


os.register_at_fork(after_in_child=_after_fork)
