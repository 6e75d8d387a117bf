"""Where the hosts come from: ``-i``, or ``SSHEXEC_INVENTORY``; and what opens the secrets there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from sshexec.cli.stderr import tell
from sshexec.cli.untrusted import harmless
from sshexec.errors import InputError, PatternError
from sshexec.secret import Secret

if TYPE_CHECKING:
    from sshexec.credentials.openers import Openers
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
        help="YAML, INI or CSV file, directory, executable, database URL, or names: 'h1,h2,'. May be repeated. "
        f"Default: ${VARIABLE}.",
    )(command)


def secret_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that name keys and vault passwords; `openers` reads them."""
    for declare in reversed(
        (
            key_option,
            click.option(
                "--vault-password-file",
                "--vault-pass-file",
                "vault_files",
                multiple=True,
                metavar="FILE",
                help="Password of ansible-vault; a program prints it. May be repeated.",
            ),
            click.option(
                "--vault-id",
                "vault_ids",
                multiple=True,
                metavar="LABEL@SOURCE",
                help="The same for one vault id: a file, a program, or 'prompt'. May be repeated.",
            ),
            click.option(
                "-J",
                "--ask-vault-pass",
                "--ask-vault-password",
                "ask_vault",
                is_flag=True,
                help="Ask for the password of ansible-vault, once it is needed.",
            ),
        )
    ):
        command = declare(command)
    return command


def key_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option ``--key-file``."""
    return click.option(
        "--key-file",
        metavar="SOURCE",
        help="Key to the secrets in a database: a file, env:NAME or command:PROGRAM. Default: $SSHEXEC_KEY_FILE, else"
        " ~/.config/sshexec/key.",
    )(command)


def openers(options: Mapping[str, Any]) -> Openers:
    """Return what the options of `secret_options` (or `key_option`) and the environment name; nothing is read yet.

    It is the same for one command, however often it is asked for, so that nobody is asked twice.

    Args:
        options: the command's options.
    """
    context = click.get_current_context()
    known: Openers | None = context.meta.get(__name__)
    if known is None:
        known = context.meta[__name__] = _openers(options)
    return known


def _openers(options: Mapping[str, Any]) -> Openers:
    from sshexec.cli.variables import ask_password
    from sshexec.credentials.openers import Openers
    from sshexec.credentials.passwords import vault_passwords

    def ask(label: str) -> Secret:
        return ask_password("-J", "Vault password: " if label == "default" else f"Vault password ({label}): ")

    vault = vault_passwords(
        options.get("vault_ids", ()), options.get("vault_files", ()), ask=ask, asked=options.get("ask_vault", False)
    )
    return Openers.of(options.get("key_file"), vault)


def load_inventory(
    sources: Sequence[str], pattern: str | None = None, options: Mapping[str, Any] | None = None
) -> Inventory:
    """Load the inventory and show its warnings on standard error.

    Args:
        sources: what ``-i`` named.
        pattern: which hosts are wanted; "localhost" alone needs no inventory, as with Ansible.
        options: the command's options, those of `secret_options` among them.

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
    with_keys = openers(options or {})
    inventory = Inventory.load(chosen, vault=with_keys.vault, keyring=with_keys.keyring, providers=with_keys.providers)
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
