"""What is sent to a host: bytes, a local file, or an open one."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sshexec.errors import TransferError

Source = bytes | Path | BinaryIO
"""What `Connector.put` sends: the content itself, a local file, or an open binary file read in pieces."""


RESUMABLE = 4 * 2**20
"""Bytes from which on a transfer can be resumed: of less, the questions would cost as much as they save."""

SMALL = 256 * 1024
"""Bytes up to which a file is sent or read together with others."""


@contextlib.contextmanager
def opened(source: Source) -> Iterator[BinaryIO]:
    """Open what is to be sent.

    Raises:
        TransferError: the local file can't be read, or is none: a pipe may keep its reader waiting for ever.
    """
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    elif isinstance(source, Path):
        try:
            file = open(source, "rb", opener=_at_once)  # noqa: SIM115 - closed below
        except OSError as error:
            raise TransferError(f"can't read {source}: {error.strerror}", path=str(source)) from None
        with file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise TransferError(f"can't read {source}: not a regular file", path=str(source))
            yield file
    else:
        yield source


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def is_small(source: Source) -> bool:
    """Return whether a source is worth being sent together with others."""
    if isinstance(source, bytes):
        return len(source) <= SMALL
    # What can't be read is told by the way of a single file.
    return isinstance(source, Path) and source.is_file() and source.stat().st_size <= SMALL
