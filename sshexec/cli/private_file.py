"""Files that only their owner may read, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile

from sshexec.errors import InputError


def write_private(path: str, text: str) -> None:
    """Write a text to a file of mode 0600; what was there before stays until all of it is written.

    Args:
        path: the file; one that is there is replaced, and what a link points to stays where it is.
        text: UTF-8.

    Raises:
        InputError: it can't be written.
    """
    target = os.path.realpath(path)
    temporary = None
    try:
        if os.path.exists(target) and not os.path.isfile(target):
            raise InputError("is no regular file", path=path)
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".sshexec-")
        with open(handle, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        temporary = None
    except OSError as error:
        raise InputError(f"can't be written: {error.strerror or error}", path=path) from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
