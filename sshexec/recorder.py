"""What the engine hands to whoever keeps a record of its runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sshexec.batches import Serial
from sshexec.results import HostResult, RunResult
from sshexec.task import Occasion, Target, Task


@dataclass(frozen=True, slots=True)
class Course:
    """How a run goes through its hosts, as the caller gave it (`Engine.start` explains it)."""

    serial: Serial = None
    max_fail_percentage: float | None = None
    run_timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """What is known of a run before its first host is contacted.

    Args:
        run: its identifier.
        occasion: who runs it, and why.
        task: what is done.
        targets: where, in order, with each host's variables: some of them are secrets that no record may show.
        pattern: how they were chosen.
        course: how it goes through its hosts.
        extra: names of the variables that the caller set on top of the inventory's; their values are not recorded.
        resumes: the run that this one goes on with.
        root: the first run of that chain; None has it looked up.
    """

    run: str
    occasion: Occasion
    task: Task
    targets: Sequence[Target]
    pattern: str | Sequence[str]
    course: Course
    extra: tuple[str, ...] = ()
    resumes: str | None = None
    root: str | None = None


class Recorder(Protocol):
    """Keeps the record of one run. None of its methods raises; what can't be kept is logged once."""

    journal: str | None
    """The file in which executors mark each host before it is contacted; None where there is none."""

    def take(self, result: HostResult) -> None:
        """Keep a result; called before anybody sees it, in the order of the results. It must be quick."""
        ...

    def end(self, result: RunResult, recorded: Callable[[RunResult], None]) -> None:
        """Keep how the run ended, without blocking.

        Args:
            result: of all hosts.
            recorded: called once with the result, its ``recorded`` filled in, when what can be kept is.
        """
        ...

    def discard(self) -> None:
        """Keep nothing of a run that was not begun."""
        ...


class History(Protocol):
    """Makes recorders."""

    def begin(self, opening: Opening) -> Recorder:
        """Return the recorder of a run that is about to begin; the record of its opening is kept by then."""
        ...
