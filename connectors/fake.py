"""A scripted host for users' own tests: no network, no shell, no process.

Its answers come from the host's variables::

    hosts:
      web1:
        ansible_connection: fake
        fake_answers:                       # the first pattern that fits the command wins (fnmatch, or ~regex)
          uptime: " 10:00:00 up 1 day\n"
          "systemctl restart *": {rc: 1, stderr: "Unit not found\n", delay: 0.5}
        fake_files: {/etc/motd: "hello\n"}  # what `copy`, `fetch` and `slurp` find
        fake_fault: refused                 # see `FAULTS`
        fake_record: calls.jsonl            # every call, a line of JSON
        fake_prompt: "web1$ "               # what a terminal shows before each line

A terminal gives each line that is typed the answer that it would get as a command (`sshexec.connectors.faketerminal`).
A command that nothing matches ends with 127, so that a test notices. ``raw``, ``command``, ``shell``, ``script``,
``ping``, ``copy``, ``fetch`` and ``slurp`` work. What only a shell can tell is not played: ``chdir``, ``creates`` and
``removes`` of a command have no effect, every directory exists, and ``copy`` keeps no backup, sets no owner and asks no
``validate`` command.
"""

from __future__ import annotations

import base64
import dataclasses
import errno
import fnmatch
import hashlib
import json
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from sshexec import errors
from sshexec.connectors import base
from sshexec.connectors.base import Capability, Command, Completed, Connector, Deadline, Phase, Timeouts
from sshexec.connectors.faketerminal import FakeTerminal, Said
from sshexec.connectors.files import Found
from sshexec.connectors.options import ConnectorOptions, option
from sshexec.connectors.output import Output
from sshexec.connectors.source import Source
from sshexec.connectors.terminal import Size, check_program

_AT_OPEN: dict[str, tuple[type[errors.UnreachableError], Phase]] = {
    "resolve": (errors.ResolveError, Phase.RESOLVING),
    "refused": (errors.RefusedError, Phase.CONNECTING),
    "no_route": (errors.NoRouteError, Phase.CONNECTING),
    "connect_timeout": (errors.ConnectTimeoutError, Phase.CONNECTING),
    "banner": (errors.BannerError, Phase.CONNECTING),
    "protocol": (errors.ProtocolError, Phase.KEY_EXCHANGE),
    "host_key_unknown": (errors.UnknownHostKeyError, Phase.KEY_EXCHANGE),
    "host_key_changed": (errors.ChangedHostKeyError, Phase.KEY_EXCHANGE),
    "authentication": (errors.AuthenticationError, Phase.AUTHENTICATING),
}
_AT_PUT = ("no_space", "permission", "missing")

FAULTS = (*_AT_OPEN, "lost", "hang", *_AT_PUT)
"""What `fake_fault` takes: causes at login, ``lost`` in mid-command, ``hang`` until a deadline, reasons of a `put`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command prints and how it ends.

    Args:
        match: pattern for the command's text, as `fnmatch` takes it, or a regular expression behind ``~``.
        stdout: what it prints.
        stderr: likewise.
        rc: its exit status.
        delay: seconds it takes.
    """

    match: str
    stdout: str = ""
    stderr: str = ""
    rc: int = 0
    delay: float = 0.0

    def fits(self, text: str) -> bool:
        """Return whether this is the answer to a command."""
        if self.match.startswith("~"):
            return re.search(self.match[1:], text) is not None
        return fnmatch.fnmatchcase(text, self.match)


