"""``sshexec hosts scan``: the keys that hosts show, for review, and whether known_hosts has them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from sshexec.cli.interrupt import Interrupts
from sshexec.cli.sources import inventory_option, load_inventory, openers, secret_options, select
from sshexec.cli.stderr import tell
from sshexec.cli.stdout import Stdout
from sshexec.cli.untrusted import harmless
from sshexec.cli.values import count, seconds
from sshexec.cli.variables import extra_variables
from sshexec.errors import CancelledError, HostError, InputError

if TYPE_CHECKING:
    from sshexec.connectors.ssh.context import SshContext
    from sshexec.connectors.ssh.scan import HostScan, ScannedKey
    from sshexec.inventory.model import Inventory

_CONNECT = 10.0
_LONGEST_KIND = len("ecdsa-sha2-nistp256")

_EPILOG = """\b
Examples:
  sshexec hosts scan web -i hosts.yml                   lines for known_hosts, and what is known of each key
  sshexec hosts scan all -i hosts.yml --fingerprints    fingerprints alone, to compare with those of the hosts' consoles
  sshexec hosts scan all -i hosts.yml --append          trust what is new

\b
Exit codes: 0 all well, 2 some key is CHANGED or REVOKED (or could not be saved), 4 some host was not reached (wins
over 2), 5 bad usage or input, 130 interrupted. A group or host called scan is shown by 'sshexec hosts scan,'."""


@click.command("scan", epilog=_EPILOG, short_help="collect host keys")
@click.argument("pattern", required=False)
@inventory_option
@click.option("-l", "--limit", metavar="PATTERN", help="Of the hosts, only those that this pattern selects too.")
@click.option("-e", "--extra-vars", "extra", multiple=True, metavar="VARS", help="name=value, JSON, YAML, or @FILE.")
@secret_options
@click.option("-f", "--forks", type=count, metavar="N", default="100", show_default=True, help="Hosts at once.")
@click.option("-T", "--timeout", type=seconds, help="Seconds for connecting (default 10).")
@click.option("--ssh-common-args", metavar="ARGS", help="OpenSSH options, such as '-o UserKnownHostsFile=FILE'.")
@click.option("--fingerprints", is_flag=True, help="Print fingerprints in the place of lines for known_hosts.")
@click.option("--append", is_flag=True, help="Add new keys to the first known_hosts file of each host.")
@click.option("-q", "--quiet", is_flag=True, help="Show neither fingerprints nor summary on standard error.")
def command(pattern: str | None, sources: tuple[str, ...], **options: Any) -> int:
    """Collect the host keys of the hosts that PATTERN selects (default: all), of every type, without logging in.

    Standard output gets lines for known_hosts, where a key that is CHANGED or REVOKED is a comment only; standard error
    the fingerprints, and whether known_hosts has each. With --append the lines go to known_hosts, and to no output.
    Nothing is trusted without it. What a host shows may come
    from whoever sits in between: compare the fingerprints with what you know otherwise.
    """
    pattern = pattern or "all"
    inventory = load_inventory(sources, pattern, options)
    hosts = [host.name for host in select(inventory, pattern, options["limit"])]
    given = {"ansible_timeout": options["timeout"], "ansible_ssh_common_args": options["ssh_common_args"]}
    on_top = {name: value for name, value in given.items() if value is not None}
    on_top |= extra_variables(options["extra"], openers(options).vault)
    from sshexec.connectors.ssh.context import SshContext

    with contextlib.closing(SshContext()) as context:
        scans = _scans(context, inventory, hosts, on_top, append=options["append"])
        return _Scanning(scans, **{name: options[name] for name in ("forks", "fingerprints", "append", "quiet")}).run()


def _scans(
    context: SshContext, inventory: Inventory, hosts: list[str], on_top: dict[str, Any], *, append: bool
) -> list[HostScan]:
    """Return the scans of those hosts that are reached by SSH.

    Raises:
        InputError: a variable is wrong, or keys are to be added and no file is named.
    """
    from sshexec.connectors.base import Timeouts
    from sshexec.connectors.ssh.options import SshOptions
    from sshexec.connectors.ssh.scan import HostScan
    from sshexec.runtime.plan import connection

    scans = []
    for host in hosts:
        kind, options = connection(host, {**inventory.variables(host), **on_top})
        if not isinstance(options, SshOptions):
            tell(f"sshexec: warning: {harmless(host)} is left out: a {kind.name} connection has no host keys")
            continue
        if append and not options.known_hosts:
            raise InputError(f"host {host}: --append: no known_hosts file is named")
        scans.append(HostScan(host, options, context, Timeouts(connect=_CONNECT)))
    return scans


@dataclass
class _Scanning:
    """Scans in progress, reported in the order of the inventory.

    Args:
        scans: one a host.
        forks: how many run at once.
        fingerprints: print fingerprints on standard output.
        append: add what is new.
        quiet: print nothing more than that.
    """

    scans: list[HostScan]
    forks: int
    fingerprints: bool
    append: bool
    quiet: bool
    added: int = 0
    unreached: int = 0
    unsaved: int = 0
    standings: dict[str, int] = field(default_factory=dict)
    lines: set[str] = field(default_factory=set)
    stopping: bool = False
    widths: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self.widths = (
            max((len(scan.host) for scan in self.scans), default=0),
            max((len(scan.name) for scan in self.scans), default=0),
        )

    def run(self) -> int:
        """See it through and return the exit code."""
        import gevent.pool

        from sshexec.runtime import descriptors

        stdout = Stdout()
        # One at a time for each host, so that no more than that are open.
        pool = gevent.pool.Pool(min(self.forks, descriptors.most_hosts()))
        stdout.on_loss = self._cancel
        with Interrupts(self._cancel, lambda: None) as interrupts:
            for scan, error in pool.imap(self._collect, self.scans):
                text = "".join(self._report(scan, error))
                stdout.write(harmless(text) if stdout.terminal else text)
            stdout.flush()
        if not self.quiet:
            tell(self._summary())
        if interrupts.exit_code is not None:
            return interrupts.exit_code
        bad = self.standings.get("CHANGED") or self.standings.get("REVOKED") or self.unsaved
        return 4 if self.unreached else 2 if bad else 0

    def _cancel(self) -> None:
        self.stopping = True
        for scan in self.scans:
            scan.cancel()

    def _collect(self, scan: HostScan) -> tuple[HostScan, HostError | None]:
        try:
            if self.stopping:
                return scan, CancelledError("cancelled")
            scan.collect()
        except HostError as error:
            return scan, error
        return scan, None

    def _report(self, scan: HostScan, error: HostError | None) -> Iterator[str]:
        """Tell what came of a host, and yield what goes to standard output."""
        if error is not None:
            self.unreached += 1
            tell(f"{harmless(scan.host)}: {harmless(error.message)}")
            return
        keys, added = self._judge(scan)
        self.added += added
        for key in keys:
            self.standings[key.standing] = self.standings.get(key.standing, 0) + 1
            row = self._row(scan, key, added=bool(added) and key.standing == "new")
            if self.fingerprints:
                yield f"{row}\n"
                continue
            if not self.quiet:
                tell(harmless(row))
            if self.append:
                continue  # the file has it, or it is none that belongs there
            bad = f"# {key.standing}: " if key.standing in ("CHANGED", "REVOKED") else ""
            line = f"{bad}{scan.name} {key.kind} {key.encoded}\n"
            if line not in self.lines:
                self.lines.add(line)
                yield line

    def _judge(self, scan: HostScan) -> tuple[list[ScannedKey], int]:
        if not self.append:
            return scan.keys(), 0
        try:
            return scan.add()
        except OSError as error:
            self.unsaved += 1
            tell(f"{harmless(scan.host)}: not saved: {harmless(scan.file)}: {error.strerror or error}")
            return scan.keys(), 0

    def _row(self, scan: HostScan, key: ScannedKey, *, added: bool) -> str:
        """Return what a person compares: host, name in known_hosts, type, fingerprint, standing."""
        where = f" ({key.where})" if key.where else ""
        left = f"{scan.host:<{self.widths[0]}}  {scan.name:<{self.widths[1]}}  {key.kind:<{_LONGEST_KIND}}"
        return f"{left}  {key.fingerprint}  {'added' if added else key.standing}{where}"

    def _summary(self) -> str:
        total = sum(self.standings.values())
        counts = ", ".join(f"{count} {standing}" for standing, count in sorted(self.standings.items(), reverse=True))
        hosts = len(self.scans)
        parts = [f"{hosts} host{'s' if hosts != 1 else ''}, {total} key{'s' if total != 1 else ''}"]
        parts[0] += f": {counts}" if counts else ""
        parts += [f"{self.added} added"] if self.append else []
        parts += [f"{self.unreached} host{'s' if self.unreached != 1 else ''} not reached"] if self.unreached else []
        return "; ".join(parts)
