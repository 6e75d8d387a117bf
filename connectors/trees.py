"""Whole directories, to a host and back: files, directories and symbolic links with modes and, on request, times.

What is there already is asked in one round trip, and only files whose SHA-1 differs are sent, several at once
(`Connector.put_all`); one more round trip makes links and sets times. The host needs a POSIX shell; `stat` and `touch`
may be those of GNU, busybox or BSD. Other kinds of files (pipes, devices) are left out and named. A file with holes
arrives with the same content, its holes written out.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sshexec.connectors.base import Command, Connector, Deadline, Upload
from sshexec.connectors.files import LOOK, Found
from sshexec.connectors.output import Output
from sshexec.connectors.posix import all_or_nothing, operand, quote
from sshexec.connectors.source import SMALL
from sshexec.errors import HostError, TransferError

_PIECE = 2**20
_BATCH = 512
_LATEST = 2**40
"""Seconds since the epoch that a time may come to: systems don't take any number."""

_LISTING = 64 * 2**20
"""Bytes of a listing that are read at most: some hundred thousand files."""

_STAMP = """
stamp() { touch -h -d "@$1" "$2" 2>/dev/null || touch -d "@$1" "$2" 2>/dev/null || touch -h -t "$3" "$2" ||
touch -t "$3" "$2"; }
TZ=UTC0; export TZ
"""

_LIST = """
cd -- "$1" || exit 1
find . -exec sh -c 'for f do
k=o l= m=
if [ -L "$f" ]; then k=l l=$(readlink "$f"; echo x) l=${l%??}
elif [ -d "$f" ]; then k=d
elif [ -f "$f" ]; then k=f
fi
case $k in [df]) m=$(stat -c %a:%Y:%s "$f" 2>/dev/null || stat -f %Mp%Lp:%m:%z "$f") || exit 1 ;; esac
printf "%s\\\\0%s\\\\0%s\\\\0%s\\\\0" "$k" "$m" "$f" "$l"
done' sh {} +
"""


@dataclass(frozen=True, slots=True)
class Member:
    """Something in a tree.

    Args:
        name: its path below the tree's top; "" is the top itself.
        kind: file, directory, link or other.
        mode: permission bits of a file or directory.
        modified: when a file's content or a directory was last changed, seconds since the epoch.
        size: bytes of a file.
        link: where a symbolic link points to.
    """

    name: str
    kind: str
    mode: int = 0
    modified: int = 0
    size: int = 0
    link: str = ""


@dataclass(slots=True)
class Carried:
    """What the transfer of a tree came to.

    Args:
        sent: paths below the top of files that were transferred.
        same: how many files were the same already.
        left_out: paths of what is neither file, directory nor link.
    """

    sent: list[str] = field(default_factory=list)
    same: int = 0
    left_out: list[str] = field(default_factory=list)


