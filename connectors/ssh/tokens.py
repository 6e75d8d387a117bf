"""Tokens (``%h``), environment variables (``${HOME}``) and ``~`` in the values of OpenSSH's options."""

from __future__ import annotations

import functools
import getpass
import hashlib
import os
import re
import socket
from collections.abc import Callable

from sshexec.errors import OptionError

FILES = "%CdhikLlnpru"
"""Tokens of file names and of ``Match exec`` (ssh_config(5), TOKENS)."""
PROXY = "%hnpr"
HOSTNAME = "%h"

_TOKEN = re.compile(r"%(.?)", re.DOTALL)
_MEANT_FOR_SHELL = re.compile(r"""['`"$\\;&<>|(){}\s\x00-\x1f\x7f]""")
_TOKEN_OR_VARIABLE = re.compile(r"%(?P<token>.?)|\$\{(?P<variable>[^}]*)\}", re.DOTALL)


class Names:
    """What the tokens stand for.

    Args:
        host: the name or address to connect to.
        original: the name as it was asked for.
        port: TCP port.
        user: login name on the host.
        alias: name in known_hosts, where one is set.
    """

    __slots__ = ("alias", "host", "original", "port", "user")

    def __init__(self, host: str, original: str, port: int, user: str, alias: str | None) -> None:
        self.host = host
        self.original = original
        self.port = port
        self.user = user
        self.alias = alias

    def token(self, letter: str) -> str:
        """Return what a token stands for."""
        return _TOKENS[letter](self)


def _machine() -> str:
    return socket.gethostname()


_TOKENS: dict[str, Callable[[Names], str]] = {
    "%": lambda names: "%",
    "h": lambda names: names.host,
    "n": lambda names: names.original,
    "p": lambda names: str(names.port),
    "r": lambda names: names.user,
    "k": lambda names: names.alias or names.original,
    "u": lambda names: local_user(),
    "i": lambda names: str(os.getuid()),
    "d": lambda names: os.path.expanduser("~"),
    "L": lambda names: _machine().partition(".")[0],
    "l": lambda names: _machine(),
    "C": lambda names: hashlib.sha1(
        f"{_machine()}{names.host}{names.port}{names.user}".encode("utf-8", "surrogateescape"), usedforsecurity=False
    ).hexdigest(),
}


def fill(text: str, names: Names, allowed: str) -> str:
    """Fill in the tokens of a value.

    Raises:
        ValueError: it has a token that it can't have.
    """
    if "%" not in text:
        return text
    return _TOKEN.sub(lambda match: _token(match[1], text, names, allowed), text)


def fill_command(text: str, names: Names, allowed: str) -> str:
    """Fill in the tokens of a command for a shell.

    As since OpenSSH 9.6, a name with characters that mean something to the shell is refused: inventories are written by
    others, too.

    Raises:
        ValueError: it has a token that it can't have, or one that is not safe in a command.
    """
    if "%" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        value = _token(match[1], text, names, allowed)
        if match[1] in "hnrk" and (value.startswith("-") or _MEANT_FOR_SHELL.search(value)):
            raise ValueError(f"%{match[1]} is {value!r}, which can't stand in a command")
        return value

    return _TOKEN.sub(replace, text)


def fill_path(text: str, names: Names) -> str:
    """Fill in tokens, environment variables and a leading ``~`` of a file's name.

    ``~`` is the HOME of the environment, where OpenSSH takes that of the passwd entry.

    Raises:
        ValueError: it has a token that it can't have, or a variable that is not set.
    """
    if text.startswith("~"):
        text = os.path.expanduser(text)
    if "%" not in text and "$" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        name = match["variable"]
        if name is None:
            return _token(match["token"], text, names, FILES)
        if name not in os.environ:
            raise ValueError(f"{match[0]} is not set in the environment")
        return os.environ[name]

    return _TOKEN_OR_VARIABLE.sub(replace, text)


def _token(letter: str, text: str, names: Names, allowed: str) -> str:
    if not letter or letter not in allowed:
        raise ValueError(f"token %{letter} is not known here: {text!r}")
    return names.token(letter)


def local_user() -> str:
    """Return the name of the user that this process runs as.

    Raises:
        OptionError: there is none, as in some containers.
    """
    try:
        return _user(getpass.getuser, os.environ.get("LOGNAME"), os.environ.get("USER"))
    except (KeyError, OSError):
        raise OptionError("ansible_user: not set, and this user has no name") from None


@functools.lru_cache(maxsize=8)
def _user(get: Callable[[], str], logname: str | None, user: str | None) -> str:
    """Return the name; where the environment does not say it, the passwd entry costs more than all the rest."""
    return get()
