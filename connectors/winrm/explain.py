"""What every setting of a WinRM connection is, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sshexec.connectors.base import Timeouts
from sshexec.connectors.options import Explained, settable, setting_variable
from sshexec.connectors.winrm.options import SEALING, WinrmOptions
from sshexec.secret import HIDDEN

_KERBEROS = frozenset({"service", "realm", "keytab", "kerberos_host", "delegation"})
_TLS = frozenset({"validation", "ca_trust_path", "send_cbt"})
_DEFAULTS = {"ca_trust_path": "the system's", "connect_timeout": Timeouts().connect}
"""What holds where a field says nothing."""


def explain(options: WinrmOptions, variables: Mapping[str, Any]) -> list[Explained]:
    """Return the settings of a connection.

    Args:
        options: what the variables came to.
        variables: the host's variables.
    """
    rows = []
    for name in settable(WinrmOptions):
        variable = setting_variable(WinrmOptions, name, variables)
        value = getattr(options, name)
        if name == "transports":
            rows.append(_transport(options, variable))
        elif name == "address":
            rows.append(Explained(name, value, variable, "" if variable else "inventory name"))
        elif name in ("operation_timeout", "read_timeout") and options.connection_timeout:
            rows.append(Explained(name, value, setting_variable(WinrmOptions, "connection_timeout", variables)))
        elif name == "scheme" and not variable:
            rows.append(Explained(name, value, note=f"since the port is {options.port}"))
        elif name == "proxy" and options.proxy is not None:
            rows.append(Explained(name, _proxy(options), variable))
        elif name == "message_encryption":
            rows.append(Explained(name, value, variable, note=_encryption(options)))
        elif variable or (_concerns(options, name) and (value or name in _DEFAULTS or value is False)):
            rows.append(Explained(name, value or _DEFAULTS.get(name, value), variable))
    rows += [Explained(name, HIDDEN, name, note="not used: unknown") for name in options.unknown]
    return rows


def _concerns(options: WinrmOptions, name: str) -> bool:
    """Return whether a setting has a meaning for this connection."""
    if name in _KERBEROS or name.startswith("kinit_"):
        return options.transport == "kerberos"
    if name.startswith("credssp_"):
        return options.transport == "credssp"
    if name == "send_cbt" and options.transport not in ("ntlm", "kerberos"):
        return False
    return name not in _TLS or options.scheme == "https"


def _transport(options: WinrmOptions, variable: str) -> Explained:
    note = (
        ""
        if variable
        else "since the user is user@DOMAIN"
        if "@" in options.user
        else "since nothing else is asked for"
    )
    return Explained("transport", options.transport, variable, note=note)


def _encryption(options: WinrmOptions) -> str:
    if options.encrypted:
        return "messages are encrypted"
    if options.scheme == "https":
        return "TLS encrypts"
    return "messages are NOT encrypted" + ("" if options.transport in SEALING else f": {options.transport} can't")


def _proxy(options: WinrmOptions) -> str:
    proxy = options.proxy_url()
    if proxy is None:
        return "none"
    return f"{proxy.scheme}://{f'{HIDDEN}@' if proxy.username else ''}{proxy.hostname}:{proxy.port or 80}"
