"""Settings of a WinRM connection: Ansible's host variables of its ``winrm`` connection.

Where several variables set one thing, the strongest is the one that Ansible's plugin lists last (ansible-core 2.19,
plugins/connection/winrm.py).
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import ipaddress
import os
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from sshexec.connectors.options import ConnectorOptions, Explained, option, setting_variable
from sshexec.errors import OptionError
from sshexec.secret import HIDDEN, Secret

BASIC = ("basic", "plaintext", "ssl")
SEALING = ("ntlm", "kerberos", "credssp")
"""Transports whose messages can be encrypted without TLS."""
TRANSPORTS = (*BASIC, "certificate", *SEALING)

_PACKAGES = {
    "kerberos": ("kerberos", "pip install 'sshexec[kerberos]' (built with gcc and libkrb5-dev)"),
    "credssp": ("requests_credssp", "pip install 'sshexec[credssp]'"),
}
"""What a transport needs beside pywinrm: a module, and how it is got."""

_READ = 30
_OPERATION = 20
"""Seconds, as pywinrm 0.5 has them."""
_MARGIN = 10
"""Seconds by which `ansible_winrm_connection_timeout` has the host's answer come sooner than it is given up."""


def _word(text: str) -> str:
    word = text.strip().lower()
    if word not in TRANSPORTS:
        raise ValueError
    return word


def _name(text: str) -> str:
    name = text.strip()
    if not name or "=" in name or name == "KRB5CCNAME":
        raise ValueError
    return name


