"""Files over SFTP: written atomically, read in flights of requests; without SFTP, by ``cat``."""

from __future__ import annotations

import contextlib
import os
import stat
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import BinaryIO

from sshexec.connectors.base import Upload
from sshexec.connectors.bundles import put_all
from sshexec.connectors.catfiles import CatFiles
from sshexec.connectors.deadline import Deadline, unguarded
from sshexec.connectors.partial import (
    CantAskError,
    Execute,
    PartialGoneError,
    PartialThereError,
    arrived,
    chance_name,
    content_of,
    temporary_name,
)
from sshexec.connectors.source import Source, opened
from sshexec.connectors.ssh import flights, sftp
from sshexec.connectors.ssh.keys import strings
from sshexec.connectors.ssh.lanes import Lanes
from sshexec.connectors.ssh.readback import read_back
from sshexec.connectors.ssh.sftp import NoSftpError, Sftp, SftpError
from sshexec.connectors.ssh.transport import Link, LinkDownError
from sshexec.errors import CancelledError, CommandTimeoutError, ConnectionLostError, TransferError

_CLEANUP = 3.0
"""Seconds for removing a temporary file after a failure."""

_REASONS = {sftp.NO_FILE: "missing", sftp.NO_PERMISSION: "permission"}
_WORDS = {
    "missing": "no such file or directory",
    "permission": "permission denied",
    "no_space": "no space left on device",
    "is_directory": "is a directory",
}


class _FifoError(Exception):
    """The path is a FIFO, and the host is opening it."""


