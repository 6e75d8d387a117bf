"""What the history answers: runs, and the hosts of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from sshexec.results import GOOD, HostResult, Status

RunState = Literal["finished", "cancelled", "timeout", "died", "running"]
HostState = Literal[
    "ok", "changed", "skipped", "failed", "timeout", "unreachable", "cancelled", "unknown", "running", "pending"
]

VERSION = 1
"""Version of what the ``to_dict`` of this module return."""

RUN_STATES: tuple[RunState, ...] = ("finished", "cancelled", "timeout", "died", "running")
"""How a run ended; ``died``: nobody saw its end; ``running``: it has none yet."""

HOST_STATES: tuple[HostState, ...] = (
    "ok",
    "changed",
    "skipped",
    "failed",
    "timeout",
    "unreachable",
    "cancelled",
    "unknown",
    "running",
    "pending",
)
"""A result's status; or ``unknown``: it may have been contacted, and no result is there nor will be; ``running``: it
was contacted, and its run goes on; ``pending``: it was never contacted."""

STREAMS = ("stdout", "stderr")

_SHORT = 8
_PIECE = 2**16


def short(run: str) -> str:
    """Return as much of a run's identifier as people are shown."""
    return run[:_SHORT]


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file that holds a whole stream.

    Args:
        path: where it is, on the machine that ran the run.
        bytes: its size.
        sha256: the hash of it, in hexadecimal digits.
    """

    path: str
    bytes: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data with stable keys."""
        return {"path": self.path, "bytes": self.bytes, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class HostOutput:
    """One stream of one host.

    Args:
        host: inventory name.
        stream: stdout or stderr.
        kept: as much of it as the record itself holds.
        file: the file that holds the whole stream, or should; None where the record itself holds it all.
        problem: why the whole stream is not to be had, for people; None where it is.
    """

    host: str
    stream: str
    kept: str = field(repr=False)
    file: OutputFile | None = None
    problem: str | None = None

    @property
    def whole(self) -> bool:
        """Whether `text` is all that the host printed."""
        return self.problem is None

    @property
    def text(self) -> str:
        """The whole stream; where it is not to be had, as much as the record holds."""
        return b"".join(self.pieces()).decode("utf-8", "replace")

    def pieces(self) -> Iterator[bytes]:
        """Yield the same as bytes, piece by piece, for those that are too large for memory."""
        if self.file is None or self.problem is not None:
            yield self.kept.encode("utf-8", "surrogateescape")
            return
        with open(self.file.path, "rb") as file:
            while piece := file.read(_PIECE):
                yield piece

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data with stable keys."""
        return {
            "version": VERSION,
            "host": self.host,
            "stream": self.stream,
            "text": self.text,
            "whole": self.whole,
            "problem": self.problem,
            "file": None if self.file is None else self.file.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class RecordedResult:
    """What is recorded of one host of a run.

    Args:
        host: inventory name.
        state: one of `HOST_STATES`.
        rc: exit status of the command; None where there was none.
        changed: whether the task changed the host.
        cause: a stable word for why it did not end well (`sshexec.errors`); None where it did.
        phase: the phase in which it went wrong.
        started: when this host's turn came, seconds since the epoch; None where it never came.
        finished: when its result was there, likewise.
        phases: seconds that the turn spent in each phase.
        data: the dictionary that Ansible returns for the task, without the streams.
        notices: what the connection had to say (`HostResult.notices`).
        stdout: as much of it as the record holds; None where it was not asked for.
        stderr: likewise.
        files: the files of whole streams, by stream.
        truncated: whether output was left out of the middle of a stream.
        killed: `HostResult.killed`.
    """

    host: str
    state: HostState
    rc: int | None = None
    changed: bool = False
    cause: str | None = None
    phase: str | None = None
    started: float | None = None
    finished: float | None = None
    phases: Mapping[str, float] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict, repr=False)
    notices: tuple[Mapping[str, Any], ...] = ()
    stdout: str | None = field(default=None, repr=False)
    stderr: str | None = field(default=None, repr=False)
    files: Mapping[str, OutputFile] = field(default_factory=dict)
    truncated: bool = False
    killed: bool | None = None

    @property
    def good(self) -> bool:
        """Whether the state is ok, changed or skipped."""
        return self.state in GOOD

    @property
    def seconds(self) -> float | None:
        """How long this host's turn took."""
        return None if self.started is None or self.finished is None else self.finished - self.started

    @property
    def result(self) -> HostResult | None:
        """The result as the run had it, with those streams that are here; None where there was none."""
        if self.state in ("unknown", "running", "pending"):
            return None
        data = dict(self.data)
        for stream, text in (("stdout", self.stdout), ("stderr", self.stderr)):
            if text is not None:
                data[stream] = text
                data[f"{stream}_lines"] = text.splitlines()
        return HostResult(
            self.host,
            cast("Status", self.state),
            data,
            cause=self.cause,
            phase=self.phase,
            started=self.started,
            finished=self.finished,
            truncated=self.truncated,
            spilled={stream: file.path for stream, file in self.files.items()},
            killed=self.killed,
            notices=self.notices,
            phases=self.phases,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data with stable keys; streams that were not asked for are None."""
        return {
            "host": self.host,
            "state": self.state,
            "rc": self.rc,
            "changed": self.changed,
            "cause": self.cause,
            "phase": self.phase,
            "started": self.started,
            "finished": self.finished,
            "phases": dict(self.phases),
            "truncated": self.truncated,
            "killed": self.killed,
            "notices": [dict(notice) for notice in self.notices],
            "stdout": self.stdout,
            "stderr": self.stderr,
            "files": {stream: file.to_dict() for stream, file in self.files.items()},
            "result": dict(self.data),
        }


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What is known of a run without looking at its hosts one by one.

    Args:
        id: its identifier.
        state: one of `RUN_STATES`.
        module: what was run.
        task: arguments and options as they were recorded: without what is secret.
        pattern: how the hosts were chosen.
        count: how many hosts there are.
        counts: how many of them are in each state (`HOST_STATES`); states that no host is in are left out.
        started: seconds since the epoch.
        finished: likewise; None where there is no end.
        actor: who ran it.
        reason: why.
        labels: names and values by which it is found again.
        root: the first run of its chain of resumptions; its own id where it resumes none.
        resumes: the run that it goes on with.
        runner: the machine, process and version that ran it.
    """

    id: str
    state: RunState
    module: str
    task: Mapping[str, Any] = field(repr=False)
    pattern: str
    count: int
    counts: Mapping[HostState, int]
    started: float
    finished: float | None
    actor: str | None
    reason: str | None
    labels: Mapping[str, str]
    root: str
    resumes: str | None
    runner: Mapping[str, Any] = field(repr=False)

    @property
    def args(self) -> Any:
        """The module's arguments as they were recorded: a text, a mapping, or None."""
        return self.task.get("args")

    @property
    def seconds(self) -> float | None:
        """How long it took; None where there is no end."""
        return None if self.finished is None else self.finished - self.started

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data with stable keys."""
        return {
            "id": self.id,
            "state": self.state,
            "module": self.module,
            "task": dict(self.task),
            "pattern": self.pattern,
            "count": self.count,
            "counts": dict(self.counts),
            "started": self.started,
            "finished": self.finished,
            "actor": self.actor,
            "reason": self.reason,
            "labels": dict(self.labels),
            "root": self.root,
            "resumes": self.resumes,
            "runner": dict(self.runner),
        }


@dataclass(frozen=True, slots=True)
class RunRecord(RunSummary):
    """What is known of a run, and its hosts' names.

    Args:
        hosts: the names of all hosts, in the order of the run.
    """

    hosts: tuple[str, ...] = field(default=(), repr=False)
