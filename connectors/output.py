"""What a task printed: bytes, within a budget, passed on as they come."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import BinaryIO, Literal

Stream = Literal["stdout", "stderr"]

Take = Callable[[Stream, bytes], None]
"""Gets what a command prints, piece by piece."""

DEFAULT_LIMIT = 16 * 2**20
"""Bytes kept of each stream of each host."""

_PIECE = 4096
"""Bytes of output that are gathered, at least, before they become a piece of the tail."""

_SMALL_TAIL = 4096
"""Bytes of a stream's end that are kept even where the run's budget is used up."""


class Budget:
    """The memory that the output of a whole run may take.

    Args:
        total: bytes.
    """

    __slots__ = ("_left", "_lock")

    def __init__(self, total: int) -> None:
        self._left = total
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Reserve that many bytes; False where they are not left."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True


class Capture:
    """One stream: head and tail are kept, the middle goes once the limit is reached.

    Args:
        limit: bytes kept.
        budget: shared with the other streams of the run; once it is used up, this stream keeps what it has.
        spill: directory (mode 0700) for the whole stream once it is truncated; None drops the middle.
        whole: file for the whole stream from its first byte on; what it held is gone at once.
    """

    __slots__ = (
        "_budget",
        "_file",
        "_full",
        "_head",
        "_head_limit",
        "_held",
        "_last",
        "_room",
        "_spill",
        "_tail",
        "_tail_limit",
        "dropped",
        "path",
        "problem",
        "size",
    )

    def __init__(
        self,
        limit: int = DEFAULT_LIMIT,
        budget: Budget | None = None,
        spill: str | None = None,
        whole: str | None = None,
    ) -> None:
        self._tail_limit = limit // 2
        self._head_limit = limit - self._tail_limit
        self._room = min(_SMALL_TAIL, self._tail_limit)
        self._budget = budget
        self._spill = spill
        self._head = bytearray()
        # In pieces: a buffer that grows at one end and shrinks at the other is copied again and again.
        self._tail: deque[bytes] = deque()
        self._last = bytearray()
        self._held = 0
        self._full = False
        self._file: BinaryIO | None = None
        self.size = 0
        """Bytes seen."""
        self.dropped = 0
        """Bytes no longer held here."""
        self.path: str | None = None
        """The file with the whole stream, where it was spilled."""
        self.problem: str | None = None
        """Why there is no file that there should be."""
        if whole is not None:
            self._empty(whole)

    def _empty(self, path: str) -> None:
        # Opened again by whoever has something to write: a run of many hosts needs no two files open for each.
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        except OSError as error:
            self.problem = f"{path}: {error.strerror}"
        else:
            self.path = path

    def write(self, data: bytes) -> None:
        """Take the next piece of the stream."""
        self.size += len(data)
        if self.path is not None:
            self._write_spill(data)
        if not self._full:
            kept = data[: self._head_limit - len(self._head)]
            if self._take(len(kept)):
                self._head += kept
                data = data[len(kept) :]
            self._full = bool(data)
        if len(data) < _PIECE:
            self._last += data
            if len(self._last) >= _PIECE:
                self._seal()
        else:
            self._seal()
            self._tail.append(data)
        self._held += len(data)
        excess = self._held - self._room
        if excess <= 0:
            return
        grown = min(excess, self._tail_limit - self._room)
        if grown and self._take(grown):
            self._room += grown
            excess -= grown
        if excess:
            self._start_spill()
            self._drop(excess)
            self.dropped += excess

    def _seal(self) -> None:
        """Turn the small pieces gathered so far into one."""
        if self._last:
            self._tail.append(bytes(self._last))
            self._last.clear()

    def _drop(self, size: int) -> None:
        """Let go of so many bytes at the beginning of the tail."""
        self._held -= size
        while size:
            if not self._tail:
                self._seal()
            first = self._tail.popleft()
            if len(first) > size:
                self._tail.appendleft(first[size:])
                return
            size -= len(first)

    def _take(self, size: int) -> bool:
        return self._budget is None or self._budget.take(size)

    def _start_spill(self) -> None:
        if self._spill is None or self.path is not None or self.problem is not None:
            return
        try:
            handle, self.path = tempfile.mkstemp(prefix="output-", dir=self._spill)
        except OSError as error:
            self.problem = f"{self._spill}: {error.strerror}"
            self._spill = None
            return
        self._file = os.fdopen(handle, "wb")
        self._write_spill(self._head)
        for piece in self._tail:
            self._write_spill(piece)
        self._write_spill(self._last)

    def _write_spill(self, data: bytes | bytearray) -> None:
        """Write to the spill file; where that fails (disk full) there is none: half a stream is not the whole one."""
        try:
            if self._file is None and self.path is not None:
                self._file = open(self.path, "ab")  # noqa: SIM115 - closed by `close`
            if self._file is not None:
                self._file.write(data)
        except OSError as error:
            self._abandon_spill(error)

    def _abandon_spill(self, error: OSError) -> None:
        self.problem = f"{self.path}: {error.strerror}"
        opened, path = self._file, self.path
        self._file = self._spill = self.path = None
        with contextlib.suppress(OSError):
            if opened is not None:
                opened.close()
        with contextlib.suppress(OSError):
            if path is not None:
                os.unlink(path)

    def close(self) -> None:
        """Close the spill file."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                self._abandon_spill(error)
            self._file = None

    def value(self) -> bytes:
        """Return what is held; where bytes were dropped, a line in the middle says how many."""
        if not self.dropped:
            return b"".join((self._head, *self._tail, self._last))
        note = b"\n[... %d bytes left out ...]\n" % self.dropped
        return b"".join((self._head, note, *self._tail, self._last))


