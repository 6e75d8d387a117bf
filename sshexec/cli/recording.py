"""``--events runner`` and ``--artifacts``: a run in the words and files of ansible-runner."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

from sshexec.cli.report import Kept, Report, RunnerLines
from sshexec.secret import HIDDEN, is_secret_name, secrets_in

if TYPE_CHECKING:
    from sshexec.artifacts import Artifacts
    from sshexec.runner_events import RunnerEvents

_LOGIN = re.compile(r"(?<=://).*(?=@)")
"""Up to the last ``@``: passwords hold slashes and ``@`` that should be quoted and are not."""

_QUERY = re.compile(r"(?<=[?&;])([^=?&;]+)=([^&;]*)")


class Recording:
    """Turns a report into one that speaks ansible-runner's language, or keeps its files, or both.

    Args:
        events: makes ansible-runner's events; None where nobody wants them.
        artifacts: keeps them in files.
        printed: whether the report is of these events.
    """

    def __init__(
        self, events: RunnerEvents | None = None, artifacts: Artifacts | None = None, *, printed: bool = False
    ) -> None:
        self._events = events
        self._artifacts = artifacts
        self._printed = printed
        self._started = False

    def started(self) -> None:
        """Take note that the run has been started: its files are to stay."""
        self._started = True

    def over(self, report: Report) -> Report:
        """Return the report to use in the place of one."""
        if self._events is not None and self._printed:
            return RunnerLines((self._artifacts or self._events).take)
        return report if self._artifacts is None else Kept(report, self._artifacts)

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._artifacts is not None:
            (self._artifacts.close if self._started else self._artifacts.discard)()


def check_recording(options: Mapping[str, Any]) -> None:
    """Check that the options go together.

    Raises:
        click.UsageError: they do not.
    """
    context = click.get_current_context()
    if options["events"] and not options["jsonl"]:
        raise click.UsageError("--events goes with --jsonl", context)
    if options["ident"] is not None and options["events"] != "runner" and options["artifacts"] is None:
        raise click.UsageError("--ident goes with --artifacts or --events runner", context)


def recording(pattern: str, sources: Sequence[str], options: Mapping[str, Any]) -> Recording:
    """Return what the options ask for, with the directory of ``--artifacts`` made.

    Raises:
        InputError: the directory can't be made, or is there already.
    """
    printed, folder = options["events"] == "runner", options["artifacts"]
    if not printed and folder is None:
        return Recording()

    from sshexec.artifacts import Artifacts
    from sshexec.runner_events import RunnerEvents

    events = RunnerEvents(pattern, options["module"], ident=options["ident"], diff=options["diff"])
    if folder is None:
        return Recording(events, printed=printed)
    return Recording(events, Artifacts(folder, events, command=_words(pattern, sources, options)), printed=printed)


def _words(pattern: str, sources: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """Return the command for people, without what may be secret in it."""
    words = ["sshexec", "run", pattern]
    for source in sources:
        words += ["-i", _without_secrets(source)]
    words += ["-m", options["module"]]
    given = options["arguments"]
    if given is not None:
        text = given if isinstance(given, str) else json.dumps(given)  # a record may hold them as a mapping
        words += ["-a", HIDDEN if secrets_in(text) is not None else text]
    if options["limit"] is not None:
        words += ["-l", options["limit"]]
    for extra in options["extra"]:
        words += ["-e", extra if extra.startswith("@") else HIDDEN]
    flags = {"check": "-C", "diff": "-D", "become": "-b"}
    return words + [flag for name, flag in flags.items() if options[name]]


def _without_secrets(source: str) -> str:
    """Return an inventory's name without the login, and the secrets in a query, of one that is an address."""
    if "://" not in source:
        return source
    return _QUERY.sub(
        lambda found: f"{found[1]}={HIDDEN}" if is_secret_name(found[1]) else found[0], _LOGIN.sub(HIDDEN, source)
    )
