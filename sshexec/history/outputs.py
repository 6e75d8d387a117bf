"""Files with the output that is over a record's budget."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from typing import Any

from sshexec.results import file_name

_PIECE = 2**20
_LONGEST_NAME = 255

HASHED = 256 * 2**20
"""Bytes of the largest file of somebody else's that is read for its hash."""


class Outputs:
    """Keeps whole outputs as ``FOLDER/RUN/HOST/stdout``, for nobody else to read.

    Args:
        folder: where; it is made with the first file.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def keep(self, run: str, host: str, name: str, data: bytes) -> dict[str, Any]:
        """Write a file and return where it is: path, bytes, sha256.

        Raises:
            OSError: it can't be written; nothing is left of it.
        """
        part = file_name(host)
        if len(os.fsencode(part)) > _LONGEST_NAME:
            part = hashlib.sha256(os.fsencode(part)).hexdigest()
        folder = os.path.join(self.folder, run, part)
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        for each in (os.path.dirname(folder), folder):
            with contextlib.suppress(FileExistsError):
                os.mkdir(each, 0o700)
        path = os.path.join(folder, name)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                view = memoryview(data)
                while view:
                    written = os.write(descriptor, view[:_PIECE])
                    if not written:
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    view = view[written:]
            finally:
                os.close(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        return {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "kept": True}


def found(path: str) -> dict[str, Any]:
    """Return where a file is that the task's caller wanted, its hash to be filled in by `hashed`."""
    try:
        size: int | None = os.stat(path).st_size
    except OSError:
        size = None
    return {"path": os.path.abspath(path), "bytes": size, "sha256": None, "kept": False}


def hashed(files: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return files with the hashes that are missing; a file that is gone or very large goes without."""
    for file in files.values():
        if (
            file["sha256"] is None
            and file["path"] is not None
            and file["bytes"] is not None
            and file["bytes"] <= HASHED
        ):
            with contextlib.suppress(OSError), open(file["path"], "rb") as opened:
                digest = hashlib.sha256()
                while piece := opened.read(_PIECE):
                    digest.update(piece)
                file["sha256"] = digest.hexdigest()
    return files
