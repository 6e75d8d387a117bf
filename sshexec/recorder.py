"""What the engine hands to whoever keeps a record of its runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sshexec.batches import Serial
from sshexec.results import HostResult, RunResult
from sshexec.task import Occasion, Target, Task

_ASKED = "sshexec_ask_password"
"""A variable that says how a login gets its password: without it, the login fails or has one from elsewhere."""


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
        passes: all runs of that chain that there were when the hosts were chosen.
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
    passes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resumption:
    """What the record says of a run, and of those that went on with it, to whoever wants to go on.

    Each host of the run is in one of ``failed``, ``never_reached``, ``unknown`` and ``done``, by the latest that is
    known of it.

    Args:
        run: the run's identifier, in full.
        root: the first run of the chain.
        module: what was run.
        args: with these arguments; None where there were none, or they are among ``withheld``.
        order: all hosts of the chain's first run, in order.
        failed: hosts that were contacted, or could not be, and did not end well.
        never_reached: hosts whose turn never came, or that were refused.
        unknown: hosts that were at work when their runner died: nobody knows how far they came.
        done: hosts that ended well.
        pattern: how the hosts were chosen.
        options: keywords of `Engine.start` with which the run was started.
        withheld: those of ``args`` and the options that hold secrets and are not in the record, or not as a whole.
        extra: names of the variables that the caller had set on top of the inventory's.
        passes: all runs of the chain.
    """

    run: str
    root: str
    module: str
    args: str | Mapping[str, Any] | None
    order: tuple[str, ...]
    failed: tuple[str, ...]
    never_reached: tuple[str, ...]
    unknown: tuple[str, ...]
    done: tuple[str, ...]
    pattern: str | Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    withheld: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    passes: tuple[str, ...] = ()

    def hosts(self, *, unknown: bool = False) -> list[str]:
        """Return the hosts to run it on again, in the order of the first run.

        Args:
            unknown: those of which nothing is known among them.
        """
        again = {*self.failed, *self.never_reached, *(self.unknown if unknown else ())}
        return [host for host in self.order if host in again]

    def missing(self, variables: Collection[str]) -> list[str]:
        """Return the names of variables that have to be given again, since no record holds their values.

        Args:
            variables: names of those that are given.
        """
        return [name for name in self.extra if name not in variables and name != _ASKED]


class Recorder(Protocol):
    """Keeps the record of one run. None of its methods raises; what can't be kept is logged once."""

    @property
    def journal(self) -> str | None:
        """The file in which executors mark each host before it is contacted; None where there is none."""
        ...

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
        """Return the recorder of a run that is about to begin; the record of its opening is kept by then.

        Raises:
            HistoryError: others have gone on with the same run since its hosts were chosen.
            DatabaseError: whether they have can't be read.
        """
        ...

    def resumption(self, run: str) -> Resumption:
        """Return what is known to whoever wants to go on with a run.

        Args:
            run: its identifier, or as much of its beginning as no other run has; or ``last``.

        Raises:
            HistoryError: there is no such run, or it is still going on.
            DatabaseError: the record can't be read.
        """
        ...
