"""``sshexec web``: terminals on the inventory's hosts, and runs, in a browser."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from sshexec.cli.interrupt import Interrupts
from sshexec.cli.keeping import Keeping, actor, keeping_options
from sshexec.cli.recordings_folder import made, making_options
from sshexec.cli.sources import inventory_option, load_inventory, openers, secret_options
from sshexec.cli.stderr import tell
from sshexec.cli.untrusted import harmless
from sshexec.cli.values import count, seconds, size
from sshexec.cli.variables import connection_options, connection_variables, extra_variables
from sshexec.errors import ArgumentError, InputError

if TYPE_CHECKING:
    from sshexec.engine import Engine
    from sshexec.inventory.model import Inventory
    from sshexec.terminal.sessions import TerminalManager
    from sshexec.web.signin import SignIn

_EPILOG = """\b
Examples:
  sshexec web -i hosts.yml
  sshexec web -i hosts.yml --record /var/lib/sshexec/recordings --idle 900
  sshexec web -i hosts.yml --bind 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem --origin https://ops.example.org:8443

\b
It prints a link that signs one browser in, once; when that is used, another one. Whoever has it may open terminals as
the user who runs this command. Ctrl-C ends all terminals."""

_LINK_TIME = 900.0
"""Seconds that a printed link is good for."""


@click.command(epilog=_EPILOG, short_help="open terminals and run modules in a browser")
@inventory_option
@click.option(
    "--bind",
    metavar="ADDRESS:PORT",
    default="127.0.0.1:8022",
    show_default=True,
    help="Where to listen; port 0 takes a free one.",
)
@click.option(
    "--origin",
    "origins",
    multiple=True,
    metavar="URL",
    help="Where browsers find the page, such as https://ops.example.org. May be repeated. Default: the bound address.",
)
@click.option("--tls-cert", type=click.Path(dir_okay=False), metavar="FILE", help="Certificate and chain, for https.")
@click.option("--tls-key", type=click.Path(dir_okay=False), metavar="FILE", help="Its key, if it is not in that file.")
@click.option("--insecure", is_flag=True, help="Listen at a public address without TLS all the same.")
@click.option(
    "--trusted-proxy",
    "proxies",
    multiple=True,
    metavar="ADDRESS",
    help="Believe X-Forwarded-For of this address or network. May be repeated.",
)
@click.option("--record", type=click.Path(file_okay=False), metavar="DIR", help="Record every session here.")
@making_options
@click.option("--idle", type=seconds, default="1800", show_default=True, help="Seconds until an idle session ends.")
@click.option("--max-time", type=seconds, default="43200", show_default=True, help="Seconds that a session may last.")
@click.option("--read-only", is_flag=True, help="Let nobody type, send files, or run anything.")
@click.option("--no-runs", is_flag=True, help="Offer no runs of modules.")
@click.option("--ask-host-keys", is_flag=True, help="Let people confirm the keys of hosts that are not known.")
@click.option("--limit", type=count, default="200", metavar="N", show_default=True, help="Sessions at once.")
@click.option("--largest-upload", type=size, default="4G", metavar="SIZE", show_default=True, help="Of one file.")
@connection_options
@secret_options
@keeping_options
@click.option("-q", "--quiet", is_flag=True, help="Print no line for each request.")
def command(sources: tuple[str, ...], **options: Any) -> int:
    """Serve terminals on the hosts of the inventory, and runs of modules, to a browser.

    Secrets of the hosts stay here: the browser gets the terminal's text only.
    """
    try:
        import sshexec.web.application  # noqa: F401 - whether it can be
    except ModuleNotFoundError as error:
        if error.name not in ("werkzeug", "wsproto"):
            raise
        raise InputError(f"the web terminal needs {error.name}: pip install 'sshexec[web]'") from None
    host, port = _address(options["bind"])
    _check(host, options)
    with Keeping(options) as keeping:
        _serve(sources, host, port, options, keeping)
    return 0


def _address(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})", text)
    if match is None or int(match["port"]) > 65535:
        raise click.BadParameter(f"expected an address and a port such as 127.0.0.1:8022, got {text!r}")
    return match["six"] or match["host"], int(match["port"])


def _check(host: str, options: dict[str, Any]) -> None:
    if options["tls_key"] and not options["tls_cert"]:
        raise click.UsageError("--tls-key goes with --tls-cert", click.get_current_context())
    if not options["tls_cert"] and not options["insecure"] and not _is_loopback(host):
        raise InputError(
            f"--bind {host}: others could read all that is typed: add --tls-cert and --tls-key, bind 127.0.0.1 behind a"
            " proxy that has TLS, or say --insecure"
        )
    if not options["origins"] and _is_any(host):
        raise InputError(f"--bind {host}: say with --origin which address browsers will use")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _origins(given: tuple[str, ...], host: str, scheme: str, port: int) -> list[str]:
    """Return where the page may be opened: what was said, and this machine's own names for a loopback address."""
    own = [] if _is_any(host) else [host]
    if _is_loopback(host):
        own.append("localhost")
    shown = [f"[{name}]" if ":" in name else name for name in own]
    return [*(origin.rstrip("/").lower() for origin in given), *(f"{scheme}://{name}:{port}" for name in shown)]


