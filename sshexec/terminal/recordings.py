"""Recordings of sessions: where they are, which there are, what was typed in them."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, cast

from sshexec.errors import ArgumentError, InputError, NoSuchSessionError, TerminalError
from sshexec.terminal.asciicast import FORMATS, LONGEST_LINE, CastEvent, read_events, read_header
from sshexec.terminal.commands import Command
from sshexec.terminal.folder import CAST, INDEX, Folder, is_name, new_name
from sshexec.terminal.observer import SessionInfo
from sshexec.terminal.recording import Full, Recording

LIMIT = 256 * 1024 * 1024
"""Bytes that one recording may have unless another limit is set."""

_SMALLEST = 64 * 1024
_TAIL = 4096

RecordingState = Literal["running", "ended", "broken"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is known of a recording.

    Args:
        name: made when it began.
        host: inventory name.
        owner: whose session it was.
        session: the session's identifier.
        command: what ran instead of the login shell; None for that.
        started: seconds since the epoch.
        seconds: how long it is.
        bytes: how large its file is.
        columns: how wide the terminal was at first.
        rows: how high.
        format: of asciicast.
        state: ``running``, ``ended``, or ``broken`` where its process was killed; it is playable all the same.
        reason: why it ended, as `sshexec.terminal.events.Ended` has it, or ``full``.
        exit_status: the program's.
    """

    name: str
    host: str
    owner: str
    session: str
    command: str | None
    started: float
    seconds: float
    bytes: int
    columns: int
    rows: int
    format: int
    state: RecordingState
    reason: str | None = None
    exit_status: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, each key always there."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Typed(Command):
    """A command of a recording.

    Args:
        at: seconds from the recording's beginning.
    """

    at: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"time": self.time, "user": self.user, "text": self.text, "at": self.at}


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was let go of.

    Args:
        names: of the recordings.
        bytes: that their files had.
        kept: how many are left.
        dry: whether they are all still there.
        problems: a line for each that could not be removed.
    """

    names: tuple[str, ...]
    bytes: int
    kept: int
    dry: bool
    problems: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "recordings": list(self.names),
            "bytes": self.bytes,
            "kept": self.kept,
            "dry": self.dry,
            "problems": list(self.problems),
        }


class Recordings:
    """A folder of recordings.

    Args:
        folder: where it is; it is made with 0700, and one that others may look into is refused.
        format: of asciicast: 2, which every player has, or 3.
        input: whether what is typed is recorded too; never what is not shown, such as a password.
        limit: bytes that one recording may have.
        full: what happens at the limit: ``end`` ends the session, so that nothing goes on that nobody records;
            ``stop`` ends only the recording.

    Raises:
        ArgumentError: an argument is wrong.
        InputError: the folder can't be used.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        format: int = 2,
        input: bool = False,
        limit: int = LIMIT,
        full: Full = "end",
    ) -> None:
        if format not in FORMATS or isinstance(format, bool):
            raise ArgumentError(f"format: expected 2 or 3, got {format!r:.40}")
        if not isinstance(input, bool):
            raise ArgumentError(f"input: expected True or False, got {input!r:.40}")
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < _SMALLEST:
            raise ArgumentError(f"limit: expected {_SMALLEST} bytes or more, got {limit!r:.40}")
        if full not in ("end", "stop"):
            raise ArgumentError(f"full: expected end or stop, got {full!r:.40}")
        self._folder = Folder(folder)
        self._format, self._input, self._limit, self._full = format, input, limit, full

    def __repr__(self) -> str:
        return f"Recordings({str(self._folder.path)!r})"

    @property
    def folder(self) -> str:
        """Where they are."""
        return str(self._folder.path)

    def begin(self, info: SessionInfo) -> Recording:
        """Begin the recording of a session; the session is to be given what is returned as an observer.

        Args:
            info: of the session.

        Raises:
            TerminalError: it can't be recorded.
        """
        name = new_name(info.host, info.started)
        try:
            return Recording(
                self._folder, name, info, format=self._format, input=self._input, limit=self._limit, full=self._full
            )
        except OSError as error:
            raise TerminalError(f"the session can't be recorded: {error.strerror}") from None

    # ------------------------------------------------------------------ what there is

    def list(
        self, *, host: str | None = None, owner: str | None = None, limit: int | None = None
    ) -> Sequence[Recorded]:
        """Return which recordings there are, the latest first.

        Args:
            host: only those of this one.
            owner: only those of this one.
            limit: so many at most; None for all.

        Raises:
            InputError: the folder can't be read.
        """
        wanted = (each for each in self.each() if host in (None, each.host) and owner in (None, each.owner))
        return [*itertools.islice(wanted, limit)]

    def each(self) -> Iterator[Recorded]:
        """Yield them all, the latest first; what is no recording is left out.

        Raises:
            InputError: the folder can't be read.
        """
        for name in self._folder.names():
            recorded = self._read(name)
            if recorded is not None:
                yield recorded

    def get(self, name: object) -> Recorded:
        """Return what is known of a recording.

        Args:
            name: as `list` has it; whatever else it is, nothing is opened by it.

        Raises:
            NoSuchSessionError: there is no such recording.
        """
        recorded = self._read(name) if isinstance(name, str) and is_name(name) else None
        if recorded is None:
            raise _missing()
        return recorded

    def open(self, name: object) -> BinaryIO:
        """Open a recording's file, to be read; its last line may be broken off.

        Raises:
            NoSuchSessionError: there is no such recording.
        """
        return self._open(name, CAST)

    def _open(self, name: object, suffix: str) -> BinaryIO:
        if not isinstance(name, str) or not is_name(name):
            raise _missing()
        try:
            return os.fdopen(self._folder.open(name + suffix), "rb")
        except OSError:
            raise _missing() from None

    def events(self, name: object) -> Iterator[CastEvent]:
        """Yield what happened in a recording.

        Raises:
            NoSuchSessionError: there is no such recording.
        """
        with self.open(name) as file:
            head = read_header(file)
            if head is None:
                raise _missing()
            yield from read_events(file, head["version"])

    def commands(self, name: object) -> Sequence[Typed]:
        """Return what was typed as commands in a recording, on best effort (`sshexec.terminal.commands`).

        Raises:
            NoSuchSessionError: there is no such recording.
        """
        self.get(name)
        return self._commands(cast("str", name))

    def _commands(self, name: str) -> Sequence[Typed]:
        try:
            file = self._open(name, INDEX)
        except NoSuchSessionError:
            return []
        found = []
        with file:
            while text := file.readline(LONGEST_LINE):
                each = _entry(text).get("command")
                if isinstance(each, dict) and isinstance(each.get("text"), str):
                    found.append(
                        Typed(_number(each, "time"), str(each.get("user", "")), each["text"], _number(each, "at"))
                    )
        return found

    def search(self, text: str, *, limit: int | None = None) -> Sequence[tuple[Recorded, Sequence[Typed]]]:
        """Return the recordings in which a command was typed that has a text in it, and those commands.

        Args:
            text: part of a command; upper and lower case are one.
            limit: so many recordings at most; None for all.

        Raises:
            ArgumentError: the text is empty.
            InputError: the folder can't be read.
        """
        if not isinstance(text, str) or not text:
            raise ArgumentError(f"text: expected a part of a command, got {text!r:.40}")
        found: list[tuple[Recorded, Sequence[Typed]]] = []
        for name in self._folder.names():
            if limit is not None and len(found) >= limit:
                break
            commands = self.matching(name, text)
            if commands and (recorded := self._read(name)) is not None:
                found.append((recorded, commands))
        return found

    def matching(self, name: str, text: str) -> Sequence[Typed]:
        """Return the commands of one recording that have a text in them; upper and lower case are one.

        Args:
            name: the recording's.
            text: part of a command.
        """
        wanted = text.casefold()
        return [each for each in self._commands(name) if wanted in each.text.casefold()]

    def _read(self, name: str) -> Recorded | None:
        try:
            file = self._open(name, CAST)
        except NoSuchSessionError:
            return None
        with file:
            head = read_header(file)
            ours = None if head is None else head.get("sshexec")
            if head is None or not isinstance(ours, dict):
                return None
            found = os.fstat(file.fileno())
            running = _is_locked(file.fileno())
        size = head if head["version"] == 2 else head.get("term")
        size = size if isinstance(size, dict) else {}
        ended = self._ended(name)
        started = _number(ours, "started")
        command = ours.get("command")
        reason, status = ended.get("reason"), ended.get("exit_status")
        state: RecordingState = "running" if running else "ended" if ended else "broken"
        return Recorded(
            name=name,
            host=str(ours.get("host", "")),
            owner=str(ours.get("owner", "")),
            session=str(ours.get("session", "")),
            command=command if isinstance(command, str) else None,
            started=started,
            seconds=_number(ended, "seconds") if ended else max(0.0, found.st_mtime - started),
            bytes=found.st_size,
            columns=int(_number(size, "width" if head["version"] == 2 else "cols")),
            rows=int(_number(size, "height" if head["version"] == 2 else "rows")),
            format=head["version"],
            state=state,
            reason=reason if isinstance(reason, str) else None,
            exit_status=status if isinstance(status, int) else None,
        )

    def _ended(self, name: str) -> dict[str, Any]:
        """Return the last line of the index, if it tells of the end."""
        try:
            file = self._open(name, INDEX)
        except NoSuchSessionError:
            return {}
        with file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            lines = file.read(_TAIL).splitlines()
        ended = _entry(lines[-1]).get("ended") if lines else None
        return ended if isinstance(ended, dict) else {}

    # ------------------------------------------------------------------ letting go

    def remove(self, name: object) -> None:
        """Remove a recording.

        Raises:
            NoSuchSessionError: there is no such recording.
            InputError: it is still written, or can't be removed.
        """
        if self.get(name).state == "running":
            raise InputError(f"recordings: {name} is still written")
        try:
            self._remove(cast("str", name))
        except OSError as error:
            raise InputError(f"recordings: {name} can't be removed: {error.strerror}") from None

    def _remove(self, name: str) -> None:
        # The recording last: without it nobody finds the index.
        self._folder.remove(name + INDEX)
        self._folder.remove(name + CAST)

    def prune(self, *, keep_days: float | None = None, keep_bytes: int | None = None, dry: bool = False) -> Pruned:
        """Let go of the oldest recordings; those that are still written stay.

        Args:
            keep_days: those that began no longer ago stay; None: whatever their age.
            keep_bytes: the latest that take no more room stay; None: whatever they take.
            dry: remove nothing, say what would go.

        Raises:
            ArgumentError: a number is negative.
            InputError: the folder can't be read.
        """
        for word, value in (("keep_days", keep_days), ("keep_bytes", keep_bytes)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0):
                raise ArgumentError(f"{word}: expected a number, 0 or more, got {value!r:.40}")
        now, room, gone, freed, kept, problems = time.time(), 0, list[str](), 0, 0, list[str]()
        for recorded in self.list():
            size = recorded.bytes + self._folder.size(recorded.name + INDEX)
            room += size
            old = keep_days is not None and recorded.started < now - keep_days * 86400
            if recorded.state == "running" or not (old or (keep_bytes is not None and room > keep_bytes)):
                kept += 1
                continue
            try:
                if not dry:
                    self._remove(recorded.name)
            except OSError as error:
                problems.append(f"{recorded.name}: {error.strerror}")
                kept += 1
            else:
                gone.append(recorded.name)
                freed += size
        return Pruned(tuple(gone), freed, kept, dry, tuple(problems))


def _entry(text: bytes) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _number(data: dict[str, Any], name: str) -> float:
    value = data.get(name)
    return float(value) if isinstance(value, (int, float)) and abs(value) < 1e15 else 0.0


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _missing() -> NoSuchSessionError:
    return NoSuchSessionError("there is no such recording")
