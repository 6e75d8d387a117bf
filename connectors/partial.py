"""Where an upload is collected before it takes its place, and how one that was broken off goes on where it ended.

What has arrived stays on the host under a temporary name that destination and content alone decide. The next upload of
that content finds it, has the host hash it, and sends the rest. It is taken only where it is a regular file of the
login's own user and the beginning of the very content: everybody may write to a directory such as ``/tmp``.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable
from typing import BinaryIO

from sshexec.connectors.base import Command, Completed, Deadline
from sshexec.connectors.files import SUM
from sshexec.connectors.output import Output
from sshexec.connectors.posix import operand, with_arguments
from sshexec.connectors.source import RESUMABLE, Source
from sshexec.errors import CommandTimeoutError, ConnectionLostError, UnreachableError

Execute = Callable[[Command, Output, Deadline], Completed]

_PIECE = 2**20
SCATTERED = 16 * 2**20
"""Bytes at the end of what has arrived that may have holes: a file may come over several sessions at once."""

_LONGEST_NAME = 180
"""Bytes of a file's own name in that of its temporary file; a name has 255 at most."""

_ORDERED = 4 * 2**20
"""Bytes at its beginning that came over one session, in order."""

# What is hashed is what was counted: somebody else may be writing to it.
_BEGINNING = f"""
head -c "$2" "$1" | {SUM}
"""
_LOOK_AT_PARTIAL = f"""
echo looked; [ -f "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] && n=$(wc -c <"$1") && echo $n && set -- "$1" $n || exit
{_BEGINNING}"""


class PartialThereError(Exception):
    """An earlier upload has left something (never leaves this room).

    Args:
        temporary: its path.
    """

    def __init__(self, temporary: bytes) -> None:
        super().__init__(temporary)
        self.temporary = temporary


class PartialGoneError(Exception):
    """Another upload of the same content to the same place has taken what both wrote (never leaves this room)."""


class CantAskError(Exception):
    """The host runs no command, or can't hash (never leaves this room)."""


def content_of(source: Source, file: BinaryIO, sha1: str | None) -> str | None:
    """Return what a resumable upload is known by: its SHA-1; None where it can't or need not be resumed.

    Args:
        source: what is sent.
        file: the same, opened.
        sha1: of the content, where the caller knows it.
    """
    if sha1 is None or not isinstance(source, (bytes, os.PathLike)):
        return None
    size = len(source) if isinstance(source, bytes) else os.fstat(file.fileno()).st_size
    return sha1 if size >= RESUMABLE else None


def temporary_name(path: bytes, content: str, *, private: bool) -> bytes:
    """Return the name under which a content is collected before it takes its place.

    Args:
        path: that place.
        content: SHA-1.
        private: whether nobody else may read it meanwhile; such a file has other permissions from the start.
    """
    token = hashlib.sha256(b"\0".join((path, content.encode(), b"private" if private else b""))).hexdigest()[:24]
    return _beside(path, token)


def chance_name(path: bytes) -> bytes:
    """Return the name under which what can't be resumed is collected, beside its place."""
    return _beside(path, secrets.token_hex(6))


def _beside(path: bytes, token: str) -> bytes:
    folder, base = os.path.split(path)
    return os.path.join(folder, b"." + base[:_LONGEST_NAME] + b".sshexec-" + token.encode())


def arrived(execute: Execute, temporary: bytes, file: BinaryIO, deadline: Deadline) -> int | None:
    """Return how many bytes of a content have arrived already; None where what is there can't be used.

    What is ours and not the beginning of the content is removed; that is 0 bytes.

    Args:
        execute: runs a command on the host.
        temporary: where they are.
        file: the content.
        deadline: by when.

    Raises:
        CantAskError: the login may transfer files and run nothing, say.
        ConnectionLostError, CancelledError, CommandTimeoutError: as `Connector.execute`.
    """
    path = os.fsdecode(temporary)
    output = Output(4096)
    try:
        execute(_command(_LOOK_AT_PARTIAL, path), output, deadline)
        looked, *answer = output.text("stdout").split()[:3] or [""]
        if looked != "looked" or len(answer) == 1:
            raise CantAskError
        if not answer:
            return None
        size = int(answer[0])
        if begins_with(file, size, answer[1]):
            return size
        ordered = max(size - SCATTERED, _ORDERED)
        if size > ordered:
            beginning = Output(4096)
            execute(_command(_BEGINNING, path, str(ordered)), beginning, deadline)
            if begins_with(file, ordered, (beginning.text("stdout").split() or [""])[0]):
                return ordered
        return 0 if execute(_command('rm -f -- "$1"', path), Output(4096), deadline).rc == 0 else None
    except ValueError:
        raise CantAskError from None
    except CommandTimeoutError:
        if deadline.expired:
            raise
        return None  # the idle limit: the host hashes for too long
    except ConnectionLostError:
        raise
    except UnreachableError:
        raise CantAskError from None


def begins_with(file: BinaryIO, size: int, sha1: str) -> bool:
    """Return whether a file's first bytes have that SHA-1."""
    digest = hashlib.new("sha1", usedforsecurity=False)
    file.seek(0)
    left = size
    while left and (piece := file.read(min(left, _PIECE))):
        digest.update(piece)
        left -= len(piece)
    return not left and digest.hexdigest() == sha1


def _command(script: str, path: str, *more: str) -> Command:
    return Command(with_arguments(script, operand(path), *more), verbatim=True)
