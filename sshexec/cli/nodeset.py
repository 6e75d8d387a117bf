"""Many host names as one short text: ``h001 h002 h003 db1`` is ``h[001-003],db1``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby

_DIGITS = re.compile(r"([0-9]+)")

_Name = tuple[str, ...]
"""A name cut at its numbers: texts at the even places, numbers (or folded ranges) at the odd ones."""


def fold(names: Iterable[str]) -> str:
    """Return the names as one text, runs of numbers as ranges in brackets.

    Every number of a name may become a range, the last one first, so that ``10.0.0.1 10.0.0.2 10.0.1.1 10.0.1.2`` is
    ``10.0.[0-1].[1-2]``. Leading zeros are kept; each name stands for itself exactly once.

    Args:
        names: host names; of equal ones, the first counts.
    """
    cut: list[_Name] = [tuple(_DIGITS.split(name)) for name in dict.fromkeys(names)]
    deepest = max(map(len, cut), default=0)
    for place in range(deepest - 2, 0, -2):
        cut = _fold_place(cut, place)
    return ",".join("".join(name) for name in cut)


def _fold_place(names: list[_Name], place: int) -> list[_Name]:
    """Fold those names that differ in one place only."""
    alike: dict[tuple[_Name, _Name], list[str]] = {}
    for name in names:
        # Names that are too short for this place stay alone: nothing else has their empty rest.
        number = name[place] if place < len(name) else ""
        alike.setdefault((name[:place], name[place + 1 :]), []).append(number)
    folded: list[_Name] = []
    for (before, after), numbers in alike.items():
        if len(numbers) == 1:
            folded.append((*before, numbers[0], *after) if numbers[0] else before)
        else:
            folded.append((*before, _ranges(numbers), *after))
    return folded


def _ranges(numbers: list[str]) -> str:
    """Return numbers as ``[001-003,7]``."""
    padded = {len(number) for number in numbers if number.startswith("0") and len(number) > 1}
    # 099 and 100 belong to one padded range, 99 and 100 to one without padding.
    keyed = sorted((len(number) if len(number) in padded else 0, int(number)) for number in numbers)
    parts = []
    for _, group in groupby(enumerate(keyed), key=lambda item: (item[1][0], item[1][1] - item[0])):
        run = [pair for _, pair in group]
        first, last = (str(value).zfill(width) for width, value in (run[0], run[-1]))
        parts.append(first if first == last else f"{first}-{last}")
    return f"[{','.join(parts)}]"
