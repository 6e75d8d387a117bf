"""Hosts' results as a page shows them: equal ones once, cut to what a page can hold, without secrets."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from sshexec.difference import unified
from sshexec.history.hiding import Needles
from sshexec.results import HostResult

BUDGET = 4 * 2**20
"""Characters that the different answers of one run may have in all."""

LONGEST = 32 * 2**10
"""Characters of one text of an answer, while less than half of the budget is spent."""

SHORTEST = 2**10
"""The same from there on; once the budget is spent, texts are left out."""

_SAID = frozenset(
    {
        *(
            "stdout",
            "stderr",
            "stdout_lines",
            "stderr_lines",
            "rc",
            "msg",
            "changed",
            "failed",
            "skipped",
            "unreachable",
        ),
        *("invocation", "diff", "cmd", "start", "end", "delta", "exception", "warnings", "skip_reason"),
    }
)
"""Keys of Ansible's dictionary that an answer has elsewhere, or that differ from host to host without a meaning."""


_HALVES = re.compile("[\ud800-\udfff]")


class Answers:
    """The different answers of one run.

    Args:
        needles: returns the secrets of a host.
        names: returns the names by which a host's own messages may call it.
        budget: characters in all.
    """

    def __init__(
        self,
        needles: Callable[[str], Needles] | None = None,
        names: Callable[[str], Collection[str]] | None = None,
        budget: int = BUDGET,
    ) -> None:
        self._needles = needles
        self._names = names or (lambda host: (host,))
        self._budget = budget
        self._spent = 0
        self._numbers: dict[bytes, int] = {}
        self.all: list[dict[str, Any]] = []
        """Each different one, at the place of its number."""

    def take(self, result: HostResult) -> tuple[int, bool]:
        """Return the number of a host's answer, and whether nobody has given it before.

        Hosts answer the same where status, exit status, message, output, difference and whatever else Ansible's
        dictionary has are equal; messages of failures may differ in the host's own name.
        """
        answer = self._answer(result)
        own = self._names(result.host) if not result.good else ()
        key = _digest({**answer, "msg": _without(answer["msg"], own), "phase": None})
        number = self._numbers.get(key)
        if number is not None:
            return number, False
        number = self._numbers[key] = len(self.all)
        self.all.append({"number": number, **self._cut(answer)})
        return number, True

    def _answer(self, result: HostResult) -> dict[str, Any]:
        data = _readable(dict(result.data))
        if self._needles is not None:
            data = self._needles(result.host).hidden(data)
        said = HostResult(result.host, result.status, data)
        rest = {name: value for name, value in data.items() if name not in _SAID}
        return {
            "status": result.status,
            "cause": result.cause,
            "phase": result.phase,
            "rc": said.rc,
            "changed": said.changed,
            "msg": said.why,
            "stdout": said.stdout,
            "stderr": said.stderr,
            "difference": "\n".join(unified(data.get("diff"))),
            "data": json.dumps(rest, indent=2, sort_keys=True, default=str) if rest else "",
            "warnings": [str(each)[:SHORTEST] for each in _listed(data.get("warnings"))],
            "notices": [str(notice.get("message", ""))[:SHORTEST] for notice in result.notices],
            "truncated": result.truncated,
        }

    def _cut(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Return an answer that fits into what is left of the budget."""
        limit = LONGEST if self._spent < self._budget // 2 else SHORTEST if self._spent < self._budget else 0
        for name in ("msg", "stdout", "stderr", "difference", "data"):
            text = answer[name]
            shown = shortened(text, limit)
            answer["truncated"] = answer["truncated"] or shown != text
            answer[name] = shown
            self._spent += len(shown)
        answer["warnings"], answer["notices"] = answer["warnings"][:10], answer["notices"][:10]
        return answer


def shortened(text: str, limit: int) -> str:
    """Return a text, or its beginning and its end with a note between them where it is longer.

    Args:
        text: the text.
        limit: characters that are kept.
    """
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = limit - head
    note = f"[... {len(text) - limit} characters are not shown ...]"
    return f"{text[:head]}\n{note}\n{text[len(text) - tail :]}" if limit else note


def _readable(value: Any) -> Any:
    """Return a value with U+FFFD in the place of what was no UTF-8, which JSON can't send."""
    if isinstance(value, str):
        return value if value.isascii() else _HALVES.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {_readable(name): _readable(item) for name, item in value.items()}
    return [_readable(item) for item in value] if isinstance(value, (list, tuple)) else value


def _listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, (list, tuple)) else () if value is None else (value,)


def _without(text: str, names: Collection[str]) -> str:
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name, "\0")
    return text


def _digest(answer: Mapping[str, Any]) -> bytes:
    # An answer's texts may hold surrogates, which ASCII writes as escapes.
    return hashlib.sha256(json.dumps(answer, sort_keys=True, default=str).encode("ascii")).digest()
