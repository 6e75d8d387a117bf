"""The ``sshexec`` command: its subcommands, and how errors become one line and an exit code."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Sequence
from typing import ClassVar

import click

import sshexec
from sshexec.cli.group import LazyGroup
from sshexec.cli.interrupt import InterruptedBySignal
from sshexec.cli.stderr import tell
from sshexec.cli.stdout import StdoutLostError
from sshexec.cli.untrusted import harmless
from sshexec.errors import InputError, SshexecError

INTERNAL, USAGE, INTERRUPTED, PIPE = 1, 5, 130, 141
"""Exit codes beside those of a run (0 all well, 2 some host failed, 4 some host unreachable)."""


class _Commands(LazyGroup):
    modules = "sshexec.cli."
    words: ClassVar = {
        "run": "run a module on many hosts",
        "shell": "open a terminal on one host",
        "hosts": "show which hosts there are, and their variables",
        "credentials": "keep keys, and the passwords and keys of hosts in a database",
        "history": "show what ran where",
        "recordings": "list, search and play recorded sessions",
        "database": "show, upgrade and downgrade the tables of a database",
        "web": "open terminals and run modules in a browser",
        "demo": "bring up 20 hosts on this machine and try it on them",
    }

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read what stands before the command; an option of the command's own gets a hint."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            hint = "options stand behind the command, as in `sshexec run all -i ...`"
            raise click.UsageError(f"No such option {error.option_name!r} here: {hint}", ctx) from None

    def instead(self, word: str, close: str | None) -> str:
        """Return what was meant; where no command is close, the word is the pattern, as Ansible orders its words."""
        # No command has such characters, and patterns do: web1 is not meant for web.
        return f"sshexec {close if close and word.isalpha() else f'run {shlex.quote(word)} ...'}"


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all well, 2 a host failed, 4 a host is unreachable, 5 bad usage or input, 130 interrupted.",
)
@click.version_option(sshexec.__version__, prog_name="sshexec")
@click.pass_context
def cli(context: click.Context) -> None:
    """Run commands, scripts and file copies on many hosts at once, Linux over SSH and Windows over WinRM.

    \b
      sshexec run all -i web1,web2, -a uptime
      sshexec run web -i hosts.yml -m copy -a 'src=app.conf dest=/etc/app.conf mode=0644'
      sshexec run windows -i hosts.yml -m win_shell -a '(Get-Service WinRM).Status'
      sshexec demo
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(USAGE)


_DATABASE_LIBRARIES = ("sqlalchemy", "alembic", "psycopg")
"""What they log of a connection that broke, traceback and all, our own errors say in one line."""


class _Warnings(logging.Handler):
    """Shows what the engine logs as a warning, a line each; worker processes may say the same, and once is enough."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record, the first time it comes."""
        text = harmless(" ".join(record.getMessage().split()))
        if text not in self._said:
            self._said.add(text)
            tell(f"sshexec: warning: {text}")


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; nothing is raised.

    Args:
        args: words after the program's name; None takes those of this process.
    """
    log = logging.getLogger("sshexec")
    if os.environ.get("SSHEXEC_TRACEBACK"):
        log.setLevel(logging.DEBUG)
        if not log.handlers:
            log.addHandler(logging.StreamHandler())
    elif not log.handlers:
        log.addHandler(_Warnings(logging.WARNING))
        for library in _DATABASE_LIBRARIES:
            logging.getLogger(library).addHandler(logging.NullHandler())
    try:
        code = cli.main(args, prog_name="sshexec", standalone_mode=False)
    except click.UsageError as error:
        about = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        return _fail(f"{error.format_message().rstrip('.')}{about}", USAGE)
    except click.ClickException as error:
        return _fail(error.format_message(), USAGE)
    except SshexecError as error:
        return _fail(str(error), USAGE if isinstance(error, InputError) else INTERNAL)
    except InterruptedBySignal as error:
        return _fail("interrupted", error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted", INTERRUPTED)
    except StdoutLostError as error:
        return PIPE if error.reader_left else _fail(str(error), INTERNAL)
    except Exception as error:
        if os.environ.get("SSHEXEC_TRACEBACK"):
            raise
        hint = "run with SSHEXEC_TRACEBACK=1 to see where"
        return _fail(f"{type(error).__name__}: {error} ({hint})", INTERNAL)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    tell(f"sshexec: error: {harmless(' '.join(message.split()))}")
    return code
