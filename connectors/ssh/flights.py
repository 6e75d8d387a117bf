"""Many small files over SFTP: the steps of several are under way at once, so that latency doesn't rule.

Each file still takes its steps one after another, since a later one depends on the answer to an earlier: a temporary
file is renamed only once its whole content is known to be there.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from sshexec.connectors.base import Upload
from sshexec.connectors.deadline import Deadline, unguarded
from sshexec.connectors.partial import chance_name
from sshexec.connectors.source import SMALL, opened
from sshexec.connectors.ssh import sftp
from sshexec.connectors.ssh.keys import strings
from sshexec.connectors.ssh.sftp import NoSftpError, Sftp, SftpError
from sshexec.connectors.ssh.transport import LinkDownError
from sshexec.errors import CommandTimeoutError, TransferError

_FILES = 64
"""Files under way at once: as many as fit into the host's limit of open files with room to spare."""

_BYTES = 2 * 2**20
"""Bytes of them: a host takes no more of a session before it has answered."""

_CLEANUP = 3.0
"""Seconds for removing temporary files after a failure."""

_TOO_LONG = 4 * SMALL
"""Bytes of a file read into memory, which was small when it was looked at."""


class _File(Protocol):
    """One of the files: how large it is, whether it is done or given up, and its first step."""

    size: int
    finished: bool
    aborted: bool

    def begin(self) -> None:
        """Send the first request; the answers lead on from there."""
        ...


def _fly(session: Sftp, files: deque[Callable[[], _File]], landed: Callable[[_File], None]) -> None:
    """Keep several files under way until all are done.

    Raises:
        OSError, HostError: those of a local file, and whatever ends the session.
    """
    flying: list[_File] = []
    try:
        while files or flying:
            while files and len(flying) < _FILES and sum(file.size for file in flying) < _BYTES:
                file = files[0]()
                files.popleft()
                flying.append(file)
                file.begin()
            session.guard()
            if not any(file.finished for file in flying):
                session.take_answer()
            for file in [file for file in flying if file.finished]:
                flying.remove(file)
                landed(file)
    except BaseException:
        for file in flying:
            file.aborted = True
        _clear(session, [file for file in flying if isinstance(file, _Sent)])
        raise


def _clear(session: Sftp, files: Sequence[_Sent]) -> None:
    """Remove the temporary files of what was broken off."""
    guard, session.guard = session.guard, unguarded
    session.deadline = Deadline.after(_CLEANUP)
    try:
        numbers = [session.request(sftp.REMOVE, strings(file.temporary)) for file in files]
        for number in numbers:
            try:
                session.wait(number)
            except SftpError:
                continue  # it was not made yet, or has taken its place already
    except (LinkDownError, CommandTimeoutError, NoSftpError):
        pass
    finally:
        session.guard = guard


def send(session: Sftp, uploads: Sequence[Upload], sent: Callable[[Upload, int], None]) -> None:
    """Write small files, each atomically, until one is refused or is not small any more.

    Of such a one nothing is left, and what was there before still is.

    Args:
        session: the SFTP session.
        uploads: what to write where.
        sent: called with each file that is in its place, and its size.
    """
    waiting = deque(_starter(session, upload) for upload in uploads)

    def landed(file: _File) -> None:
        if isinstance(file, _Sent):
            if file.refused:
                waiting.clear()
            else:
                sent(file.upload, file.size)

    _fly(session, waiting, landed)


def _starter(session: Sftp, upload: Upload) -> Callable[[], _File]:
    return lambda: _Sent(session, upload)