class _Links:
    """Prints links that sign a browser in: one at a time, and another one whenever that was used."""

    def __init__(self, user: str) -> None:
        self._user = user
        self._lock = threading.Lock()
        self.base = ""
        self.sign_in: SignIn | None = None

    def used(self, user: str) -> None:
        """Print the next one."""
        tell(f"sshexec: {harmless(user)} signed in; for another browser:")
        self.show()

    def refused(self) -> None:
        """Print a new one where the last one is too old: somebody needs it."""
        with self._lock:
            if self.sign_in is None or self.sign_in.waiting:
                return
            tell("sshexec: a link was not valid (any more); a new one:")
            self._show()

    def show(self) -> None:
        """Print a link."""
        with self._lock:
            self._show()

    def _show(self) -> None:
        if self.sign_in is not None:
            # Behind the #, which no browser sends: neither a log nor a Referer has it.
            tell(f"  {self.base}/#token={self.sign_in.issue(self._user)}")


def _serve(sources: tuple[str, ...], host: str, port: int, options: dict[str, Any], keeping: Keeping) -> None:
    from sshexec.web.application import WebTerminal
    from sshexec.web.server import Server
    from sshexec.web.signin import SignIn

    user = actor()
    links = _Links(user)
    variables = {**connection_variables(options), **extra_variables(options["extra"], openers(options).vault)}
    inventory = load_inventory(sources, None, options)

    told = None if options["quiet"] else tell
    server = Server(host, port, certificate=options["tls_cert"], key=options["tls_key"], told=told)
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop, 2.0)
        manager = stack.enter_context(_manager(inventory, variables, user, options, keeping))
        engine = stack.enter_context(_engine(manager, variables, user, options, keeping))
        sign_in = SignIn(token_ttl=_LINK_TIME, name=f"web-{server.port}", used=links.used, refused=links.refused)
        origins = _origins(options["origins"], host, server.scheme, server.port)
        try:
            application = WebTerminal(
                manager,
                authenticate=sign_in,
                origins=origins,
                engine=engine,
                history=keeping.history if engine is not None else None,
                secure=server.scheme == "https" or origins[0].startswith("https:"),
                trusted_proxies=options["proxies"],
                largest_file=options["largest_upload"],
            )
        except ArgumentError as error:
            raise InputError(str(error)) from None
        stack.callback(application.close)
        links.base, links.sign_in = origins[0], sign_in
        server.start(application)
        _wait(links, len(inventory.hosts))


def _wait(links: _Links, hosts: int) -> None:
    """Serve until a signal comes."""
    tell(f"sshexec: serving {hosts} host(s) at {links.base}/ until Ctrl-C; sign in with:")
    links.show()
    over = threading.Event()
    # Not by an exception: it would be raised in whichever greenlet runs just then.
    with Interrupts(over.set, lambda: None):
        over.wait()
    tell("sshexec: ending all sessions")


@contextlib.contextmanager
def _manager(
    inventory: Inventory, variables: Any, user: str, options: dict[str, Any], keeping: Keeping
) -> Iterator[TerminalManager]:
    from sshexec.terminal.policy import TerminalPolicy
    from sshexec.terminal.sessions import TerminalManager

    refused = {"upload", "run"} if options["read_only"] else set()

    def permit(who: str, action: str, host: str) -> bool:
        return who == user and action not in refused

    policy = TerminalPolicy(
        idle=options["idle"],
        max_time=options["max_time"],
        read_only=options["read_only"],
        accept_host_keys=options["ask_host_keys"],
    )
    with TerminalManager(
        inventory,
        permit=permit,
        policy=policy,
        recordings=made(options),
        audit=keeping.audit,
        limit=options["limit"],
        limit_each=options["limit"],
        variables=variables,
    ) as manager:
        yield manager


@contextlib.contextmanager
def _engine(
    manager: TerminalManager, variables: Any, user: str, options: dict[str, Any], keeping: Keeping
) -> Iterator[Engine | None]:
    if options["no_runs"]:
        yield None
        return
    from sshexec.engine import Engine
    from sshexec.web.runs import authorization

    with Engine(
        manager.inventory,
        variables=variables,
        history=keeping.history,
        actor=user,
        authorize=authorization(manager.allowed),
        audit=keeping.audit,
    ) as engine:
        yield engine
