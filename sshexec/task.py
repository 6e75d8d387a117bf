"""What is to be done, and where: what the engine hands to the runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sshexec.connectors.become import BecomeKeywords
from sshexec.connectors.output import DEFAULT_LIMIT


@dataclass(frozen=True, slots=True)
class Target:
    """One host of a run.

    Args:
        host: inventory name.
        variables: its merged variables, with what the caller set on top.
    """

    host: str
    variables: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Task:
    """One module call.

    Args:
        module: name.
        args: a free-form text, or a mapping; Jinja2 expressions in it are filled in for each host.
        check: check mode.
        diff: diff mode.
        environment: variables for the commands.
        timeout: seconds for the task on one host, from its open connection; None means no limit.
        output_limit: bytes kept of each stream of each host.
        run_output_limit: bytes kept of all hosts together.
        spill: directory for streams over the limit.
        become: whom it runs as where a host's variables don't say it.
        output_dir: directory for the whole streams of every host, as ``HOST/stdout`` and ``HOST/stderr``.
        binary: whether results and events hold what hosts print byte by byte too.
        no_log: whether results and events show nothing of what the task was given and what came of it.
    """

    module: str
    args: str | Mapping[str, Any] | None = field(default=None, repr=False)
    check: bool = False
    diff: bool = False
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float | None = None
    output_limit: int = DEFAULT_LIMIT
    run_output_limit: int = 512 * 2**20
    spill: str | None = None
    become: BecomeKeywords = field(default_factory=BecomeKeywords)
    output_dir: str | None = None
    binary: bool = False
    no_log: bool = False


@dataclass(frozen=True, slots=True)
class Occasion:
    """Who runs a task, and why; for the record and for whoever has to allow it.

    Args:
        actor: who.
        reason: why: a ticket, say.
        labels: names and values by which the record is found again.
    """

    actor: str | None = None
    reason: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
