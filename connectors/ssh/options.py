"""Settings of an SSH connection: Ansible's host variables and ``ansible_ssh_*_args`` before ssh_config(5).

The variables stand for the command line of ``ssh``: what they set wins. ssh_config is asked about the destination that
``ssh`` would be given: `ansible_host`, or the inventory name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from sshexec.connectors.options import ConnectorOptions, Explained, option
from sshexec.connectors.ssh.hostkeys import PIN_VARIABLE, Policy, pin
from sshexec.secret import Secret


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
    jump_password: Secret | None = option(None, "sshexec_jump_password", help="login password of jump hosts")
    jump_key_file: str | None = option(
        None, "sshexec_jump_private_key_file", help="private key file for jump hosts, where it is another one"
    )
    key_files: tuple[str, ...] = ()
    """Private key files to offer, in this order."""
    optional_key_files: tuple[str, ...] = ()
    """Those of them that ssh_config names: one that is not there is passed over, as OpenSSH does."""
    default_keys: Literal["alone", "also", "never"] = "alone"
    """Whether the agent's and the user's default keys are offered: alone, where no key file is named; also where one is
    (behind it, on a jump host that takes its destination's key); default keys never, the agent's only (IdentityFile
    none)."""
    public_keys: bool = True
    """Whether to log in with keys at all (PubkeyAuthentication, PreferredAuthentications)."""
    policy: Policy = "strict"
    """What to do with a host that is not in known_hosts."""
    confirms: bool = True
    """Whether a person may be asked about such a host, where the policy is strict (StrictHostKeyChecking yes: no)."""
    known_hosts: tuple[str, ...] = ()
    """known_hosts files, the one that new keys are added to first."""
    address_family: Literal["any", "inet", "inet6"] = "any"
    """Addresses to use of those that a name has (AddressFamily)."""
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
    named: str = dataclasses.field(default="", compare=False)
    """What a jump host was called by, where that is not its address."""
    ignored: tuple[str, ...] = dataclasses.field(default=(), compare=False)
    """Options of ssh_config that are not honoured: each with its place and the reason."""

    def algorithms(self) -> dict[str, tuple[str, ...]]:
        """Return the lists of algorithms that are not our own, by the kind that `Link` knows them by."""
        lists = {
            "ciphers": self.ciphers,
            "kex": self.kex_algorithms,
            "macs": self.macs,
            "keys": self.host_key_algorithms,
        }
        return {kind: names for kind, names in lists.items() if names}

    @classmethod
    def from_vars(cls, variables: Mapping[str, Any], host: str | None = None) -> SshOptions:
        """Read the options from a host's variables, and from ssh_config.

        Args:
            variables: the host's merged variables.
            host: the inventory name, which is the address unless a variable says otherwise.

        Raises:
            OptionError: a value is wrong, or asks for something that can't be honoured.
        """
        # Imported here: it makes objects of this class.
        from sshexec.connectors.ssh import resolve

        return cls(**resolve.destination(cls._given(variables, host), variables, host).values)

    @classmethod
    def explain(cls, variables: Mapping[str, Any], host: str | None = None) -> list[Explained]:
        """Return every effective setting and what set it, those of the jump hosts too.

        Raises:
            OptionError: as `from_vars`.
        """
        from sshexec.connectors.ssh import explain, resolve

        return explain.explain(resolve.destination(cls._given(variables, host), variables, host), variables)