@dataclasses.dataclass(frozen=True)
class WinrmOptions(ConnectorOptions):
    """Settings of a WinRM connection."""

    address: str = option("", "ansible_winrm_host", "ansible_host", help="name or address to connect to")
    port: int = option(
        5986, "ansible_winrm_port", "ansible_port", help="TCP port; default: 5986", minimum=1, maximum=65535
    )
    scheme: str = option(
        "",
        "ansible_winrm_scheme",
        help="http or https; default: http on port 5985, else https",
        choices=("http", "https"),
    )
    path: str = option("/wsman", "ansible_winrm_path", help="path of the service; default: /wsman")
    user: str = option("", "ansible_winrm_user", "ansible_user", help="login name: user, DOMAIN\\user or user@DOMAIN")
    password: Secret | None = option(
        None, "ansible_winrm_password", "ansible_winrm_pass", "ansible_password", help="login password"
    )
    credential_group: str = option(
        "", "sshexec_credential_group", help="hosts that share a password, for questions; default: the login name"
    )
    ask_password: bool | None = option(
        None, "sshexec_ask_password", help="yes: the password is asked for; no: never; default: where there is none"
    )
    transports: tuple[str, ...] = option(
        (),
        "ansible_winrm_transport",
        help=f"how to log in, the first that works here: one or more of {', '.join(TRANSPORTS)}",
        read=_word,
    )
    connect_timeout: float | None = option(
        None, "ansible_timeout", help="seconds for connecting", minimum=0.001, maximum=86400
    )
    connection_timeout: int | None = option(
        None,
        "ansible_winrm_connection_timeout",
        help="seconds after which the host says that a command still runs; it is given up when silent for 10 more",
        minimum=1,
        maximum=86400,
    )
    operation_timeout: int = option(
        _OPERATION,
        "ansible_winrm_operation_timeout_sec",
        help="seconds after which the host says that a command still runs; default: 20",
        minimum=1,
        maximum=86400,
    )
    read_timeout: int = option(
        _READ,
        "ansible_winrm_read_timeout_sec",
        help="seconds of silence after which the connection is given up; more than the operation's; default: 30",
        minimum=2,
        maximum=86410,
    )
    validation: str = option(
        "validate",
        "ansible_winrm_server_cert_validation",
        help="whether to check the host's certificate: validate (the default) or ignore",
        choices=("validate", "ignore"),
    )
    ca_trust_path: str = option(
        "",
        "ansible_winrm_ca_trust_path",
        help="file or folder of the CA certificates to trust; default: those that the system trusts",
    )
    cert_pem: str = option("", "ansible_winrm_cert_pem", help="file of the client's certificate")
    cert_key_pem: str = option("", "ansible_winrm_cert_key_pem", help="file of the client's private key")
    cert_key_passphrase: Secret | None = option(
        None, "sshexec_winrm_cert_key_passphrase", help="passphrase of the client's private key"
    )
    message_encryption: str = option(
        "auto",
        "ansible_winrm_message_encryption",
        help="encrypt messages: auto (the default; where there is no TLS), always or never",
        choices=("auto", "always", "never"),
    )
    send_cbt: bool = option(
        True, "ansible_winrm_send_cbt", help="whether a login over TLS is bound to the host's certificate; default: yes"
    )
    proxy: Secret | None = option(None, "ansible_winrm_proxy", help="URL of an HTTP proxy; default: none")
    service: str = option("HTTP", "ansible_winrm_service", help="Kerberos service of the host; default: HTTP")
    realm: str = option("", "ansible_winrm_realm", help="Kerberos realm of a user without @; default: krb5.conf's")
    keytab: str = option("", "ansible_winrm_keytab", help="file with the user's Kerberos key, instead of a password")
    kerberos_host: str = option(
        "", "ansible_winrm_kerberos_hostname_override", help="the host's name for Kerberos, where it is another one"
    )
    delegation: bool = option(
        False, "ansible_winrm_kerberos_delegation", help="whether the host may act as the user on further hosts"
    )
    kinit_cmd: str = option(
        "kinit", "ansible_winrm_kinit_cmd", help="program that gets Kerberos tickets; default: kinit"
    )
    kinit_args: str = option("", "ansible_winrm_kinit_args", help="its arguments; default: -f with delegation")
    kinit_env_vars: tuple[str, ...] = option(
        (),
        "ansible_winrm_kinit_env_vars",
        help="environment variables that it gets: names, but not KRB5CCNAME",
        read=_name,
    )
    kinit_mode: str = option(
        "",
        "ansible_winrm_kinit_mode",
        help="managed: sshexec gets the ticket; manual: there is one; default: managed with a password or keytab",
        choices=("managed", "manual"),
    )
    credssp_disable_tlsv1_2: bool = option(
        False, "ansible_winrm_credssp_disable_tlsv1_2", help="whether CredSSP may use TLS before 1.2"
    )
    credssp_auth_mechanism: str = option(
        "auto",
        "ansible_winrm_credssp_auth_mechanism",
        help="login inside CredSSP: auto (the default), ntlm or kerberos",
        choices=("auto", "ntlm", "kerberos"),
    )
    credssp_minimum_version: int = option(
        2,
        "ansible_winrm_credssp_minimum_version",
        help="oldest CredSSP to accept; default: 2; 5 has CVE-2018-0886 mended",
        minimum=2,
    )
    transport: str = ""
    """How to log in: one of `TRANSPORTS`."""
    unknown: tuple[str, ...] = ()
    """Variables ``ansible_winrm_*`` that mean nothing here."""

    @classmethod
    def from_vars(cls, variables: Mapping[str, Any], host: str | None = None) -> WinrmOptions:
        """Read the options from a host's variables.

        Args:
            variables: the host's merged variables.
            host: the inventory name, which is the address unless a variable says otherwise.

        Raises:
            OptionError: a value is wrong, or no connection can come of them.
        """
        given = cls._given(_split(variables), host)
        given.setdefault("address", host or "")
        given["address"] = _ascii(given["address"].strip("[]") or host or "")
        known = cls.variables()
        given["unknown"] = tuple(
            sorted(str(name) for name in variables if str(name).startswith("ansible_winrm_") and name not in known)
        )
        if seconds := given.get("connection_timeout"):
            given |= {"operation_timeout": seconds, "read_timeout": seconds + _MARGIN}
        if not given.get("scheme"):
            given["scheme"] = "http" if given.get("port", 5986) == 5985 else "https"
        if not given.get("path", "/wsman").startswith("/"):
            given["path"] = "/" + given["path"]
        try:
            options = cls(**given)
            return dataclasses.replace(options, transport=options._chosen())._checked(variables)
        except OptionError as error:
            raise OptionError(f"{f'host {host}: ' if host else ''}{error.message}") from None

    @classmethod
    def explain(cls, variables: Mapping[str, Any], host: str | None = None) -> list[Explained]:
        """Return every effective setting and what set it.

        Raises:
            OptionError: as `from_vars`.
        """
        # Imported here: it knows this class.
        from sshexec.connectors.winrm import explain

        return explain.explain(cls.from_vars(variables, host), variables)

    @property
    def encrypted(self) -> bool:
        """Whether messages are encrypted by the login's key (TLS or none beside)."""
        if self.transport not in SEALING:
            return False
        return self.message_encryption == "always" or (self.message_encryption == "auto" and self.scheme == "http")

    @property
    def url(self) -> str:
        """The address of the service, as ASCII, without the zone of a link-local address, which is this side's."""
        host = self.address.partition("%")[0]
        host = f"[{host}]" if ":" in host else host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def managed(self) -> bool:
        """Whether this side gets the Kerberos ticket, by password or keytab."""
        if self.kinit_mode:
            return self.kinit_mode == "managed"
        return bool(self.password) or bool(self.keytab)

    @property
    def with_certificate(self) -> bool:
        """Whether the login is a client certificate; ``ssl`` is one where a certificate is named, as in pywinrm."""
        return self.transport == "certificate" or (self.transport == "ssl" and bool(self.cert_pem or self.cert_key_pem))

    @property
    def needs_password(self) -> bool:
        """Whether the login is by a password."""
        if self.transport == "kerberos":
            return self.managed and not self.keytab
        return not self.with_certificate

    def proxy_url(self) -> SplitResult | None:
        """Return the proxy's address, user and password; None where there is none."""
        return None if self.proxy is None else urlsplit(self.proxy.reveal())

    def _chosen(self) -> str:
        """Return the first transport that works here, or Ansible's default: Kerberos for ``user@DOMAIN``, else Basic.

        Raises:
            OptionError: none works.
        """
        if not self.transports:
            wanted: tuple[str, ...] = (
                ("kerberos",) if "@" in self.user else (("ssl",) if self.scheme == "https" else ("plaintext",))
            )
            why = " (the default for user@DOMAIN; set ansible_winrm_transport for another)"
        else:
            wanted, why = self.transports, ""
        missing = [name for name in wanted if not _present(name)]
        usable = [name for name in wanted if name not in missing]
        if not usable:
            raise OptionError(f"ansible_winrm_transport: {missing[0]}{why} needs {_PACKAGES[missing[0]][1]}")
        return usable[0]

    def _checked(self, variables: Mapping[str, Any]) -> WinrmOptions:
        """Return itself.

        Raises:
            OptionError: no connection can come of it.
        """
        self._check_address(variables)
        if self.operation_timeout >= self.read_timeout:
            raise OptionError(
                f"ansible_winrm_read_timeout_sec ({self.read_timeout}) must be more than"
                f" ansible_winrm_operation_timeout_sec ({self.operation_timeout})"
            )
        if self.message_encryption == "always" and self.transport not in SEALING:
            raise OptionError(
                f"ansible_winrm_message_encryption: {self.transport} can't encrypt messages;"
                f" set ansible_winrm_transport to one of {', '.join(SEALING)}"
            )
        if self.with_certificate:
            self._check_certificate()
        elif self.transport == "kerberos":
            self._check_kerberos()
        elif not self.user:
            raise OptionError(f"ansible_user is not set, and {self.transport} needs a user")
        return self

    def _check_address(self, variables: Mapping[str, Any]) -> None:
        if any(character in "/@?#\x7f" or character <= " " for character in self.address):
            variable = setting_variable(type(self), "address", variables) or "the host's name"
            raise OptionError(f"{variable}: expected a name or an address, got {self.address!r}")
        if ":" in self.address and not _is_ipv6(self.address):
            variable = setting_variable(type(self), "address", variables) or "the host's name"
            raise OptionError(
                f"{variable}: expected a name or an address, got {self.address!r}; a port stands in ansible_port"
            )
        if any(not "!" <= character <= "~" for character in self.path):
            raise OptionError(f"ansible_winrm_path: expected a path as it stands in a URL, got {self.path!r}")
        if self.scheme == "https" and self.validation == "validate" and self.ca_trust_path:
            _exists("ansible_winrm_ca_trust_path", self.ca_trust_path)
        if self.proxy is not None:
            if not self.address.isascii():
                raise OptionError(f"{self.address!a} is not a host name")
            self._check_proxy()

    def _check_proxy(self) -> None:
        try:
            proxy = self.proxy_url()
            good = proxy is not None and proxy.scheme == "http" and bool(proxy.hostname) and (proxy.port or 80) > 0
        except ValueError:
            good = False
        if not good:
            raise OptionError(f"ansible_winrm_proxy: expected http://[user:password@]name[:port], got {HIDDEN}")

    def _check_certificate(self) -> None:
        if self.scheme != "https":
            raise OptionError(f"ansible_winrm_transport: {self.transport} with a certificate needs https, not http")
        for variable, file in (
            ("ansible_winrm_cert_pem", self.cert_pem),
            ("ansible_winrm_cert_key_pem", self.cert_key_pem),
        ):
            if not file:
                raise OptionError(f"{variable} is not set, and a login by certificate needs it")
            _exists(variable, file)

    def _check_kerberos(self) -> None:
        if self.managed and not self.user:
            raise OptionError("ansible_user is not set, and a Kerberos ticket is got for a user")
        if self.user.startswith("-"):
            raise OptionError(f"ansible_user: expected a Kerberos principal, got {self.user!r}")
        if self.keytab:
            _exists("ansible_winrm_keytab", self.keytab)
        try:
            shlex.split(self.kinit_args)
        except ValueError as error:
            raise OptionError(f"ansible_winrm_kinit_args: {error}") from None


