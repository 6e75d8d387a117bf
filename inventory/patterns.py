"""Ansible's host patterns: ``web:&prod:!web3``, ``web*``, ``~web[0-9]+``, ``web[0:2]``, ``@hosts.txt``."""

from __future__ import annotations

import difflib
import fnmatch
import ipaddress
import re
import warnings
from collections.abc import Callable, Iterable, Mapping

from sshexec.errors import InventoryError, PatternError
from sshexec.inventory.files import read_text
from sshexec.inventory.members import Group, Host, hosts_below
from sshexec.inventory.ranges import split_port

LOCALHOST = ("127.0.0.1", "localhost", "::1")
"""What means this machine where no source names it."""

_PART = re.compile(r"(?:[^\s:\[\]]|\[[^\]]*\])+")
_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")
_SUBSCRIPT = re.compile(r"(.+)\[(?:(-?[0-9]{1,18})|([0-9]{1,18})([:-])([0-9]{0,18}))\]", re.DOTALL)
_RANGE = re.compile(r"\[\w+:\w+(?::\d+)?\]")


def split_pattern(text: str) -> list[str]:
    """Split a pattern into its parts: at commas, else at the colons that belong to no address, range or subscript.

    Raises:
        PatternError: brackets are not balanced.
    """
    if "," in text:
        parts = text.split(",")
    elif _is_address(text):
        parts = [text]
    else:
        parts = _PART.findall(text)
        if _PART.sub("", text).strip(": \t\r\n"):
            # Left out, the bracket would leave a part that matches more.
            raise PatternError(f"the host pattern {text!r} has a '[' or ']' without its other half")
    return [part.strip() for part in parts if part.strip()]