class Files:
    """File transfers over one connection; the SFTP session stays open between them.

    Args:
        link: the connection.
        guard: raises CancelledError where the caller has cancelled.
        execute: what runs a command where the host has no SFTP.
        idle: seconds that a transfer may stand still; None for no limit.
    """

    def __init__(self, link: Link, guard: Callable[[], None], execute: Execute, idle: float | None = None) -> None:
        self._link = link
        self._guard = guard
        self._idle = idle
        self._sftp: Sftp | None = None
        self._cat: CatFiles | None = None
        self._execute = execute

    def put(
        self,
        source: Source,
        path: str,
        deadline: Deadline,
        *,
        mode: int | None = None,
        progress: Callable[[int], None] | None = None,
        sha1: str | None = None,
    ) -> None:
        """Write a file (see `Connector.put`)."""
        with opened(source) as file:
            content = content_of(source, file, sha1)
            start: int | None = None
            while True:
                try:
                    with self._session(path, deadline) as session:
                        if session is None:
                            self._fallback().write(file, path, deadline, mode=mode, progress=progress, content=content)
                        else:
                            _Upload(session, path, content, start).run(file, mode, progress)
                    return
                except PartialThereError as there:
                    # It may have been looked at before; then somebody else was faster, or makes it anew.
                    start = None if start is not None else self._arrived(path, there.temporary, file, deadline)
                except PartialGoneError:
                    if content is None:
                        raise TransferError(f"{path}: its temporary file was removed", path=path) from None
                    start = None
                # What can't be used, or is used by somebody else, is left alone.
                if start is None:
                    content = None
                file.seek(0)

    def get(
        self,
        path: str,
        target: BinaryIO,
        deadline: Deadline,
        *,
        progress: Callable[[int], None] | None = None,
        offset: int = 0,
    ) -> None:
        """Read a file (see `Connector.get`)."""
        with self._session(path, deadline) as session:
            if session is None:
                self._fallback().get(path, target, deadline, progress=progress, offset=offset)
            else:
                _download(session, path, target, progress, offset)

    def put_all(
        self, uploads: Sequence[Upload], deadline: Deadline, *, progress: Callable[[int], None] | None = None
    ) -> None:
        """Write several files (see `Connector.put_all`)."""

        def together(small: Sequence[Upload], sent: Callable[[Upload, int], None]) -> None:
            with self._session(small[0].path, deadline) as session:
                if session is not None:
                    flights.send(session, small, sent)
                else:
                    self._fallback().send(small, sent, deadline)

        def put(upload: Upload, told: Callable[[int], None]) -> None:
            self.put(upload.source, upload.path, deadline, mode=upload.mode, progress=told, sha1=upload.sha1)

        put_all(uploads, together, put, progress)

    def get_all(self, paths: Sequence[str], take: Callable[[int, bytes], None], deadline: Deadline) -> None:
        """Read several small files (see `Connector.get_all`)."""
        if paths:
            with self._session(paths[0], deadline) as session:
                if session is not None:
                    flights.receive(session, paths, take)
                else:
                    self._fallback().get_all(paths, take, deadline)

    def _arrived(self, path: str, temporary: bytes, file: BinaryIO, deadline: Deadline) -> int | None:
        """Return how many bytes of an upload have arrived already; None where what is there can't be used."""
        try:
            return arrived(self._execute, temporary, file, deadline)
        except CantAskError:
            with self._session(path, deadline) as session:
                if session is None:
                    return None
                fetch = partial(_download, session, os.fsdecode(temporary))
                try:
                    return read_back(session, temporary, file, lambda target: fetch(target, None))
                except SftpError:
                    return None

    def _fallback(self) -> CatFiles:
        if self._cat is None:
            self._cat = CatFiles(self._execute)
        return self._cat

    @contextlib.contextmanager
    def _session(self, path: str, deadline: Deadline) -> Iterator[Sftp | None]:
        """Yield the SFTP session, or None where the host has none; translate what goes wrong on it."""
        if self._cat is not None:
            yield None
            return
        session = self._sftp
        begun = False
        try:
            if session is None or not session.usable:
                session = self._sftp = Sftp(self._link, self._guard, self._idle)
                session.deadline = deadline
                try:
                    session.start()
                except NoSftpError:
                    self._forget()
                    self._fallback()
                    session = None
            begun = True
            if session is not None:
                session.deadline = deadline
            yield session
        except SftpError as error:
            raise _transfer_error(path, error) from None
        except (LinkDownError, NoSftpError) as error:
            self._forget()
            raise ConnectionLostError(
                f"the connection broke during the transfer of {path}: {error}", started=begun
            ) from None
        except _FifoError:
            self._forget()
            raise _special(path) from None
        except (CancelledError, CommandTimeoutError):
            self._forget()
            raise
        except BaseException as error:
            if not isinstance(error, (TransferError, PartialThereError, PartialGoneError)):
                self._forget()
            raise

    def release(self) -> bool:
        """End the SFTP session that is kept for the next transfer; return whether there was one."""
        kept = self._sftp is not None
        self._forget()
        return kept

    def _forget(self) -> None:
        """Close a session with requests under way; the next transfer opens another."""
        session, self._sftp = self._sftp, None
        if session is not None:
            session.close()


