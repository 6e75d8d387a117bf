"""Variables from the command line: ``-e`` in its three forms, and the options that stand for a variable."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from typing import Any

from sshexec.errors import InputError, InventoryError
from sshexec.inventory.files import read_text
from sshexec.secret import Secret


def extra_variables(texts: Iterable[str]) -> dict[str, Any]:
    """Return the variables of every ``-e``, later ones on top, as Ansible reads them.

    Args:
        texts: each ``name=value name2="a b"`` (the values are texts), a JSON or YAML mapping, or ``@FILE`` with one.

    Raises:
        InputError: a text or a file does not hold variables.
    """
    variables: dict[str, Any] = {}
    for text in texts:
        if text.startswith("@"):
            path = os.path.expanduser(text[1:])
            variables.update(_mapping(read_text(path, f"-e {text}"), f"-e {text}"))
        elif text.lstrip().startswith(("{", "[")):
            variables.update(_mapping(text, "-e"))
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
        raise InputError(f"{flag}: there is no terminal to ask for the password at") from None
    try:
        return Secret(getpass(text))
    except EOFError:
        raise InputError(f"{flag}: no password was given") from None
    except UnicodeDecodeError:
        raise InputError(f"{flag}: the password is not text in this terminal's encoding") from None


def _mapping(text: str, where: str) -> dict[str, Any]:
    from sshexec.inventory.document import read_json, read_yaml

    try:
        value = read_json(text, where).data
    except InventoryError:
        value = read_yaml(text, where).data
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