def _is_ipv6(address: str) -> bool:
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return True


def _ascii(name: str) -> str:
    """Return a name as DNS has it (IDNA); as it is where it can't be put so, which its resolution will say."""
    try:
        return name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        return name


def _split(variables: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the variables, lists that stand as a text with commas taken apart, as Ansible takes them."""
    lists = {
        name: [part for part in value.split(",") if part.strip()]
        for name in ("ansible_winrm_transport", "ansible_winrm_kinit_env_vars")
        if isinstance(value := variables.get(name), str)
    }
    empty = [
        name
        for name, value in {**variables, **lists}.items()
        if value in ([], "") and name.startswith("ansible_winrm_")
    ]
    split = {**variables, **lists}
    for name in empty:
        del split[name]
    if split.get("ansible_winrm_ca_trust_path") == "legacy_requests":  # pywinrm's word for its default
        del split["ansible_winrm_ca_trust_path"]
    if split.get("ansible_winrm_proxy") == "legacy_requests":
        del split["ansible_winrm_proxy"]
    return split


def _exists(variable: str, file: str) -> None:
    path = os.path.expanduser(file)
    if not os.path.exists(path):
        raise OptionError(f"{variable}: {file} does not exist")
    if not os.access(path, os.R_OK):
        raise OptionError(f"{variable}: {file} can't be read")


@functools.cache
def _present(transport: str) -> bool:
    return transport not in _PACKAGES or importlib.util.find_spec(_PACKAGES[transport][0]) is not None
