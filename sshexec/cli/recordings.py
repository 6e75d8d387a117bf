"""``sshexec recordings``: sessions that were recorded."""

from __future__ import annotations

from typing import ClassVar

import click

from sshexec.cli.group import LazyGroup

_EPILOG = """\b
Examples:
  sshexec recordings list --host web1                   those of web1, the latest first
  sshexec recordings search 'systemctl restart'         in which was this typed, as far as it could be seen
  sshexec recordings play last --speed 4 --idle-limit 1
  sshexec recordings play 20261128T1405 --dir /var/lib/sshexec/recordings
  sshexec recordings prune --keep-days 30 --dry-run     what would go

\b
NAME is a recording's name or the beginning of one; last is the latest. They are in asciinema's format: NAME.cast plays
in its player, too. `sshexec shell --record` makes them, and `sshexec web --record DIR`."""


class _Views(LazyGroup):
    modules = "sshexec.cli.recordings_"
    words: ClassVar = {
        "list": "show which recordings there are",
        "search": "find recordings by what was typed",
        "play": "play a recording in this terminal",
        "prune": "let go of old recordings",
    }

    def instead(self, word: str, close: str | None) -> str:
        """Return the command that was meant; where none is close, the word is a recording."""
        return f"sshexec recordings {close or f'play {word}'}"


@click.group(cls=_Views, epilog=_EPILOG, short_help="list, search and play recorded sessions", no_args_is_help=False)
def command() -> None:
    """List, search and play sessions that were recorded, and let go of old ones."""
