"""Files of a Windows host, by PowerShell: lines of base64 on standard input and output, checked by size and SHA-1.

One PowerShell takes all files of a `put_all`, one gives all of a `get_all`: its start costs more than a small file.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import secrets
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from io import BytesIO
from typing import Any, BinaryIO, Protocol

from sshexec.connectors.base import Command, Completed, Deadline, Upload
from sshexec.connectors.output import Output, Stream, Take
from sshexec.connectors.powershell import Script, answer_of
from sshexec.connectors.source import opened
from sshexec.errors import HostError, TransferError, UnreachableError

PIECE = 110_500
"""Bytes of standard input in one message: in base64, with the envelope and what encryption adds, less than the 153,600
that any host takes."""

_LINE = 82_500
"""Bytes of a file in one line: in base64 they fill a piece."""

_TOGETHER = 500
"""Files that one PowerShell reads: their paths are JSON, of which PowerShell 3 and 4 take 2 MiB (ConvertFrom-Json)."""

_CLEANUP = 5.0
"""Seconds for removing a temporary file after a failure; a shell and PowerShell have to be started for it."""

_LONGEST_LINE = 2**20
"""Bytes of a line that the host may send."""

_KEPT = 65536
"""Bytes kept of what a script says beside the files' content."""

_PUT = Script("sshexec.connectors.winrm", "put")
_GET = Script("sshexec.connectors.winrm", "get")
_REMOVE = Script("sshexec.connectors.winrm", "remove")

_WIN32 = 0x80070000
"""HRESULTs of this facility hold an error of Windows."""

_REASONS = {
    2: "missing",  # ERROR_FILE_NOT_FOUND
    3: "missing",  # ERROR_PATH_NOT_FOUND
    53: "missing",  # ERROR_BAD_NETPATH
    67: "missing",  # ERROR_BAD_NET_NAME
    5: "permission",  # ERROR_ACCESS_DENIED
    19: "permission",  # ERROR_WRITE_PROTECT
    1326: "permission",  # ERROR_LOGON_FAILURE, of a share
    39: "no_space",  # ERROR_HANDLE_DISK_FULL
    112: "no_space",  # ERROR_DISK_FULL
    1295: "no_space",  # ERROR_DISK_QUOTA_EXCEEDED
}
_WORDS = {
    "missing": "no such file or directory",
    "permission": "permission denied",
    "no_space": "no space left on device",
    "is_directory": "is a directory",
    "changed": "what arrived is not what was sent",
    "cut": "not all of it arrived",
}


class Run(Protocol):
    """Runs a command of the host and hands on what it prints, piece by piece; errors as `Connector.execute`."""

    def __call__(
        self,
        command: Command,
        take: Take,
        deadline: Deadline,
        stdin: Iterable[bytes] | None = None,
        *,
        cleaning: bool = False,
    ) -> Completed:
        """Run it.

        Args:
            command: what to run; its own ``stdin`` is not used.
            take: gets the output; what it raises ends the command and is raised as it is.
            deadline: by when.
            stdin: what the command reads, each piece asked for when those before it have been sent, or one earlier;
                what it raises ends the command and is raised as it is. A command that ends without reading everything
                is no error.
            cleaning: whether it runs although the caller has cancelled, to clear up after that.
        """


