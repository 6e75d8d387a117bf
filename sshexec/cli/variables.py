"""Variables from the command line: ``-e`` in its three forms, and the options that stand for a variable."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from sshexec.cli.sources import openers
from sshexec.cli.values import seconds
from sshexec.errors import InputError, InventoryError
from sshexec.inventory.files import read_text
from sshexec.secret import Secret, as_secrets

if TYPE_CHECKING:
    from sshexec.credentials.vault import VaultPasswords

_FLAGS = {
    "ansible_user": "-u",
    "ansible_connection": "-c",
    "ansible_private_key_file": "--private-key",
    "ansible_timeout": "-T",
    "ansible_ssh_common_args": "--ssh-common-args",
    "ansible_host_key_checking": "--host-key-checking",
    "ansible_ssh_args": "--host-key-checking",
}
"""The option that stands for a variable."""


def connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that set connection variables, and ``-e``."""
    for declare in reversed(
        (
            click.option(
                "-e", "--extra-vars", "extra", multiple=True, metavar="VARS", help="name=value, JSON, YAML, or @FILE."
            ),
            click.option("-u", "--user", help="Log in as this user."),
            click.option("--private-key", metavar="FILE", help="Log in with this key."),
            click.option(
                "-c", "--connection", metavar="NAME", help="How to reach the hosts: ssh, winrm (Windows), local."
            ),
            click.option(
                "--ssh-common-args", metavar="ARGS", help="OpenSSH options, such as '-o UserKnownHostsFile=FILE'."
            ),
            click.option(
                "--host-key-checking",
                type=click.Choice(["yes", "accept-new", "no"]),
                help="Unknown host keys: refuse, learn, or check none. Default: refuse; `shell` and `web"
                " --ask-host-keys` ask first.",
            ),
            click.option("-T", "--timeout", type=seconds, help="Seconds for connecting (default 10)."),
        )
    ):
        command = declare(command)
    return command


_BECOME = {"become": "-b", "become_user": "--become-user", "become_method": "--become-method"}


def become_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options about privilege escalation that stand behind a host's own variables."""
    for declare in reversed(
        (
            click.option("-b", "--become", is_flag=True, help="Run as another user."),
            click.option("--become-user", metavar="USER", help="As whom (default root)."),
            click.option("--become-method", metavar="NAME", help="By which program: sudo (the default), su, doas."),
        )
    ):
        command = declare(command)
    return command


def become_on_command_line(options: Mapping[str, Any]) -> dict[str, str]:
    """Return which of `become_options` were given: the option, by its name."""
    return {name: f"command line {flag}" for name, flag in _BECOME.items() if options[name]}


def connection_variables(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables that `connection_options` set, ``-e`` left out.

    Args:
        options: the command's options.
    """
    checking = options["host_key_checking"]
    given = {
        "ansible_user": options["user"],
        "ansible_connection": options["connection"],
        "ansible_private_key_file": options["private_key"],
        "ansible_timeout": options["timeout"],
        "ansible_ssh_common_args": options["ssh_common_args"],
        "ansible_host_key_checking": None if checking is None else checking != "no",
        # The first of OpenSSH's options wins, and this variable is the first that is read.
        "ansible_ssh_args": f"-o StrictHostKeyChecking={checking}" if checking in ("yes", "accept-new") else None,
    }
    variables: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if options["private_key"]:
        # It wins over a key that the inventory has under another name, too.
        variables |= dict.fromkeys(("ansible_private_key", "ansible_ssh_private_key"))
    return variables


def password_asked() -> dict[str, Any]:
    """Return the variables of ``-k``: the password is asked for, whatever the inventory has under any name."""
    return {
        "sshexec_ask_password": True,
        **dict.fromkeys(("ansible_password", "ansible_ssh_pass", "ansible_ssh_password")),
    }


def flag_of(variable: str) -> str:
    """Return the option that sets a variable."""
    return _FLAGS.get(variable, "-e")


def on_command_line(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the variables that the command line sets, ``-e`` on top, and the option that set each.

    Raises:
        InputError: as `extra_variables`.
    """
    given, extra = connection_variables(options), extra_variables(options["extra"], openers(options).vault)
    flags = {name: _FLAGS[name] for name in given if name in _FLAGS} | dict.fromkeys(extra, "-e")
    return given | extra, {name: f"command line {flag}" for name, flag in flags.items()}


def extra_variables(texts: Iterable[str], vault: VaultPasswords | None = None) -> dict[str, Any]:
    """Return the variables of every ``-e``, later ones on top, as Ansible reads them.

    Args:
        texts: each ``name=value name2="a b"`` (the values are texts), a JSON or YAML mapping, or ``@FILE`` with one.
        vault: opens what ansible-vault has encrypted.

    Raises:
        InputError: a text or a file does not hold variables, or no password opens a file.
    """
    variables: dict[str, Any] = {}
    for text in texts:
        if text.startswith("@"):
            path = os.path.expanduser(text[1:])
            variables.update(_file(path, f"-e {text}", vault))
        elif text.lstrip().startswith(("{", "[")):
            variables.update(_mapping(text, "-e", vault))
        else:
            variables.update(_pairs(text))
    return variables


def ask_password(flag: str, text: str) -> Secret:
    """Ask for a password on the terminal, which need not be standard input.

    Args:
        flag: the option that wants it.
        text: the question.

    Raises:
        InputError: there is no terminal to ask at, or no password was given.
    """
    from getpass import getpass

    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        raise InputError(
            f"{flag}: there is no terminal to ask for the password at; {_INSTEAD.get(flag, 'another place')} needs none"
        ) from None
    try:
        return Secret(getpass(text))
    except EOFError:
        raise InputError(f"{flag}: no password was given") from None
    except UnicodeDecodeError:
        raise InputError(f"{flag}: the password is not text in this terminal's encoding") from None


_INSTEAD = {
    "-k": "-e @FILE, with ansible_password in FILE,",
    "-K": "-e @FILE, with ansible_become_password in FILE,",
    "-J": "--vault-password-file",
}
"""What to use where there is no terminal."""


def _file(path: str, where: str, vault: VaultPasswords | None) -> dict[str, Any]:
    from sshexec.credentials.vault import VaultPasswords, is_vault

    text = read_text(path, where)
    if not is_vault(text):
        return _mapping(text, where, vault)
    found: dict[str, Any] = as_secrets(_mapping((vault or VaultPasswords()).decrypt(text, where), where, vault))
    return found


def _mapping(text: str, where: str, vault: VaultPasswords | None) -> dict[str, Any]:
    from sshexec.inventory.document import read_json, read_yaml

    try:
        value = read_json(text, where, vault).data
    except InventoryError:
        value = read_yaml(text, where, vault).data
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise InputError(f"{where}: expected a mapping of variable names to values")
    return value


def _pairs(text: str) -> dict[str, str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"-e: {str(error).lower()} (quote the whole: -e 'name=\"a b\"')") from None
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            # The text itself is not shown: it may be a password that lost its name.
            raise InputError("-e: expected name=value, a JSON or YAML mapping, or @FILE")
        pairs[name] = value
    return pairs
