"""What the history answers: runs, and the hosts of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sshexec.results import GOOD, HostResult

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

CUT = "the run itself left the middle out (--output-limit)"
"""Why a stream is not whole although its file is as the run wrote it."""

_SHORT = 8
_PIECE = 2**16


def short(run: str) -> str:
    """Return as much of a run's identifier as people are shown."""
    return run[:_SHORT]


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file that holds a whole stream.

    Args:
        path: where it is, on the machine that ran the run; None where it could not be written.
        bytes: its size; None where it was gone before its record was made.
        sha256: its hash, in hexadecimal digits; None where it was gone, or too large to be read for that.
        kept: whether it is the history's own, and goes with the run; else the run's caller wanted it.
    """

    path: str | None
    bytes: int | None
    sha256: str | None
    kept: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data with stable keys."""
        return {"path": self.path, "bytes": self.bytes, "sha256": self.sha256, "kept": self.kept}


@dataclass(frozen=True, slots=True)
class HostOutput:
    """One stream of one host.

    Args:
        host: inventory name.
        stream: stdout, stderr, or data.
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
        """The whole stream; where it is not to be had, as much of it as there is."""
        return b"".join(self.pieces()).decode("utf-8", "replace")

    def pieces(self) -> Iterator[bytes]:
        """Yield the same as bytes, piece by piece, for those that are too large for memory."""
        if self.file is None or self.file.path is None or self.problem not in (None, CUT):
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
        started: when this host's turn came, seconds since the epoch; None where it never came.
        result: the result as the run had it, with those streams that were asked for; None where there is none.
        files: files that hold what is too large for the record: whole streams, and ``data``.
        left_out: keys of Ansible's dictionary that are in the file ``data`` alone.
    """

    host: str
    state: HostState
    started: float | None = None
    result: HostResult | None = field(default=None, repr=False)
    files: Mapping[str, OutputFile] = field(default_factory=dict, repr=False)
    left_out: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether the state is ok, changed or skipped."""
        return self.state in GOOD

    @property
    def rc(self) -> int | None:
        """Exit status of the command; None where there was none."""
        return None if self.result is None else self.result.rc

    @property
    def cause(self) -> str | None:
        """A stable word for why it did not end well (`sshexec.errors`); None where it did."""
        return None if self.result is None else self.result.cause

    @property
    def seconds(self) -> float | None:
        """How long this host's turn took."""
        return None if self.result is None else self.result.seconds

    def stream(self, name: str) -> str | None:
        """Return as much of a stream as the record holds; None where there is none, or it was not asked for."""
        text = None if self.result is None else self.result.data.get(name)
        return text if isinstance(text, str) else None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data with stable keys: those of `HostResult.to_dict`, and what the record adds."""
        result = self.result or HostResult(self.host, "ok", started=self.started)
        plain = result.to_dict()
        for name in ("status", "stdout_base64", "stderr_base64"):
            del plain[name]
        return {
            "host": self.host,
            "state": self.state,
            **plain,
            "rc": self.rc,
            "changed": self.state == "changed" or result.changed,
            "files": {name: file.to_dict() for name, file in self.files.items()},
            "left_out": list(self.left_out),
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
