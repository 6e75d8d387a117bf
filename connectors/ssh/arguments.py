"""OpenSSH's command-line options in the host variables `ansible_ssh_args`, `_common_args` and `_extra_args`."""

from __future__ import annotations

import functools
import getopt
import shlex
from collections.abc import Mapping
from typing import Any

from sshexec.connectors.ssh import keywords
from sshexec.connectors.ssh.keywords import Setting
from sshexec.errors import OptionError
from sshexec.secret import Secret

VARIABLES = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
"""In the order in which they are read, and the first value of each option wins."""

_FLAGS = "1246AB:CD:E:F:GI:J:KL:MNO:PQ:R:S:TVW:XYab:c:e:fgi:kl:m:no:p:qstvw:xy"
"""Every option of ssh(1)."""

_HARMLESS = frozenset("CTaqkx")
"""Those that ask for nothing which is not so anyway: compression, no terminal, no forwarding, nothing in the log."""

_NAMES = {
    "J": "ProxyJump",
    "c": "Ciphers",
    "i": "IdentityFile",
    "l": "User",
    "m": "MACs",
    "p": "Port",
    "4": "AddressFamily inet",
    "6": "AddressFamily inet6",
}


class Arguments:
    """What the variables set; the first value of each option wins, and every identity file counts, as in ssh."""

    def __init__(self) -> None:
        self.found: dict[str, Setting] = {}
        self.files: list[Setting] = []
        self.certificates: list[Setting] = []
        self.config_file: str | None = None
        """What ``-F`` names; None where the usual files are read."""
        self.config_from = ""
        """The variable that names it."""
        self._variable = ""

    def parse(self, variable: str, text: str) -> None:
        """Read one variable.

        Raises:
            OptionError: an option is wrong, or can't be honoured.
        """
        self._variable = variable
        try:
            options, rest = getopt.getopt(shlex.split(text), _FLAGS)
        except ValueError as error:
            raise self._wrong(str(error)) from None
        except getopt.GetoptError as error:
            raise self._wrong(error.msg) from None
        if rest:
            raise self._wrong(f"{rest[0]!r} is not an option")
        for flag, value in options:
            letter = flag[1]
            if letter == "F":
                self.config_file, self.config_from = value, variable
            elif letter == "o":
                self._option(value)
            elif letter in _NAMES:
                name, _, fixed = _NAMES[letter].partition(" ")
                self._set(name, fixed or (value if letter == "J" else _quoted(value)))
            elif letter not in _HARMLESS:
                hint = " (sshexec's own -v shows more)" if letter == "v" else ""
                raise self._wrong(f"option {flag} is not supported{hint}")

    def _option(self, text: str) -> None:
        try:
            name, rest = keywords.keyword(text)
        except ValueError as error:
            raise self._wrong(f"-o {text}: {error}") from None
        if name.lower() in ("host", "match", "include"):
            raise self._wrong(f"{name}: not an option of the command line")
        self._set(name, rest)

    def _set(self, name: str, rest: str) -> None:
        setting = keywords.setting(name, rest, self._variable)
        if setting is None:
            raise self._wrong(f"option {name!r} is not supported")
        if setting.loud:
            raise self._wrong(f"option {name!r} is not supported: {setting.reason}")
        if setting.key == "identityfile":
            self.files.append(setting)
        elif setting.key == "certificatefile":
            self.certificates.append(setting)
        else:
            keywords.keep_first(self.found, setting)

    def _wrong(self, what: str) -> OptionError:
        return OptionError(f"{self._variable}: {what}")


def _quoted(value: str) -> str:
    """Return the value of an option that ssh takes as it stands, quoted for the reader of its files."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def given(variables: Mapping[str, Any]) -> Arguments:
    """Return what a host's variables set; most hosts of a fleet share it.

    Raises:
        OptionError: an option is wrong, or can't be honoured.
    """
    texts = tuple([variables.get(variable) for variable in VARIABLES])
    if texts == (None, None, None):
        return _NOTHING
    return _given(tuple([None if text is None else _text(text) for text in texts]))


def _text(value: Any) -> str:
    return value.reveal() if isinstance(value, Secret) else str(value)


@functools.lru_cache(maxsize=1000)
def _given(texts: tuple[str | None, ...]) -> Arguments:
    arguments = Arguments()
    for variable, text in zip(VARIABLES, texts, strict=True):
        if text is not None:
            arguments.parse(variable, text)
    return arguments


_NOTHING = Arguments()
