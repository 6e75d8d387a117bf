"""Which connectors there are: the built-in ones, and those that other distributions bring as entry points."""

from __future__ import annotations

import functools
from typing import Any

from sshexec.connectors.base import Connector
from sshexec.errors import OptionError
from sshexec.plugins import attribute, plugins

GROUP = "sshexec.connectors"

_BUILT_IN = {
    "ssh": "sshexec.connectors.ssh.connector:SshConnector",
    "local": "sshexec.connectors.local:LocalConnector",
    "fake": "sshexec.connectors.fake:FakeConnector",
    "winrm": "sshexec.connectors.winrm.connector:WinrmConnector",
}
_ALIASES = {"smart": "ssh", "paramiko": "ssh", "paramiko_ssh": "ssh"}
"""Ansible's names for a connection that this project answers with its own SSH connector."""


@functools.cache
def connector_class(name: str) -> type[Connector[Any, Any]]:
    """Return the connector of that name (`ansible_connection`).

    Raises:
        OptionError: there is none, or the distribution that brings it is broken.
    """
    short = name.removeprefix("ansible.builtin.")
    short = _ALIASES.get(short, short)
    found: type[Connector[Any, Any]]
    if short in _BUILT_IN:
        found = attribute(_BUILT_IN[short])
        return found
    plugin = plugins(GROUP).get(short)
    if plugin is None:
        known = ", ".join(connector_names())
        raise OptionError(f"ansible_connection: no connector named {name!r} (there are: {known})")
    try:
        found = plugin.load()
    except Exception as error:
        text = f"ansible_connection: connector {short!r} of {plugin.owner} does not load: {error}"
        raise OptionError(text) from error
    return found


def connector_names() -> list[str]:
    """Return the names of all connectors."""
    return sorted({*_BUILT_IN, *plugins(GROUP)})
