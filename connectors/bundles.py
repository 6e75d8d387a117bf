"""Small files in bundles: which of several go together, and how a host without SFTP takes some hundred at once.

They go as text within a shell script, which is read to its end before any of it runs, so that a connection that breaks
half-way changes nothing.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator, Sequence

from sshexec.connectors.base import Command, Deadline, Upload
from sshexec.connectors.output import Output, Stream
from sshexec.connectors.partial import Execute, chance_name
from sshexec.connectors.posix import all_or_nothing, operand, quote
from sshexec.connectors.source import SMALL, is_small, opened
from sshexec.errors import TransferError

_TOGETHER = 2**20
"""Bytes of files in one script."""

_FILES = 256

_LONGEST = 6 * SMALL
"""Bytes in base64 that a file may come to: it may have grown since it was found to be small."""

_CODEC = """LC_ALL=C; export LC_ALL
if command -v base64 >/dev/null; then d() { base64 -d; }; e() { base64; }
elif command -v openssl >/dev/null; then d() { openssl base64 -d; }; e() { openssl base64; }
else exit 24; fi
"""
_PUT = """t=
trap 'trap "" HUP INT TERM; [ -z "$t" ] || rm -f -- "$t"' EXIT; trap 'exit 143' HUP INT TERM
put() {
[ -d "$1" ] && exit 21
m=$3
[ -n "$m" ] || [ ! -e "$1" ] || [ -f "$1" ] || exit 1
[ -n "$m" ] || [ ! -e "$1" ] || m=$(stat -L -c %a -- "$1" 2>/dev/null || stat -L -f %Lp -- "$1")
t=$2
(set -C; umask 077; d >"$t") && chmod -- "${m:-=rw}" "$t" && mv -f -- "$t" "$1" || exit 1
t=
echo
}
"""
_GET = """get() {
[ ! -d "$1" ] && e <"$1" && echo . || exit 1
}
"""


Told = Callable[[int], None]


def put_all(
    uploads: Sequence[Upload],
    together: Callable[[Sequence[Upload], Callable[[Upload, int], None]], None],
    put: Callable[[Upload, Told], None],
    progress: Told | None,
) -> None:
    """Write several files (see `Connector.put_all`).

    Args:
        uploads: what to write where.
        together: writes small files until one is refused, and tells which are in their place, and their sizes.
        put: writes one file, telling how much of it has arrived; it says in full why it is refused.
        progress: called with the number of bytes of all files that have arrived so far.
    """
    total = 0
    done: set[int] = set()

    def tell(size: int) -> None:
        nonlocal total
        total = size
        if progress is not None:
            progress(total)

    def sent(upload: Upload, size: int) -> None:
        done.add(id(upload))
        tell(total + size)

    small = [upload for upload in uploads if is_small(upload.source)]
    if small:
        together(small, sent)
    for upload in uploads:
        if id(upload) not in done:
            before = total
            put(upload, lambda size, before=before: tell(before + size))  # type: ignore[misc]


def put_together(execute: Execute, uploads: Sequence[Upload], deadline: Deadline, told: Told) -> int:
    """Write small files in their order, each atomically, until one is refused.

    Args:
        execute: runs a command on the host.
        uploads: what to write where; no source is an open file.
        deadline: by when.
        told: called with the size of each file that is in its place.

    Returns:
        How many are in their place.
    """
    done = 0
    for batch in _batches(uploads):
        parts = [_CODEC, _PUT]
        sizes: list[int] = []
        for upload in batch:
            with opened(upload.source) as file:
                data = file.read(SMALL + 1)
            if len(data) > SMALL:
                break
            sizes.append(len(data))
            path = operand(upload.path)
            temporary = os.fsdecode(chance_name(os.fsencode(path)))
            mode = "" if upload.mode is None else f"{upload.mode & 0o7777:o}"
            words = " ".join(map(quote, (path, temporary, mode or "")))
            parts.append(f"put {words} <<'E'\n{base64.encodebytes(data).decode('ascii')}E\n")
        placed = _Count(sizes, told)
        rc = _run(execute, "".join(parts), Output(4096, tee=placed), deadline) if sizes else 0
        done += placed.count
        if rc or placed.count < len(batch):
            break
    return done


def get_together(execute: Execute, paths: Sequence[str], take: Callable[[int, bytes], None], deadline: Deadline) -> int:
    """Read small files in their order until one is refused; return how many were read.

    Args:
        execute: runs a command on the host.
        paths: where they are.
        take: called with the number and content of each.
        deadline: by when.
    """
    received = _Lines(paths, take)
    for at in range(0, len(paths), _FILES):
        batch = paths[at : at + _FILES]
        script = "".join((_CODEC, _GET, *(f"get {quote(operand(path))}\n" for path in batch)))
        rc = _run(execute, script, Output(4096, tee=received), deadline)
        if rc or received.count < at + len(batch):
            break
    return received.count


class _Count:
    """Counts the lines that tell of a file in its place."""

    def __init__(self, sizes: Sequence[int], told: Told) -> None:
        self._sizes = sizes
        self._told = told
        self.count = 0

    def __call__(self, stream: Stream, data: bytes) -> None:
        if stream == "stdout":
            for size in self._sizes[self.count : self.count + data.count(b"\n")]:
                self.count += 1
                self._told(size)


class _Lines:
    """Takes files out of the lines that they come in, and no more than was asked for, whatever the host says."""

    def __init__(self, paths: Sequence[str], take: Callable[[int, bytes], None]) -> None:
        self._paths = paths
        self._take = take
        self._line = b""
        self._content = bytearray()
        self.count = 0

    def __call__(self, stream: Stream, data: bytes) -> None:
        if stream != "stdout":
            return
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            if self.count == len(self._paths):
                raise TransferError("the host sends more files than it was asked for")
            if line == b".":
                content, self._content = bytes(self._content), bytearray()
                self._take(self.count, self._decoded(content))
                self.count += 1
            else:
                self._content += line
        if len(self._content) + len(self._line) > _LONGEST:
            path = self._path
            raise TransferError(f"{path}: it grows while it is read", path=path)

    def _decoded(self, content: bytes) -> bytes:
        try:
            return base64.b64decode(content, validate=True)
        except ValueError:
            path = self._path
            raise TransferError(f"{path}: what the host sends is not base64", path=path) from None

    @property
    def _path(self) -> str:
        return self._paths[min(self.count, len(self._paths) - 1)]


def _batches(uploads: Sequence[Upload]) -> Iterator[list[Upload]]:
    batch: list[Upload] = []
    size = 0
    for upload in uploads:
        more = len(upload.source) if isinstance(upload.source, bytes) else SMALL
        if isinstance(upload.source, os.PathLike) and os.path.exists(upload.source):
            more = os.path.getsize(upload.source)
        if batch and (size + more > _TOGETHER or len(batch) == _FILES):
            yield batch
            batch, size = [], 0
        batch.append(upload)
        size += more
    if batch:
        yield batch


def _run(execute: Execute, script: str, output: Output, deadline: Deadline) -> int:
    return execute(Command("exec /bin/sh", stdin=all_or_nothing(script), about=("files",)), output, deadline).rc
