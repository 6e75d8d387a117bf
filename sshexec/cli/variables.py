"""Variables from the command line: ``-e`` in its three forms, and the options that stand for a variable."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sshexec.errors import InputError
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
            variables.update(_mapping(_read(text[1:]), f"-e {text}"))
        elif text.lstrip().startswith(("{", "[")):
            variables.update(_mapping(text, "-e"))
        else:
            variables.update(_pairs(text))
    return variables


def ask_password(user: str | None) -> Secret:
    """Ask for the connection password on the terminal, which need not be standard input.

    Args:
        user: for the question; None where it is not known yet.

    Raises:
        InputError: there is no terminal to ask at.
    """
    from getpass import getpass

    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        raise InputError("-k: there is no terminal to ask for the password at") from None
    return Secret(getpass(f"SSH password{f' of {user}' if user else ''}: "))


def _read(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"-e @{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"-e @{path}: not UTF-8 text") from None


def _mapping(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        import yaml

        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = f" (line {mark.line + 1})" if mark else ""
            raise InputError(f"{where}: neither JSON nor YAML{place}") from None
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