class _Upload:
    """One file on its way to the host.

    Args:
        session: the SFTP session.
        path: where to.
        content: its SHA-1, where it shall be resumable; None collects it under a name of chance.
        start: bytes that have arrived before, 0 where nothing has; None where that is not known.
    """

    def __init__(self, session: Sftp, path: str, content: str | None = None, start: int | None = None) -> None:
        self._content = content
        self._start = start or 0
        self._sftp = session
        self._path = path
        self._name = os.fsencode(path)
        self._temporary = chance_name(self._name)

    def run(self, file: BinaryIO, mode: int | None, progress: Callable[[int], None] | None) -> None:
        session = self._sftp
        if mode is None:
            mode = self._present_mode()
        # Without any mode to set, the host's umask decides, as for any new file.
        creation = sftp.permissions(None if mode is None else 0o600)
        if self._content is not None:
            self._temporary = temporary_name(self._name, self._content, private=mode is not None)
        how = sftp.FOR_GOING_ON if self._start else sftp.FOR_CREATING
        opening = strings(self._temporary) + struct.pack(">I", how) + creation
        handle: bytes | None = None
        try:
            handle = self._open(opening)
            size = self._write(handle, file, progress)
            if mode is not None:
                session.wait(session.request(sftp.FSETSTAT, strings(handle) + sftp.permissions(mode)))
            closed = session.request(sftp.CLOSE, strings(handle))
            if self._content is not None:
                self._check_name(size)
            session.wait(closed)
            self._rename()
        except (PartialThereError, PartialGoneError):
            raise
        except BaseException as error:
            free = self._clean_up(handle)
            if isinstance(error, SftpError):
                raise self._explain(error, free) from None
            raise

    def _open(self, opening: bytes) -> bytes:
        try:
            return sftp.handle_of(self._sftp.wait(self._sftp.request(sftp.OPEN, opening)))
        except SftpError:
            if self._content is None:
                raise
            # Most likely it is there already. If it is not, the next attempt, under another name, tells what is wrong.
            raise PartialThereError(self._temporary) from None

    def _present_mode(self) -> int | None:
        """Return the permission bits of the file that will be replaced, if there is one."""
        session = self._sftp
        try:
            present = sftp.attributes_of(session.wait(session.request(sftp.STAT, strings(self._name))))
        except SftpError:
            return None
        if present.is_directory:
            raise _error(self._path, "is_directory")
        if present.is_special:
            raise _special(self._path)
        return present.mode & 0o7777 if present.mode else None

    def _write(self, handle: bytes, file: BinaryIO, progress: Callable[[int], None] | None) -> int:
        if self._start:
            file.seek(self._start)
        return Lanes(self._sftp, handle, self._temporary).write(file, self._start, progress)

    def _check_name(self, size: int) -> None:
        """See to it that the name is still that of what was written: others may have begun anew under it.

        Raises:
            PartialGoneError: it is not.
        """
        session = self._sftp
        try:
            if sftp.attributes_of(session.wait(session.request(sftp.LSTAT, strings(self._temporary)))).size == size:
                return
        except SftpError:
            pass
        raise PartialGoneError

    def _rename(self) -> None:
        session = self._sftp
        if session.has(b"posix-rename@openssh.com"):
            try:
                session.wait(session.extended(b"posix-rename@openssh.com", self._temporary, self._name))
            except SftpError as error:
                if self._content is None or error.code != sftp.NO_FILE:
                    raise
                raise PartialGoneError from None
            return
        # Version 3 has no rename that replaces: a moment without the file can't be avoided on such a host.
        with contextlib.suppress(SftpError):
            session.wait(session.request(sftp.REMOVE, strings(self._name)))
        session.wait(session.request(sftp.RENAME, strings(self._temporary, self._name)))

    def _clean_up(self, handle: bytes | None) -> int | None:
        """Remove the temporary file; return the space that the file system had left (None: unknown; -1: read-only)."""
        session = self._sftp
        session.deadline = Deadline.after(_CLEANUP)
        guard, session.guard = session.guard, unguarded
        free: int | None = None
        try:
            if handle is not None:
                session.request(sftp.CLOSE, strings(handle), sftp.ignore)
            if session.has(b"statvfs@openssh.com"):
                with contextlib.suppress(SftpError):
                    folder = os.path.dirname(self._name) or b"."
                    answer = session.wait(session.extended(b"statvfs@openssh.com", folder))
                    _size, fragment, _blocks, _free, available = struct.unpack_from(">QQQQQ", answer, 0)
                    free = fragment * available
                    if struct.unpack_from(">Q", answer, 72)[0] & 1:  # ST_RDONLY
                        free = -1
            session.wait(session.request(sftp.REMOVE, strings(self._temporary)))
        except (SftpError, LinkDownError, CommandTimeoutError, NoSftpError):
            pass
        finally:
            session.guard = guard
        return free

    def _explain(self, error: SftpError, free: int | None) -> TransferError:
        """Say more than SFTP's "Failure", where more is known."""
        if error.code == sftp.FAILURE:
            if free == -1:
                return TransferError(f"{self._path}: read-only file system", path=self._path, reason="permission")
            if free is not None and free < self._sftp.chunk:
                return _error(self._path, "no_space")
            if self._is_directory():
                return _error(self._path, "is_directory")
        return _transfer_error(self._path, error)

    def _is_directory(self) -> bool:
        session = self._sftp
        try:
            return sftp.attributes_of(session.wait(session.request(sftp.STAT, strings(self._name)))).is_directory
        except (SftpError, LinkDownError, CommandTimeoutError, NoSftpError):
            return False


