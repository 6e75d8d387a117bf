"""Files of the embedded demo server: SFTP on the real file system, relative to the home directory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import paramiko
from paramiko.sftp import SFTP_FAILURE, SFTP_OK

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

T = TypeVar("T")


class Files(paramiko.SFTPServerInterface):
    """What an SFTP client may do: what the user may do."""

    def canonicalize(self, path: str) -> str:
        return os.path.normpath(_real(path))

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        def entries() -> list[paramiko.SFTPAttributes]:
            with os.scandir(_real(path)) as found:
                return [
                    paramiko.SFTPAttributes.from_stat(entry.stat(follow_symlinks=False), entry.name) for entry in found
                ]

        return _answer(entries)

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        return _answer(lambda: paramiko.SFTPAttributes.from_stat(os.stat(_real(path))))

    def lstat(self, path: str) -> paramiko.SFTPAttributes | int:
        return _answer(lambda: paramiko.SFTPAttributes.from_stat(os.lstat(_real(path))))

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle | int:
        def handle() -> paramiko.SFTPHandle:
            mode = 0o666 if attr.st_mode is None else attr.st_mode & 0o7777
            descriptor = os.open(_real(path), flags | os.O_CLOEXEC, mode)
            return _File(descriptor, flags)

        return _answer(handle)

    def remove(self, path: str) -> int:
        return _done(lambda: os.remove(_real(path)))

    def rename(self, oldpath: str, newpath: str) -> int:
        # The plain request does not replace a file, posix-rename@openssh.com does.
        if os.path.lexists(_real(newpath)):
            return SFTP_FAILURE
        return self.posix_rename(oldpath, newpath)

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        return _done(lambda: os.replace(_real(oldpath), _real(newpath)))

    def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        mode = 0o777 if attr.st_mode is None else attr.st_mode & 0o7777
        return _done(lambda: os.mkdir(_real(path), mode))

    def rmdir(self, path: str) -> int:
        return _done(lambda: os.rmdir(_real(path)))

    def chattr(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        return _done(lambda: paramiko.SFTPServer.set_file_attr(_real(path), attr))

    def readlink(self, path: str) -> str | int:
        return _answer(lambda: os.readlink(_real(path)))

    def symlink(self, target_path: str, path: str) -> int:
        return _done(lambda: os.symlink(target_path, _real(path)))


class _File(paramiko.SFTPHandle):
    """An open file; positions come with each request, so that requests may come in any order."""

    def __init__(self, descriptor: int, flags: int) -> None:
        super().__init__(flags)
        self._descriptor = descriptor

    def read(self, offset: int, length: int) -> bytes | int:
        return _answer(lambda: os.pread(self._descriptor, min(length, 1 << 20), offset))

    def write(self, offset: int, data: ReadableBuffer) -> int:
        def write() -> None:
            view, done = memoryview(data), 0
            while done < len(view):
                done += os.pwrite(self._descriptor, view[done:], offset + done)

        return _done(write)

    def stat(self) -> paramiko.SFTPAttributes | int:
        return _answer(lambda: paramiko.SFTPAttributes.from_stat(os.fstat(self._descriptor)))

    def chattr(self, attr: paramiko.SFTPAttributes) -> int:
        def change() -> None:
            if attr.st_mode is not None:
                os.fchmod(self._descriptor, attr.st_mode & 0o7777)
            if attr.st_size is not None:
                os.ftruncate(self._descriptor, attr.st_size)

        return _done(change)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


def _real(path: str) -> str:
    """Return the local path: absolute, or relative to the home directory."""
    return os.path.join(os.path.expanduser("~"), path)


def _answer(action: Callable[[], T]) -> T | int:
    """Do something and return its value, or the SFTP code of what went wrong."""
    try:
        return action()
    except OSError as error:
        return paramiko.SFTPServer.convert_errno(error.errno) if error.errno else SFTP_FAILURE


def _done(action: Callable[[], object]) -> int:
    """Do something and return the SFTP code of how it went."""
    answer = _answer(action)
    return answer if type(answer) is int and answer != SFTP_OK else SFTP_OK
