"""What the engine hands to an executor, and the executor's contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sshexec.connectors.base import Timeouts
from sshexec.events import Event
from sshexec.results import HostResult
from sshexec.task import Target, Task

Emit = Callable[[Sequence[Event]], None]
"""Takes events as they come, from any thread; it may block a fast producer (back-pressure)."""


@dataclass(frozen=True, slots=True)
class Job:
    """One task and every host it may run on.

    Args:
        id: the run's identifier.
        task: what to do.
        targets: where.
        timeouts: limits for each step.
        watch: whether HostStarted and HostPhase events are wanted.
        output: whether Output events are wanted.
        journal: file in which each host is marked before it is contacted (`sshexec.journal`); None where none is kept.
    """

    id: str
    task: Task
    targets: tuple[Target, ...]
    timeouts: Timeouts
    watch: bool = False
    output: bool = False
    journal: str | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Why hosts of a job are stopped before they are done.

    Args:
        cause: the stable word of their results: cancelled, run_timeout, max_fail_percentage.
        message: one line for people.
        pending_only: let hosts go on whose turn has come.
    """

    cause: str
    message: str
    pending_only: bool = False

    def result(self, host: str) -> HostResult:
        """Return the result of a host whose turn never came."""
        data = {"failed": True, "changed": False, "msg": f"not started: {self.message}"}
        return HostResult(host, "cancelled", data, cause=self.cause)


class Executor(Protocol):
    """Runs jobs: in this process (`sshexec.runtime.pool`) or in workers (`sshexec.runtime.workers`)."""

    def prepare(self, job: Job, emit: Emit) -> None:
        """Check everything that can be checked, and contact nothing.

        Raises:
            InputError: an argument, a variable or a key file is wrong.
        """
        ...

    def begin(self, job_id: str, hosts: Sequence[str]) -> None:
        """Start the task on these hosts of a prepared job; each of them gets exactly one HostFinished."""
        ...

    def stop(self, job_id: str, stop: Stop) -> None:
        """Stop the job's hosts that were begun and are not done."""
        ...

    def pause(self, job_id: str, paused: bool) -> None:
        """Hold the job's hosts when they print something, or let them go on."""
        ...

    def forget(self, job_id: str) -> None:
        """Drop what is known of a job."""
        ...

    def close(self) -> None:
        """Stop everything and close every connection."""
        ...
