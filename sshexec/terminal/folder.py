"""The folder that recordings are in: for its owner alone, and its files are opened by names that were made here."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from datetime import datetime, timezone
from pathlib import Path

from sshexec.errors import InputError

CAST, INDEX = ".cast", ".jsonl"
"""What stands behind a recording's name in those of its files: what was shown, and what was typed as commands."""

_NAME = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[A-Za-z0-9_.-]{1,40}-[0-9a-f]{16}")


class Folder:
    """A folder, held open: what happens to its path later changes nothing.

    Args:
        path: where it is; it is made where there is none, with 0700.

    Raises:
        InputError: it can't be made, it is somebody else's, or others may look into it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._descriptor = -1
        self.path = Path(os.path.abspath(path))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self.path.mkdir(0o700)
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            found = os.fstat(self._descriptor)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "this is no path of a folder"
            raise InputError(f"recordings: {str(self.path)!r:.300} can't be used: {why}") from None
        if found.st_uid != os.geteuid():
            raise InputError(f"recordings: {self.path} belongs to somebody else")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise InputError(
                f"recordings: others may look into {self.path}; name a folder of its own, or `chmod 700` that one"
            )

    def __repr__(self) -> str:
        return f"Folder({str(self.path)!r})"

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def create(self, file: str) -> int:
        """Make a file, for its owner alone, and return its descriptor.

        Args:
            file: its name in here; there must be none of that name.

        Raises:
            OSError: it can't be made.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(file, flags, 0o600, dir_fd=self._descriptor)

    def append(self, file: str, data: bytes) -> None:
        """Append to a file, which is made where there is none; all of it or nothing.

        Args:
            file: its name in here.
            data: what nobody else appends to it meanwhile.

        Raises:
            OSError: it can't be written.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(file, flags, 0o600, dir_fd=self._descriptor)
        try:
            size = os.fstat(descriptor).st_size
            if os.write(descriptor, data) < len(data):
                os.ftruncate(descriptor, size)  # else the next line would be part of this one
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)

    def open(self, file: str) -> int:
        """Open a plain file to be read and return its descriptor.

        Args:
            file: its name in here.

        Raises:
            OSError: there is none, or it is a link or a device.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(file, flags, dir_fd=self._descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileNotFoundError(file)
        return descriptor

    def size(self, file: str) -> int:
        """Return how many bytes a file has; 0 where there is none."""
        try:
            return os.stat(file, dir_fd=self._descriptor, follow_symlinks=False).st_size
        except OSError:
            return 0

    def remove(self, file: str) -> None:
        """Remove a file, if there is one.

        Raises:
            OSError: it can't be removed.
        """
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file, dir_fd=self._descriptor)

    def names(self) -> list[str]:
        """Return the names of all recordings, the latest first.

        Raises:
            InputError: the folder can't be read.
        """
        try:
            files = os.listdir(self._descriptor)
        except OSError as error:
            raise InputError(f"recordings: {self.path} can't be read: {error.strerror}") from None
        found = [file[: -len(CAST)] for file in files if file.endswith(CAST)]
        return sorted((name for name in found if is_name(name)), reverse=True)


def is_name(name: object) -> bool:
    """Return whether it is a name as they are made here."""
    return isinstance(name, str) and len(name) < 100 and _NAME.fullmatch(name) is not None


def new_name(host: str, started: float) -> str:
    """Return a name that nobody has and nobody guesses; names are in the order in which sessions began.

    Args:
        host: inventory name; what may not be in a file's name is left out.
        started: seconds since the epoch.
    """
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", host)[:40].strip(".") or "host"
    began = datetime.fromtimestamp(started, timezone.utc)
    return f"{began:%Y%m%dT%H%M%S.%fZ}-{safe}-{secrets.token_hex(8)}"
