"""Going on with an earlier run: the same task, on those of its hosts that are not done."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from sshexec.errors import ArgumentError, HistoryError
from sshexec.recorder import History, Resumption
from sshexec.task import Task

_BUILTIN = ("ansible.builtin.", "ansible.legacy.")


def resumption(history: History | None, run: object) -> Resumption:
    """Return what the record says of a run.

    Args:
        history: where it is.
        run: what `Engine.start` was given.

    Raises:
        HistoryError: there is no such run, or it is still going on.
    """
    if isinstance(run, Resumption):
        return run
    if not isinstance(run, str) or not run:
        raise ArgumentError(f"resume: expected a run's identifier, or 'last', got {run!r}")
    if history is None:
        raise ArgumentError("resume: this engine keeps no record of its runs: Engine(..., history=History())")
    return history.resumption(run)


def of(task: Task, variables: Collection[str], history: History | None, run: object) -> Resumption:
    """Return what the record says of the run that a task goes on with.

    Args:
        task: what is to be done.
        variables: names of those that were set on top of the inventory's.
        history: where the record is.
        run: what `Engine.start` was given.

    Raises:
        HistoryError: there is no such run, it is still going on, or it had variables that are not given here.
        ArgumentError: it was another task.
    """
    earlier = resumption(history, run)
    if run is earlier and history is not None:
        # Others may have gone on with it since it was looked at.
        earlier = history.resumption(earlier.run)
    _check_same(earlier, task)
    _check_variables(earlier, variables)
    return earlier


def _check_same(earlier: Resumption, task: Task) -> None:
    """Refuse to go on with another task: what comes of it would say nothing about the first."""
    name = earlier.run[:8]
    if _plain_name(task.module) != _plain_name(earlier.module):
        raise ArgumentError(f"resume: run {name} is of module {earlier.module}, not of {task.module}: start a new run")
    if "args" not in earlier.withheld and _plain(task.args) != _plain(earlier.args):
        raise ArgumentError(f"resume: run {name} has other arguments: leave them out, or start a new run")
    begun = bool(earlier.options.get("check", False))
    if begun != task.check:
        was, is_now = ("a check", "none") if begun else ("no check", "one")
        raise ArgumentError(f"resume: run {name} was {was}, and this would be {is_now}: start a new run for that")


def _check_variables(earlier: Resumption, given: Collection[str]) -> None:
    """Refuse to go on without variables that the run was begun with."""
    missing = earlier.missing(given)
    if missing:
        raise HistoryError(
            f"resume: run {earlier.run[:8]} was started with values for {', '.join(missing)}, which its record does not"
            " hold: give them again"
        )


def keywords(earlier: Resumption, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords with which to go on: the record's, and what is given instead of them.

    Args:
        earlier: the run.
        given: keywords of `Engine.start`, among them ``args`` where they are given.

    Raises:
        HistoryError: some are neither in the record nor given.
    """
    missing = [name for name in earlier.withheld if name not in given]
    if missing:
        raise HistoryError(
            f"resume: the record of run {earlier.run[:8]} does not hold its {' and '.join(missing)}, since secrets are"
            " in there: give them again"
        )
    return {"args": earlier.args, **earlier.options, **given}


def _plain_name(module: str) -> str:
    for prefix in _BUILTIN:
        module = module.removeprefix(prefix)
    return module


def _plain(args: object) -> object:
    """Return arguments as a record holds them."""
    return json.loads(json.dumps(args, default=str, sort_keys=True)) if args else None
