"""PowerShell's standard error, which is XML where nobody looks at it: turned into its text while it streams.

powershell.exe writes ``#< CLIXML`` and a document of records for errors, warnings, progress and the like (MS-PSRP
2.2.5). What is text passes as it is. Of a document the text of the error records is kept; where it can't be read, its
bytes are.

The line ``#< CLIXML`` is written with the first record, the document when it is large or at the end (ConsoleHost's
WrappedSerializer). What programs print meanwhile stands in between, and so does another PowerShell with a document of
its own, whose line may follow at once. So each such line is owed a document, which may come later without one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.parsers import expat

_LINE = rb"#< CLIXML\r?\n"
_ROOT = b"<Objs"
_RUN = re.compile(b"((?:%s)+)" % _LINE)
_OWED = re.compile(b"((?:%s)*)<Objs Version=" % _LINE)
_MOST = 16
"""Such lines in a row that are held back until it is seen what follows."""
_END = b"</Objs>"
_ESCAPE = re.compile("(?:_x[0-9A-Fa-f]{4}_)+")

LIMIT = 2**20
"""Bytes of one record of a document that are looked at; one that is larger passes as it is."""


def unescaped(text: str) -> str:
    """Return a text of CLIXML with its ``_xHHHH_``, which are units of UTF-16, as what they stand for."""

    def units(found: re.Match[str]) -> str:
        numbers = bytes.fromhex(found[0].replace("_x", "").replace("_", ""))
        return numbers.decode("utf-16-be", "replace")

    return _ESCAPE.sub(units, text)


class _Unreadable(Exception):
    """A document is not what it should be."""


class Decoder:
    """Takes a stream in pieces and returns it as text."""

    def __init__(self) -> None:
        self._held = b""
        """Bytes that may be the beginning of a document, or of the tag that ends one."""
        self._document: _Document | None = None
        self._owed = 0
        """Documents that may come without a line before them."""

    def feed(self, data: bytes) -> bytes:
        """Take the next piece; return what is certain by now."""
        data = self._held + data
        self._held = b""
        out = []
        while data:
            if self._document is None:
                text, data = self._text(data)
                out.append(text)
            else:
                text, data = self._xml(self._document, data)
                out.append(text)
        return b"".join(out)

    def finish(self) -> bytes:
        """Return what is left at the end of the stream; a document that was cut off is given as it is."""
        held, self._held = self._held, b""
        document, self._document = self._document, None
        return held if document is None else document.raw + held

    def _text(self, data: bytes) -> tuple[bytes, bytes]:
        """Return what of the data is text, and what is to be looked at next."""
        cut = _begun(data, owed=self._owed > 0).start()
        found = _OWED.search(data) if self._owed else _RUN.search(data, 0, cut)
        if found is None:
            self._owed += len(re.findall(_LINE, data[:cut]))
            self._held = data[cut:]
            return data[:cut], b""
        lines = len(re.findall(_LINE, data[: found.end(1)]))
        if not self._owed and not data.startswith(_ROOT, found.end()):
            self._owed = lines
            return data[: found.end()], data[found.end() :]
        self._owed = max(0, self._owed + lines - 1)
        self._document = _Document(found[1])
        return data[: found.start()], data[found.end(1) :]

    def _xml(self, document: _Document, data: bytes) -> tuple[bytes, bytes]:
        """Return the text of the next part of the document, and what is to be looked at next."""
        at = data.find(_END)
        end = at + len(_END)
        part, rest = (data[:end], data[end:]) if at >= 0 else (data, b"")
        if at < 0:
            keep = _overlap(part, _END)
            self._held = part[len(part) - keep :]
            part = part[: len(part) - keep]
        try:
            text = document.feed(part, last=at >= 0)
        except _Unreadable:
            self._document = None
            # Its text so far is out; what is not out is all the bytes since then.
            held, self._held = self._held, b""
            return document.text() + document.raw, held + rest
        if at >= 0:
            self._document = None
        return text, rest


class _Document:
    """One document: gives the text of each error record once it is whole, and keeps no more than the next one.

    It begins with its root, so it declares no entities that could grow to something.

    Args:
        mark: the line before it, as it came.
    """

    def __init__(self, mark: bytes) -> None:
        self.raw = mark
        """What has come since the last whole record."""
        self._start = -len(mark)
        """Where in the document `raw` begins."""
        self._depth = 0
        self._record: list[str] | None = None
        self._texts: list[str] = []
        self._parser = parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self._on_start
        parser.EndElementHandler = self._on_end
        parser.CharacterDataHandler = self._on_text

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """Take the next part; return the text of the records that are whole.

        Raises:
            _Unreadable: it can't be read, or a record of it is too large.
        """
        self.raw += data
        try:
            self._parser.Parse(data, last)
        except expat.ExpatError:
            raise _Unreadable from None
        if len(self.raw) > LIMIT:
            raise _Unreadable
        return self.text()

    def text(self) -> bytes:
        """Return the text of the records that are whole, once."""
        text = unescaped("".join(self._texts))
        self._texts.clear()
        return text.encode("utf-8", "replace")

    def _on_start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._depth += 1
        if self._depth == 1 and name == "Objs":
            self._passed()
        elif self._depth == 1:
            raise _Unreadable
        elif self._depth == 2 and name == "S" and attributes.get("S", "").casefold() == "error":
            self._record = []

    def _on_end(self, name: str) -> None:
        self._depth -= 1
        if self._depth == 1:
            if self._record is not None:
                self._texts.append("".join(self._record))
                self._record = None
            self._passed()

    def _on_text(self, data: str) -> None:
        if self._record is not None:
            self._record.append(data)

    def _passed(self) -> None:
        """Let go of what has come up to the end of the tag that the reader is at."""
        at = self._parser.CurrentByteIndex - self._start
        end = self.raw.find(b">", at) + 1
        self.raw = self.raw[end:]
        self._start += end


def _prefixes(whole: bytes) -> bytes:
    """Return a pattern for the beginnings of a text, the whole of it left out."""
    return b"|".join(re.escape(whole[:size]) for size in range(len(whole) - 1, 0, -1))


_BEGUN = re.compile(b"(?:%s){0,%d}(?:%s|%s)?\\Z" % (_LINE, _MOST, _prefixes(b"#< CLIXML\r\n"), _prefixes(_ROOT)))
_BEGUN_OWED = re.compile(
    b"(?:%s){0,%d}(?:%s|%s)?\\Z" % (_LINE, _MOST, _prefixes(b"#< CLIXML\r\n"), _prefixes(b"<Objs Version="))
)


def _begun(data: bytes, *, owed: bool) -> re.Match[bytes]:
    """Return what at the end of the data may be the beginning of a document, or of the line before it."""
    longest = _MOST * len(b"#< CLIXML\r\n") + 16
    found = (_BEGUN_OWED if owed else _BEGUN).search(data, max(0, len(data) - longest))
    assert found is not None  # noqa: S101 - the end itself always is
    return found


def _overlap(data: bytes, mark: bytes) -> int:
    """Return how many bytes at the end of the data are the beginning of the mark."""
    for size in range(min(len(data), len(mark) - 1), 0, -1):
        if mark.startswith(data[len(data) - size :]):
            return size
    return 0