class Output:
    """What one task on one host prints.

    Args:
        limit: bytes kept of each stream.
        budget: shared by the run.
        spill: directory for streams over their limit.
        tee: called with each piece as it comes, before it is kept.
        folder: directory for the files ``stdout`` and ``stderr`` with the whole streams; made where it is missing.
    """

    __slots__ = ("_err", "_out", "last", "tee")

    def __init__(
        self,
        limit: int = DEFAULT_LIMIT,
        budget: Budget | None = None,
        spill: str | None = None,
        tee: Take | None = None,
        folder: str | None = None,
    ) -> None:
        if folder is not None:
            with contextlib.suppress(OSError):  # what is wrong with it, the files' own errors tell
                os.makedirs(folder, mode=0o700, exist_ok=True)
        self._out = Capture(limit, budget, spill, None if folder is None else os.path.join(folder, "stdout"))
        self._err = Capture(limit, budget, spill, None if folder is None else os.path.join(folder, "stderr"))
        self.tee = tee
        self.last = time.monotonic()
        """When the last piece came, on the monotonic clock."""

    def write(self, stream: Stream, data: bytes) -> None:
        """Take the next piece of a stream."""
        if not data:
            return
        self.last = time.monotonic()
        if self.tee is not None:
            self.tee(stream, data)
        (self._out if stream == "stdout" else self._err).write(data)

    @property
    def stdout(self) -> bytes:
        """What is held of standard output."""
        return self._out.value()

    @property
    def stderr(self) -> bytes:
        """What is held of standard error."""
        return self._err.value()

    def text(self, stream: Stream) -> str:
        """Return what is held of a stream as text; bytes that are not UTF-8 become U+FFFD."""
        return (self.stdout if stream == "stdout" else self.stderr).decode("utf-8", "replace")

    def exact(self, stream: Stream) -> bytes | None:
        """Return a stream byte by byte; None where bytes were left out."""
        capture = self._out if stream == "stdout" else self._err
        return None if capture.dropped else capture.value()

    @property
    def problems(self) -> list[str]:
        """Why files that there should be are not there."""
        return [capture.problem for capture in (self._out, self._err) if capture.problem is not None]

    @property
    def truncated(self) -> bool:
        """Whether bytes were left out."""
        return bool(self._out.dropped or self._err.dropped)

    @property
    def spilled(self) -> dict[str, str]:
        """Where whole streams were written to, by stream."""
        pairs = (("stdout", self._out.path), ("stderr", self._err.path))
        return {name: path for name, path in pairs if path is not None}

    def close(self) -> None:
        """Close spill files."""
        self._out.close()
        self._err.close()