@dataclass(frozen=True)
class FakeOptions(ConnectorOptions):
    """Settings of the fake connector."""

    fault: str | None = option(None, "fake_fault", help="what goes wrong", choices=FAULTS)
    record: str | None = option(None, "fake_record", help="file that every call is appended to, as a line of JSON")
    prompt: str = option("$ ", "fake_prompt", help="what a terminal shows before each line")
    answers: tuple[Answer, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_vars(cls, variables: Mapping[str, Any], host: str | None = None) -> FakeOptions:
        """Read the options, among them ``fake_answers`` and ``fake_files``, which are no plain texts.

        Raises:
            OptionError: a value has the wrong shape.
        """
        plain = super().from_vars(variables, host)
        where = f"host {host}: " if host else ""
        files = variables.get("fake_files") or {}
        if not isinstance(files, Mapping) or not all(isinstance(value, str) for value in files.values()):
            raise errors.OptionError(f"{where}fake_files: expected a mapping of paths to texts")
        answers = tuple(_answers(variables.get("fake_answers") or {}, where))
        return dataclasses.replace(plain, answers=answers, files={str(path): text for path, text in files.items()})


@dataclass(slots=True)
class StoredFile:
    """A file of a fake host.

    Args:
        content: what is in it.
        mode: permission bits.
    """

    content: bytes
    mode: int = 0o644


@dataclass(slots=True)
class FakeHost:
    """What lasts of a fake host from one connection to the next.

    Args:
        files: by path.
        calls: what was asked of it, in order: ``{"call": "execute", "command": "uptime"}`` and the like.
    """

    files: dict[str, StoredFile]
    calls: list[dict[str, Any]] = field(default_factory=list)


class FakeContext(base.Context):
    """The fake hosts of one engine.

    ``hosts`` holds them by name, for tests to look at; in a run with worker processes each worker has its own, and
    `fake_record` is the way to see the calls.
    """

    def __init__(self) -> None:
        self.hosts: dict[str, FakeHost] = {}
        self._lock = threading.Lock()

    def host(self, name: str, options: FakeOptions) -> FakeHost:
        """Return the host of that name, made at its first use."""
        with self._lock:
            if name not in self.hosts:
                files = {path: StoredFile(text.encode()) for path, text in options.files.items()}
                self.hosts[name] = FakeHost(files)
            return self.hosts[name]

    def record(self, path: str, line: dict[str, Any]) -> None:
        """Append a call to a file."""
        with self._lock, Path(path).open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(line) + "\n")


