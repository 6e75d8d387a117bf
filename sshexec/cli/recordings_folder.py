"""The recordings that a command is about: where they are, how they are made, and which one is meant."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sshexec.cli.values import size
from sshexec.database.address import state_directory
from sshexec.errors import ArgumentError, InputError

if TYPE_CHECKING:
    from sshexec.terminal.recordings import Recorded, Recordings

Command = TypeVar("Command", bound=Callable[..., Any])


def usual_folder() -> str:
    """Return where recordings are of which nobody says where."""
    return os.path.join(state_directory(), "recordings")


def folder_option(command: Command) -> Command:
    """Add the option that names the folder."""
    return click.option(
        "--dir",
        "folder",
        type=click.Path(file_okay=False),
        metavar="DIR",
        help="Where they are. Default: your own, where `sshexec shell --record` puts them.",
    )(command)


def making_options(command: Command) -> Command:
    """Add the options that say how a session is recorded; `made` makes something of them."""
    for option in reversed(
        (
            click.option("--record-input", is_flag=True, help="Record what is typed too, but for what is not shown."),
            click.option(
                "--record-format",
                type=click.Choice(["2", "3"]),
                help="Version of asciicast; 2 unless it is said, which every player has.",
            ),
            click.option("--record-limit", type=size, metavar="SIZE", help="Of one recording. Default: 256M."),
            click.option(
                "--record-full",
                type=click.Choice(["end", "stop"]),
                help="At the limit, end the session (the default), or stop recording it.",
            ),
        )
    ):
        command = option(command)
    return command


def made(options: dict[str, Any]) -> Recordings | None:
    """Return where a session is to be recorded, and how; None where it is not to be.

    Args:
        options: those of ``--record`` and `making_options`.

    Raises:
        InputError: the folder can't be used, or a value is out of its range.
        click.UsageError: it is said how, and not that.
    """
    given = {name: options[f"record_{name}"] for name in ("input", "format", "limit", "full")}
    chosen = {name: value for name, value in given.items() if value not in (None, False)}
    if options["record"] is None:
        if chosen:
            raise click.UsageError(f"--record-{next(iter(chosen))} goes with --record", click.get_current_context())
        return None
    from sshexec.terminal.recordings import Recordings

    if "format" in chosen:
        chosen["format"] = int(chosen["format"])
    try:
        return Recordings(options["record"] or usual_folder(), **chosen)
    except ArgumentError as error:
        raise InputError(f"--record-{error}") from None


def json_option(command: Command) -> Command:
    """Add the option for JSON."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def opened(folder: str | None) -> Recordings | None:
    """Return the recordings of a folder; None where that is the usual one, and there are none yet.

    Args:
        folder: as it was given; None for the usual one.

    Raises:
        InputError: it can't be used.
    """
    from sshexec.terminal.recordings import Recordings

    if not os.path.lexists(folder or usual_folder()):
        if folder is None:
            return None
        raise InputError(f"recordings: there is no folder {folder}")
    return Recordings(folder or usual_folder())


def none_yet() -> str:
    """Return what is said where nothing was recorded yet."""
    return f"sshexec: nothing is recorded in {usual_folder()}; `sshexec shell --record` does, and --dir names others"


def meant(recordings: Recordings, word: str) -> Recorded:
    """Return the recording that somebody means.

    Args:
        recordings: one of these.
        word: its name, the beginning of it, or ``last``.

    Raises:
        InputError: none is, or more than one.
    """
    found = []
    for recorded in recordings.each():
        if word == "last" or recorded.name == word:
            return recorded
        if word and recorded.name.startswith(word):
            found.append(recorded)
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"recordings: {len(found)} begin with {word!r}, such as {found[0].name}")
    raise InputError(f"recordings: there is no recording {word!r:.100}; `sshexec recordings list` shows them")
