"""How an upload that a lost connection broke off goes on where it ended.

What has arrived stays on the host under a temporary name that destination and content alone decide. The next upload of
that content finds it, has the host hash it, and sends the rest. It is taken only where it is a regular file of the
login's own user and the beginning of the very content: everybody may write to a directory such as ``/tmp``.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import struct
from collections.abc import Callable
from typing import BinaryIO, cast

from sshexec.connectors.base import Command, Completed, Deadline
from sshexec.connectors.files import LOOK
from sshexec.connectors.output import Output
from sshexec.connectors.posix import quote
from sshexec.connectors.source import RESUMABLE, Source
from sshexec.connectors.ssh import sftp
from sshexec.connectors.ssh.keys import strings
from sshexec.connectors.ssh.sftp import Sftp
from sshexec.errors import CommandTimeoutError, ConnectionLostError, UnreachableError

Execute = Callable[[Command, Output, Deadline], Completed]

_PIECE = 2**20
_LONGEST_NAME = 180
_LOOK_AT_PARTIAL = f"""{LOOK}
echo looked; [ -f "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] && wc -c <"$1" && sum "$1"
"""
_OWNER, _PERMISSIONS = 0x2, 0x4


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
    folder, base = os.path.split(path)
    token = hashlib.sha256(b"\0".join((path, content.encode(), b"private" if private else b""))).hexdigest()[:24]
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
        if _begins_with(file, int(answer[0]), answer[1]):
            return int(answer[0])
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


def read_back(session: Sftp, temporary: bytes, file: BinaryIO, fetch: Callable[[BinaryIO], None]) -> int | None:
    """Return how many bytes have arrived already, as `arrived` does, by reading them.

    Args:
        session: the SFTP session.
        temporary: where they are.
        file: the content.
        fetch: reads what is there into a file.

    Raises:
        SftpError, LinkDownError, CommandTimeoutError, CancelledError: something else is wrong.
    """
    kind, owner = _kind_and_owner(session.wait(session.request(sftp.LSTAT, strings(temporary))))
    if not stat.S_ISREG(kind) or owner is None or owner != _login(session, temporary):
        return None
    digest = _Digest()
    fetch(cast(BinaryIO, digest))
    if _begins_with(file, digest.size, digest.sha1.hexdigest()):
        return digest.size
    session.wait(session.request(sftp.REMOVE, strings(temporary)))
    return 0


def _login(session: Sftp, temporary: bytes) -> int | None:
    """Return the number of the login's user: the owner of a file that it has just made."""
    probe = os.path.join(os.path.dirname(temporary), b".sshexec-" + secrets.token_hex(8).encode())
    opening = strings(probe) + struct.pack(">I", sftp.FOR_CREATING) + sftp.permissions(0o600)
    handle = strings(sftp.handle_of(session.wait(session.request(sftp.OPEN, opening))))
    try:
        return _kind_and_owner(session.wait(session.request(sftp.FSTAT, handle)))[1]
    finally:
        session.wait(session.request(sftp.CLOSE, handle))
        session.wait(session.request(sftp.REMOVE, strings(probe)))


def _kind_and_owner(answer: bytes) -> tuple[int, int | None]:
    """Return type bits and owner from the answer to LSTAT or FSTAT."""
    flags, at = struct.unpack_from(">I", answer, 0)[0], 4
    at += 8 if flags & 0x1 else 0
    owner: int | None = None
    if flags & _OWNER:
        owner, at = struct.unpack_from(">I", answer, at)[0], at + 8
    return struct.unpack_from(">I", answer, at)[0] if flags & _PERMISSIONS else 0, owner


class _Digest:
    """A file that hashes what is written to it."""

    def __init__(self) -> None:
        self.sha1 = hashlib.new("sha1", usedforsecurity=False)
        self.size = 0

    def write(self, data: bytes) -> int:
        """Take the next piece."""
        self.sha1.update(data)
        self.size += len(data)
        return len(data)


def _begins_with(file: BinaryIO, size: int, sha1: str) -> bool:
    """Return whether a file's first bytes have that SHA-1."""
    digest = hashlib.new("sha1", usedforsecurity=False)
    file.seek(0)
    left = size
    while left and (piece := file.read(min(left, _PIECE))):
        digest.update(piece)
        left -= len(piece)
    return not left and digest.hexdigest() == sha1


def _command(script: str, path: str) -> Command:
    path = f"./{path}" if path.startswith("-") else path
    return Command(" ".join(["exec /bin/sh -c", *map(quote, (script, "sh", path))]), verbatim=True)
