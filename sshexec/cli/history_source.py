"""The history that a command is about: which one, and how long it remembers."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sshexec.cli.keeping import NOWHERE, VARIABLE
from sshexec.cli.stderr import tell
from sshexec.cli.untrusted import harmless
from sshexec.errors import HistoryError, InputError

if TYPE_CHECKING:
    from sshexec.history.history import History
    from sshexec.history.pruning import Keep

Command = TypeVar("Command", bound=Callable[..., Any])

KEEP = "SSHEXEC_HISTORY_KEEP"
"""Variable of the environment that says how long the command line's history remembers."""

_EVERY = 86400.0
"""Seconds between two times that a history is looked through for what is old."""

_SECONDS = 2.0
"""For how long a command may be held up by letting go of what is old; the rest waits for the next day."""


def history_option(command: Command) -> Command:
    """Add the option that names the history."""
    return click.option(
        "--history", "url", metavar="URL", help="The history's database. Default: $SSHEXEC_HISTORY, or your own file."
    )(command)


def json_option(command: Command) -> Command:
    """Add the option for JSON."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


@contextlib.contextmanager
def opened(url: str | None) -> Iterator[History]:
    """Give the history, with what its journals on this machine still held; then let go of what is too old.

    Args:
        url: the database; None for the usual one.

    Raises:
        HistoryError: nothing is recorded there.
        DatabaseError: it can't be read.
    """
    from sshexec.history.history import History

    if url is None and os.environ.get(VARIABLE) == NOWHERE:
        raise NothingRecordedError(f"${VARIABLE} is {NOWHERE}: nothing is recorded; --history names a record")
    looked = History(url, create=False)
    waiting = bool(looked.journals.all())
    if not waiting and looked.database.path is not None and not os.path.exists(looked.database.path):
        hint = "" if url else "; `sshexec run` records what it does"
        raise NothingRecordedError(f"nothing is recorded in {looked.url}{hint}")
    with History(url) if waiting else looked as history:
        history.database.prepare()  # a server that does not answer is one error, and not a warning before it, too
        if waiting:
            _recover(history)
        yield history
        prune_when_due(history, own=url is None)


class NothingRecordedError(HistoryError):
    """There is no history yet."""


def _recover(history: History) -> None:
    recovery = history.recover()
    if recovery.left:
        what = "the record of 1 run waits" if recovery.left == 1 else f"the records of {recovery.left} runs wait"
        tell(f"sshexec: warning: {what} in {harmless(history.journals.folder)}: {harmless(recovery.reason or '')}")


def prune_when_due(history: History, *, own: bool) -> None:
    """Let go of the oldest runs, once a day at most, and for a moment only; what goes wrong is told in a line.

    A history that others keep, too, is left alone unless $SSHEXEC_HISTORY_KEEP says that this is wanted.

    Args:
        history: the history.
        own: whether no other one was named on the command line.
    """
    if not os.environ.get(KEEP) and (not own or os.environ.get(VARIABLE)):
        return
    beside = history.journals.folder.removesuffix("-journals")
    if not _is_due(f"{beside}-pruned"):
        return
    try:
        keep = kept()
        history.prune(keep_days=keep.days, keep_bytes=keep.bytes, keep_runs=keep.runs, seconds=_SECONDS)
    except InputError as error:
        tell(f"sshexec: warning: old runs stay in the history: {harmless(str(error))}")


def _is_due(marker: str) -> bool:
    """Return whether a day has gone by since this last said so; of several processes, one is told.

    Args:
        marker: a file whose time says when that was.
    """
    try:
        if 0 <= time.time() - os.stat(marker).st_mtime < _EVERY:
            return False
        os.utime(marker)
    except FileNotFoundError:
        with contextlib.suppress(OSError):
            os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        # A history that was begun just now has nothing to let go of.
        return False
    except OSError:
        return False
    return True


def kept() -> Keep:
    """Return what is kept where the command line does not say.

    Raises:
        HistoryError: the environment says it wrongly.
    """
    from sshexec.history.pruning import DEFAULT, Keep

    told = os.environ.get(KEEP)
    if not told:
        return DEFAULT
    try:
        return Keep.read(told)
    except HistoryError as error:
        raise HistoryError(f"${KEEP}: {error}") from None
