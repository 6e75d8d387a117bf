"""Settings of an SSH connection, from Ansible's host variables and from OpenSSH's options in `ansible_ssh_*_args`."""

from __future__ import annotations

import dataclasses
import functools
import getpass
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sshexec.connectors.options import ConnectorOptions, option
from sshexec.connectors.ssh.hostkeys import PIN_VARIABLE, Policy, pin
from sshexec.errors import OptionError
from sshexec.secret import Secret

_USER_FILES = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
_GLOBAL_FILES = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
_ARGUMENTS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
_POLICIES: dict[str, Policy] = {
    "yes": "strict",
    "true": "strict",
    "ask": "strict",
    "accept-new": "accept-new",
    "no": "off",
    "false": "off",
    "off": "off",
}
_HARMLESS = frozenset({"controlmaster", "controlpersist", "controlpath", "batchmode", "loglevel", "compression"})
"""Options that change nothing here: connections are kept open anyway, nobody is asked, nothing is logged."""

_HARMLESS_FLAGS = frozenset({"-C", "-q", "-T"})


@dataclasses.dataclass(frozen=True)
class SshOptions(ConnectorOptions):
    """Settings of an SSH connection."""

    address: str = option("", "ansible_host", "ansible_ssh_host", help="name or address to connect to")
    port: int = option(22, "ansible_port", "ansible_ssh_port", help="TCP port", minimum=1, maximum=65535)
    user: str = option("", "ansible_user", "ansible_ssh_user", help="login name; default: the local user")
    password: Secret | None = option(
        None, "ansible_password", "ansible_ssh_pass", "ansible_ssh_password", help="login password"
    )
    key_file: str | None = option(
        None, "ansible_private_key_file", "ansible_ssh_private_key_file", help="private key file"
    )
    private_key: Secret | None = option(
        None, "ansible_private_key", "ansible_ssh_private_key", help="private key itself, instead of a file's name"
    )
    passphrase: Secret | None = option(
        None,
        "ansible_private_key_passphrase",
        "ansible_ssh_private_key_passphrase",
        help="passphrase of the private key",
    )
    credential_group: str = option(
        "", "sshexec_credential_group", help="hosts that share a password, for questions; default: the login name"
    )
    ask_password: bool | None = option(
        None, "sshexec_ask_password", help="yes: the password is asked for; no: never; default: where keys don't do"
    )
    connect_timeout: float | None = option(
        None, "ansible_timeout", "ansible_ssh_timeout", help="seconds for connecting", minimum=0.001, maximum=86400
    )
    host_key_checking: bool = option(
        True, "ansible_host_key_checking", "ansible_ssh_host_key_checking", help="whether to check the host key"
    )
    optimistic: bool = option(
        True,
        "sshexec_optimistic",
        help="whether a login that has worked for other hosts of this run may be sent together with the first command",
    )
    pinned: tuple[str, ...] = option(
        (), PIN_VARIABLE, help="the only host keys that count: `ssh-ed25519 AAAA...`, `SHA256:...`, or a list", read=pin
    )
    key_files: tuple[str, ...] = ()
    """Private key files to offer, in this order."""
    policy: Policy = "strict"
    """What to do with a host that is not in known_hosts."""
    known_hosts: tuple[str, ...] = ()
    """known_hosts files, the one that new keys are added to first."""
    host_key_alias: str | None = None
    """Name to look up in known_hosts instead of the address."""
    alive_interval: float = 15.0
    """Seconds of silence of a running command after which the host is asked for a sign of life; 0: never."""
    alive_count: int = 3
    """Unanswered questions after which the connection counts as lost."""
    jump: tuple[SshOptions, ...] = ()
    """Hosts to go through on the way, the first hop first (ProxyJump)."""
    proxy_command: str | None = None
    """Command whose standard input and output are the connection, tokens filled in (ProxyCommand)."""
    certificate_files: tuple[str, ...] = ()
    """User certificates beside those that lie next to their keys (CertificateFile)."""
    identities_only: bool = False
    """Whether an agent's keys are offered only where a key file names them (IdentitiesOnly)."""
    identity_agent: str | None = None
    """Socket of the agent; "" for none, None for that of SSH_AUTH_SOCK (IdentityAgent)."""
    ciphers: tuple[str, ...] = ()
    """Ciphers to propose, the best first; empty for our own (Ciphers)."""
    kex_algorithms: tuple[str, ...] = ()
    """Key exchanges to propose (KexAlgorithms)."""
    macs: tuple[str, ...] = ()
    """Message authentication codes to propose (MACs)."""
    host_key_algorithms: tuple[str, ...] = ()
    """Host key algorithms to accept (HostKeyAlgorithms)."""
    batch_mode: bool = False
    """Whether nobody is asked for a password, passphrase or code (BatchMode)."""

    @classmethod
    def from_vars(cls, variables: Mapping[str, Any], host: str | None = None) -> SshOptions:
        """Read the options from a host's variables.

        Args:
            variables: the host's merged variables.
            host: the inventory name, which is the address unless a variable says otherwise.

        Raises:
            OptionError: a value is wrong, or asks for something that can't be honoured.
        """
        options = super().from_vars(variables, host)
        try:
            given = _given(tuple(_argument_text(variables.get(variable)) for variable in _ARGUMENTS))
        except OptionError as error:
            raise OptionError(f"{f'host {host}: ' if host else ''}{error.message}") from None
        files = (options.key_file,) if options.key_file else given.get("identityfile", ())
        policy: Policy = given.get("stricthostkeychecking", "strict") if options.host_key_checking else "off"
        user_files = given.get("userknownhostsfile", _USER_FILES)
        return dataclasses.replace(
            options,
            address=options.address or host or "",
            port=given["port"] if _unset(variables, "port") and "port" in given else options.port,
            user=options.user or given.get("user") or _local_user(host),
            connect_timeout=options.connect_timeout or given.get("connecttimeout"),
            key_files=tuple(os.path.expanduser(file) for file in files),
            policy=policy,
            known_hosts=tuple(
                map(os.path.expanduser, (*user_files, *given.get("globalknownhostsfile", _GLOBAL_FILES)))
            ),
            host_key_alias=given.get("hostkeyalias"),
            alive_interval=given.get("serveraliveinterval", options.alive_interval),
            alive_count=given.get("serveralivecountmax", options.alive_count),
        )


