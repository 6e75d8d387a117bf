"""What a run may be asked, and the checks that need no inventory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypedDict

from sshexec import expect
from sshexec.batches import Serial
from sshexec.connectors.become import BecomeKeywords
from sshexec.errors import ArgumentError
from sshexec.recorder import Resumption
from sshexec.task import Occasion, Task


class RunOptions(TypedDict, total=False):
    """Keywords that `Engine.start`, `run`, `stream`, `arun` and `astream` share; `Engine.start` explains them."""

    check: bool
    diff: bool
    environment: Mapping[str, str] | None
    timeout: float | None
    serial: Serial
    max_fail_percentage: float | None
    limit: str | None
    variables: Mapping[str, Any] | None
    run_timeout: float | None
    output_limit: int
    spill: str | None
    become: bool
    become_user: str | None
    become_method: str | None
    become_flags: str | None
    output_dir: str | None
    binary: bool
    no_log: bool
    actor: str | None
    reason: str | None
    labels: Mapping[str, str] | None
    resume: str | Resumption | None
    unknown: bool


def check_texts(pattern: object, module: object, args: object) -> None:
    """Refuse a pattern, a module or arguments of another type.

    Raises:
        ArgumentError: one is.
    """
    if not isinstance(module, str):
        raise ArgumentError(f"module: expected its name, got {type(module).__name__}")
    if args is not None and not isinstance(args, (str, Mapping)):
        raise ArgumentError(
            f"args: expected a text or a mapping, got {type(args).__name__}; for words use {{'argv': [...]}}"
        )
    texts = [pattern] if isinstance(pattern, str) else pattern
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise ArgumentError(f"pattern: expected a text or a list of host names, got {pattern!r}")


def check_directories(**folders: object) -> None:
    """Refuse what is no directory.

    Raises:
        ArgumentError: one is none.
    """
    for name, folder in folders.items():
        if folder is not None and not (isinstance(folder, str) and os.path.isdir(folder)):
            raise ArgumentError(f"{name}: {folder!r} is not a directory")


def check_no_log(no_log: object, **kept: object) -> None:
    """Refuse to keep anything of a task that nobody is to see.

    Raises:
        ArgumentError: something would be.
    """
    if not isinstance(no_log, bool):
        raise ArgumentError(f"no_log: expected True or False, got {no_log!r}")
    named = [name for name, value in kept.items() if value]
    if no_log and named:
        raise ArgumentError(f"no_log: nothing is kept of such a task, and {' and '.join(named)} would keep its output")


def occasion(actor: object, reason: object, labels: object) -> Occasion:
    """Return who runs a task and why.

    Raises:
        ArgumentError: something of it is no text.
    """
    for name, text in (("actor", actor), ("reason", reason)):
        if text is not None and not isinstance(text, str):
            raise ArgumentError(f"{name}: expected a text, got {type(text).__name__}")
    if labels is not None and not isinstance(labels, Mapping):
        raise ArgumentError(f"labels: expected a mapping of texts to texts, got {type(labels).__name__}")
    for name, value in (labels or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ArgumentError(f"labels: {name!r} and its value must be texts")
    return Occasion(actor, reason, dict(labels or {}))  # type: ignore[arg-type]  # looked at just now


def task(module: str, args: str | Mapping[str, Any] | None, who: BecomeKeywords, **options: Any) -> Task:
    """Return what is to be done.

    Args:
        module: its name.
        args: its arguments.
        who: as whom.
        **options: those keywords of `Engine.start` that a `Task` has.

    Raises:
        ArgumentError: one is of another type, or they don't go together.
    """
    spill, output_dir, binary, no_log = (options[name] for name in ("spill", "output_dir", "binary", "no_log"))
    expect.mapping("environment", options["environment"])
    expect.seconds("timeout", options["timeout"])
    expect.count("output_limit", options["output_limit"], "bytes")
    check_directories(spill=spill, output_dir=output_dir)
    check_no_log(no_log, spill=spill, output_dir=output_dir, binary=binary)
    return Task(module, args, become=who, **{**options, "environment": dict(options["environment"] or {})})
