"""``sshexec shell``: a session on one host in the operator's own terminal."""

from __future__ import annotations

import contextlib
import difflib
import os
import time
from typing import TYPE_CHECKING, Any

import click

from sshexec.cli.interrupt import Interrupts
from sshexec.cli.keeping import actor
from sshexec.cli.rawterminal import HELP, Keys, RawTerminal
from sshexec.cli.recordings_folder import made, making_options
from sshexec.cli.sources import inventory_option, load_inventory, openers, secret_options
from sshexec.cli.stderr import tell
from sshexec.cli.stdout import Stdout, StdoutLostError
from sshexec.cli.untrusted import harmless
from sshexec.cli.variables import connection_options, connection_variables, extra_variables, password_asked
from sshexec.errors import ArgumentError, HostError, InputError, NotAllowedError, PatternError, SessionOverError

if TYPE_CHECKING:
    from sshexec.inventory.model import Inventory
    from sshexec.terminal.events import Detached, Ended
    from sshexec.terminal.policy import TerminalPolicy
    from sshexec.terminal.recordings import Recordings
    from sshexec.terminal.session import TerminalSession
    from sshexec.terminal.viewer import Viewer

_EPILOG = """\b
Examples:
  sshexec shell web1 -i hosts.yml
  sshexec shell db1 -i hosts.yml -u postgres --command 'psql app'
  sshexec shell web1 -i hosts.yml --record
  sshexec shell localhost

\b
Behind Enter, ~. ends the session, ~? shows the escapes, and ~~ sends a tilde. The exit code is the program's own, as
with ssh; 128 and the number where a signal ended it, 4 where the host is unreachable or the connection broke (ssh says
255), 5 for bad usage or input, 1 where it can't be recorded any more, 130 for ~. ."""

_FAILED, _UNREACHABLE, _LEFT = 1, 4, 130

_FOREVER = 10.0**9
"""Seconds: an operator may stop his terminal for as long as he likes."""

_LOOK = 0.5
"""Seconds between looks at whether who waits for the terminal is to wait on."""


@click.command(epilog=_EPILOG, short_help="open a terminal on one host")
@click.argument("host")
@inventory_option
@click.option("--command", "program", metavar="COMMAND", help="What runs on the terminal instead of the login shell.")
@click.option(
    "--record",
    is_flag=False,
    flag_value="",
    default=None,
    metavar="[DIR]",
    help="Record the session, in DIR or else where `sshexec recordings` looks. Give it behind HOST.",
)
@making_options
@connection_options
@secret_options
@click.option("-k", "--ask-pass", is_flag=True, help="Ask for the login password first, whatever the inventory has.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing beside what the host says.")
@click.option("-v", "--verbose", is_flag=True, help="Say what the connection is busy with until it is open.")
def command(host: str, sources: tuple[str, ...], **options: Any) -> int:
    """Open a terminal on HOST, one of the inventory's hosts, by its connector.

    What its login asks (password, passphrase, one-time code, whether to trust a host key that is not known) is asked
    here, before.
    """
    if not (os.isatty(0) and os.isatty(1)):
        raise InputError("a shell needs a terminal for its input and output; `sshexec run` works without one")
    variables = connection_variables(options)
    if options["ask_pass"]:
        variables |= password_asked()
    variables |= extra_variables(options["extra"], openers(options).vault)
    inventory = _inventory(sources, host, options)
    return _open(inventory, host, variables, made(options), options)


def _inventory(sources: tuple[str, ...], host: str, options: dict[str, Any]) -> Inventory:
    from sshexec.inventory.model import Host, Inventory
    from sshexec.inventory.patterns import LOCALHOST

    inventory = load_inventory(sources, host, options)
    if host in inventory.hosts:
        return inventory
    if host in LOCALHOST:
        return Inventory.from_hosts([Host(host, {"ansible_connection": "local"})])
    close = difflib.get_close_matches(host, inventory.hosts, 1)
    meant = f": did you mean {close[0]}?" if close else "; `sshexec hosts` lists those that there are"
    raise PatternError(f"there is no host {harmless(host)!r:.80} in the inventory{meant}")


def _open(
    inventory: Inventory,
    host: str,
    variables: dict[str, Any],
    recordings: Recordings | None,
    options: dict[str, Any],
) -> int:
    from sshexec.cli.questions import terminal_questions
    from sshexec.connectors.base import Timeouts
    from sshexec.runtime.plan import Contexts
    from sshexec.terminal.opening import connecting
    from sshexec.terminal.session import TerminalSession

    questions = terminal_questions(
        user=options["user"], ask_pass=options["ask_pass"], ask_become_pass=False, eager=True
    )
    with contextlib.closing(Contexts()) as contexts, contextlib.ExitStack() as stack:
        connect = connecting(inventory, host, variables=variables, timeouts=Timeouts(), contexts=contexts)
        terminal = RawTerminal(0)
        session = TerminalSession(
            host,
            connect,
            owner=actor(),
            size=terminal.size,
            term=_term(),
            environment=_environment(),
            command=options["program"],
            policy=_policy(),
            ask=questions or (lambda question: None),
        )
        if recordings is not None:
            _record(session, recordings, options["quiet"])
        if questions is not None:
            stack.callback(questions.close)
        stack.enter_context(session)
        viewer = session.attach(user=session.owner)

        def cancel() -> None:
            if questions is not None:
                questions.cancel()
            session.terminate(reason="a signal came")

        def restore() -> None:
            if questions is not None:
                questions.restore()
            terminal.restore()

        with Interrupts(cancel, restore) as interrupts:
            session.start()
            code = _Shell(session, viewer, terminal, options).run()
            return interrupts.exit_code or code


