"""A file of this machine that goes to many hosts: found, read and hashed once a run."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from sshexec.errors import ArgumentError, HostError

_PIECE = 2**20
_VAULT = b"$ANSIBLE_VAULT;"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a file's content.

    Args:
        sha1: in hexadecimal, as the two below.
        md5: likewise.
        size: bytes.
        mode: permission bits.
        vault: whether it is encrypted with Ansible Vault.
    """

    sha1: str
    md5: str
    size: int
    mode: int
    vault: bool = False


class LocalFile:
    """A local path; many hosts' threads may ask at once, the first one reads.

    Args:
        given: the path as the user wrote it; ``~`` is expanded.
        path: where it is; None is the path itself.
    """

    def __init__(self, given: str, path: Path | None = None) -> None:
        self.given = given
        self.path = located(given) if path is None else path
        self._lock = threading.Lock()
        self._facts: Facts | None = None
        self._content: bytes | None = None

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory, or a link to one."""
        return os.path.isdir(self.path)  # False too where the name is too long to be any

    def facts(self) -> Facts:
        """Return what is known about the content.

        Raises:
            HostError: the file is missing or unreadable; every host's result says so.
        """
        with self._lock:
            if self._facts is None:
                self._facts = self._hash()
            return self._facts

    def plain(self) -> Facts:
        """Return what is known about the content, which is not encrypted.

        Raises:
            HostError: as `facts`, or it is encrypted.
        """
        facts = self.facts()
        if facts.vault:
            raise HostError(f"A vault password or secret must be specified to decrypt {self.path}")
        return facts

    def content(self) -> bytes:
        """Return the content.

        Raises:
            HostError: as `facts`.
        """
        with self._lock:
            if self._content is None:
                try:
                    self._check_kind()
                    self._content = self.path.read_bytes()
                except OSError as error:
                    raise self._unreadable(error) from error
            return self._content

    def _hash(self) -> Facts:
        sha1, md5 = (hashlib.new(name, usedforsecurity=False) for name in ("sha1", "md5"))
        size, vault = 0, False
        try:
            self._check_kind()
            with self.path.open("rb") as opened:
                mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
                while piece := opened.read(_PIECE):
                    vault = vault or (size == 0 and piece.startswith(_VAULT))
                    sha1.update(piece)
                    md5.update(piece)
                    size += len(piece)
        except OSError as error:
            raise self._unreadable(error) from error
        return Facts(sha1.hexdigest(), md5.hexdigest(), size, mode, vault)

    def _check_kind(self) -> None:
        # Opening a pipe, or reading a device, may take for ever.
        if not stat.S_ISREG(self.path.stat().st_mode):
            raise HostError(f"'{self.given}' is not a regular file")

    def _unreadable(self, error: OSError) -> HostError:
        if isinstance(error, FileNotFoundError):
            return HostError(_missing(self.given))
        return HostError(f"Could not read '{self.given}': {error.strerror}")


def located(given: str) -> Path:
    """Return the absolute path of a local file; ``~`` is expanded.

    Raises:
        ArgumentError: it is relative, and the current directory is gone.
    """
    try:
        return Path(os.path.abspath(os.path.expanduser(given)))
    except FileNotFoundError:
        raise ArgumentError(f"{given!r} is relative to the current directory, which has been removed") from None


def searched(given: str) -> tuple[Path, ...]:
    """Return where a file that is to be sent may be, best first: as Ansible's ad-hoc, below ``files`` or right here.

    Raises:
        ArgumentError: as `located`.
    """
    right_here = located(given)
    if given.startswith(("/", "~")):
        return (right_here,)
    return located(os.path.join("files", given)), right_here


def shared(given: str) -> LocalFile:
    """Return a local file, the same object for all who ask while the file stays as it is: the first one reads it.

    Hosts whose arguments differ in another place, such as a templated destination, still send the same file.

    Raises:
        ArgumentError: as `located`.
    """
    places = searched(given)
    for path in places:
        try:
            status = os.stat(path)
        except OSError:
            continue
        key = (given, str(path), status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        return _SHARED.setdefault(key, LocalFile(given, path))
    return LocalFile(given, places[-1])


def _missing(given: str) -> str:
    places = searched(given)
    slash = "/" if given.endswith("/") else ""
    below = "\nSearched in:" + "".join(f"\n\t{place}{slash}" for place in places) if len(places) > 1 else ""
    return not_there(given, below)


def not_there(given: object, below: str = "") -> str:
    """Return Ansible's message for a local file that can't be had.

    Args:
        given: its path.
        below: where it was looked for.
    """
    return (
        f"Could not find or access '{given}'{below} on the Ansible Controller.\n"
        "If you are using a module and expect the file to exist on the remote, see the remote_src option"
    )


_SHARED: WeakValueDictionary[tuple[object, ...], LocalFile] = WeakValueDictionary()


def given_content(value: Any) -> bytes:
    """Return a content as Ansible writes it: a text, number or boolean as it is, anything with structure as JSON.

    Raises:
        ValueError: it is neither; the message says so.
    """
    try:
        text = str(value) if isinstance(value, (str, bool, int, float)) else json.dumps(value)
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("content holds half a surrogate pair, which no text does") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"content is neither a text nor what JSON can hold: {error}") from None


def facts_of(content: bytes) -> Facts:
    """Return the facts of a content that is no file."""
    digests = [hashlib.new(name, content, usedforsecurity=False).hexdigest() for name in ("sha1", "md5")]
    return Facts(digests[0], digests[1], len(content), 0o600)


@dataclass(frozen=True, slots=True)
class Entry:
    """Something below a directory.

    Args:
        name: its path relative to the directory.
        file: the file; None for a directory or link.
        link: where a link points to, for one that stays a link; None for a file or directory.
    """

    name: str
    file: LocalFile | None = None
    link: str | None = None


class Tree:
    """A local directory that goes to many hosts, walked once a run.

    Args:
        path: where it is.
        follow: whether links are followed; one that leads nowhere stays a link.
    """

    def __init__(self, path: Path, *, follow: bool = True) -> None:
        self.path = path
        self._follow = follow
        self._lock = threading.Lock()
        self._entries: tuple[Entry, ...] | None = None

    def entries(self) -> tuple[Entry, ...]:
        """Return everything below, a directory before what it holds.

        Raises:
            HostError: a directory is unreadable, or links lead in a circle.
        """
        with self._lock:
            if self._entries is None:
                self._entries = tuple(self._walk(self.path, "", (os.path.realpath(self.path),)))
            return self._entries

    def _walk(self, folder: Path, prefix: str, above: tuple[str, ...]) -> Iterator[Entry]:
        try:
            names = sorted(os.listdir(folder))
        except OSError as error:
            raise HostError(f"Could not read '{folder}': {error.strerror}") from error
        for name in names:
            path = folder / name
            if path.is_symlink() and not (self._follow and path.exists()):
                yield Entry(prefix + name, link=os.readlink(path))
                continue
            if not path.is_dir():
                yield Entry(prefix + name, shared(str(path)))
                continue
            real = os.path.realpath(path)
            if real in above:
                raise HostError(f"'{path}' links back to a directory that holds it")
            yield Entry(prefix + name)
            yield from self._walk(path, f"{prefix}{name}/", (*above, real))
