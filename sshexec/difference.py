"""A module's ``diff`` as unified lines, as Ansible prints it with ``--diff``."""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_SKIPPED = {
    "dst_binary": "the file on the host is binary: no difference is shown",
    "src_binary": "the new file is binary: no difference is shown",
    "dst_larger": "the file on the host is larger than {} bytes: no difference is shown",
    "src_larger": "the new file is larger than {} bytes: no difference is shown",
}
_WHEN = ("before", "after")
_MOST_LINES = 10_000
"""More would take seconds to compare where hardly a line is the same."""
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def unified(diff: Any) -> list[str]:
    """Return the lines, without their ends; none where nothing differs or the shape is not known.

    Args:
        diff: what a result has under that key: one difference or a list of them.
    """
    parts = diff if isinstance(diff, list) else [diff]
    if not all(isinstance(part, Mapping) for part in parts):
        return []
    return [line for part in parts for line in _lines(part)]


def contents(diff: Any) -> list[Any]:
    """Return what differs, without the paths of files, for comparing hosts with each other."""
    parts = diff if isinstance(diff, list) else [diff]
    return [
        [value for key, value in sorted(part.items()) if not key.endswith("_header")]
        if isinstance(part, Mapping)
        else part
        for part in parts
    ]


def _lines(part: Mapping[str, Any]) -> Iterator[str]:
    for key, text in _SKIPPED.items():
        if key in part:
            yield text.format(part[key])
    if "before" in part and "after" in part:
        before, after = (_text_lines(part[when]) for when in _WHEN)
        old, new = (f"{when}: {part[f'{when}_header']}" if f"{when}_header" in part else when for when in _WHEN)
        if before != after and max(len(before), len(after)) > _MOST_LINES:
            yield from (f"--- {old}", f"+++ {new}", f"@@ more than {_MOST_LINES} lines: no difference is shown @@")
            return
        yield from _compared(tuple(before), tuple(after), old, new)
    if isinstance(part.get("prepared"), str):
        yield from part["prepared"].removesuffix("\n").split("\n")


@functools.lru_cache(maxsize=16)
def _compared(before: tuple[str, ...], after: tuple[str, ...], old: str, new: str) -> list[str]:
    """Return the lines of a difference; hosts that had the same file before have the same one."""
    lines = difflib.unified_diff(before, after, old, new)
    return [each for line in lines for each in line.removesuffix("\n").split("\n")]


def _text_lines(value: Any) -> list[str]:
    """Return the lines of a text, or of a mapping as JSON; only line feeds end one."""
    if value is None:
        return []
    text = value if isinstance(value, str) else json.dumps(value, indent=4, sort_keys=True, default=str) + "\n"
    lines = _LINE.findall(text)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n\\ No newline at end of file\n"
    return lines
