"""known_hosts: which host keys are trusted, read lazily and written by appending only.

A file is indexed by name once; keys are decoded only when their host is asked for, so a lookup costs the same in a
file of 10,000 lines. Hashed names have to be tried one by one (that is their purpose) and are asked last. Format:
sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".
"""

from __future__ import annotations

import base64
import binascii
import errno
import fcntl
import hashlib
import hmac
import os
import re
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Any, BinaryIO, Literal

from sshexec.errors import ChangedHostKeyError, UnknownHostKeyError

Policy = Literal["strict", "accept-new", "off"]

_LOCK_LIMIT = 5.0
_LOCKED_FOR = 60.0
"""Seconds for which a file that somebody else kept locked is not waited for again."""

_LOCKED = "another process keeps it locked"
_HASHES_IN_A_ROW = 500

_LOOKED_AT_FOR = 0.5
"""Seconds for which a file is not looked at again: a run of many hosts asks for it twice a host."""


_TAIL = 256
"""Bytes before the end of what is indexed by which a file that was only appended to is told from one written anew."""


def fingerprint(blob: bytes) -> str:
    """Return the fingerprint of a public key as OpenSSH shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).rstrip(b"=").decode()


def known_name(host: str, port: int) -> str:
    """Return the name under which known_hosts holds a host."""
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"


@dataclass(frozen=True, slots=True)
class Learned:
    """A host key that was trusted on first sight.

    Args:
        name: the host's name in known_hosts.
        kind: type of the key.
        fingerprint: SHA256 fingerprint.
        path: the file it was added to; None where it could not be saved and holds for this run only.
        problem: why it could not be saved; "" where it was.
    """

    name: str
    kind: str
    fingerprint: str
    path: str | None
    problem: str = ""

    def notice(self) -> dict[str, Any]:
        """Return it as one of `Connector.notices`."""
        where = (
            f"saved in {self.path}" if self.path is not None else f"not saved, holds for this run only: {self.problem}"
        )
        return {
            "notice": "host_key_learned",
            "message": f"new host key of {self.name} accepted: {self.kind} {self.fingerprint} ({where})",
            "name": self.name,
            "kind": self.kind,
            "fingerprint": self.fingerprint,
            "path": self.path,
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One line of known_hosts.

    Args:
        kind: type of the key.
        encoded: the key in base64, as the line has it.
        path: the file.
        line: its line, counted from 1.
        revoked: whether the line forbids the key.
    """

    kind: str
    encoded: bytes
    path: str
    line: int
    revoked: bool = False

    @property
    def blob(self) -> bytes:
        """The key itself; empty where the line is damaged."""
        try:
            return base64.b64decode(self.encoded, validate=True)
        except binascii.Error:
            return b""

    def holds(self, blob: bytes) -> bool:
        """Return whether this is that key."""
        return self.encoded == base64.b64encode(blob) or self.blob == blob


