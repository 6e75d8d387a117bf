"""Encodings by the names that .NET has for them."""

from __future__ import annotations

import codecs

from sshexec.modules.wording import quoted

_NAMES = {
    "unicode": "utf-16-le",
    "utf-16": "utf-16-le",
    "utf-16be": "utf-16-be",
    "unicodefffe": "utf-16-be",
    "utf-32": "utf-32-le",
    "utf-32be": "utf-32-be",
    "us-ascii": "ascii",
    "ks_c_5601-1987": "cp949",
    "gb2312": "gbk",
    "x-mac-roman": "mac-roman",
    "macintosh": "mac-roman",
    "dos-720": "cp720",
    "dos-862": "cp862",
    "windows-874": "cp874",
}
"""Those that Python calls differently (`System.Text.Encoding.GetEncodings`)."""
_NO_CODE_PAGE = frozenset({"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined"})
"""Codecs of Python's own that make text of bytes."""


def codec(name: str) -> str:
    """Return Python's name of an encoding.

    Args:
        name: .NET's name of it, in any case, such as ``big5``, ``ibm850`` or ``windows-1252``; or a code page's number.

    Raises:
        LookupError: there is no such encoding; the message says so.
    """
    short = name.strip().lower()
    short = _NAMES.get(short, f"cp{short}" if short.isdecimal() else short)
    try:
        found = codecs.lookup(short)
        b"x".decode(found.name, "replace")  # a LookupError where it makes no text of bytes, such as base64
    except (LookupError, ValueError):
        raise LookupError(f"{quoted(name)} is no encoding") from None
    if found.name.replace("_", "-") in _NO_CODE_PAGE:
        raise LookupError(f"{quoted(name)} is no encoding")
    return found.name
