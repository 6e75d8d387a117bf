"""Commands that have subcommands, each in a module of its own."""

from __future__ import annotations

import difflib
import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import click


class LazyGroup(ABC, click.Group):
    """Subcommands that are imported when they are called."""

    words: ClassVar[Mapping[str, str]]
    """What each does, by its name, in the order of the help text."""
    modules: ClassVar[str]
    """Where they are: what stands before the name of each in that of its module, which calls it ``command``."""

    @abstractmethod
    def instead(self, word: str, close: str | None) -> str:
        """Return what somebody meant who called for a command that there is not.

        Args:
            word: the command.
            close: the command whose name is the most similar one; None where none is.
        """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return their names in the order of the help text."""
        return list(self.words)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say what may have been meant."""
        word = args[0]
        if word not in self.words:
            close = next(iter(difflib.get_close_matches(word, self.words, 1)), None)
            meant = self.instead(word, close)
            raise click.UsageError(f"No such command {word!r}: did you mean `{meant}`?", ctx)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.words:
            return None
        command: click.Command = importlib.import_module(f"{self.modules}{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.words.items()))
