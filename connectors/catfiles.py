"""Files on hosts without SFTP: through ``cat`` in a POSIX shell, just as atomically."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import BinaryIO

from sshexec.connectors.base import Command, Deadline, Upload
from sshexec.connectors.bundles import get_together, put_all, put_together
from sshexec.connectors.files import LOOK
from sshexec.connectors.output import Output, Stream
from sshexec.connectors.partial import (
    CantAskError,
    Execute,
    PartialGoneError,
    arrived,
    chance_name,
    content_of,
    temporary_name,
)
from sshexec.connectors.posix import operand, with_arguments
from sshexec.connectors.source import Source, opened
from sshexec.errors import HostError, TransferError

_DIRECTORY = 21
"""Exit status of our scripts for a path that is a directory (EISDIR)."""

_TAKEN, _GONE, _SPECIAL = 22, 23, 24
"""Exit statuses for a temporary file that is there already, for one that is not the content any more, and for a path
that is a device, a FIFO or a socket."""

_CLEANUP = 3.0
"""Seconds for removing a temporary file after a failure."""

# In two steps: `cat` can't tell the end of the file from that of a client which has died, so it must not be what puts
# the file in its place.
_PUT = """LC_ALL=C; export LC_ALL; f=$1; t=$2; m=$3
[ -d "$f" ] && exit 21
[ -n "$m" ] || [ ! -e "$f" ] || [ -f "$f" ] || exit 24
[ -n "$m" ] || [ ! -e "$f" ] || m=$(stat -L -c %a -- "$f" 2>/dev/null || stat -L -f %Lp -- "$f")
[ -n "$4" ] || (set -C; umask 077; : >"$t") || { [ -e "$t" ] || [ -L "$t" ] || exit 1; exit 22; }
trap 'trap "" HUP INT TERM; rm -f -- "$t"' EXIT; trap 'exit 143' HUP INT TERM
# Without a mode to set, the umask decides, as for any new file.
cat >>"$t" && { [ -e "$t" ] || exit 23; } && chmod -- "${m:-=rw}" "$t" && trap - EXIT
"""
_MOVE = f"""LC_ALL=C; export LC_ALL
{LOOK}
if [ -n "$3" ]; then s=$(sum "$1"); [ -e "$1" ] || exit 23
[ -z "$s" ] || [ "${{s%% *}}" = "$3" ] || {{ rm -f -- "$1"; exit 23; }}; fi
mv -f -- "$1" "$2" && exit
r=$?; rm -f -- "$1"; exit $r
"""
_REMOVE = 'rm -f -- "$1"'
_GET = """LC_ALL=C; export LC_ALL
[ -d "$1" ] && exit 21
[ -p "$1" ] && exit 24
[ -z "$2" ] || exec tail -c +"$2" <"$1"
exec cat <"$1"
"""


class CatFiles:
    """File transfers by shell commands.

    Args:
        execute: runs a command on the host.
    """

    def __init__(self, execute: Execute) -> None:
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
            while True:
                try:
                    self.write(file, path, deadline, mode=mode, progress=progress, content=content)
                    return
                except PartialGoneError:
                    if content is None:
                        raise TransferError(f"{path}: its temporary file was removed", path=path) from None
                content = None
                file.seek(0)

    def write(
        self,
        file: BinaryIO,
        path: str,
        deadline: Deadline,
        *,
        mode: int | None = None,
        progress: Callable[[int], None] | None = None,
        content: str | None = None,
    ) -> None:
        """Write a file from one that is open.

        Args:
            file: what to send.
            path: where to.
            deadline: by when.
            mode: permission bits.
            progress: gets the number of bytes sent so far.
            content: SHA-1, where the upload shall be resumable; `file` can be sought in then.

        Raises:
            PartialGoneError: another upload of the same content came in between, or the temporary file was removed.
        """
        path = operand(path)
        temporary = os.fsdecode(chance_name(os.fsencode(path)))
        start = 0
        if content is not None:
            name = temporary_name(os.fsencode(path), content, private=True)
            temporary = os.fsdecode(name)
            with contextlib.suppress(CantAskError):
                start = arrived(self._execute, name, file, deadline) or 0
            file.seek(start)
        bits = "" if mode is None else f"{mode & 0o7777:o}"
        command = with_arguments(_PUT, path, temporary, bits, str(start or ""))
        source = file if progress is None else _Counted(file, progress, start)
        self._run(Command(command, stdin=source, verbatim=True), Output(4096), path, deadline)  # type: ignore[arg-type]
        try:
            move = Command(with_arguments(_MOVE, temporary, path, content or ""), verbatim=True)
            self._run(move, Output(4096), path, deadline)
        except BaseException:
            with contextlib.suppress(HostError):
                remove = Command(with_arguments(_REMOVE, temporary), verbatim=True)
                self._execute(remove, Output(4096), Deadline.after(_CLEANUP))
            raise

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
        read = offset

        def keep(stream: Stream, data: bytes) -> None:
            nonlocal read
            if stream == "stdout":
                target.write(data)
                read += len(data)
                if progress is not None:
                    progress(read)

        # `tail` counts from 1.
        command = Command(with_arguments(_GET, operand(path), str(offset + 1) if offset else ""), verbatim=True)
        self._run(command, Output(4096, tee=keep), path, deadline)

    def put_all(
        self, uploads: Sequence[Upload], deadline: Deadline, *, progress: Callable[[int], None] | None = None
    ) -> None:
        """Write several files (see `Connector.put_all`)."""

        def put(upload: Upload, told: Callable[[int], None]) -> None:
            self.put(upload.source, upload.path, deadline, mode=upload.mode, progress=told, sha1=upload.sha1)

        put_all(uploads, lambda small, sent: self.send(small, sent, deadline), put, progress)

    def send(self, uploads: Sequence[Upload], sent: Callable[[Upload, int], None], deadline: Deadline) -> None:
        """Write small files together, until one is refused.

        Args:
            uploads: what to write where.
            sent: called with each file that is in its place, and its size.
            deadline: by when.
        """
        waiting = iter(uploads)
        put_together(self._execute, uploads, deadline, lambda size: sent(next(waiting), size))

    def get_all(self, paths: Sequence[str], take: Callable[[int, bytes], None], deadline: Deadline) -> None:
        """Read several small files (see `Connector.get_all`)."""
        # Why one is refused is told in full by the way of a single file.
        for number in range(get_together(self._execute, paths, take, deadline), len(paths)):
            content = BytesIO()
            self.get(paths[number], content, deadline)
            take(number, content.getvalue())

    def _run(self, command: Command, output: Output, path: str, deadline: Deadline) -> None:
        completed = self._execute(command, output, deadline)
        if completed.rc in (_TAKEN, _GONE):
            raise PartialGoneError
        if completed.rc:
            # On a terminal both streams are one; what is read from the host is no message.
            text = output.text("stderr") or ("" if output.tee else output.text("stdout"))
            raise _failure(path, completed.rc, text.strip())


class _Counted:
    """A file that tells how much of it was read.

    Args:
        file: the file.
        progress: called with the number of bytes so far.
        start: where the file begins to be read.
    """

    def __init__(self, file: BinaryIO, progress: Callable[[int], None], start: int = 0) -> None:
        self._file = file
        self._progress = progress
        self._read = start

    def read(self, size: int) -> bytes:
        """Return the next piece."""
        data = self._file.read(size)
        if data:
            self._read += len(data)
            self._progress(self._read)
        return data


def _failure(path: str, rc: int, text: str) -> TransferError:
    words = text.lower()
    if rc == _DIRECTORY:
        reason, what = "is_directory", "is a directory"
    elif rc == _SPECIAL:
        reason, what = "failed", "is not a regular file"
    elif "no space left" in words or "quota" in words:
        reason, what = "no_space", "no space left on device"
    elif "read-only file system" in words:
        reason, what = "permission", "read-only file system"
    elif "permission denied" in words or "operation not permitted" in words:
        reason, what = "permission", "permission denied"
    elif "no such file" in words or "nonexistent" in words:
        reason, what = "missing", "no such file or directory"
    else:
        reason, what = "failed", text.splitlines()[-1] if text else f"the transfer ended with status {rc}"
    return TransferError(f"{path}: {what}", path=path, reason=reason)
