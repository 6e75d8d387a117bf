"""Which hosts' answers are alike to a person, though each names its own host: 300 refused connections are one line."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sshexec.difference import contents
from sshexec.errors import InputError
from sshexec.results import HostResult, RunResult
from sshexec.templating import render

if TYPE_CHECKING:
    from sshexec.inventory.model import Inventory

_ADDRESSES = ("ansible_host", "ansible_ssh_host")
_OWN = "\0"
"""Stands for a host's own name where texts are compared; no message holds it."""
_WORD = re.compile(r"[\w-]+(?:\.[\w-]+)*")
"""What may be a name or an address; IPv6 apart. Words are compared whole: h1 is no part of h10 or of h1.example."""
_KILLED = re.compile(r"^(?:.*[ \t])?(?:Terminated|Killed)\b.*\n?", re.MULTILINE)
"""What some shells say on standard error when the command they wait for is killed, and others do not."""
_TRIED = re.compile(r", \d+ times in \d+ s(?=:|$)")
"""How often a connection was tried, after pauses at random."""


class Names:
    """The names by which each host's messages may call it: its inventory name and its address.

    Args:
        inventory: the hosts; None where only their names are known.
        variables: variables that win over the hosts' own.
    """

    def __init__(self, inventory: Inventory | None = None, variables: Mapping[str, Any] | None = None) -> None:
        self._inventory = inventory
        self._variables = variables or {}
        self._known: dict[str, set[str]] = {}

    def hide(self, text: str, host: str) -> str:
        """Return a text with the host's own names replaced by a mark, and without what is left to chance."""
        if host not in self._known:
            self._known[host] = {name.lower() for name in (host, *self._addresses(host))}
        names = self._known[host]
        for name in names:
            if ":" in name:
                text = re.sub(re.escape(name), _OWN, text, flags=re.IGNORECASE)
        text = _TRIED.sub("", text)
        return _WORD.sub(lambda word: _OWN if word[0].lower() in names else word[0], text)

    def _addresses(self, host: str) -> list[str]:
        if self._inventory is None:
            return []
        variables = {**self._inventory.variables(host), **self._variables}
        try:
            values = [render(variables.get(name), variables, host) for name in _ADDRESSES]
        except InputError:
            return []
        return [value for value in values if isinstance(value, str) and value]


@dataclasses.dataclass(frozen=True, slots=True)
class Alike:
    """Hosts whose answers are alike.

    Args:
        hosts: their names, in the order of the run.
        result: the first one's result, with what is the same on all of them.
    """

    hosts: tuple[str, ...]
    result: HostResult


def groups(result: RunResult, names: Names) -> list[Alike]:
    """Fold the hosts by equal answer, the largest group first.

    As `RunResult.groups`, except that messages of failures may differ in the host's own name, that it does not count
    whether a shell has told that its command was killed, and that differences in files (``--diff``) must be equal.
    """
    folded: dict[tuple[Any, ...], list[HostResult]] = {}
    for name, host in result.items():
        msg = host.msg if host.good else names.hide(host.msg, name)
        changes = repr(contents(host.data.get("diff")))
        key = (host.status, host.rc, msg, host.stdout, _stderr(host), host.cause, changes)
        folded.setdefault(key, []).append(host)
    return [_alike(results) for results in sorted(folded.values(), key=len, reverse=True)]


def _alike(results: list[HostResult]) -> Alike:
    first, *others = results
    missing = object()
    # What differs from host to host, such as a path, is nobody's answer here.
    data = {k: v for k, v in first.data.items() if all(other.data.get(k, missing) == v for other in others)}
    if "msg" in first.data and "msg" not in data:
        data["msg"] = f"{first.host}: {first.msg}"
    if "stderr" in first.data and "stderr" not in data:
        data["stderr"] = _stderr(first)
    if "diff" in first.data and "diff" not in data:
        data["diff"] = first.data["diff"]  # it names each host's own path
    return Alike(tuple(one.host for one in results), dataclasses.replace(first, data=data))


def _stderr(result: HostResult) -> str:
    return _KILLED.sub("", result.stderr) if result.status == "cancelled" else result.stderr
