"""One task that real Ansible and this project are both given, and the files it meets."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pwd import getpwnam
from typing import Any


@dataclass(frozen=True)
class File:
    """A file of a tree.

    Args:
        content: text (UTF-8) or bytes.
        mode: permission bits.
        owner: user; None is the login user of the test.
        mtime: seconds since the epoch; None is now.
    """

    content: str | bytes = ""
    mode: int = 0o644
    owner: str | None = None
    mtime: int | None = None


@dataclass(frozen=True)
class Dir:
    """A directory of a tree."""

    mode: int = 0o755
    owner: str | None = None


@dataclass(frozen=True)
class Link:
    """A symbolic link of a tree; ``{t}`` in its target is the target directory."""

    to: str


@dataclass(frozen=True)
class Fifo:
    """A named pipe of a tree."""


Entry = File | Dir | Link | Fifo


@dataclass(frozen=True)
class Case:
    """A task and where it runs. In every text ``{t}`` is the target's directory, ``{l}`` the controller's.

    Args:
        name: unique within its module.
        args: as for `Engine.run`.
        module: empty is the module that the test file is about.
        target: files that are on the target before, by path below ``{t}``; directories on the way are made.
        local: files that the controller has, by path below ``{l}``.
        check: check mode.
        diff: diff mode.
        keywords: further keywords of the task that both know (``environment``, ``no_log``, ``timeout``).
        variables: further host variables.
        users: who runs it: ``user`` is the login user, ``root`` is become with sudo.
        times: compare times of modification too.
        fetched: compare what the controller has afterwards too.
        facts: compare those of Ansible's facts that we give, and not what we don't.
        ignore: keys of the result that are not compared, for what can't be the same twice (``outer.inner`` within a
            key); say why beside it.
    """

    name: str
    args: str | Mapping[str, Any] | None = None
    module: str = ""
    target: Mapping[str, Entry] = field(default_factory=dict)
    local: Mapping[str, Entry] = field(default_factory=dict)
    check: bool = False
    diff: bool = False
    keywords: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    users: Iterable[str] = ("user", "root")
    times: bool = False
    fetched: bool = False
    facts: bool = False
    ignore: tuple[str, ...] = ()


def filled(value: Any, places: Mapping[str, str]) -> Any:
    """Return a value with ``{t}`` and ``{l}`` in its texts filled in."""
    if isinstance(value, str):
        for name, place in places.items():
            value = value.replace(f"{{{name}}}", place)
        return value
    if isinstance(value, Mapping):
        return {filled(name, places): filled(each, places) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [filled(each, places) for each in value]
    return value


def build(folder: Path, tree: Mapping[str, Entry], owner: str, places: Mapping[str, str]) -> None:
    """Make a directory that holds exactly this tree.

    Args:
        folder: where; what is there is removed.
        tree: what it holds.
        owner: whose what has no other owner is.
        places: what ``{t}`` and ``{l}`` are.
    """
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    # The directory itself stays: a process may have it as its current one.
    for each in folder.iterdir():
        shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    _own(folder, owner)
    for name, entry in tree.items():
        path = folder / filled(name, places)
        for parent in reversed([*path.relative_to(folder).parents][:-1]):
            if not (folder / parent).exists():
                (folder / parent).mkdir()
                _own(folder / parent, owner)
        if isinstance(entry, File):
            content = entry.content
            path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"))
        elif isinstance(entry, Dir):
            path.mkdir(exist_ok=True)
        elif isinstance(entry, Link):
            path.symlink_to(filled(entry.to, places))
        else:
            os.mkfifo(path)
        _own(path, getattr(entry, "owner", None) or owner)
        if isinstance(entry, (File, Dir)):
            path.chmod(entry.mode)
        if isinstance(entry, File) and entry.mtime is not None:
            os.utime(path, (entry.mtime, entry.mtime))


def seen(folder: Path, *, times: bool = False) -> dict[str, tuple[Any, ...]]:
    """Return what a directory holds: by path, kind, permission bits, owner, group, and content or link target."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        held: Any = None
        if stat.S_ISLNK(status.st_mode):
            held = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            held = path.read_bytes()
        more = (round(status.st_mtime),) if times and stat.S_ISREG(status.st_mode) else ()
        kind, bits = stat.filemode(status.st_mode)[0], f"{stat.S_IMODE(status.st_mode):04o}"
        found[os.path.relpath(path, folder)] = (kind, bits, status.st_uid, status.st_gid, held, *more)
    return found


def _own(path: Path, owner: str) -> None:
    if os.geteuid() == 0:
        user = getpwnam(owner)
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
