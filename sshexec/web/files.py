"""``/api/sessions/ID/files``: files to and from a session's host, over the session's own connection."""

from __future__ import annotations

import io
import posixpath
import queue
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from werkzeug.wrappers import Response

from sshexec import expect
from sshexec.web.routes import Call, Endpoint, Refusal, answer, refusal_of, refused

if TYPE_CHECKING:
    from typing import BinaryIO

    from sshexec.terminal.sessions import TerminalManager

LARGEST_FILE = 4 * 2**30
"""Bytes that an upload may have unless another limit is set."""

_PIECE = 64 * 1024
_AHEAD = 16
"""Pieces of a download that wait for the browser at most; the host waits then."""

_PATIENCE = 60.0
"""Seconds that a browser may take nothing of a download."""

_LOOK = 0.5
"""Seconds between looks at whether the other side of a download is still there."""


class Files:
    """Uploads and downloads, streamed: neither is ever in memory as a whole.

    Args:
        manager: has the sessions, and asks whether the user may.
        largest: bytes of an upload.

    Raises:
        ArgumentError: the limit is no number.
    """

    def __init__(self, manager: TerminalManager, largest: int = LARGEST_FILE) -> None:
        expect.count("largest_file", largest, "bytes")
        self._manager = manager
        self._largest = largest

    def endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        """Return what is answered here."""
        rule = "/api/sessions/<id>/files"
        return {("PUT", rule): self._upload, ("GET", rule): self._download}

    def _upload(self, call: Call) -> Response:
        path = call.text("path")
        if path.endswith("/"):
            raise Refusal(400, "input", "path: expected that of a file, and not of a folder")
        size = call.request.content_length
        if size is None:
            raise Refusal(411, "length", "expected a body of a known length")
        if size > self._largest:
            raise Refusal(413, "too_large", f"a file may have {self._largest} bytes at most")
        call.request.max_content_length = None
        self._manager.upload(call.user, call.arguments["id"], cast("BinaryIO", _Body(call, size)), path)
        return answer({"path": path, "size": size}, 201)

    def _download(self, call: Call) -> Response:
        path = call.text("path")
        pipe = _Pipe()

        def fetch() -> None:
            try:
                self._manager.download(call.user, call.arguments["id"], path, cast("BinaryIO", pipe))
            except Exception as error:  # noqa: BLE001 - it is raised where the answer is made
                pipe.finish(error)
            else:
                pipe.finish(None)

        threading.Thread(target=fetch, name="sshexec-download", daemon=True).start()
        try:
            first = pipe.first()
        except Exception as error:  # noqa: BLE001 - `refusal_of` logs what nobody has thought of
            return refused(refusal_of(error))
        response = Response(pipe.pieces(first), mimetype="application/octet-stream")
        # Of an answer without a body (HEAD) nobody takes a piece, so that its generator knows of no end.
        response.call_on_close(pipe.leave)
        response.headers["Content-Disposition"] = disposition(path)
        return response


def disposition(path: str) -> str:
    """Return the header that has a browser keep a file under its name, and never show it (RFC 6266).

    Args:
        path: on the host.
    """
    name = "".join(each for each in posixpath.basename(path) if each.isprintable()).strip(" .") or "file"
    encoded = name[:200].encode("utf-8", "replace")
    plain = "".join(each if each.isascii() and (each.isalnum() or each in "-_. ") else "_" for each in name[:200])
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(encoded, safe='')}"


class _Body(io.RawIOBase):
    """What an upload brings: as many bytes as it said, or the file on the host stays as it was."""

    def __init__(self, call: Call, size: int) -> None:
        super().__init__()
        self._call = call
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self._call.read(min(self._left, len(view))) if self._left and view else b""
        self._left -= len(data)
        view[: len(data)] = data
        return len(data)


class _Pipe(io.RawIOBase):
    """Hands over what the host sends to the thread that answers, and holds the host up while that is slower."""

    def __init__(self) -> None:
        super().__init__()
        self._queue: queue.Queue[bytes | Exception | None] = queue.Queue(_AHEAD)
        self._left = threading.Event()
        self._over = threading.Event()
        """Whether nothing is put any more; what is in the queue may still be taken."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _PIECE):
            self._put(bytes(view[start : start + _PIECE]))
        return len(view)

    def finish(self, error: Exception | None) -> None:
        """Say that no more comes, and why."""
        try:
            self._put(error)
        except OSError:
            return
        finally:
            self._over.set()

    def first(self) -> bytes | None:
        """Return the first piece, so that what goes wrong before it can still be said; None for an empty file."""
        return self._get()

    def pieces(self, first: bytes | None) -> Iterator[bytes]:
        """Yield them all."""
        piece = first
        while piece is not None:
            yield piece
            # It breaks off with an error here: the browser must not take what it has for the whole file.
            piece = self._get()

    def leave(self) -> None:
        """Say that nobody takes any more of it."""
        self._left.set()

    def _get(self) -> bytes | None:
        while True:
            over = self._over.is_set()
            try:
                item = self._queue.get(timeout=_LOOK)
            except queue.Empty:
                if over:  # whoever fetches gave up on a browser that has come back
                    raise OSError("the browser took too long over the file") from None
                continue
            if isinstance(item, Exception):
                raise item
            return item

    def _put(self, item: bytes | Exception | None) -> None:
        waited = 0.0
        while not self._left.is_set() and waited < _PATIENCE:
            try:
                self._queue.put(item, timeout=_LOOK)
            except queue.Full:
                waited += _LOOK
            else:
                return
        raise OSError("the browser takes the file no more")
