"""The recordings that a command is about: where they are, and which one is meant."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sshexec.database.address import state_directory
from sshexec.errors import InputError

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
