"""Which connectors there are: the built-in ones, and those that other distributions bring as entry points."""

from __future__ import annotations

import functools
import importlib
from importlib import metadata
from typing import Any

from sshexec.connectors.base import Connector
from sshexec.errors import OptionError

GROUP = "sshexec.connectors"

_BUILT_IN = {
    "ssh": "sshexec.connectors.ssh.connector:SshConnector",
    "local": "sshexec.connectors.local:LocalConnector",
    "fake": "sshexec.connectors.fake:FakeConnector",
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
    if short in _BUILT_IN:
        module, _, attribute = _BUILT_IN[short].partition(":")
        found: type[Connector[Any, Any]] = getattr(importlib.import_module(module), attribute)
        return found
    for entry in metadata.entry_points(group=GROUP):
        if entry.name == short:
            try:
                loaded: type[Connector[Any, Any]] = entry.load()
            except Exception as error:
                owner = entry.dist.name if entry.dist else "an unknown distribution"
                raise OptionError(
                    f"ansible_connection: connector {short!r} of {owner} does not load: {error}"
                ) from error
            return loaded
    raise OptionError(f"ansible_connection: no connector named {name!r} (there are: {', '.join(connector_names())})")


def connector_names() -> list[str]:
    """Return the names of all connectors."""
    return sorted({*_BUILT_IN, *(entry.name for entry in metadata.entry_points(group=GROUP))})
