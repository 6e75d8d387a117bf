"""What a task printed: bytes, within a budget, passed on as they come."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import BinaryIO, Literal

Stream = Literal["stdout", "stderr"]

DEFAULT_LIMIT = 16 * 2**20
"""Bytes kept of each stream of each host."""


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
    """

    __slots__ = (
        "_budget",
        "_file",
        "_head",
        "_head_limit",
        "_limit",
        "_spill",
        "_tail",
        "_tail_size",
        "dropped",
        "path",
        "size",
    )

    def __init__(self, limit: int = DEFAULT_LIMIT, budget: Budget | None = None, spill: str | None = None) -> None:
        self._limit = limit
        self._head_limit = limit - limit // 2
        self._budget = budget
        self._spill = spill
        self._head: list[bytes] = []
        self._tail: deque[bytes] | None = None
        self._tail_size = 0
        self._file: BinaryIO | None = None
        self.size = 0
        """Bytes seen."""
        self.dropped = 0
        """Bytes no longer held here."""
        self.path: str | None = None
        """The file with the whole stream, where it was spilled."""

    def write(self, data: bytes) -> None:
        """Take the next piece of the stream."""
        if not data:
            return
        if self._tail is None:
            if self.size + len(data) <= self._head_limit and (self._budget is None or self._budget.take(len(data))):
                self._head.append(data)
                self.size += len(data)
                return
            self._tail = deque()
            if self.size + len(data) > self._head_limit:
                cut = self._head_limit - self.size
            else:
                # The run's budget is used up: from here on this stream lives on a small tail.
                cut, self._limit = 0, self.size + min(4096, self._limit // 2)
            if cut:
                self._head.append(data[:cut])
                self.size += cut
                data = data[cut:]
        self._append(data)

    def _append(self, data: bytes) -> None:
        tail = self._tail
        if tail is None:  # pragma: no cover - write() has made it
            return
        tail.append(data)
        self.size += len(data)
        self._tail_size += len(data)
        if self._file is not None:
            self._file.write(data)
        room = self._limit - sum(map(len, self._head)) if self._tail_size > 4096 else 4096
        if self._tail_size > room:
            if self._spill is not None and self._file is None:
                self._start_spill()
            while self._tail_size > room:
                excess = self._tail_size - room
                first = tail[0]
                if len(first) <= excess:
                    tail.popleft()
                    gone = len(first)
                else:
                    tail[0] = first[excess:]
                    gone = excess
                self._tail_size -= gone
                self.dropped += gone

    def _start_spill(self) -> None:
        handle, self.path = tempfile.mkstemp(prefix="output-", dir=self._spill)
        self._file = os.fdopen(handle, "wb")
        for piece in (*self._head, *(self._tail or ())):
            self._file.write(piece)

    def close(self) -> None:
        """Close the spill file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def value(self) -> bytes:
        """Return what is held; where bytes were dropped, a line in the middle says how many."""
        if not self.dropped:
            return b"".join((*self._head, *(self._tail or ())))
        gap = b"\n[... %d bytes left out ...]\n" % self.dropped
        return b"".join((*self._head, gap, *(self._tail or ())))


class Output:
    """What one task on one host prints.

    Args:
        limit: bytes kept of each stream.
        budget: shared by the run.
        spill: directory for streams over their limit.
        tee: called with each piece as it comes, before it is kept.
    """

    __slots__ = ("_err", "_out", "last", "tee")

    def __init__(
        self,
        limit: int = DEFAULT_LIMIT,
        budget: Budget | None = None,
        spill: str | None = None,
        tee: Callable[[Stream, bytes], None] | None = None,
    ) -> None:
        self._out = Capture(limit, budget, spill)
        self._err = Capture(limit, budget, spill)
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