def _policy() -> TerminalPolicy:
    from sshexec.terminal.policy import TerminalPolicy

    return TerminalPolicy(idle=None, max_time=None, stall=_FOREVER, accept_host_keys=True)


def _term() -> str:
    from sshexec.connectors.terminal import check_term

    term = os.environ.get("TERM", "")
    try:
        check_term(term)
    except ArgumentError:
        return "xterm"
    return term


def _environment() -> dict[str, str]:
    """Return what OpenSSH's stock configuration sends, too; hosts take what their AcceptEnv names."""
    return {name: value for name, value in os.environ.items() if name == "LANG" or name.startswith("LC_")}


def _record(session: TerminalSession, recordings: Recordings, quiet: bool) -> None:
    recording = recordings.begin(session.info())
    session.observe(recording)
    session.recording = recording.name
    if not quiet:
        tell(f"sshexec: recorded as {harmless(recording.name)}")


class _Shell:
    """The operator's side of a session.

    Args:
        session: it has begun to open.
        viewer: the operator's.
        terminal: his terminal.
        options: the command's.
    """

    def __init__(
        self, session: TerminalSession, viewer: Viewer, terminal: RawTerminal, options: dict[str, Any]
    ) -> None:
        self._session = session
        self._viewer = viewer
        self._terminal = terminal
        self._quiet, self._verbose = options["quiet"], options["verbose"]
        self._stdout = Stdout()
        self._stdout.on_loss = session.terminate
        self._left = self._stuck = False
        self._midway = False
        """Whether the last line on the screen has no end."""

    def run(self) -> int:
        """See the session through to its end and return the exit code.

        Raises:
            InputError: it could not be opened, and that is the caller's fault.
            StdoutLostError: the terminal is gone.
        """
        with contextlib.ExitStack() as raw:
            raw.callback(self._terminal.restore)
            ended = self._follow(raw)
        return self._end(ended)

    def _follow(self, raw: contextlib.ExitStack) -> Ended | Detached:
        from sshexec.terminal.events import Detached, Ended, Noticed, Opened, Phased

        while True:
            found = self._viewer.read()
            if isinstance(found, bytes):
                if not self._show(found):
                    return Ended("terminated")
                self._viewer.ack(len(found))
                self._midway = not found.endswith(b"\n")
            elif isinstance(found, Opened):
                self._terminal.enter()
                raw.enter_context(self._keys())
            elif isinstance(found, Noticed) and not self._quiet:
                tell(f"sshexec: {harmless(found.text)}\r")
            elif isinstance(found, Phased) and self._verbose:
                tell(f"{time.strftime('%H:%M:%S')} {harmless(self._session.host)}: {found.phase}")
            elif isinstance(found, (Ended, Detached)):
                return found

    def _show(self, data: bytes) -> bool:
        """Write what the host says; return False where the session is left while the terminal takes nothing of it."""
        self._stdout.write_bytes(data)
        while not self._stdout.flush(_LOOK):
            ended = self._session.info().ended
            if ended is not None and ended.reason == "terminated":
                self._stuck = True
                return False
        return True

    def _keys(self) -> Keys:
        viewer = self._viewer

        def keys(data: bytes) -> None:
            with contextlib.suppress(SessionOverError, NotAllowedError):
                viewer.write(data)

        def resize(size: Any) -> None:
            with contextlib.suppress(SessionOverError, NotAllowedError):
                viewer.resize(size)

        def leave(typed: bool) -> None:
            self._left = typed
            self._session.terminate(by=self._session.owner)

        def explain() -> None:
            with contextlib.suppress(StdoutLostError):
                self._stdout.write_bytes(HELP)

        return Keys(self._terminal, 0, on_keys=keys, on_size=resize, on_end=leave, on_help=explain)

    def _end(self, ended: Ended | Detached) -> int:
        from sshexec.terminal.events import Ended

        host = self._session.host
        if not isinstance(ended, Ended):
            return self._say(f"{host}: detached", _UNREACHABLE)
        if ended.reason == "exited":
            if ended.exit_signal is None:
                return _code(ended.exit_status or 0)
            self._say(f"{host}: {ended.text}", 0)
            return _signalled(ended.exit_signal)
        if ended.reason == "failed":
            try:
                self._session.wait_open(0)
            except HostError as error:
                return self._say(f"{host}: {error}", _UNREACHABLE)
        if self._left:
            return self._say(f"{host}: connection closed", _LEFT)
        return self._say(f"{host}: {ended.text}", _FAILED if ended.reason == "recording" else _UNREACHABLE)

    def _say(self, text: str, code: int) -> int:
        wrong = code in (_FAILED, _UNREACHABLE)
        if self._stuck:
            return code  # who takes no output takes no message
        if not self._quiet or wrong:
            if self._midway:
                tell("")
            tell(f"sshexec: {'error: ' if wrong else ''}{harmless(' '.join(text.split()))}")
        return code


def _code(status: int) -> int:
    """Return the exit code for a status, of which the system keeps the last byte: none is to look like a success."""
    return status & 0xFF or (255 if status else 0)


def _signalled(name: str) -> int:
    import signal

    number = int(name) if name.isascii() and name.isdecimal() and len(name) < 3 else getattr(signal, f"SIG{name}", None)
    return 128 + int(number) if number is not None else 255
