"""What runs an Ansible module on a host: a Python program with a place for the arguments, and where it is kept.

Building one takes half a second of CPU, so it is kept on disk for the runs that follow. It is run as root on every
host: what somebody else may have written, or what is damaged, is not taken.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sshexec.modules.arguments import Parameter

MOST_KEPT = 64
"""Payloads on disk; the oldest goes when another comes."""
LARGEST_KEPT = 8 * 2**20
"""Bytes of one payload on disk."""

_LOCK_POLL = 0.02
"""Seconds between two tries for the lock: waiting must not hold up the other greenlets of a process."""


@dataclass(frozen=True, slots=True)
class Payload:
    """A module as it is sent to a host, and what is known of it here.

    Args:
        version: of the ansible-core that built it.
        head: the program up to its arguments.
        tail: the program behind them.
        private: the private arguments that are the same for every run.
        action: full name of the module's controller part; "" where it has none.
        documented: whether its documentation tells all of its arguments.
        parameters: what it takes.
        watched: path, time of change and size of what it was made of; where one differs, it is out of date.
    """

    version: str
    head: bytes = field(repr=False)
    tail: bytes = field(repr=False)
    private: Mapping[str, Any] = field(repr=False)
    action: str
    documented: bool
    parameters: tuple[Parameter, ...] = field(repr=False)
    watched: tuple[tuple[str, int, int], ...] = field(repr=False)

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Payload:
        """Return the payload that `sshexec.modules.ansible.build` describes.

        Raises:
            LookupError, TypeError, ValueError, AttributeError: it describes none.
        """
        return cls(
            str(answer["version"]),
            answer["head"].encode("utf-8", "surrogateescape"),
            answer["tail"].encode("utf-8", "surrogateescape"),
            dict(answer["private"]),
            str(answer["action"]),
            bool(answer["documented"]),
            tuple(
                Parameter(each["name"], "raw", required=each["required"], aliases=tuple(each["aliases"]))
                for each in answer["parameters"]
            ),
            tuple((str(path), int(changed), int(size)) for path, changed, size in answer["watched"]),
        )

    def filled(self, arguments: Mapping[str, Any]) -> bytes:
        """Return the program with these arguments in it.

        Raises:
            TypeError, ValueError: an argument can't be written as JSON.
        """
        # The place is a Python literal that holds JSON, all of it ASCII.
        return b"".join((self.head, repr(json.dumps({"ANSIBLE_MODULE_ARGS": arguments})).encode("ascii"), self.tail))

    @property
    def fresh(self) -> bool:
        """Whether everything it was made of is as it was."""
        return all(state(path) == (changed, size) for path, changed, size in self.watched)


def state(path: str) -> tuple[int, int]:
    """Return a file's time of change in nanoseconds and its size; 0 and -1 where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return 0, -1
    return status.st_mtime_ns, status.st_size


class Shelf:
    """The directory where payloads are kept. Nothing that goes wrong with it stops a run.

    Args:
        folder: the directory; made when something is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of_user(cls) -> Shelf:
        """Return the one in the user's cache directory (XDG Base Directory Specification)."""
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        return cls(Path(os.path.expanduser(base), "sshexec", "payloads"))

    def get(self, key: str) -> Payload | None:
        """Return what is kept under a key, where it is whole, ours and up to date."""
        try:
            if not self._own(self._folder.lstat(), stat.S_ISDIR):
                return None
            with open(os.open(self._path(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                if not self._own(os.fstat(file.fileno()), stat.S_ISREG):
                    return None
                digest, _, body = file.read(LARGEST_KEPT + 1).partition(b"\n")
            if hashlib.sha256(body).hexdigest().encode() != digest:
                return None
            payload = Payload.from_answer(json.loads(body))
        except (OSError, LookupError, TypeError, ValueError, AttributeError):
            return None
        return payload if payload.fresh else None

    def put(self, key: str, answer: Mapping[str, Any]) -> None:
        """Keep what `sshexec.modules.ansible.build` answered."""
        body = json.dumps(answer).encode("ascii")
        if len(body) + 65 > LARGEST_KEPT:
            return
        with contextlib.suppress(OSError):
            self._make()
            handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=".new-")
            try:
                with open(handle, "wb") as file:
                    file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
                os.replace(temporary, self._path(key))
            except BaseException:
                os.unlink(temporary)
                raise
            self._tidy()

    @contextlib.contextmanager
    def alone(self, seconds: float) -> Iterator[None]:
        """Keep other processes from building meanwhile, for that long at most: one of them is enough.

        Args:
            seconds: how long to wait for another one; then it goes on without.
        """
        handle = -1
        with contextlib.suppress(OSError):
            self._make()
            handle = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            until = time.monotonic() + seconds
            while handle >= 0 and not _locked(handle) and time.monotonic() < until:
                time.sleep(_LOCK_POLL)
            yield
        finally:
            if handle >= 0:
                os.close(handle)

    def _make(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._own(self._folder.lstat(), stat.S_ISDIR):
            raise PermissionError(f"{self._folder} is not ours alone")

    def _own(self, status: os.stat_result, kind: Any) -> bool:
        return bool(kind(status.st_mode)) and status.st_uid == os.geteuid() and not status.st_mode & 0o022

    def _path(self, key: str) -> Path:
        return self._folder / hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()

    def _tidy(self) -> None:
        kept = [(entry.stat(follow_symlinks=False).st_mtime, entry.path) for entry in os.scandir(self._folder)]
        # The lock stays; what a killed process left unfinished goes with the rest.
        kept = sorted(each for each in kept if not each[1].endswith(".lock"))
        for _, path in kept[:-MOST_KEPT]:
            os.unlink(path)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without locks: better twice than never.
        return True
    return True
