"""Files that hold whole streams: whether they still are what the record says."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
from collections.abc import Mapping
from typing import Any

from sshexec.history.records import OutputFile

_PIECE = 2**20


def problem_of(file: OutputFile, runner: Mapping[str, Any]) -> str | None:
    """Return why a file is not what the record says, for people; None where it is.

    Args:
        file: its path, size and hash.
        runner: what is recorded of whoever ran the run, its machine among it.
    """
    try:
        size = _regular_size(file.path)
        if size == file.bytes and _hash(file.path) == file.sha256:
            return None
    except OSError as error:
        machine = runner.get("machine")
        elsewhere = isinstance(machine, str) and machine != socket.gethostname()
        return f"{file.path} can't be read here ({error.strerror})" + (f"; it was written on {machine}" if elsewhere else "")
    return f"{file.path} was altered: it is not what the run wrote"


def _regular_size(path: str) -> int:
    # Whatever stands there by now, looking at it must not wait for anybody, as opening a pipe would.
    status = os.stat(path)
    return status.st_size if stat.S_ISREG(status.st_mode) else -1


def _hash(path: str) -> str:
    seen = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            seen.update(piece)
    return seen.hexdigest()