class Selector:
    """Answers patterns over the members of an inventory.

    Args:
        hosts: every host by name, in the order of the sources.
        groups: every group by name.
        localhost: returns the host for a name in `LOCALHOST` that no source has.
    """

    def __init__(
        self, hosts: Mapping[str, Host], groups: Mapping[str, Group], localhost: Callable[[str], Host]
    ) -> None:
        self._hosts = hosts
        self._groups = groups
        self._localhost = localhost

    def select(self, pattern: str) -> list[Host]:
        """Return the hosts that a pattern means, each once.

        As in Ansible all plain parts are joined, then ``&`` parts cut down, then ``!`` parts taken away, wherever they
        stand. Where Ansible warns of a part that means nothing, this raises: a misspelt ``!part`` would run too much.

        Raises:
            PatternError: the pattern is wrong, or it or a part of it matches nothing.
        """
        try:
            return self._select(pattern)
        except PatternError as error:
            if "::" in pattern and "," not in pattern and not _is_address(pattern):
                error.message += "; an IPv6 address among other parts needs commas between them"
            raise

    def _select(self, pattern: str) -> list[Host]:
        parts = list(self._unfold(split_pattern(pattern)))
        if not parts:
            raise PatternError("the host pattern is empty; 'all' means every host")
        required = [part for part in parts if part[0] == "&"]
        excluded = [part for part in parts if part[0] == "!"]
        plain = [part for part in parts if part[0] not in "&!"] or ["all"]
        found: dict[str, Host] = {}
        for part in plain:
            # Of a host and a group of one name Ansible takes the host, but the group behind "&" and "!".
            for host in (self._hosts[part],) if part in self._hosts else self._part(part):
                found.setdefault(host.name, host)
        for part in required:
            wanted = {host.name for host in self._part(part[1:])}
            found = {name: host for name, host in found.items() if name in wanted}
        for part in excluded:
            for host in self._part(part[1:]):
                found.pop(host.name, None)
        if not found:
            reason = "no host is left" if required or excluded else "the inventory has no such host"
            raise PatternError(f"the host pattern {pattern!r} matches nothing: {reason}")
        return list(found.values())

    def _unfold(self, parts: Iterable[str]) -> Iterable[str]:
        """Replace each ``@file`` by the patterns on its lines."""
        for part in parts:
            if part[0] == "@":
                yield from _file_parts(part[1:])
            else:
                yield part

    def _part(self, part: str) -> Iterable[Host]:
        if part[:1] == "@":
            return self.select(",".join(_file_parts(part[1:])))
        if not part or part[0] in "&!":
            raise PatternError("a host pattern has an '&' or '!' with nothing behind it")
        if part == "~":
            raise PatternError("a host pattern has a '~' with no regular expression behind it; 'all' means every host")
        if part in self._hosts and part not in self._groups:
            return (self._hosts[part],)
        found = _SUBSCRIPT.fullmatch(part) if part[0] != "~" else None
        if found is None:
            return self._expression(part)
        hosts = self._expression(found[1], of=part)
        chosen = _subscript(hosts, found)
        if hosts and not chosen:
            raise PatternError(f"{part!r} matches nothing: {found[1]!r} has {len(hosts)} host(s), counted from 0")
        return chosen

    def _expression(self, expression: str, of: str = "") -> list[Host]:
        """Return the hosts of the groups that match; hosts by their own names only if no group does, or for globs."""
        matches = _matcher(expression)
        groups = [group for name, group in self._groups.items() if matches(name)]
        hosts = hosts_below(groups)
        if not groups or expression[0] == "~" or any(special in expression for special in ".?*["):
            hosts.update((name, host) for name, host in self._hosts.items() if name not in hosts and matches(name))
        if not hosts and not groups:
            if expression in LOCALHOST:
                return [self._localhost(expression)]
            behind = f" (of {of!r})" if of else ""
            raise PatternError(f"no host or group matches {expression!r}{behind}{self._suggestion(expression)}")
        return list(hosts.values())

    def _suggestion(self, expression: str) -> str:
        names = [*self._groups, *self._hosts]
        plain = _ZEROS.sub("", expression)
        close = [name for name in names if _ZEROS.sub("", name) == plain]
        if not close:
            # Of equally close ones the first of the inventory, not the last of the alphabet.
            found = set(difflib.get_close_matches(expression, names, n=len(names), cutoff=0.65))
            close = [name for name in names if name in found]
            close.sort(key=lambda name: -difflib.SequenceMatcher(None, name, expression).ratio())
        return f"; did you mean {close[0]!r}?" if close else ""


def _matcher(expression: str) -> Callable[[str], object]:
    try:
        if expression[0] == "~":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Of what a later Python may read otherwise: ``~[[]``.
                return re.compile(expression[1:]).match
        return re.compile(fnmatch.translate(expression)).match
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(f"the host pattern {expression!r} is no regular expression: {error}") from None


def _subscript(hosts: list[Host], found: re.Match[str]) -> list[Host]:
    """Return the hosts at an index, or from one through another (both count, unlike in Python)."""
    _, index, begin, _, end = found.groups()
    if index is None:
        return hosts[int(begin) : int(end) + 1 if end else None]
    position = int(index)
    return [hosts[position]] if -len(hosts) <= position < len(hosts) else []


def _is_address(text: str) -> bool:
    try:
        address, _ = split_port(text)
        return bool(ipaddress.IPv6Address(_RANGE.sub("0", address)))
    except ValueError:
        return bool(re.fullmatch(r"[\w.-]+(?::\d+)?", _RANGE.sub("0", text)))


def _file_parts(path: str) -> list[str]:
    try:
        text = read_text(path)
    except InventoryError as error:
        raise PatternError(f"@{error.path}: {error.message}") from None
    lines = [line.strip() for line in text.splitlines()]
    parts = [part for line in lines if line and line[0] != "#" for part in split_pattern(line)]
    if not parts:
        raise PatternError(f"@{path}: holds no pattern")
    if any(part.lstrip("&!")[:1] == "@" for part in parts):
        raise PatternError(f"@{path}: a file of patterns can't name another one")
    return parts
