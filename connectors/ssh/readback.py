"""What has arrived of an upload, found out by reading it: for a login that may transfer files and run nothing."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import struct
from collections.abc import Callable
from typing import BinaryIO, cast

from sshexec.connectors.partial import begins_with
from sshexec.connectors.ssh import sftp
from sshexec.connectors.ssh.keys import strings
from sshexec.connectors.ssh.sftp import Sftp

_OWNER, _PERMISSIONS = 0x2, 0x4


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
    if begins_with(file, digest.size, digest.sha1.hexdigest()):
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


def _kind_and_owner(answer: memoryview) -> tuple[int, int | None]:
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
