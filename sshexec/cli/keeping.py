"""What is kept of a run: ``--reason``, ``--label``, ``--history``, ``--no-history`` and ``--audit-log``."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

from sshexec.cli.stderr import tell
from sshexec.cli.untrusted import harmless
from sshexec.errors import DatabaseError, DatabaseUnavailableError, InputError

if TYPE_CHECKING:
    from sshexec.audit import FileSink
    from sshexec.history.history import History
    from sshexec.recorder import Resumption

VARIABLE = "SSHEXEC_HISTORY"
NOWHERE = "none"
"""The value of `VARIABLE` that stands for ``--no-history``."""


def keeping_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options about what is kept of its run."""
    for declare in reversed(
        (
            click.option("--reason", metavar="TEXT", help="Why, for the record and the audit log: a ticket, say."),
            click.option(
                "--label",
                "labels",
                type=label,
                multiple=True,
                metavar="NAME=VALUE",
                help="To find it again by. May be repeated.",
            ),
            click.option(
                "--history",
                metavar="URL",
                help="Database to record the run in, such as sqlite:///runs.db. Default:"
                f" ${VARIABLE} ({NOWHERE} for none), or a file of your own.",
            ),
            click.option("--no-history", is_flag=True, help="Keep no record."),
            click.option(
                "--audit-log",
                type=click.Path(dir_okay=False),
                metavar="FILE",
                help="Append what was decided about each host, and what came of it, as lines of JSON.",
            ),
        )
    ):
        command = declare(command)
    return command


def label(text: str) -> tuple[str, str]:
    """Return the name and the value of a label.

    Raises:
        click.BadParameter: it is something else.
    """
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.BadParameter(f"expected a name and a value such as ticket=OPS-7, got {text!r}")
    return name, value


def actor() -> str:
    """Return who runs this: the login name, and who has become that by sudo."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid {os.getuid()}"
    before = os.environ.get("SUDO_USER")
    return f"{name} (sudo by {before})" if before and before != name else name


class Keeping:
    """Where a command's run is recorded, and who is told of it.

    Args:
        options: the command's.

    Raises:
        InputError: the audit log can't be written.
        DatabaseError: the address that ``--history`` names is wrong.
        click.UsageError: options don't go together.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        if options["history"] is not None and options["no_history"]:
            raise click.UsageError("--history and --no-history exclude each other", click.get_current_context())
        self.history: History | None = None if options["no_history"] else _history(options["history"])
        self._own = options["history"] is None
        self.audit: FileSink | None = None
        if options["audit_log"] is not None:
            from sshexec.audit import FileSink

            try:
                self.audit = FileSink(options["audit_log"])
            except InputError as error:
                raise InputError(f"--audit-log: {error.message}") from None

    def resumption(self, run: str) -> Resumption:
        """Return what is recorded of the run that ``--resume`` names.

        Raises:
            InputError: nothing is, or it can't be read.
        """
        if self.history is None:
            raise InputError("--resume: nothing is recorded here: name the record with --history")
        return self.history.resumption(run)

    def __enter__(self) -> Keeping:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.history is not None:
            if error is None:
                from sshexec.cli.history_source import prune_when_due

                prune_when_due(self.history, own=self._own)
            self.history.close()


def _history(url: str | None) -> History | None:
    """Open the record; one that nobody has named on the command line is no reason not to run."""
    if url is None and os.environ.get(VARIABLE) == NOWHERE:
        return None
    from sshexec.history.history import History

    try:
        history = History(url, patient=True)
        if url is not None:
            history.database.prepare()
    except DatabaseUnavailableError as error:
        tell(f"sshexec: warning: --history: {harmless(str(error))}; the run is recorded once it answers")
    except DatabaseError as error:
        if url is not None:
            raise InputError(f"--history: {error}") from None
        tell(f"sshexec: warning: {VARIABLE}: {harmless(str(error))}; the run is not recorded")
        return None
    return history
