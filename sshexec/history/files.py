"""Files that hold whole streams: whether they still are what the record says."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import stat
from collections.abc import Mapping
from typing import Any

from sshexec.history.records import CUT, OutputFile

_PIECE = 2**20
_LEFT_OUT = re.compile(rb"\n\[\.\.\. \d+ bytes left out \.\.\.\]\n")
"""What `sshexec.connectors.output` writes into the middle of a stream that is over the run's limit."""


def problem_of(file: OutputFile | None, kept: str, runner: Mapping[str, Any], *, cut: bool) -> str | None:
    """Return why a whole stream is not to be had, for people; None where it is.

    Args:
        file: holds it, as far as the record knows; None where the record itself does.
        kept: what the record itself holds.
        runner: what is recorded of whoever ran the run, its machine among it.
        cut: whether the run left something out of this stream or of the other one.
    """
    if file is None:
        return CUT if cut and _LEFT_OUT.search(kept.encode("utf-8", "replace")) else None
    if file.path is None:
        return "its file could not be written when the run was recorded"
    try:
        size = _regular_size(file.path)
        if file.bytes is not None and size == file.bytes:
            hashed, left_out = _look(file.path)
            # Those without a hash were too large to be read for it.
            if file.sha256 in (None, hashed):
                return CUT if cut and left_out else None
    except OSError as error:
        machine = runner.get("machine")
        elsewhere = isinstance(machine, str) and machine != socket.gethostname()
        where = f"; it was written on {machine}" if elsewhere else ""
        return f"{file.path} can't be read here ({error.strerror}){where}"
    return f"{file.path} was altered: it is not what the run wrote"


def _regular_size(path: str) -> int:
    # Whatever stands there by now, looking at it must not wait for anybody, as opening a pipe would.
    status = os.stat(path)
    return status.st_size if stat.S_ISREG(status.st_mode) else -1


def _look(path: str) -> tuple[str, bool]:
    """Return a file's hash, and whether it says itself that something was left out."""
    seen = hashlib.sha256()
    left_out = False
    end = b""
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            seen.update(piece)
            left_out = left_out or _LEFT_OUT.search(end + piece) is not None
            end = piece[-64:]
    return seen.hexdigest(), left_out