class _Index:
    """What a known_hosts file says, by name.

    Others read it while lines are added: of each line they see all or nothing, since it takes effect with one step.

    Args:
        path: the file, for the keys.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._count = 0
        self._names: dict[bytes, list[tuple[int, bytes]]] = {}
        self._patterns: list[tuple[int, bytes, list[tuple[bool, re.Pattern[str]]]]] = []
        self._hashed: list[tuple[int, bytes, bytes, bytes]] = []
        self._unhashed: dict[str, tuple[int, list[KnownKey]]] = {}
        self._revoked: list[tuple[int, bytes]] = []
        self.end = 0
        """Where what is appended begins; 0 where the last line had no end, and the next change needs a new index."""
        self.tail = b""
        """What stood before the end."""

    def add(self, data: bytes) -> None:
        """Add what stands behind the end."""
        for line in data.splitlines():
            self._count += 1
            self._add_line(line)
        self.end = self.end + len(data) if data.endswith(b"\n") else 0
        self.tail = (self.tail + data)[-_TAIL:]

    def _add_line(self, line: bytes) -> None:
        fields = line.split(None, 1)
        if len(fields) < 2 or fields[0].startswith(b"#"):
            return
        names, rest = fields
        if names.startswith(b"@"):
            if names == b"@revoked":
                self._revoked.append((self._count, rest))
        elif names.startswith(b"|1|"):
            salt, _, digest = names[3:].partition(b"|")
            self._hashed.append((self._count, rest, *_decode(salt, digest)))
        elif any(sign in names for sign in (b"*", b"?", b"!")):
            self._patterns.append((self._count, rest, _compile(names)))
        else:
            for name in names.lower().split(b","):
                self._names.setdefault(name, []).append((self._count, rest))

    def plain(self, name: str) -> Iterator[KnownKey]:
        """Yield the keys of a name that stands there in clear text or by wildcard."""
        for line, rest in self._names.get(os.fsencode(name), ()):
            yield from self._key(line, rest)
        for line, rest, patterns in self._patterns:
            if _matches(name, patterns):
                yield from self._key(line, rest)

    def hashed(self, name: str) -> list[KnownKey]:
        """Return the keys of a name that stands there as a hash."""
        count = len(self._hashed)
        tried, found = self._unhashed.get(name, (-1, []))
        if tried != count:
            text = os.fsencode(name)
            digest = hmac.digest
            lines = []
            for at, (line, rest, salt, code) in enumerate(self._hashed):
                if digest(salt, text, "sha1") == code:
                    lines.append((line, rest))
                if at % _HASHES_IN_A_ROW == 0:
                    time.sleep(0)  # the other hosts' greenlets have deadlines too
            found = [key for line, rest in lines for key in self._key(line, rest)]
            self._unhashed[name] = (count, found)
        return found

    def revoked(self, name: str) -> Iterator[KnownKey]:
        """Yield the keys that must not be used for a name."""
        text = os.fsencode(name)
        for line, marked in self._revoked:
            names, _, rest = marked.partition(b" ")
            if names.startswith(b"|1|"):
                salt, _, digest = names[3:].partition(b"|")
                salt, digest = _decode(salt, digest)
                found = hmac.digest(salt, text, "sha1") == digest
            else:
                found = _matches(name, _compile(names))
            if found:
                yield from self._key(line, rest, revoked=True)

    def _key(self, line: int, rest: bytes, revoked: bool = False) -> Iterator[KnownKey]:
        fields = rest.split(None, 2)
        if len(fields) >= 2:
            yield KnownKey(fields[0].decode("ascii", "replace"), fields[1], self._path, line, revoked)


class KnownHostsFile:
    """One known_hosts file, indexed by name.

    Args:
        path: the file; one that is missing, or is not a regular file, holds nothing.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._looked = 0.0
        self._locked_until = 0.0
        self._seen: tuple[int, int, int] | None = None
        """Inode, size and time of change of what is indexed."""
        self._index = _Index(path)
        """Replaced as a whole where the file was changed: lookups take no lock, and go on in the one they began in."""

    def refresh(self, now: bool = False) -> None:
        """Read what was appended since the last time, or the whole file where it was changed otherwise.

        Args:
            now: look at the file even if that was just done.
        """
        if not now and time.monotonic() - self._looked < _LOOKED_AT_FOR:
            return
        with self._lock:
            self._refresh()
            self._looked = time.monotonic()

    def _refresh(self) -> None:
        try:
            now = os.stat(self.path)
            if not stat.S_ISREG(now.st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            state = (now.st_ino, now.st_size, now.st_mtime_ns)
            if state == self._seen:
                return
            with open(self.path, "rb") as file:
                index, data = self._read(file, state)
        except OSError:
            if self._seen is not None:
                self._seen = None
                self._index = _Index(self.path)
            return
        index.add(data)
        self._index = index
        self._seen = state

    def _read(self, file: BinaryIO, state: tuple[int, int, int]) -> tuple[_Index, bytes]:
        """Return the index in use and what was appended, or an empty one and the whole file."""
        index = self._index
        if self._seen is not None and self._seen[0] == state[0] and 0 < index.end < state[1]:
            file.seek(index.end - len(index.tail))
            data = file.read()
            if data.startswith(index.tail):
                return index, data[len(index.tail) :]
            file.seek(0)  # written anew in place
        return _Index(self.path), file.read()

    def plain(self, name: str) -> Iterator[KnownKey]:
        """Return the keys of a name that stands there in clear text or by wildcard."""
        return self._index.plain(name)

    def hashed(self, name: str) -> list[KnownKey]:
        """Return the keys of a name that stands there as a hash."""
        return self._index.hashed(name)

    def revoked(self, name: str) -> Iterator[KnownKey]:
        """Return the keys that must not be used for a name."""
        return self._index.revoked(name)

    def append(self, name: str, kind: str, blob: bytes) -> list[KnownKey]:
        """Add a line, under a lock that other processes respect; nothing that stands there is touched.

        Returns:
            Keys that somebody else has added for the name meanwhile: then none was added. Else nothing.

        Raises:
            OSError: it can't be written.
        """
        folder = os.path.dirname(self.path)
        if folder and not os.path.lexists(folder):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            with self._lock:
                self._lock_file(handle)
                self._refresh()
                if known := [*self.plain(name), *self.hashed(name)]:
                    return known
                size = os.fstat(handle).st_size
                start = b"\n" if size and os.pread(handle, 1, size - 1) != b"\n" else b""
                _write(handle, size, start + b"%s %s %s\n" % (os.fsencode(name), kind.encode(), base64.b64encode(blob)))
                self._refresh()
            return []
        finally:
            os.close(handle)  # which gives up the lock

    def _lock_file(self, handle: int) -> None:
        if time.monotonic() < self._locked_until:
            raise OSError(errno.EAGAIN, _LOCKED)
        try:
            _lock_file(handle)
        except OSError:
            # The next hosts need not wait as long, one after another.
            self._locked_until = time.monotonic() + _LOCKED_FOR
            raise


class HostKeys:
    """The host keys that a context trusts, over all files that its hosts name."""

    def __init__(self) -> None:
        self._files: dict[str, KnownHostsFile] = {}
        self._lock = threading.Lock()
        self._session: dict[str, list[KnownKey]] = {}

    def _open(self, paths: Sequence[str], now: bool = False) -> list[KnownHostsFile]:
        files = []
        with self._lock:
            for path in paths:
                if path not in self._files:
                    self._files[path] = KnownHostsFile(path)
                files.append(self._files[path])
        for file in files:
            file.refresh(now)
        return files

    def _plain(self, name: str, files: list[KnownHostsFile]) -> list[KnownKey]:
        return [*(key for file in files for key in file.plain(name)), *self._session.get(name, ())]

    def kinds(self, name: str, paths: Sequence[str]) -> list[str]:
        """Return the types of the keys known for a name, so that the host is asked for one of those."""
        files = self._open(paths)
        known = self._plain(name, files) or [key for file in files for key in file.hashed(name)]
        return list(dict.fromkeys(key.kind for key in known))

    def check(self, name: str, kind: str, blob: bytes, paths: Sequence[str], policy: Policy) -> Learned | None:
        """Check the key that a host has shown; return what was learned where it was trusted on first sight.

        Args:
            name: the host's name in known_hosts (`known_name`).
            kind: type of the key, as known_hosts names it.
            blob: the key.
            paths: files to look into; a new key is added to the first.
            policy: what to do with a host that is not known.

        Raises:
            UnknownHostKeyError: nothing is known of the host, and the policy is strict.
            ChangedHostKeyError: another key is known, or this one is revoked.
        """
        if policy == "off":
            return None
        files = self._open(paths)
        if not any(True for file in files for _ in file.revoked(name)):
            if any(key.kind == kind and key.holds(blob) for key in self._plain(name, files)):
                return None
            self._open(paths, now=True)  # before anybody is turned away
        shown = f"{kind} {fingerprint(blob)}"
        for file in files:
            for key in file.revoked(name):
                if key.holds(blob):
                    raise ChangedHostKeyError(
                        f"the host key of {name} is revoked ({shown}; {key.path} line {key.line}): "
                        "do not connect before you know why"
                    )
        known = self._plain(name, files)
        if any(key.kind == kind and key.holds(blob) for key in known):
            return None
        known += [key for file in files for key in file.hashed(name)]
        if known:
            _compare(name, kind, blob, known)
            return None
        if policy == "strict":
            raise UnknownHostKeyError(
                f"the host key of {name} is not known ({shown}): compare the fingerprint and add the key to "
                f"{paths[0] if paths else 'a known_hosts file'}, or allow "
                "StrictHostKeyChecking=accept-new (on the command line: --host-key-checking accept-new)"
            )
        return self._learn(name, kind, blob, files)

    def _learn(self, name: str, kind: str, blob: bytes, files: list[KnownHostsFile]) -> Learned | None:
        problem = "no known_hosts file is named"
        if files:
            try:
                known = files[0].append(name, kind, blob)
            except OSError as error:
                problem = f"{files[0].path}: {error.strerror or error}"
            else:
                if known:
                    _compare(name, kind, blob, known)
                    return None
                return Learned(name, kind, fingerprint(blob), files[0].path)
        with self._lock:
            known = self._session.get(name, [])
            if not known:
                self._session[name] = [KnownKey(kind, base64.b64encode(blob), "this run", 0)]
        if known:
            _compare(name, kind, blob, known)
            return None
        return Learned(name, kind, fingerprint(blob), None, problem)


def _compare(name: str, kind: str, blob: bytes, known: list[KnownKey]) -> None:
    """Check a key against those that are known for its name, of which there are some.

    Raises:
        ChangedHostKeyError: it is none of them.
    """
    if any(key.kind == kind and key.holds(blob) for key in known):
        return
    old = next((key for key in known if key.kind == kind), known[0])
    raise ChangedHostKeyError(
        f"the host key of {name} has changed: the host shows {kind} {fingerprint(blob)}, {old.path} line {old.line} "
        f"holds {old.kind} {fingerprint(old.blob)}; if the host was set up anew, remove that line"
    )


def _compile(names: bytes) -> list[tuple[bool, re.Pattern[str]]]:
    """Return the patterns of a line's first field, each with whether it is negated."""
    patterns = []
    for part in os.fsdecode(names).lower().split(","):
        negated = part.startswith("!")
        # Only * and ? are special in known_hosts: the brackets of [host]:port stand for themselves.
        text = part.removeprefix("!").replace("[", "[[]")
        patterns.append((negated, re.compile(translate(text))))
    return patterns


def _matches(name: str, patterns: list[tuple[bool, re.Pattern[str]]]) -> bool:
    """Return whether a name is meant: some pattern matches it, and no negated one does."""
    found = False
    for negated, pattern in patterns:
        if pattern.match(name):
            if negated:
                return False
            found = True
    return found


def _decode(salt: bytes, digest: bytes) -> tuple[bytes, bytes]:
    """Return salt and digest of a hashed name; for a damaged one, what matches no name."""
    try:
        return binascii.a2b_base64(salt), binascii.a2b_base64(digest)
    except binascii.Error:
        return b"", b""


def _write(handle: int, size: int, text: bytes) -> None:
    """Append a text whole, or nothing of it, to a file of that size.

    Raises:
        OSError: it does not fit.
    """
    written = os.write(handle, text)
    if written < len(text):
        # Half a line would be taken for another key of that host. Who heeds no lock may have written behind it.
        if os.fstat(handle).st_size == size + written:
            os.ftruncate(handle, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _lock_file(handle: int) -> None:
    """Lock a file against other processes, without blocking the other greenlets of this one.

    Raises:
        OSError: another process holds it for too long.
    """
    give_up = time.monotonic() + _LOCK_LIMIT
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise OSError(errno.EAGAIN, _LOCKED) from None
            time.sleep(0.01)
        else:
            return