class FakeConnector(Connector[FakeOptions, FakeContext]):
    """A connection to a scripted host."""

    name = "fake"
    capabilities = Capability.FILES | Capability.POSIX | Capability.BECOME | Capability.TERMINAL | Capability.SIGNALS
    Options = FakeOptions
    Context = FakeContext

    def __init__(self, host: str, options: FakeOptions, context: FakeContext, timeouts: Timeouts) -> None:
        super().__init__(host, options, context, timeouts)
        self._cancelled = threading.Event()
        self._open = False
        self._host = context.host(host, options)
        self._terminals: weakref.WeakSet[FakeTerminal] = weakref.WeakSet()

    def open(self, deadline: Deadline) -> None:
        """Log in, or fail as `fake_fault` says."""
        self._record("open")
        self._check(deadline, Phase.CONNECTING)
        self.enter(Phase.CONNECTING)
        if self.options.fault in _AT_OPEN:
            kind, phase = _AT_OPEN[self.options.fault]
            raise kind(f"fake: {self.options.fault}", host=self.host, phase=phase)
        self._open = True

    @property
    def alive(self) -> bool:
        """Whether it is open."""
        return self._open

    def execute(self, command: Command, output: Output, deadline: Deadline) -> Completed:
        """Answer as scripted."""
        self._require_open()
        kind, *words = command.about or ("run", command.script)
        text = _text(kind, words)
        self._record("execute", command=text, environment=dict(command.environment), stdin=_stdin(kind, command))
        self.enter(Phase.RUNNING)
        begin, start = time.monotonic(), datetime.now()
        answer = self._builtin(kind, words) or self._scripted(text)
        output.last = begin
        self._wait(None if self.options.fault == "hang" else answer.delay, output, deadline)
        output.write("stdout", answer.stdout.encode("utf-8", "surrogateescape"))
        if self.options.fault == "lost":
            self._open = False
            raise errors.ConnectionLostError("fake: the connection broke", host=self.host, phase=Phase.RUNNING)
        output.write("stderr", answer.stderr.encode("utf-8", "surrogateescape"))
        if command.verbatim:
            return Completed(answer.rc)
        delta = timedelta(seconds=time.monotonic() - begin)
        return Completed(answer.rc, start, start + delta, delta)

    def put(
        self,
        source: Source,
        path: str,
        deadline: Deadline,
        *,
        mode: int | None = None,
        progress: Callable[[int], None] | None = None,
        sha1: str | None = None,
    ) -> None:
        """Keep a file in memory."""
        self._require_open()
        self._record("put", path=path, mode=mode)
        self._check(deadline, Phase.TRANSFERRING)
        self.enter(Phase.TRANSFERRING)
        if self.options.fault in _AT_PUT:
            raise errors.TransferError(
                f"fake: {self.options.fault}",
                host=self.host,
                phase=Phase.TRANSFERRING,
                path=path,
                reason=self.options.fault,
            )
        content = source if isinstance(source, bytes) else _read(source)
        old = self._host.files.get(path)
        kept = old.mode if old is not None else 0o644
        self._host.files[path] = StoredFile(content, kept if mode is None else mode)
        if progress is not None:
            progress(len(content))

    def get(
        self,
        path: str,
        target: BinaryIO,
        deadline: Deadline,
        *,
        progress: Callable[[int], None] | None = None,
        offset: int = 0,
    ) -> None:
        """Give a file that is kept in memory."""
        self._require_open()
        self._record("get", path=path)
        self._check(deadline, Phase.TRANSFERRING)
        self.enter(Phase.TRANSFERRING)
        stored = self._host.files.get(path)
        if stored is None:
            raise errors.TransferError(
                f"{path!r}: no such file", host=self.host, phase=Phase.TRANSFERRING, path=path, reason="missing"
            )
        target.write(stored.content[offset:])
        if progress is not None:
            progress(len(stored.content))

    def terminal(
        self,
        size: Size,
        term: str,
        deadline: Deadline,
        *,
        environment: Mapping[str, str] | None = None,
        command: str | None = None,
    ) -> FakeTerminal:
        """Play a shell (see `Connector.terminal`)."""
        self._require_open()
        check_program(term, environment or {}, command)
        self._record("terminal", term=term, environment=dict(environment or {}), command=command)
        self._check(deadline, Phase.RUNNING)
        self.enter(Phase.RUNNING)
        terminal = FakeTerminal(self.host, size, self.options.prompt, command, self._say, self._record)
        self._terminals.add(terminal)
        return terminal

    def _say(self, line: str) -> Said:
        """Answer a line on a terminal."""
        answer, fault = self._scripted(line), self.options.fault
        delay = None if fault == "hang" else answer.delay
        return Said(answer.stdout + answer.stderr, answer.rc, delay, fault == "lost")

    def cancel(self) -> None:
        """End the call in progress, or the next one, with CancelledError."""
        self._cancelled.set()

    def close(self) -> None:
        """Log out; safe to call twice."""
        self._open = False
        for terminal in list(self._terminals):
            terminal.close()

    def _require_open(self) -> None:
        if not self._open:
            raise errors.ConnectionLostError("the connection is not open", host=self.host, started=False)

    def _check(self, deadline: Deadline, phase: Phase) -> None:
        if self._cancelled.is_set():
            self._cancelled.clear()
            raise errors.CancelledError("cancelled", host=self.host, phase=phase, killed=None)
        if deadline.expired:
            raise errors.CommandTimeoutError("the deadline passed", host=self.host, phase=phase)

    def _wait(self, seconds: float | None, output: Output, deadline: Deadline) -> None:
        """Let a command take its time; None never ends by itself."""
        due = Deadline.after(seconds)
        idle = Deadline(None if self.timeouts.idle is None else output.last + self.timeouts.idle)
        while not due.expired:
            limits = [left for left in (due.remaining(), deadline.remaining(), idle.remaining()) if left is not None]
            self._cancelled.wait(min(limits, default=None))
            if self._cancelled.is_set():
                self._cancelled.clear()
                raise errors.CancelledError("cancelled", host=self.host, phase=Phase.RUNNING, killed=True)
            if not due.expired and (deadline.expired or idle.expired):
                what = "the deadline passed" if deadline.expired else f"no output for {self.timeouts.idle:g} s"
                raise errors.CommandTimeoutError(
                    f"{what} while the command ran", host=self.host, phase=Phase.RUNNING, killed=True
                )

    def _record(self, call: str, **what: Any) -> None:
        become = None if self.become is None or call == "open" else self.become.shown
        what = {**what, "become": become}
        line = {"call": call, **{name: value for name, value in what.items() if value not in (None, {})}}
        self._host.calls.append(line)
        if self.options.record is not None:
            self.context.record(self.options.record, {"host": self.host, **line})

    def _scripted(self, text: str) -> Answer:
        for answer in self.options.answers:
            if answer.fits(text):
                return answer
        return Answer(text, stderr=f"fake: no answer for {text!r}\n", rc=127)

    def _builtin(self, kind: str, words: list[str]) -> Answer | None:
        """Answer what a module asks for itself, see `sshexec.modules.destination` and `reading`."""
        if kind == "ping":
            return Answer("", "pong\n")
        if kind == "ask":
            dest, basename, *entries = words
            path = dest
            if basename and (entries or dest.endswith("/") or self._found(dest).kind == "directory"):
                path = f"{dest.rstrip('/')}/{basename}"
            looks = [f"{path}/{entry.rstrip('/')}" for entry in entries] or [path]
            return Answer("", f"0022\n{''.join(self._found(look).lines() for look in looks)}\n{path}")
        if kind in ("reading", "slurp"):
            return Answer("", self._read_out(words[0], kind == "slurp"))
        if kind == "settle":
            lines = []
            for path, bits, validated in zip(*(iter(words),) * 3, strict=True):
                if validated:
                    self._host.files[path] = self._host.files.pop(validated)
                if bits and path in self._host.files:
                    self._host.files[path].mode = int(bits, 8)
                lines.append(self._found(path).lines())
            return Answer("", "".join(lines))
        return None

    def _read_out(self, path: str, content: bool) -> str:
        found = self._found(path)
        number = 0 if found.exists else errno.ENOENT
        if not content:
            size = "" if found.size is None else found.size
            return f"{found.kind}\n{number}\n{size}\n{found.sha1}\n{path}"
        held = self._host.files[path].content if found.kind == "file" else b""
        return f"{found.kind} {number} 64\n{base64.b64encode(held).decode()}\n.{number}\n{path}"

    def _found(self, path: str) -> Found:
        stored = self._host.files.get(path)
        if stored is not None:
            sha1 = hashlib.new("sha1", stored.content, usedforsecurity=False).hexdigest()
            return Found("file", stored.mode, 0, 0, len(stored.content), "root", "root", sha1)
        folder = f"{path.rstrip('/')}/"
        if any(name.startswith(folder) for name in self._host.files):
            return Found("directory", 0o755, 0, 0, 4096, "root", "root")
        return Found("absent")


