"""Where the hosts come from: ``-i``, or ``SSHEXEC_INVENTORY``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from sshexec.cli.stderr import tell
from sshexec.cli.untrusted import harmless
from sshexec.errors import InputError, PatternError

if TYPE_CHECKING:
    from sshexec.inventory.model import Host, Inventory

VARIABLE = "SSHEXEC_INVENTORY"


def inventory_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option ``-i``."""
    return click.option(
        "-i",
        "--inventory",
        "sources",
        multiple=True,
        metavar="SOURCE",
        help=f"YAML or INI file, directory, executable, or names: 'h1,h2,'. May be repeated. Default: ${VARIABLE}.",
    )(command)


def load_inventory(sources: Sequence[str], pattern: str | None = None) -> Inventory:
    """Load the inventory and show its warnings on standard error.

    Args:
        sources: what ``-i`` named.
        pattern: which hosts are wanted; "localhost" alone needs no inventory, as with Ansible.

    Raises:
        InputError: there is none, or one is unreadable or wrong.
    """
    from sshexec.inventory.model import Inventory
    from sshexec.inventory.patterns import LOCALHOST

    chosen = list(sources) or [source for source in [os.environ.get(VARIABLE)] if source]
    if not chosen and pattern in LOCALHOST:
        return Inventory.from_hosts([])
    if not chosen:
        raise InputError(f"no inventory: name one with -i (a file, or 'host1,host2,'), or set {VARIABLE}")
    inventory = Inventory.load(chosen)
    for warning in inventory.warnings:
        tell(f"sshexec: warning: {harmless(str(warning))}")
    return inventory


def select(inventory: Inventory, pattern: str, limit: str | None) -> list[Host]:
    """Return the hosts that the pattern selects, of those only what the limit selects too.

    Raises:
        PatternError: a pattern is wrong, or no host is left.
    """
    hosts = inventory.select(pattern)
    if limit is None:
        return hosts
    allowed = {host.name for host in inventory.select(limit)}
    left = [host for host in hosts if host.name in allowed]
    if not left:
        raise PatternError(f"no host of {pattern!r} is within the limit {limit!r}")
    return left
