"""``sshexec history``: what ran where."""

from __future__ import annotations

import difflib
import importlib

import click

_COMMANDS = {
    "list": "show which runs there were",
    "show": "show a run, and what came of it",
    "diff": "show which hosts came out otherwise in another run",
    "output": "print what a host printed",
    "prune": "let go of old runs",
}

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


class _Views(click.Group):
    """Subcommands that are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return their names in the order of the help text."""
        return list(_COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command."""
        word = args[0]
        if word not in _COMMANDS:
            close = difflib.get_close_matches(word, _COMMANDS, 1)
            meant = f"{close[0]}" if close else f"show {word}"
            raise click.UsageError(f"No such command {word!r}: did you mean `sshexec history {meant}`?", ctx)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"sshexec.cli.history_{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Views, epilog=_EPILOG, short_help="show what ran where", no_args_is_help=False)
def command() -> None:
    """Show what ran where: every `sshexec run` is recorded, with each host's result."""