def _text(kind: str, words: list[str]) -> str:
    """Return a command as patterns see it: what the user gave, for a script its name and arguments."""
    if kind == "script":
        return " ".join((Path(words[0]).name, *words[1:])).strip()
    return words[0] if kind == "run" else " ".join((kind, *words))


def _stdin(kind: str, command: Command) -> str | None:
    """Return what a user's command reads; a module's own input is nobody's business."""
    if kind != "run" or command.stdin is None:
        return None
    data = command.stdin if isinstance(command.stdin, bytes) else command.stdin.read()
    return data.decode("utf-8", "replace")


def _read(source: Path | BinaryIO) -> bytes:
    return source.read_bytes() if isinstance(source, Path) else source.read()


def _answers(given: Any, where: str) -> Iterable[Answer]:
    """Read ``fake_answers``: a mapping of patterns to texts or answers, or a list of answers with ``match``."""
    if isinstance(given, Mapping):
        pairs = [{"match": match, **(_mapping(answer, where))} for match, answer in given.items()]
    elif isinstance(given, (list, tuple)):
        pairs = [_mapping(answer, where) for answer in given]
    else:
        raise errors.OptionError(f"{where}fake_answers: expected a mapping or a list")
    for pair in pairs:
        try:
            answer = Answer(**pair)
            texts = (answer.match, answer.stdout, answer.stderr)
            if not all(isinstance(text, str) for text in texts) or not isinstance(answer.rc, int) or answer.delay < 0:
                raise TypeError("match, stdout and stderr are texts, rc is a whole number, delay are seconds")
            if answer.match.startswith("~"):
                re.compile(answer.match[1:])
        except (TypeError, re.error) as error:
            raise errors.OptionError(f"{where}fake_answers: {pair!r}: {error}") from None
        yield answer


def _mapping(answer: Any, where: str) -> dict[str, Any]:
    if isinstance(answer, str):
        return {"stdout": answer}
    if isinstance(answer, Mapping):
        return {str(name): value for name, value in answer.items()}
    raise errors.OptionError(f"{where}fake_answers: expected a text or a mapping, got {answer!r}")
