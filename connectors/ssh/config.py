"""ssh_config(5): which of its options apply to a host.

``paramiko.SSHConfig`` (5.1) is not used: it has no Include and no IgnoreUnknown, forgets files and lines, compiles
every pattern again for every host (1 ms a host with 100 blocks), takes ``[a-z]`` in a pattern for a set, splits quotes
and comments its own way, and needs Invoke for ``Match exec``. What is read here follows ``readconf.c`` of OpenSSH 9.2;
`tests/connectors/test_ssh_config.py` compares it with ``ssh -G``.

A file becomes a tree of settings and blocks once; a look-up walks the tree and keeps the first value of each option.
"""

from __future__ import annotations

import functools
import glob
import logging
import os
import stat
import threading
import time
from collections.abc import Callable
from typing import Any

from sshexec.connectors.ssh import keywords
from sshexec.connectors.ssh.keywords import Setting
from sshexec.connectors.ssh.matching import Condition, Query, host_condition, match_condition, pattern_list
from sshexec.errors import OptionError

log = logging.getLogger("sshexec.connectors.ssh")

SYSTEM_FILE = "/etc/ssh/ssh_config"
_DEEPEST = 16
"""Files that may include one another (``READCONF_MAX_DEPTH``)."""
_LARGEST = 4 * 2**20
_MOST_KEPT = 16
FRESH = 0.05
"""Seconds for which the files are not looked at again: a run plans a thousand hosts in that time."""

_State = tuple[int, int, int] | None


class Block:
    """Settings and blocks that apply together.

    Args:
        condition: whether they apply to a query; None where they always do.
    """

    __slots__ = ("condition", "items")

    def __init__(self, condition: Condition | None = None) -> None:
        self.condition = condition
        self.items: list[Setting | Block] = []


class SshConfig:
    """The settings of one set of files, read once.

    Args:
        file: what ``-F`` names, "none" for no file; None for the user's and the system's own files.
        home: the user's home folder.

    Raises:
        OptionError: a file is wrong; file and line are named.
    """

    def __init__(self, file: str | None, home: str) -> None:
        self._home = home
        self._states: dict[str, _State] = {}
        self._globs: dict[str, list[str]] = {}
        self._ignored: list[Callable[[str], bool]] = []
        self._roots: list[Block] = []
        self.unknown: list[Setting] = []
        """Keywords that nobody knows, and that no IgnoreUnknown before them names."""
        self.final = False
        """Whether a block asks for a second look, with the name that HostName gave (``Match final``)."""
        if file is None:
            self._root(os.path.join(home, ".ssh", "config"), user=True, guarded=True)
            self._root(SYSTEM_FILE, user=False)
        elif file.lower() != "none" and not self._root(os.path.expanduser(file), user=True):
            raise OptionError(f"option -F: can't read {file}")
        self.chains: dict[Any, Any] = {}
        """Ways through jump hosts that were worked out with these settings, kept by `resolve`."""
        self._checked = time.monotonic()

    def look_up(self, query: Query) -> None:
        """Add what applies to a host to the query's settings.

        Raises:
            OptionError: a keyword is not known, or a ``Match exec`` does not come to an end.
        """
        for setting in self.unknown:
            ignored = query.found.get("ignoreunknown")
            if ignored is None or not pattern_list(ignored.value, lower=True)(setting.key):
                raise OptionError(
                    f"{setting.name}: no such option (IgnoreUnknown {setting.name} passes it over)",
                    path=setting.path,
                    line=setting.line,
                )
        for root in self._roots:
            _walk(root.items, query)
        if self.final:
            query.begin_final()
            for root in self._roots:
                _walk(root.items, query)

    def fresh(self) -> bool:
        """Return whether the files are as they were read."""
        now = time.monotonic()
        if now - self._checked < FRESH:
            return True
        if any(_state(path) != state for path, state in self._states.items()):
            return False
        if any(sorted(glob.glob(pattern)) != found for pattern, found in self._globs.items()):
            return False
        self._checked = now
        return True

    def _root(self, path: str, *, user: bool, guarded: bool = False) -> bool:
        root = Block()
        self._roots.append(root)
        return self._read(path, root, user, guarded, 0)

    def _read(self, path: str, into: Block, user: bool, guarded: bool, depth: int) -> bool:
        """Read one file; return False where there is none that can be read."""
        self._states[path] = _state(path)
        try:
            with open(path, "rb", opener=_open) as file:
                self._check(path, os.fstat(file.fileno()), guarded)
                data = file.read(_LARGEST + 1)
        except OSError as error:
            log.debug("%s: %s", path, error.strerror)
            if depth and not isinstance(error, FileNotFoundError):
                raise OptionError(f"can't be read: {error.strerror}", path=path) from None
            return False
        if len(data) > _LARGEST or b"\0" in data:
            raise OptionError("is no ssh_config file", path=path)
        shown = self._shown(path)
        target = into
        for line, text in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
            try:
                name, rest = keywords.keyword(text)
            except ValueError as error:
                raise OptionError(str(error), path=shown, line=line) from None
            if not name or name.startswith("#"):
                continue
            if not rest:
                raise OptionError(f"{name}: a value is missing", path=shown, line=line)
            key = name.lower()
            try:
                if key in ("host", "match"):
                    target = Block(
                        host_condition(keywords.words(rest)) if key == "host" else self._match(rest, (shown, line))
                    )
                    into.items.append(target)
                elif key == "include":
                    self._include(keywords.words(rest), target, user, depth, (shown, line))
                else:
                    self._set(name, rest, target, shown, line, system=not user)
            except ValueError as error:
                if isinstance(error, OptionError):
                    raise
                raise OptionError(f"{name}: {error}", path=shown, line=line) from None
        return True

    def _match(self, rest: str, where: tuple[str, int]) -> Condition:
        condition, final = match_condition(rest, where)
        self.final |= final
        return condition

    def _set(self, name: str, rest: str, into: Block, shown: str, line: int, *, system: bool) -> None:
        found = keywords.setting(name, rest, shown, line, system=system)
        if found is None:
            key = name.lower()
            if not any(matches(key) for matches in self._ignored):
                self.unknown.append(Setting(key, name, rest, shown, line))
            return
        if found.key == "ignoreunknown":
            self._ignored.append(pattern_list(found.value, lower=True))
        into.items.append(found)

    def _include(self, names: list[str], into: Block, user: bool, depth: int, where: tuple[str, int]) -> None:
        """Read included files into the block that includes them: nothing in them applies where that does not."""
        for name in names:
            if not name or (name.startswith("~") and not user):
                raise ValueError(f"a path is empty or can't begin with ~ here: {name!r}")
            folder = os.path.join(self._home, ".ssh") if user else os.path.dirname(SYSTEM_FILE)
            pattern = os.path.join(folder, os.path.expanduser(name))
            found = self._globs[pattern] = sorted(glob.glob(pattern))
            for path in found:
                if depth + 1 >= _DEEPEST:
                    raise OptionError(f"Include: files are nested over {_DEEPEST} deep", path=where[0], line=where[1])
                block = Block()
                into.items.append(block)
                self._read(path, block, user, True, depth + 1)

    def _check(self, path: str, found: os.stat_result, guarded: bool) -> None:
        """Refuse what is no file, and files that others than the user and root can write."""
        if not stat.S_ISREG(found.st_mode) and path != os.devnull:
            raise OptionError("is not a file", path=path)
        if guarded and (found.st_uid not in (0, os.getuid()) or not _private(found)):
            raise OptionError("others than you and root own this file or can write it", path=path)

    def _shown(self, path: str) -> str:
        home = self._home.rstrip("/")
        return f"~{path[len(home) :]}" if home and path.startswith(f"{home}/") else path


