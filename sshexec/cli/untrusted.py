"""Text from hosts, made safe for a terminal.

What a host prints may hold escape sequences that retitle the window, move the cursor over other hosts' results or
answer questions on the operator's behalf; characters that turn the direction of writing can make a line read as
another. On a terminal they are shown, not obeyed.
"""

from __future__ import annotations

import re

_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and line feed, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction marks and overrides
    "\ud800-\udfff]"  # bytes that were not UTF-8
)


def harmless(text: str) -> str:
    r"""Return the text with control characters written out as ``\x1b``; tabs and line ends stay."""
    return _UNSAFE.sub(_written_out, text.replace("\r\n", "\n"))


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
