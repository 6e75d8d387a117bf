"""What .NET on Windows says of files, where a double works on those of Linux: exceptions with their HRESULTs and words.

Access lists don't stop tests that run as root, so a directory or file without any permission bit to write or read
stands for one whose list denies it; without one to write, a file also counts as read-only.
"""

from __future__ import annotations

import errno
import ntpath
from pathlib import Path

from tests.winrm_server.powershell import Call

WIN32 = 0x80070000
_LONGEST = 260
"""MAX_PATH."""


class DotnetError(Exception):
    """An exception of .NET.

    Args:
        code: its HRESULT, without sign.
        message: its words.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code - 2**32
        self.message = message


def full_path(call: Call, path: str) -> str:
    """Return what Path.GetFullPath makes of a path from the user's profile on.

    Raises:
        DotnetError: it is no path.
    """
    if any(char in path for char in '<>|"*?') and not path.startswith("\\\\?\\"):
        raise DotnetError(WIN32 | 87, "Illegal characters in path.")
    if ":" in ntpath.splitdrive(path)[1]:
        raise DotnetError(0x80131515, "The given path's format is not supported.")
    home = call.environment.get("USERPROFILE") or f"C:\\Users\\{call.user}"
    whole = ntpath.normpath(ntpath.join(home, path.replace("/", "\\"))).rstrip(". ")
    if len(whole) >= _LONGEST:
        raise DotnetError(
            WIN32 | 206,
            "The specified path, file name, or both are too long. The fully qualified file name must be less than 260 "
            "characters, and the directory name must be less than 248 characters.",
        )
    return whole


def denied(path: str) -> DotnetError:
    """Return an UnauthorizedAccessException."""
    return DotnetError(WIN32 | 5, f"Access to the path '{path}' is denied.")


def open_new(place: Path, path: str) -> None:
    """Check that a file can be made: File.Open with CreateNew.

    Raises:
        DotnetError: it can't.
    """
    if not place.parent.is_dir():
        raise DotnetError(WIN32 | 3, f"Could not find a part of the path '{path}'.")
    if not place.parent.stat().st_mode & 0o222:
        raise denied(path)


def of_os(error: OSError, path: str) -> DotnetError:
    """Return what .NET raises for what Linux refused."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DotnetError(WIN32 | 112, "There is not enough space on the disk.\r\n")
    if error.errno in (errno.EACCES, errno.EPERM):
        return denied(path)
    if error.errno == errno.ENOENT:
        return DotnetError(WIN32 | 2, f"Could not find file '{path}'.")
    if error.errno == errno.EEXIST:
        return DotnetError(WIN32 | 80, f"The file '{path}' already exists.")
    return DotnetError(0x80131620, str(error))
