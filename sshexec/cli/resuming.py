"""``--resume``: what of a command line comes from the record of an earlier run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from sshexec.cli.nodeset import fold
from sshexec.cli.stderr import tell
from sshexec.cli.untrusted import harmless
from sshexec.cli.variables import flag_of
from sshexec.errors import HistoryError
from sshexec.selection import selected

if TYPE_CHECKING:
    from sshexec.inventory.model import Inventory
    from sshexec.recorder import Resumption

_FROM_RECORD = {
    **{name: name for name in ("check", "diff", "run_timeout", "serial", "max_fail_percentage", "output_limit")},
    **{name: name for name in ("spill", "output_dir", "become", "become_user", "become_method", "reason", "labels")},
    "task_timeout": "timeout",
}
"""Options that come from the record where they are not given, and their names there."""

_PASSED_ON = ("environment", "become_flags", "no_log")
"""What the record of a library's run may hold, and this command line has no option for."""


_WITHHELD = {
    "args": "arguments, since there are secrets in them: give them again with -a",
    "environment": "environment, since there are secrets in it: Engine.resume goes on with it",
}
"""What a record may lack, and what to do then."""


def resume_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options about going on with an earlier run."""
    for declare in reversed(
        (
            click.option(
                "--resume",
                metavar="RUN",
                help="Go on with this run (its ID, the beginning of it, or 'last'): the same task, on hosts that did"
                " not end well or were never reached. What is not given here comes from its record.",
            ),
            click.option(
                "--include-unknown",
                is_flag=True,
                help="With --resume: hosts too that were at work when their runner died.",
            ),
        )
    ):
        command = declare(command)
    return command


def check_resuming(pattern: str | None, options: Mapping[str, Any]) -> None:
    """Check that the options go together.

    Raises:
        click.UsageError: they do not.
    """
    context = click.get_current_context()
    if pattern is None and options["resume"] is None:
        raise click.UsageError("Missing argument 'PATTERN'", context)
    if options["resume"] is not None and options["no_history"]:
        raise click.UsageError("--resume and --no-history exclude each other", context)
    if options["include_unknown"] and options["resume"] is None:
        raise click.UsageError("--include-unknown goes with --resume", context)


class Order:
    """What is asked for: on the command line, and by the record of the run that it goes on with.

    Args:
        pattern: which hosts; None for those that are left of an earlier run.
        options: the command's; `resume` fills those that were not given.
        variables: those that the command line sets.
    """

    def __init__(self, pattern: str | None, options: dict[str, Any], variables: Mapping[str, Any]) -> None:
        self.options = options
        self.variables = variables
        self.earlier: Resumption | None = None
        self.more: dict[str, Any] = {}
        """Keywords of `Engine.start` that no option stands for."""
        self.hosts: str | list[str] = pattern or ""
        """The pattern that was given, or the names of the hosts that are left."""
        self._pattern = pattern

    @property
    def pattern(self) -> str:
        """How the hosts are or were chosen, for people."""
        if self._pattern is not None or self.earlier is None:
            return self._pattern or ""
        return self.earlier.pattern if isinstance(self.earlier.pattern, str) else ",".join(self.earlier.pattern)

    @property
    def exit_code(self) -> int:
        """What the command exits with where all is well with its hosts: 2 where others are left of which none knows."""
        return 2 if self.earlier is not None and self._unknown else 0

    @property
    def _unknown(self) -> Sequence[str]:
        return () if self.earlier is None or self.options["include_unknown"] else self.earlier.unknown

    def resume(self, earlier: Resumption) -> None:
        """Go on with an earlier run.

        Raises:
            HistoryError: something is neither in its record nor given.
        """
        self.earlier = earlier
        if self._pattern is None:
            self.hosts = earlier.hosts(unknown=self.options["include_unknown"])
        name, given = earlier.run[:8], _given()
        missing = earlier.missing(self.variables)
        if missing:
            shown = ", ".join(f"{flag_of(each)} ({each})" for each in missing)
            raise HistoryError(
                f"--resume: run {name} was started with {shown}, whose values are not recorded: give them again"
            )
        for option, recorded in _FROM_RECORD.items():
            if option not in given and recorded in earlier.options:
                self.options[option] = earlier.options[recorded]
        if "module" not in given:
            self.options["module"] = earlier.module
        if "arguments" not in given:
            self.options["arguments"] = earlier.args
        for what, instead in _WITHHELD.items():
            if what in earlier.withheld and not (what == "args" and "arguments" in given):
                raise HistoryError(f"--resume: the record of run {name} does not hold its {instead}")
        self.more = {each: earlier.options[each] for each in _PASSED_ON if earlier.options.get(each)}

    def select(self, inventory: Inventory) -> list[str]:
        """Return the names of the hosts to run on, and say who is left out.

        Raises:
            PatternError: no host is selected.
            InputError: one is not in the inventory any more.
        """
        again = {"earlier": self.earlier, "unknown": self.options["include_unknown"]}
        hosts = selected(inventory, self.hosts, limit=self.options["limit"], **again)
        if self._unknown:
            self._tell_unknown(self._unknown)
        if self.earlier is not None and not hosts:
            chosen = [repr(each) for each in (self._pattern, self.options["limit"]) if each is not None]
            among = f" on the hosts that {' and '.join(chosen)} selects" if chosen else ""
            done = f"{len(self.earlier.done)} of {len(self.earlier.order)} hosts are done"
            tell(f"sshexec: nothing is left to do of run {self.earlier.run[:8]}{harmless(among)}: {done}")
        return hosts

    def _tell_unknown(self, hosts: Sequence[str]) -> None:
        one = len(hosts) == 1
        subject, they, them = ("1 host was", "it", "it") if one else (f"{len(hosts)} hosts were", "they", "them")
        tell(
            f"sshexec: warning: {subject} at work when the runner died, and nobody knows how far {they} came:"
            f" {harmless(fold(hosts))}; --include-unknown runs it on {them} again"
        )


def _given() -> set[str]:
    """Return the names of the options that were given."""
    context = click.get_current_context()
    unsaid = (None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)
    return {name for name in context.params if context.get_parameter_source(name) not in unsaid}
