"""Host names with ranges and ports: ``web[01:20]``, ``db[a:c]:2222``, ``[2001:db8::1]:22``."""

from __future__ import annotations

import re
import string

MAX_NAMES = 1_000_000
"""How many names one text may stand for; a slip of the finger must not fill the memory."""

_BRACKETED_PORT = re.compile(r"\[([^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*)\]:(\d+)", re.ASCII)
_PORT = re.compile(r"((?:[^:\[\]]|\[[^\]]*\])*):(\d+)", re.ASCII)
_RANGE = re.compile(r"\[([^\[\]]*)\]")
_NUMBER = re.compile(r"\d+", re.ASCII)


def split_port(text: str) -> tuple[str, int | None]:
    """Split ``host:port`` and ``[address]:port``; a bare IPv6 address has no port.

    Raises:
        ValueError: the port is out of range.
    """
    if ":" not in text:
        return text, None
    found = _BRACKETED_PORT.fullmatch(text) or _PORT.fullmatch(text)
    if not found:
        return text, None
    port = int(found[2][:6])
    if not 1 <= port <= 65535:
        raise ValueError(f"port {found[2]} of {text!r} is not between 1 and 65535")
    return found[1], port


def expand(text: str) -> list[str]:
    """Return the names that a text with ranges ``[begin:end]`` or ``[begin:end:step]`` stands for; both ends count.

    The grammar is Ansible's: several ranges in a name, an empty begin is 0, a zero-padded begin pads to its width, and
    single letters count through a..z, A..Z. Stricter than Ansible, which lets it pass: a range that counts backwards.

    Raises:
        ValueError: a range is wrong, or there are too many names.
    """
    if "[" not in text and "]" not in text:
        return [text]
    literals: list[str] = []
    ranges: list[list[str]] = []
    position = total = 0
    for found in _RANGE.finditer(text):
        names = _count(text, found[1])
        total = max(total, 1) * len(names)
        if total > MAX_NAMES:
            raise ValueError(f"{text!r} stands for more than {MAX_NAMES} hosts")
        literals.append(text[position : found.start()])
        ranges.append(names)
        position = found.end()
    literals.append(text[position:])
    if any("[" in literal or "]" in literal for literal in literals):
        raise ValueError(f"{text!r} has a bracket without its partner")
    names = [literals[0]]
    for choices, literal in zip(ranges, literals[1:], strict=True):
        names = [f"{head}{choice}{literal}" for head in names for choice in choices]
    return names


def _count(text: str, bounds: str) -> list[str]:
    parts = bounds.split(":")
    if len(parts) not in (2, 3):
        raise ValueError(f"[{bounds}] in {text!r} is no range: write [begin:end] or [begin:end:step]")
    begin, end = parts[0] or "0", parts[1]
    step = _step(text, parts[2]) if len(parts) == 3 else 1
    if not end:
        raise ValueError(f"the range [{bounds}] in {text!r} has no end")
    if len(begin) == len(end) == 1 and begin in string.ascii_letters and end in string.ascii_letters:
        first, last = string.ascii_letters.index(begin), string.ascii_letters.index(end)
        if first > last:
            raise ValueError(f"the range [{bounds}] in {text!r} counts backwards")
        return list(string.ascii_letters[first : last + 1 : step])
    if not (_NUMBER.fullmatch(begin) and _NUMBER.fullmatch(end)):
        raise ValueError(f"the range [{bounds}] in {text!r} needs two numbers or two letters")
    return _numbers(text, bounds, begin, end, step)


def _numbers(text: str, bounds: str, begin: str, end: str, step: int) -> list[str]:
    width = len(begin) if begin[0] == "0" and len(begin) > 1 else 0
    if width and width != len(end):
        raise ValueError(f"begin and end of the zero-padded range [{bounds}] in {text!r} differ in length")
    if len(begin) > 18 or len(end) > 18:
        raise ValueError(f"the range [{bounds}] in {text!r} is out of all measure")
    numbers = range(int(begin), int(end) + 1, step)
    if not numbers:
        raise ValueError(f"the range [{bounds}] in {text!r} counts backwards")
    if len(numbers) > MAX_NAMES:
        raise ValueError(f"{text!r} stands for more than {MAX_NAMES} hosts")
    return [f"{number:0{width}d}" for number in numbers] if width else [str(number) for number in numbers]


def _step(text: str, step: str) -> int:
    if not _NUMBER.fullmatch(step) or len(step) > 18 or not int(step):
        raise ValueError(f"the step {step!r} in {text!r} must be a number above 0")
    return int(step)