class Files:
    """File transfers of one connection.

    Args:
        run: what runs a command on the host.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def put(
        self,
        upload: Upload,
        deadline: Deadline,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Write a file (see `Connector.put`).

        Windows has access lists where POSIX has modes: a file that is replaced keeps its own, another one has what its
        directory hands down, and ``mode`` changes nothing. An upload that broke off begins anew. Content that is not
        of the ``sha1`` that is given does not take its place: the source has changed since that was known.
        """
        with opened(upload.source) as file:
            self.put_all([Upload(file, upload.path, sha1=upload.sha1)], deadline, progress=progress)

    def put_all(
        self, uploads: Sequence[Upload], deadline: Deadline, *, progress: Callable[[int], None] | None = None
    ) -> None:
        """Write several files in their order (see `Connector.put_all`)."""
        if not uploads:
            return
        lines = _Outgoing(uploads, progress)
        output = Output(_KEPT)
        try:
            with contextlib.closing(lines.pieces()) as pieces:
                completed = self._run(_PUT.command({}), output.write, deadline, pieces)
        except BaseException as error:
            # A host that can't be reached, or did not even say that it has ended the script, won't remove anything.
            if not isinstance(error, UnreachableError) and getattr(error, "killed", True):
                self._remove(lines)
            raise
        if lines.problem is not None:
            raise lines.problem
        answer = _answer(output, completed, uploads[0].path)
        number = answer.get("number")
        if "reason" in answer or number != len(uploads) or str(answer.get("sha1")).lower() != lines.sum:
            at = number if isinstance(number, int) and 0 <= number < len(uploads) else 0
            raise _refused(uploads[at].path, answer)
        lines.arrived()

    def _remove(self, lines: _Outgoing) -> None:
        """Remove the temporary file of the upload that was under way."""
        if lines.current is not None:
            command = _REMOVE.command(lines.current)
            with contextlib.suppress(HostError):
                self._run(command, Output(_KEPT).write, Deadline.after(_CLEANUP), cleaning=True)

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
        done = offset

        def write(_number: int, data: bytes) -> None:
            nonlocal done
            target.write(data)
            done += len(data)
            if progress is not None:
                progress(done)

        self._receive([path], _Incoming([path], write), deadline, offset)

    def get_all(self, paths: Sequence[str], take: Callable[[int, bytes], None], deadline: Deadline) -> None:
        """Read several small files (see `Connector.get_all`)."""
        for first in range(0, len(paths), _TOGETHER):
            self._get_some(paths[first : first + _TOGETHER], first, take, deadline)

    def _get_some(
        self, paths: Sequence[str], first: int, take: Callable[[int, bytes], None], deadline: Deadline
    ) -> None:
        content = BytesIO()

        def ended(number: int) -> None:
            nonlocal content
            whole, content = content.getvalue(), BytesIO()
            take(first + number, whole)

        self._receive(paths, _Incoming(paths, lambda _number, data: content.write(data), ended), deadline, 0)

    def _receive(self, paths: Sequence[str], incoming: _Incoming, deadline: Deadline, offset: int) -> None:
        command = _GET.command({"paths": list(paths), "offset": offset})
        try:
            completed = self._run(command, incoming, deadline)
        except BaseException:
            if incoming.problem is not None:
                raise incoming.problem from None
            raise
        if incoming.number != len(paths):
            path = paths[incoming.number]
            raise _refused(path, _answer(incoming.output, completed, path))


class _Outgoing:
    """Files as lines for the script ``put``.

    Args:
        uploads: what to send.
        progress: called with the number of bytes of all files that have arrived.
    """

    def __init__(self, uploads: Sequence[Upload], progress: Callable[[int], None] | None) -> None:
        self._uploads = uploads
        self._progress = progress
        self._size = 0
        self.current: dict[str, str] | None = None
        """Path and temporary name of the file that is under way, or was last."""
        self.sum = ""
        """SHA-1 of the file that was read last."""
        self.problem: Exception | None = None
        """Why no more of them could be read here."""

    def pieces(self) -> Generator[bytes]:
        """Yield lines, as many together as one message holds."""
        gathered: list[bytes] = []
        room, held = PIECE, 0
        sent = before = 0
        try:
            for line, size in self._lines():
                if len(line) > room and gathered:
                    yield from _cut(gathered)
                    # What was yielded last may be on its way still.
                    if before and self._progress is not None:
                        self._progress(before)
                    before, sent = sent, sent + held
                    gathered, room, held = [], PIECE, 0
                gathered.append(line)
                room -= len(line)
                held += size
        except Exception as error:  # noqa: BLE001 - the caller gets it, once the host has let go
            self.problem = error
        yield from _cut(gathered)

    def arrived(self) -> None:
        """Tell that everything has arrived."""
        if self._progress is not None:
            self._progress(self._size)

    def _lines(self) -> Iterator[tuple[bytes, int]]:
        """Yield lines, and how many bytes of a file each holds."""
        for upload in self._uploads:
            with opened(upload.source) as file:
                self.current = {"path": upload.path, "temporary": f".sshexec-{secrets.token_hex(6)}"}
                yield b">%s\r\n" % base64.b64encode(json.dumps(self.current).encode()), 0
                digest = hashlib.sha1(usedforsecurity=False)
                for data in iter(partial(_filled, file), b""):
                    digest.update(data)
                    self._size += len(data)
                    yield base64.b64encode(data) + b"\r\n", len(data)
            self.sum = digest.hexdigest()
            if upload.sha1 not in (None, self.sum):
                # Without the line that ends it the host removes what has arrived.
                raise TransferError(f"{upload.path}: what is sent has changed meanwhile", path=upload.path)
            yield b"=%s\r\n" % self.sum.encode(), 0