def _walk(items: list[Setting | Block], query: Query) -> None:
    found = query.found
    for item in items:
        if isinstance(item, Setting):
            if item.key in _SPECIAL:
                query.add(item)
            else:
                found.setdefault(item.key, item)
        elif item.condition is None or item.condition(query):
            _walk(item.items, query)


_SPECIAL = frozenset({"identityfile", "certificatefile", "proxy"})
"""Options of which not simply the first counts."""


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)  # a FIFO would wait for a writer


def _state(path: str) -> _State:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _private(found: os.stat_result) -> bool:
    """Return whether nobody but its owner and root can write a file (Debian's OpenSSH allows a group of one)."""
    if found.st_mode & stat.S_IWOTH:
        return False
    return not found.st_mode & stat.S_IWGRP or _alone(found.st_gid, found.st_uid)


@functools.lru_cache(maxsize=64)
def _alone(group: int, user: int) -> bool:
    """Return whether a group has no other member than this user."""
    import grp
    import pwd

    try:
        name = pwd.getpwuid(user).pw_name
        members = {*grp.getgrgid(group).gr_mem, *(entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == group)}
    except KeyError:
        return False
    return members == {name}


_lock = threading.Lock()
_kept: dict[tuple[str | None, str, str], SshConfig] = {}


def load(file: str | None) -> SshConfig:
    """Return the settings of the files; they are read again only where one has changed.

    Args:
        file: what ``-F`` names, "none" for no file; None for the user's and the system's own files.

    Raises:
        OptionError: a file is wrong.
    """
    key = (file, os.environ.get("HOME") or os.path.expanduser("~"), SYSTEM_FILE)
    config = _kept.get(key)
    if config is not None and config.fresh():
        return config
    with _lock:
        config = _kept.get(key)
        if config is None or not config.fresh():
            config = SshConfig(file, key[1])
            while len(_kept) >= _MOST_KEPT:
                del _kept[next(iter(_kept))]
            _kept[key] = config
    return config