def _argument_text(value: Any) -> str | None:
    return None if value is None else str(value)


@functools.lru_cache(maxsize=1000)
def _given(texts: tuple[str | None, ...]) -> Mapping[str, Any]:
    """Return what the texts of `_ARGUMENTS` set; most hosts of a fleet share them."""
    arguments = _Arguments()
    for variable, text in zip(_ARGUMENTS, texts, strict=True):
        if text is not None:
            arguments.parse(variable, text)
    return arguments.values


def _local_user(host: str | None) -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in passwd
        raise OptionError(
            f"{f'host {host}: ' if host else ''}ansible_user: not set, and this user has no name"
        ) from None


def _unset(variables: Mapping[str, Any], name: str) -> bool:
    return all(variables.get(f"ansible_{prefix}{name}") is None for prefix in ("", "ssh_"))


class _Arguments:
    """The command-line options of OpenSSH that stand in host variables; the first value of each wins, as in ssh."""

    def __init__(self) -> None:
        self._variable = ""
        self.values: dict[str, Any] = {}

    def parse(self, variable: str, text: str) -> None:
        """Read one variable.

        Raises:
            OptionError: an option is wrong, or can't be honoured.
        """
        self._variable = variable
        try:
            words = iter(shlex.split(text))
        except ValueError as error:
            raise self._wrong(str(error)) from None
        for word in words:
            if word in _HARMLESS_FLAGS:
                continue
            flag, value = word[:2], word[2:]
            if flag not in ("-o", "-i", "-p", "-l"):
                later = ": jump hosts come in a later version" if word.startswith("-J") else ""
                raise self._wrong(f"option {word!r} is not supported{later}")
            value = value or self._next(words, flag)
            if flag == "-o":
                name, _, value = value.partition("=") if "=" in value else value.partition(" ")
                self._set(name.strip(), value.strip())
            else:
                self._set({"-i": "IdentityFile", "-p": "Port", "-l": "User"}[flag], value)

    def _next(self, words: Iterator[str], flag: str) -> str:
        try:
            return next(words)
        except StopIteration:
            raise self._wrong(f"option {flag} needs a value") from None

    def _set(self, name: str, value: str) -> None:
        key = name.lower()
        if key in _HARMLESS:
            return
        reader = _READERS.get(key)
        if reader is None:
            later = ": jump hosts come in a later version" if name.lower() in ("proxyjump", "proxycommand") else ""
            raise self._wrong(f"option {name!r} is not supported{later}")
        try:
            read = reader(value)
        except ValueError as error:
            raise self._wrong(f"{name}: {error}") from None
        if key == "identityfile":
            self.values[key] = (*self.values.get(key, ()), *read)
        else:
            self.values.setdefault(key, read)

    def _wrong(self, what: str) -> OptionError:
        return OptionError(f"{self._variable}: {what}")


def _policy(value: str) -> Policy:
    try:
        return _POLICIES[value.lower()]
    except KeyError:
        raise ValueError(f"expected yes, ask, accept-new or no, got {value!r}") from None


def _files(value: str) -> tuple[str, ...]:
    files = tuple(shlex.split(value))
    if any("%" in file or "${" in file for file in files):
        raise ValueError(f"tokens are not supported: {value!r}")
    return () if files == ("none",) else files


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}, got {value!r}")
        return int(value)

    return read


def _text(value: str) -> str:
    if not value:
        raise ValueError("expected a text")
    return value


def _yes_or_no(value: str) -> str:
    if value.lower() not in ("yes", "no", "true", "false"):
        raise ValueError(f"expected yes or no, got {value!r}")
    return value


_READERS: dict[str, Callable[[str], Any]] = {
    "userknownhostsfile": _files,
    "globalknownhostsfile": _files,
    "stricthostkeychecking": _policy,
    "identityfile": _files,
    # Honoured always: where a key is configured, no other key is offered.
    "identitiesonly": _yes_or_no,
    "port": _whole(1, 65535),
    "user": _text,
    "connecttimeout": _whole(1, 86400),
    "serveraliveinterval": _whole(0, 86400),
    "serveralivecountmax": _whole(1, 1000),
    "hostkeyalias": _text,
}