class _Incoming:
    """Files out of the lines of the script ``get``, wherever the pieces that they come in begin and end.

    Args:
        paths: what was asked for.
        write: gets the number of a file and the next bytes of it.
        ended: called with the number of a file that is whole.
    """

    def __init__(
        self,
        paths: Sequence[str],
        write: Callable[[int, bytes], object],
        ended: Callable[[int], None] | None = None,
    ) -> None:
        self._paths = paths
        self._write = write
        self._ended = ended
        self._line = bytearray()
        self._size = 0
        self._digest = hashlib.sha1(usedforsecurity=False)
        self.number = 0
        """Files that are whole."""
        self.output = Output(_KEPT)
        """What is no content of a file."""
        self.problem: BaseException | None = None
        """What was raised here."""

    def __call__(self, stream: Stream, data: bytes) -> None:
        if self.problem is not None:
            return  # what still comes while the script is being ended
        if stream == "stderr":
            self.output.write(stream, data)
            return
        try:
            self._split(data)
        except BaseException as error:
            self.problem = error
            raise

    def _split(self, data: bytes) -> None:
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            line = data[start:end]
            if self._line:
                line = bytes(self._line + line)
                self._line.clear()
            self._take(line.rstrip(b"\r"))
            start = end + 1
        self._line += data[start:]
        if len(self._line) > _LONGEST_LINE:
            raise self._wrong("the host sends what is no line of a file")

    def _take(self, line: bytes) -> None:
        kind = line[:1]
        if kind not in (b":", b"="):
            self.output.write("stdout", line + b"\n")
        elif self.number == len(self._paths):
            raise self._wrong("the host sends more files than it was asked for")
        elif kind == b":":
            try:
                data = base64.b64decode(line[1:], validate=True)
            except binascii.Error:
                raise self._wrong("what the host sends is not base64") from None
            self._size += len(data)
            self._digest.update(data)
            self._write(self.number, data)
        elif line[1:].lower().split() != [b"%d" % self._size, self._digest.hexdigest().encode()]:
            raise self._wrong("what arrived is not what the host read")
        else:
            if self._ended is not None:
                self._ended(self.number)
            self.number += 1
            self._size = 0
            self._digest = hashlib.sha1(usedforsecurity=False)

    def _wrong(self, words: str) -> TransferError:
        path = self._paths[min(self.number, len(self._paths) - 1)]
        return TransferError(f"{path}: {words}", path=path)


def _cut(lines: list[bytes]) -> Iterator[bytes]:
    """Yield lines together; in pieces where one of them is longer than a message, as with a path of 32,767 letters."""
    whole = b"".join(lines)
    for at in range(0, len(whole), PIECE):
        yield whole[at : at + PIECE]


def _filled(file: BinaryIO) -> bytes:
    """Read a line's worth of a file; less only at its end: a pipe or a socket gives what it has."""
    data = file.read(_LINE)
    while 0 < len(data) < _LINE and (more := file.read(_LINE - len(data))):
        data += more
    return data


def _answer(output: Output, completed: Completed, path: str) -> dict[str, Any]:
    """Return what a script answered.

    Raises:
        TransferError: it gave no answer; PowerShell's own words say why, where there are any.
    """
    try:
        answer = answer_of(output)
        if not isinstance(answer, dict):
            raise ValueError("its answer is of another kind")
    except ValueError as error:
        words = " ".join(output.text("stderr").split())[:300] or str(error)
        raise TransferError(f"{path}: PowerShell ended with rc {completed.rc}: {words}", path=path) from None
    return answer


def _refused(path: str, answer: dict[str, Any]) -> TransferError:
    """Return why a file was not taken or given, of a script's answer."""
    reason, code = answer.get("reason"), answer.get("code")
    if isinstance(code, int) and code & 0xFFFF0000 == _WIN32:
        reason = _REASONS.get(code & 0xFFFF, reason)
    words = _WORDS.get(str(reason)) or " ".join(str(answer.get("message") or "the host does not say why").split())
    if reason == "permission" and path.startswith("\\\\"):
        words += "; a share asks for a login of its own, which CredSSP or Kerberos delegation would hand on"
    known = reason if reason in ("missing", "permission", "no_space", "is_directory") else "failed"
    return TransferError(f"{path}: {words}", path=path, reason=known)
