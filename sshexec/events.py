"""What happens during a run, as frozen dataclasses with a stable dictionary each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from sshexec.results import HostResult, RunResult, base64_of


@dataclass(frozen=True, slots=True)
class HostStarted:
    """A host's turn came.

    Args:
        host: inventory name.
        time: seconds since the epoch.
    """

    event: ClassVar[str] = "host_started"
    host: str
    time: float

    def to_dict(self) -> dict[str, Any]:
        """Return the event as plain data."""
        return {"event": self.event, "host": self.host, "time": self.time}


@dataclass(frozen=True, slots=True)
class HostPhase:
    """A host entered another phase (resolving, connecting, ... running).

    Args:
        host: inventory name.
        phase: its name, see `sshexec.connectors.base.Phase`.
        time: seconds since the epoch.
    """

    event: ClassVar[str] = "host_phase"
    host: str
    phase: str
    time: float

    def to_dict(self) -> dict[str, Any]:
        """Return the event as plain data."""
        return {"event": self.event, "host": self.host, "phase": self.phase, "time": self.time}


@dataclass(frozen=True, slots=True)
class Output:
    """A host printed something.

    Args:
        host: inventory name.
        stream: stdout or stderr.
        text: whole characters, decoded as they come; bytes that are not UTF-8 become U+FFFD.
        time: seconds since the epoch.
        data: the bytes themselves, where they were asked for (``binary``).
    """

    event: ClassVar[str] = "output"
    host: str
    stream: Literal["stdout", "stderr"]
    text: str
    time: float
    data: bytes | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the event as plain data."""
        return {
            "event": self.event,
            "host": self.host,
            "stream": self.stream,
            "text": self.text,
            "base64": base64_of(self.data),
            "time": self.time,
        }


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """A host has received or sent more of what is transferred; at most about four times a second, and at the end.

    Args:
        host: inventory name.
        path: what is transferred, as the host calls it.
        done: bytes so far.
        total: bytes in all; None where that is not known.
        time: seconds since the epoch.
    """

    event: ClassVar[str] = "transfer_progress"
    host: str
    path: str
    done: int
    total: int | None
    time: float

    def to_dict(self) -> dict[str, Any]:
        """Return the event as plain data."""
        return {
            "event": self.event,
            "host": self.host,
            "path": self.path,
            "done": self.done,
            "total": self.total,
            "time": self.time,
        }


@dataclass(frozen=True, slots=True)
class HostFinished:
    """A host's result is there.

    Args:
        result: the result.
    """

    event: ClassVar[str] = "host_finished"
    result: HostResult

    @property
    def host(self) -> str:
        """The inventory name."""
        return self.result.host

    def to_dict(self) -> dict[str, Any]:
        """Return the event as plain data."""
        return {"event": self.event, **self.result.to_dict()}


@dataclass(frozen=True, slots=True)
class RunFinished:
    """Every host has its result; the last event of a run.

    Args:
        result: all of them.
    """

    event: ClassVar[str] = "run_finished"
    result: RunResult

    def to_dict(self) -> dict[str, Any]:
        """Return the event as plain data; the hosts' own results have been reported before."""
        whole = self.result.to_dict()
        del whole["hosts"]
        return {"event": self.event, **whole}


Event = HostStarted | HostPhase | Output | TransferProgress | HostFinished | RunFinished