def put_tree(
    connector: Connector[Any, Any],
    source: Path,
    path: str,
    deadline: Deadline,
    *,
    times: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Carried:
    """Make a directory of the host hold what a local one holds; what else is in it stays.

    Args:
        connector: an open connection to a POSIX host.
        source: the local directory.
        path: the host's; it is made where it is missing, its parent is not.
        deadline: by when.
        times: whether times of files and directories are those of this machine.
        progress: called with the number of bytes sent so far.

    Raises:
        TransferError: the local tree can't be read, or the host refused something.
        HostError: as `Connector.execute`.
    """
    members = list(_local(source))
    carried = Carried(left_out=[member.name for member in members if member.kind == "other"])
    top = _top(path)
    founds = _prepare(connector, top, members, deadline)
    uploads, modes = [], []
    for member, found in founds:
        sha1 = _sha1(source / member.name)
        at = f"{top}/{member.name}"
        if found.kind == "file" and found.sha1 == sha1:
            carried.same += 1
            if found.mode != member.mode:
                modes.append(f"chmod {member.mode:o} {quote(at)} || exit 1\n")
        else:
            uploads.append(Upload(source / member.name, at, member.mode, sha1))
            carried.sent.append(member.name)
    if uploads:
        connector.put_all(uploads, deadline, progress=progress)
    finish = modes + list(_links(top, members)) + (list(_stamps(top, members)) if times else [])
    # The directories' own modes last, from the inside out: one that is not writable takes nothing more.
    for member in reversed(members):
        if member.kind == "directory":
            finish.append(f"chmod {member.mode:o} {quote(_below(top, member.name))} || exit 1\n")
    _shell(connector, path, _STAMP + "".join(finish), deadline)
    return carried


def get_tree(
    connector: Connector[Any, Any],
    path: str,
    target: Path,
    deadline: Deadline,
    *,
    times: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Carried:
    """Make a local directory hold what one of the host holds; what else is in it stays.

    Args:
        connector: an open connection to a POSIX host.
        path: the host's directory.
        target: the local one; it is made where it is missing. Nothing is written outside it: a link in it that stands
            where a directory belongs is an error.
        deadline: by when.
        times: whether times of files and directories are those of the host.
        progress: called with the number of bytes received so far.

    Raises:
        TransferError: the host refused something.
        HostError: as `Connector.execute`.
        OSError: something can't be written here.
    """
    members = list(_remote(connector, path, deadline))
    carried = Carried(left_out=[member.name for member in members if member.kind == "other"])
    for member in members:
        if member.kind == "directory":
            place = target / member.name
            if not place.is_dir() or (member.name and place.is_symlink()):
                place.mkdir(mode=0o700)
    received = _Received(target, members, carried, times, progress)
    small = [member for member in received.wanted if member.size <= SMALL]
    top = _top(path)
    for at in range(0, len(small), _BATCH):
        batch = small[at : at + _BATCH]

        def take(number: int, content: bytes, batch: Sequence[Member] = batch) -> None:
            received.take(batch[number], content)

        connector.get_all([f"{top}/{member.name}" for member in batch], take, deadline)
    for member in received.wanted:
        if member.size > SMALL:
            received.fetch(connector, f"{top}/{member.name}", member, deadline)
    received.finish()
    return carried


class _Received:
    """The local side of `get_tree`."""

    def __init__(
        self,
        target: Path,
        members: Sequence[Member],
        carried: Carried,
        times: bool,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._target = target
        self._members = members
        self._carried = carried
        self._times = times
        self._progress = progress
        self._total = 0
        self.wanted = [member for member in members if member.kind == "file"]

    def _tell(self, done: int) -> None:
        if self._progress is not None:
            self._progress(self._total + done)

    def take(self, member: Member, content: bytes) -> None:
        """Write a file that came in one piece."""

        def write(handle: int) -> None:
            with os.fdopen(os.dup(handle), "wb") as file:
                file.write(content)

        self._write(member, write)
        self._total += len(content)
        self._tell(0)

    def fetch(self, connector: Connector[Any, Any], path: str, member: Member, deadline: Deadline) -> None:
        """Get a large file."""
        size = 0

        def receive(handle: int) -> None:
            nonlocal size
            with os.fdopen(os.dup(handle), "wb") as file:
                connector.get(path, file, deadline, progress=self._tell)
                size = file.tell()

        self._write(member, receive)
        self._total += size

    def _write(self, member: Member, fill: Callable[[int], None]) -> None:
        place = self._target / member.name
        temporary = place.parent / f".sshexec-{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(temporary, flags, 0o600)
        try:
            try:
                fill(handle)
                os.fchmod(handle, member.mode)
                if self._times:
                    os.utime(handle, (member.modified, member.modified))
            finally:
                os.close(handle)
            os.replace(temporary, place)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self._carried.sent.append(member.name)

    def finish(self) -> None:
        """Make links, and give directories their modes and times."""
        for member in self._members:
            if member.kind == "link":
                place = self._target / member.name
                if place.is_symlink() and os.readlink(place) == member.link:
                    continue
                temporary = place.parent / f".sshexec-{secrets.token_hex(8)}"
                os.symlink(member.link, temporary)
                try:
                    os.replace(temporary, place)
                except BaseException:
                    temporary.unlink()
                    raise
        for member in reversed(self._members):
            if member.kind == "directory":
                place = self._target / member.name
                place.chmod(member.mode)
                if self._times:
                    os.utime(place, (member.modified, member.modified))


def _local(top: Path) -> Iterator[Member]:
    """Return what is in a local tree, a directory before what is in it."""
    try:
        found = top.stat()
        yield Member("", "directory", stat.S_IMODE(found.st_mode), int(found.st_mtime))
        yield from _walk(top, "")
    except OSError as error:
        raise TransferError(f"can't read {error.filename}: {error.strerror}", path=str(top)) from None


def _walk(folder: Path, prefix: str) -> Iterator[Member]:
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        name = prefix + entry.name
        found = entry.stat(follow_symlinks=False)
        mode, modified = stat.S_IMODE(found.st_mode), int(found.st_mtime)
        if stat.S_ISLNK(found.st_mode):
            yield Member(name, "link", link=os.readlink(entry.path))
        elif stat.S_ISDIR(found.st_mode):
            yield Member(name, "directory", mode, modified)
            yield from _walk(Path(entry.path), f"{name}/")
        elif stat.S_ISREG(found.st_mode):
            yield Member(name, "file", mode, modified, found.st_size)
        else:
            yield Member(name, "other")


def _remote(connector: Connector[Any, Any], path: str, deadline: Deadline) -> Iterator[Member]:
    """Return what is in a tree of the host, a directory before what is in it.

    Raises:
        TransferError: it can't be listed, or a name in it leads out of it.
    """
    output = Output(2 * _LISTING)
    command = Command(f"set -- {quote(_top(path))}\n{_LIST}", about=("list", path))
    done = connector.execute(command, output, deadline)
    if done.rc or output.truncated:
        why = output.text("stderr").strip().splitlines()[-1:] or ["the listing is too long" if done.rc == 0 else ""]
        raise TransferError(f"{path}: can't be listed: {why[0]}", path=path)
    fields = output.stdout.decode("utf-8", "surrogateescape").split("\0")
    folders: set[str] = set()
    for at in range(0, len(fields) - 3, 4):
        kind, numbers, name, link = fields[at : at + 4]
        name = "" if name == "." else name.removeprefix("./")
        # A host that lies must not have anything written elsewhere.
        folder, _, last = name.rpartition("/")
        if name and (name.startswith("/") or folder not in folders or last in ("", ".", "..")):
            raise TransferError(f"{path}: the host names {name!r} in it", path=path)
        if not name and kind != "d":
            raise TransferError(f"{path}: it is not a directory", path=path)
        if kind == "d":
            folders.add(name)
        yield _member(path, kind, numbers, name, link)


def _member(path: str, kind: str, numbers: str, name: str, link: str) -> Member:
    kinds = {"d": "directory", "f": "file", "l": "link"}
    try:
        mode, modified, size = numbers.split(":") if numbers else ("0", "0", "0")
        member = Member(name, kinds.get(kind, "other"), int(mode, 8), int(modified), int(size), link)
        if not 0 <= member.mode <= 0o7777 or abs(member.modified) > _LATEST:
            raise ValueError
    except ValueError:
        raise TransferError(f"{path}: the host says {numbers!r} of {name!r}", path=path) from None
    return member


def _prepare(
    connector: Connector[Any, Any], top: str, members: Sequence[Member], deadline: Deadline
) -> list[tuple[Member, Found]]:
    """Make the directories and return every file with what is in its place."""
    parts = [LOOK]
    files = []
    for member in members:
        at = quote(_below(top, member.name))
        if member.kind == "directory":
            parts.append(f"[ -d {at} ] || mkdir -m 700 -- {at} || exit 1\n")
        elif member.kind == "file":
            parts.append(f"look {at}\n")
            files.append(member)
    text = _shell(connector, top, "".join(parts), deadline)
    lines = iter(text.split("\n"))
    try:
        return [(member, Found.read(lines)) for member in files]
    except ValueError as error:
        raise HostError(f"the host's answer about {top!r} is not understood: {error}") from error


def _links(top: str, members: Sequence[Member]) -> Iterator[str]:
    for member in members:
        if member.kind == "link":
            at, link = quote(_below(top, member.name)), quote(member.link)
            # A link is made under another name and moved, so that its place is never empty.
            temporary = quote(f"{os.path.dirname(_below(top, member.name))}/.sshexec-{secrets.token_hex(8)}")
            yield (
                f"if [ ! -L {at} ] || [ \"$(readlink {at}; echo x)\" != {link}'\nx' ]; then\n"
                f"[ -d {at} ] && [ ! -L {at} ] && {{ echo {at} is a directory >&2; exit 1; }}\n"
                f"ln -s -- {link} {temporary} && {{ mv -fT -- {temporary} {at} 2>/dev/null || "
                f"{{ rm -f -- {at} && mv -f -- {temporary} {at}; }} }} || {{ rm -f -- {temporary}; exit 1; }}\nfi\n"
            )


def _stamps(top: str, members: Sequence[Member]) -> Iterator[str]:
    for member in reversed(members):
        if member.kind in ("file", "directory"):
            when = time.strftime("%Y%m%d%H%M.%S", time.gmtime(member.modified))
            yield f"stamp {member.modified} {quote(_below(top, member.name))} {when} || exit 1\n"


def _shell(connector: Connector[Any, Any], path: str, script: str, deadline: Deadline) -> str:
    """Run a script of any length and return what it printed.

    Raises:
        TransferError: it ended with another status than 0.
    """
    output = Output(_LISTING)
    command = Command("exec /bin/sh", stdin=all_or_nothing(script), about=("tree", path))
    done = connector.execute(command, output, deadline)
    if done.rc:
        said = output.text("stderr").strip().splitlines()[-1:] or [f"exit status {done.rc}"]
        raise TransferError(f"{path}: {said[0]}", path=path)
    return output.stdout.decode("utf-8", "surrogateescape")


def _sha1(path: Path) -> str:
    digest = hashlib.new("sha1", usedforsecurity=False)
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except OSError as error:
        raise TransferError(f"can't read {path}: {error.strerror}", path=str(path)) from None
    return digest.hexdigest()


def _below(top: str, name: str) -> str:
    return f"{top}/{name}" if name else top


def _top(path: str) -> str:
    """Return a directory's path such that names can be put behind it."""
    return operand(path.rstrip("/") or "/.")
