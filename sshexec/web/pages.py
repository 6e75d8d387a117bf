"""The page's own files: a fixed list of them, read from the package, told to the browser with their version."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

from werkzeug.wrappers import Request, Response

from sshexec.web.routes import Refusal

FOLDER = Path(__file__).parent / "page"

_KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
    ".txt": "text/plain",
    ".webmanifest": "application/manifest+json",
}
"""What is served, and as what; the system's own table of types is not asked."""


@dataclass(frozen=True, slots=True)
class _Asset:
    stamp: tuple[int, int]
    content: bytes
    tag: str


class Pages:
    """Serves the files that were in a folder when it was made; no path of a request is ever opened.

    Args:
        folder: where they are.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._lock = threading.Lock()
        self._files = {
            f"/{path.relative_to(folder).as_posix()}": path
            for path in sorted(folder.rglob("*"))
            if path.suffix in _KINDS and path.is_file()
        }
        self._read: dict[str, _Asset] = {}

    def respond(self, request: Request) -> Response:
        """Return a file.

        Raises:
            Refusal: there is none of that name, or something else than reading it was asked for.
        """
        if request.method not in ("GET", "HEAD"):
            raise Refusal(405, "method", "expected GET", {"Allow": "GET, HEAD"})
        if not request.environ.get("PATH_INFO"):
            # Below a prefix, the page's own addresses are relative to its folder.
            return Response(status=308, headers={"Location": f"{request.environ.get('SCRIPT_NAME', '')}/"})
        name = "/index.html" if request.path == "/" else request.path
        asset = self._asset(name)
        if asset is None:
            raise Refusal(404, "not_found", "there is nothing at this address")
        response = Response(asset.content, mimetype=_KINDS[self._files[name].suffix])
        response.set_etag(asset.tag)
        # It is asked for each time whether it has changed: a page of mixed versions would be worse than that.
        response.headers["Cache-Control"] = "no-cache"
        return response.make_conditional(request)

    def _asset(self, name: str) -> _Asset | None:
        path = self._files.get(name)
        if path is None:
            return None
        try:
            about = path.stat()
            stamp = about.st_mtime_ns, about.st_size
            with self._lock:
                known = self._read.get(name)
            if known is None or known.stamp != stamp:
                content = path.read_bytes()
                known = _Asset(stamp, content, hashlib.sha256(content).hexdigest()[:32])
                with self._lock:
                    self._read[name] = known
        except OSError:
            return None
        return known
