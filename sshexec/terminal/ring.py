"""The last bytes of a stream, by their numbers: what whoever comes later, or comes back, is shown."""

from __future__ import annotations

_FIRST = 4096
"""Bytes that it takes at first: most sessions are idle most of the time."""

_LOOK = 4096
"""Bytes that are searched for a line's start, before any other place has to do."""


class Ring:
    """Keeps the end of a stream; each byte has a number, counted from the stream's first one, which is 0.

    Args:
        size: bytes that are kept, at most.
    """

    __slots__ = ("_buffer", "_size", "end", "start")

    def __init__(self, size: int) -> None:
        self._size = size
        self._buffer = bytearray(min(size, _FIRST))
        self.start = 0
        """Number of the first byte that is kept."""
        self.end = 0
        """Number that the next byte will get."""

    def append(self, data: bytes) -> None:
        """Add bytes at the end; what there is no room for any more goes at the start."""
        length = len(data)
        wanted = min(self.end - self.start + length, self._size)
        if wanted > len(self._buffer):
            self._grow(wanted)
        capacity = len(self._buffer)
        rest = memoryview(data)[-capacity:]
        first = self.end + length - len(rest)
        self.end += length
        place = first % capacity
        whole = min(len(rest), capacity - place)
        self._buffer[place : place + whole] = rest[:whole]
        self._buffer[: len(rest) - whole] = rest[whole:]
        self.start = max(self.start, self.end - capacity)

    def _grow(self, wanted: int) -> None:
        kept = self.read(self.start, self.end - self.start)
        capacity = len(self._buffer)
        while capacity < wanted:
            capacity = min(2 * capacity, self._size)
        self._buffer = bytearray(capacity)
        place = self.start % capacity
        whole = min(len(kept), capacity - place)
        self._buffer[place : place + whole] = kept[:whole]
        self._buffer[: len(kept) - whole] = kept[whole:]

    def read(self, seq: int, limit: int) -> bytes:
        """Return what is kept from a byte on.

        Args:
            seq: the byte's number, from `start` to `end`.
            limit: bytes at most.

        Raises:
            IndexError: that byte is not kept any more, or has not come yet.
        """
        if not self.start <= seq <= self.end:
            raise IndexError(f"byte {seq} is not among those from {self.start} to {self.end}")
        length = min(limit, self.end - seq)
        capacity = len(self._buffer)
        place = seq % capacity
        whole = bytes(memoryview(self._buffer)[place : place + min(length, capacity - place)])
        return whole if len(whole) == length else whole + self._buffer[: length - len(whole)]

    def fresh_start(self, most: int) -> int:
        """Return the number of a byte where somebody may begin who has seen nothing before it.

        That is the first one where it is kept. Else a line's start, or the start of an escape sequence, or at least of
        a character (UTF-8), so that no half of one is shown.

        Args:
            most: bytes before the end that are wanted.
        """
        seq = max(self.start, self.end - most)
        if seq == 0:
            return 0
        ahead = self.read(seq, _LOOK)
        for wanted, behind in ((b"\n", 1), (b"\x1b", 0)):
            place = ahead.find(wanted)
            if place >= 0:
                return seq + place + behind
        for place, byte in enumerate(ahead[:4]):
            if byte & 0xC0 != 0x80:
                return seq + place
        return seq
