"""known_hosts: what its files say of a host, read lazily and written by appending only.

A file is indexed by name once; keys are decoded only when their host is asked for, so a lookup costs the same in a
file of 10,000 lines. Hashed names each have a salt of their own, so that a name has to be tried on every line: that is
their purpose. It is avoided where the key is at hand, since only the lines with that very key have to be tried then.
Format: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".
"""

from __future__ import annotations

import base64
import binascii
import errno
import fcntl
import hmac
import os
import re
import stat
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import BinaryIO, Literal

from sshexec.connectors.ssh.keytypes import KINDS

_LOCK_LIMIT = 5.0
_LOCKED_FOR = 60.0
"""Seconds for which a file that somebody else kept locked is not waited for again."""

_LOCKED = "another process keeps it locked"
_HASHES_IN_A_ROW = 500
_FEW_HASHES = 200
"""Hashed names that are tried at once, before the host has shown a key."""

_LOOKED_AT_FOR = 0.5
"""Seconds for which a file is not looked at again: a run of many hosts asks for it twice a host."""

_TAIL = 256
"""Bytes before the end of what is indexed by which a file that was only appended to is told from one written anew."""


def known_name(host: str, port: int) -> str:
    """Return the name under which known_hosts holds a host."""
    return host.lower() if port == 22 else f"[{host.lower()}]:{port}"


def bare_name(name: str) -> str:
    """Return the host of a name in known_hosts, without brackets and port."""
    host, bracket, _ = name[1:].rpartition("]:")
    return host if name.startswith("[") and bracket else name


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One line of known_hosts.

    Args:
        kind: type of the key.
        encoded: the key in base64, as the line has it.
        path: the file.
        line: its line, counted from 1.
    """

    kind: str
    encoded: bytes
    path: str
    line: int

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

    def __str__(self) -> str:
        return f"{self.path} line {self.line}"


Mark = Literal["@revoked", "@cert-authority"]


class _Names:
    """The first field of a line: hashed, or a list with wildcards and negations.

    Args:
        field: as the line has it.
    """

    __slots__ = ("_code", "_patterns", "_salt")

    def __init__(self, field: bytes) -> None:
        self._patterns: list[tuple[bool, re.Pattern[str]]] = []
        self._salt = self._code = b""
        if field.startswith(b"|1|"):
            self._salt, self._code = _decode(field)
        else:
            self._patterns = _compile(field)

    def match(self, name: str) -> bool:
        """Return whether a name is meant."""
        if self._code:
            return hmac.digest(self._salt, os.fsencode(name), "sha1") == self._code
        return _matches(name, self._patterns)


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
        self._patterns: list[tuple[int, bytes, _Names]] = []
        self._marked: dict[bytes, list[tuple[int, bytes, _Names]]] = {b"@revoked": [], b"@cert-authority": []}
        self._hashed: list[tuple[int, bytes, bytes, bytes]] = []
        self._by_key: dict[bytes, list[tuple[int, bytes, bytes, bytes]]] = {}
        self._hashed_kinds: dict[bytes, None] = {}
        self._unhashed: dict[str, tuple[int, list[KnownKey]]] = {}
        self.marks = False
        """Whether some line has a mark."""
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
            marked = rest.split(None, 1)
            if names in self._marked and len(marked) == 2:
                self.marks = True
                self._marked[names].append((self._count, marked[1], _Names(marked[0])))
        elif names.startswith(b"|1|"):
            key = rest.split(None, 2)
            if len(key) >= 2:
                entry = (self._count, rest, *_decode(names))
                self._hashed_kinds[key[0]] = None
                self._by_key.setdefault(key[1], []).append(entry)
                self._hashed.append(entry)
        elif any(sign in names for sign in (b"*", b"?", b"!")):
            self._patterns.append((self._count, rest, _Names(names)))
        else:
            for name in names.lower().split(b","):
                self._names.setdefault(name, []).append((self._count, rest))

    def plain(self, name: str) -> Iterator[KnownKey]:
        """Yield the keys of a name that stands there in clear text or by wildcard."""
        for line, rest in self._names.get(os.fsencode(name), ()):
            yield from self._key(line, rest)
        for line, rest, names in self._patterns:
            if names.match(name):
                yield from self._key(line, rest)

    def hashed(self, name: str) -> list[KnownKey]:
        """Return the keys of a name that stands there as a hash, of which each line is tried."""
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

    def hashed_holds(self, name: str, kind: str, blob: bytes) -> bool:
        """Return whether a name stands there as a hash with this very key; only lines that hold it are tried."""
        text = os.fsencode(name)
        for _, rest, salt, code in self._by_key.get(base64.b64encode(blob), ()):
            if hmac.digest(salt, text, "sha1") == code and rest.split(None, 1)[0] == kind.encode():
                return True
        return False

    def hashed_kinds(self, name: str) -> list[str]:
        """Return the types of a name's keys, or where trying all hashes would take long, those of all hashed names."""
        count = len(self._hashed)
        if count <= _FEW_HASHES or self._unhashed.get(name, (-1, []))[0] == count:
            return [key.kind for key in self.hashed(name)]
        kinds = [kind.decode("ascii", "replace") for kind in list(self._hashed_kinds)]
        return [kind for kind in KINDS if kind in kinds]

    def marked(self, mark: Mark, name: str) -> Iterator[KnownKey]:
        """Yield the keys that are revoked for a name, or that certify it."""
        for line, rest, names in self._marked[mark.encode()]:
            if names.match(name):
                yield from self._key(line, rest)

    def _key(self, line: int, rest: bytes) -> Iterator[KnownKey]:
        fields = rest.split(None, 2)
        if len(fields) >= 2:
            yield KnownKey(fields[0].decode("ascii", "replace"), fields[1], self._path, line)


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

    def hashed_holds(self, name: str, kind: str, blob: bytes) -> bool:
        """Return whether a name stands there as a hash with this very key; far cheaper than `hashed`."""
        return self._index.hashed_holds(name, kind, blob)

    def hashed_kinds(self, name: str) -> list[str]:
        """Return the types of the keys that a name may have as a hash: exact where that is known or cheap to know."""
        return self._index.hashed_kinds(name)

    @property
    def marks(self) -> bool:
        """Whether it holds lines with a mark."""
        return self._index.marks

    def marked(self, mark: Mark, name: str) -> Iterator[KnownKey]:
        """Return the keys that are revoked for a name, or that certify it."""
        return self._index.marked(mark, name)

    def append(self, name: str, keys: Sequence[tuple[str, bytes]], seen: Collection[KnownKey] = ()) -> list[KnownKey]:
        """Add lines, under a lock that other processes respect; nothing that stands there is touched.

        Args:
            name: the host's name in known_hosts.
            keys: type and key of each line.
            seen: keys of the name that the caller has seen here, and adds to.

        Returns:
            All keys of the name where there are others than those seen, since somebody else has added them meanwhile:
            then nothing was added. Else nothing.

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
                known = [*self.plain(name), *self.hashed(name)]
                old = {(key.kind, key.encoded) for key in seen}
                if any((key.kind, key.encoded) not in old for key in known):
                    return known
                size = os.fstat(handle).st_size
                start = b"\n" if size and os.pread(handle, 1, size - 1) != b"\n" else b""
                lines = (b"%s %s %s\n" % (os.fsencode(name), k.encode(), base64.b64encode(b)) for k, b in keys)
                _write(handle, size, start + b"".join(lines))
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


def _decode(names: bytes) -> tuple[bytes, bytes]:
    """Return salt and digest of a hashed name; for a damaged one, what matches no name."""
    salt, _, digest = names[3:].partition(b"|")
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