def _download(
    session: Sftp, path: str, target: BinaryIO, progress: Callable[[int], None] | None, offset: int = 0
) -> None:
    name = strings(os.fsencode(path))
    asked = session.request(sftp.STAT, name)
    opening = session.request(sftp.OPEN, name + struct.pack(">I", sftp.FOR_READING) + sftp.permissions(None))
    try:
        present = sftp.attributes_of(session.wait(asked))
    except SftpError:
        present = sftp.Attributes(0, 0)
    if stat.S_ISFIFO(present.mode):
        raise _FifoError(path)  # the host waits for whoever writes into it, and answers nothing more on this session
    handle = strings(sftp.handle_of(session.wait(opening)))
    try:
        if present.is_directory:
            raise _error(path, "is_directory")
        _read(session, handle, present.size, target, progress, offset)
    finally:
        with contextlib.suppress(SftpError, LinkDownError, CommandTimeoutError, NoSftpError):
            session.request(sftp.CLOSE, handle, sftp.ignore)


def _read(
    session: Sftp,
    handle: bytes,
    size: int,
    target: BinaryIO,
    progress: Callable[[int], None] | None,
    begin: int = 0,
) -> None:
    """Read to the end of the file, which may be longer or shorter than its size said (as in /proc)."""
    chunk = session.chunk
    answers: dict[int, bytes] = {}
    written = asked = begin
    flight: dict[int, int] = {}

    def ask(offset: int, length: int) -> None:
        def keep(answer: bytes) -> None:
            flight.pop(offset, None)
            answers[offset] = answer

        flight[offset] = length
        session.request(sftp.READ, handle + struct.pack(">QI", offset, length), keep)

    while True:
        session.guard()
        # Beyond the announced size one request at a time feels for the end.
        most = max(2, session.window // chunk + 1)
        while len(flight) + len(answers) < most and (asked < size or (asked == written and not flight)):
            ask(asked, chunk)
            asked += chunk
        while written not in answers:
            session.take_answer()
        try:
            data = sftp.data_of(sftp.checked(answers.pop(written)))
        except SftpError as error:
            if error.code != sftp.END:
                raise
            while flight:
                session.take_answer()
            break
        target.write(data)
        written += len(data)
        if progress is not None:
            progress(written)
        if len(data) < chunk:
            while flight:
                session.take_answer()
            if 0 < size <= written:
                break
            # A short answer before the end: the rest is asked for again.
            answers.clear()
            asked = written


def _error(path: str, reason: str) -> TransferError:
    return TransferError(f"{path}: {_WORDS[reason]}", path=path, reason=reason)


def _special(path: str) -> TransferError:
    """Return why a device, a FIFO or a socket is left alone: nobody wants a file in its place."""
    return TransferError(f"{path}: is not a regular file", path=path)


def _transfer_error(path: str, error: SftpError) -> TransferError:
    reason = _REASONS.get(error.code)
    if reason is not None:
        return _error(path, reason)
    hint = " (disk full, over quota, read-only, or of another type?)" if error.code == sftp.FAILURE else ""
    return TransferError(f"{path}: the host says {str(error)!r}{hint}", path=path)
