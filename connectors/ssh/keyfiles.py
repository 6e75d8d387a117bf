"""Files that hold a key or a certificate: small, and read without waiting for ever where one is a pipe."""

from __future__ import annotations

import os
import select
import stat
import time

_PATIENCE = 10.0
"""Seconds that a pipe (``<(...)`` of a shell) has to deliver."""


def read(path: str, longest: int) -> bytes:
    """Return the first bytes of a file.

    Args:
        path: the file; a FIFO that nobody writes to is empty.
        longest: how many bytes at most.

    Raises:
        OSError: it can't be read, or is a pipe that does not come to its end.
    """
    data, end = b"", time.monotonic() + _PATIENCE
    # A plain open of a FIFO waits for a writer, and no signal ends that.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        while len(data) < longest:
            piece = file.read(longest - len(data))
            if piece is None:
                if not select.select([file], [], [], max(end - time.monotonic(), 0))[0]:
                    raise TimeoutError(f"nothing came from it within {_PATIENCE:g} s")
            elif not piece:
                break
            else:
                data += piece
    return data


def open_to_others(path: str) -> int | None:
    """Return the permission bits of a file of this user's that others may read or write; None where they may not.

    Raises:
        OSError: there is no such file.
    """
    found = os.stat(path)
    mode = stat.S_IMODE(found.st_mode)
    return mode if stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and mode & 0o077 else None
