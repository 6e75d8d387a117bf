"""``sshexec history``: what ran where."""

from __future__ import annotations

from typing import ClassVar

import click

from sshexec.cli.group import LazyGroup

_EPILOG = """\b
Examples:
  sshexec history list --host web1 --since 7d           runs that web1 was among, of the last week
  sshexec history show last                             the latest run: who, what, and who did not end well
  sshexec history show 3f2a --fold                      its answers, equal ones once
  sshexec history diff last~1 last                      what is different from the run before
  sshexec history output last web1 > out.txt            what web1 printed, to the last byte
  sshexec history prune --keep-days 30 --dry-run        what would go

\b
RUN is a run's identifier or the beginning of one; last is the latest run, last~1 the one before it.
How long your own history remembers is in SSHEXEC_HISTORY_KEEP, such as 30d,1G or all; the default is 90d,2G."""


class _Views(LazyGroup):
    modules = "sshexec.cli.history_"
    words: ClassVar = {
        "list": "show which runs there were",
        "show": "show a run, and what came of it",
        "diff": "show which hosts came out otherwise in another run",
        "output": "print what a host printed",
        "prune": "let go of old runs",
    }

    def instead(self, word: str, close: str | None) -> str:
        """Return the command that was meant; where none is close, the word is a run."""
        return f"sshexec history {close or f'show {word}'}"


@click.group(cls=_Views, epilog=_EPILOG, short_help="show what ran where", no_args_is_help=False)
def command() -> None:
    """Show what ran where: every `sshexec run` is recorded, with each host's result."""
