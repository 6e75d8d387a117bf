"""Text files, read with a bound."""

from __future__ import annotations

import os
import stat

from sshexec.errors import InventoryError

MAX_BYTES = 32 * 2**20
"""The largest file that is read: about 300,000 hosts."""


def read_bytes(path: str, shown: str | None = None) -> bytes:
    """Return the content of a regular file.

    Args:
        path: the file.
        shown: its name in messages.

    Raises:
        InventoryError: it is missing, unreadable, no regular file, or too large.
    """
    shown = shown or path
    try:
        # Not to block on a pipe that nobody writes to.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_BYTES + 1) if regular else b""
    except OSError as error:
        raise InventoryError(_reason(path, error), path=shown) from error
    except ValueError as error:
        raise InventoryError(f"is no file name ({error})", path=shown) from error
    if not regular:
        raise InventoryError("is not a regular file", path=shown)
    if len(content) > MAX_BYTES:
        raise InventoryError(f"is larger than {MAX_BYTES // 2**20} MiB", path=shown)
    return content


def decode(content: bytes, shown: str) -> str:
    """Return the text of a file: UTF-8, with or without a byte order mark.

    Args:
        content: what the file holds.
        shown: its name in messages.

    Raises:
        InventoryError: it is binary, or in another encoding.
    """
    if b"\0" in content:
        kind = "UTF-16 text; save it as UTF-8" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "a binary file"
        if content.startswith(b"SQLite format 3\0"):
            kind = f"a database of SQLite; it is written sqlite:///{shown}"
        raise InventoryError(f"is {kind}", path=shown)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The byte order mark is not part of the text that error.start counts in.
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InventoryError(
            f"is not UTF-8 text (byte 0x{error.object[error.start]:02x}); save it as UTF-8", path=shown, line=line
        ) from None


def read_text(path: str, shown: str | None = None) -> str:
    """Return the text of a regular file (`read_bytes`, `decode`)."""
    return decode(read_bytes(path, shown), shown or path)


def _reason(path: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"is a broken link to {os.readlink(path)!r}" if os.path.islink(path) else "there is no such file"
    if isinstance(error, PermissionError):
        return "can't be read: permission denied"
    return f"can't be read: {error.strerror or error}"