class _Sent:
    """A small file on its way to the host."""

    def __init__(self, session: Sftp, upload: Upload) -> None:
        with opened(upload.source) as file:
            self._data = file.read(SMALL + 1)
        self.size = len(self._data)
        self.upload = upload
        self.finished = self.refused = self.aborted = False
        self._session = session
        self._mode = upload.mode
        self._name = os.fsencode(upload.path)
        self.temporary = chance_name(self._name)
        self._unanswered = 0

    def begin(self) -> None:
        """Ask for the mode of what will be replaced, where it is to be kept, or open the temporary file."""
        if self.size > SMALL:
            self._refuse(remove=False)
        elif self._mode is None:
            self._ask(sftp.STAT, strings(self._name), self._looked)
        else:
            self._open()

    def _ask(self, kind: int, body: bytes, then: Callable[[bytes], None]) -> None:
        """Send a request whose answer leads on, or ends it all."""

        def keep(answer: bytes) -> None:
            if not self.aborted:
                then(answer)

        self._session.request(kind, body, keep)

    def _looked(self, answer: bytes) -> None:
        try:
            present = sftp.attributes_of(sftp.checked(answer))
        except SftpError:
            pass
        else:
            if present.is_directory or present.is_special:
                self._refuse(remove=False)
                return
            self._mode = present.mode & 0o7777 if present.mode else None
        self._open()

    def _open(self) -> None:
        creation = sftp.permissions(None if self._mode is None else 0o600)
        opening = strings(self.temporary) + struct.pack(">I", sftp.FOR_CREATING) + creation
        self._ask(sftp.OPEN, opening, self._opened)

    def _opened(self, answer: bytes) -> None:
        try:
            handle = strings(sftp.handle_of(sftp.checked(answer)))
        except SftpError:
            self._refuse(remove=False)
            return
        chunk = self._session.chunk
        requests = [
            (sftp.WRITE, handle + struct.pack(">Q", at) + strings(self._data[at : at + chunk]))
            for at in range(0, self.size, chunk)
        ]
        if self._mode is not None:
            requests.append((sftp.FSETSTAT, handle + sftp.permissions(self._mode)))
        requests.append((sftp.CLOSE, handle))
        self._data = b""
        self._unanswered = len(requests)
        for kind, body in requests:
            self._ask(kind, body, self._written)

    def _written(self, answer: bytes) -> None:
        try:
            sftp.checked(answer)
        except SftpError:
            self.refused = True
        self._unanswered -= 1
        if self._unanswered:
            return
        if self.refused:
            self._refuse(remove=True)
        elif self._session.has(b"posix-rename@openssh.com"):
            names = strings(b"posix-rename@openssh.com", self.temporary, self._name)
            self._ask(sftp.EXTENDED, names, self._renamed)
        else:
            # Version 3 has no rename that replaces; the host takes one request after the other.
            self._ask(sftp.REMOVE, strings(self._name), sftp.ignore)
            self._ask(sftp.RENAME, strings(self.temporary, self._name), self._renamed)

    def _renamed(self, answer: bytes) -> None:
        try:
            sftp.checked(answer)
        except SftpError:
            self._refuse(remove=True)
        else:
            self.finished = True

    def _refuse(self, *, remove: bool) -> None:
        self.refused = True
        if remove:
            self._ask(sftp.REMOVE, strings(self.temporary), self._removed)
        else:
            self.finished = True

    def _removed(self, answer: bytes) -> None:
        self.finished = True


def receive(session: Sftp, paths: Sequence[str], take: Callable[[int, bytes], None]) -> None:
    """Read small files.

    Args:
        session: the SFTP session.
        paths: where they are.
        take: called with the number and content of each, in any order.

    Raises:
        SftpError: the host refused one.
        TransferError: one is not small.
    """

    def landed(file: _File) -> None:
        if isinstance(file, _Received):
            if file.error is not None:
                raise file.error
            take(file.number, bytes(file.data))

    _fly(session, deque(_reader(session, number, path) for number, path in enumerate(paths)), landed)


def _reader(session: Sftp, number: int, path: str) -> Callable[[], _File]:
    return lambda: _Received(session, number, path)


class _Received:
    """A small file on its way here."""

    size = SMALL // 8
    """What it counts for: how large it is shows later."""

    def __init__(self, session: Sftp, number: int, path: str) -> None:
        self.number = number
        self.data = bytearray()
        self.finished = self.aborted = False
        self.error: Exception | None = None
        self._session = session
        self._path = path
        self._handle = b""

    def begin(self) -> None:
        """Open it."""
        body = strings(os.fsencode(self._path)) + struct.pack(">I", sftp.FOR_READING) + sftp.permissions(None)
        self._session.request(sftp.OPEN, body, self._opened)

    def _opened(self, answer: bytes) -> None:
        try:
            self._handle = strings(sftp.handle_of(sftp.checked(answer)))
        except SftpError as error:
            self._end(error)
        else:
            self._read()

    def _read(self) -> None:
        if self.aborted:
            self._end()
            return
        body = self._handle + struct.pack(">QI", len(self.data), self._session.chunk)
        self._session.request(sftp.READ, body, self._got)

    def _got(self, answer: bytes) -> None:
        try:
            self.data += sftp.data_of(sftp.checked(answer))
        except SftpError as error:
            self._end(None if error.code == sftp.END else error)
            return
        if len(self.data) > _TOO_LONG:
            self._end(TransferError(f"{self._path}: it grows while it is read", path=self._path))
        else:
            self._read()

    def _end(self, error: Exception | None = None) -> None:
        """Close it, and say what was wrong, if anything was."""
        if self._handle:
            self._session.request(sftp.CLOSE, self._handle, sftp.ignore)
        if isinstance(error, SftpError):
            reason = {sftp.NO_FILE: "missing", sftp.NO_PERMISSION: "permission"}.get(error.code, "failed")
            error = TransferError(f"{self._path}: {error}", path=self._path, reason=reason)
        self.error = error
        self.finished = True
