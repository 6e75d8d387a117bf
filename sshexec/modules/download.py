"""A file on its way to this machine: collected beside its place, and kept where a lost connection breaks it off.

The name of what was collected is decided by place and content, so that the next fetch finds it and goes on from there.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from sshexec.connectors.base import Connector
from sshexec.connectors.deadline import Deadline
from sshexec.connectors.source import RESUMABLE
from sshexec.errors import UnreachableError

_PIECE = 2**20


class Download:
    """One file of a host, until `place` puts it where it belongs; leaving the context removes what is not there then.

    Args:
        target: its place.
        sha1: of the content by the host; "" where it did not say.
        size: bytes, likewise.

    Raises:
        OSError: nothing can be written beside the place.
    """

    def __init__(self, target: Path, sha1: str, size: int | None) -> None:
        self._target = target
        self._sha1 = sha1
        self._size = size or 0
        self._placed = False
        self._reset()
        content = sha1 if sha1 and self._size >= RESUMABLE else None
        opened = None if content is None else self._open_kept(content)
        self._resumable = opened is not None
        if opened is None:
            self._path = target.parent / f".sshexec-{secrets.token_hex(8)}"
            opened = self._path.open("xb")
        self._file = opened

    def _reset(self) -> None:
        self.sha1, self.md5 = (hashlib.new(name, usedforsecurity=False) for name in ("sha1", "md5"))
        self.begun = 0
        """Bytes that were here before."""

    def _open_kept(self, content: str) -> BinaryIO | None:
        """Open what was kept, or a new file under its name; None where somebody else has that."""
        token = hashlib.sha256(f"{self._target}\0{content}".encode("utf-8", "surrogateescape")).hexdigest()[:24]
        self._path = self._target.parent / f".sshexec-{token}"
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
        except OSError:
            return None
        opened = os.fdopen(handle, "r+b")
        try:
            if self._is_ours(handle):
                self._take_up(opened)
                return opened
        except OSError:
            pass
        opened.close()
        return None

    def _is_ours(self, handle: int) -> bool:
        """Lock the file for as long as it is open; return whether it is a plain one of our own that nobody else has."""
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found, named = os.fstat(handle), os.stat(self._path, follow_symlinks=False)
        return (
            stat.S_ISREG(found.st_mode)
            and found.st_uid == os.geteuid()
            and found.st_nlink == 1
            and (found.st_dev, found.st_ino) == (named.st_dev, named.st_ino)
        )

    def _take_up(self, opened: BinaryIO) -> None:
        while piece := opened.read(_PIECE):
            self.sha1.update(piece)
            self.md5.update(piece)
            self.begun += len(piece)
        if self.begun > self._size:
            self._begin_anew(opened)

    def _begin_anew(self, opened: BinaryIO) -> None:
        opened.seek(0)
        opened.truncate()
        self._reset()

    def receive(
        self, connector: Connector[Any, Any], path: str, deadline: Deadline, progress: Callable[[int], None] | None
    ) -> None:
        """Get the file, or what is missing of it.

        Raises:
            HostError: as `Connector.get`.
            OSError: it can't be written here.
        """
        connector.get(path, cast(BinaryIO, self), deadline, progress=progress, offset=self.begun)
        if self.begun and self.sha1.hexdigest() != self._sha1:
            # What was kept has been spoiled, or the file is another one by now.
            self._begin_anew(self._file)
            connector.get(path, cast(BinaryIO, self), deadline, progress=progress)
        self._file.flush()

    def write(self, data: bytes) -> int:
        """Take the next piece."""
        self.sha1.update(data)
        self.md5.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Hand everything to the system."""
        self._file.flush()

    def place(self) -> None:
        """Put it in its place, with owner and mode of the file that it replaces."""
        with contextlib.suppress(OSError):
            replaced = os.stat(self._target)
            if os.geteuid() == 0:
                os.fchown(self._file.fileno(), replaced.st_uid, replaced.st_gid)
            os.fchmod(self._file.fileno(), stat.S_IMODE(replaced.st_mode))
        os.replace(self._path, self._target)
        self._placed = True

    def __enter__(self) -> Download:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        kept = self._placed or (self._resumable and isinstance(error, UnreachableError))
        try:
            # Removed while it is locked: nobody else can have taken it up.
            if not kept:
                with contextlib.suppress(FileNotFoundError):
                    self._path.unlink()
        finally:
            with contextlib.suppress(OSError):
                self._file.close()
