"""The connection to a host of an inventory that a terminal session stands on."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping
from typing import Any

from sshexec.connectors.base import Capability, Connector, Context, Timeouts
from sshexec.connectors.prompts import Prompts
from sshexec.errors import ArgumentError, OptionError, PatternError
from sshexec.inventory.model import Inventory
from sshexec.runtime.plan import ConnectorClass, Contexts, connection
from sshexec.secret import opened
from sshexec.terminal.line import Connect

_making = threading.Lock()


class _Somebody(Prompts):
    """Stands for a person who will be asked: what is checked before must not fail for want of one."""

    available = True


def host_named(inventory: Inventory, host: object) -> str:
    """Return a host's name, where a source of the inventory names it; no pattern, address or implicit localhost.

    Args:
        inventory: the hosts.
        host: what a user asked for.

    Raises:
        ArgumentError: it is no text.
        PatternError: no source names it.
    """
    if not isinstance(host, str):
        raise ArgumentError(f"host: expected a name, got {type(host).__name__}")
    if host not in inventory.hosts:
        raise PatternError(f"there is no host {host!r:.80} in the inventory")
    return host


def connecting(
    inventory: Inventory,
    host: str,
    *,
    variables: Mapping[str, Any] | None = None,
    timeouts: Timeouts,
    contexts: Contexts,
) -> Connect:
    """Return what connects to a host of an inventory; secrets are opened and everything is checked here and now.

    A terminal is the login user's, whatever ``ansible_become`` says: who wants to be somebody else says so on it.

    Args:
        inventory: the hosts.
        host: the name of one of them.
        variables: variables that win over the host's own, as Ansible's extra vars.
        timeouts: limits for each step.
        contexts: what the connections share; its owner closes it once they are closed.

    Raises:
        PatternError: no source of the inventory names the host.
        OptionError: a variable or a key file is wrong, or connections of its kind have no terminals.
        CredentialError: a secret among its connection variables can't be opened.
        InputError: its variables can't be read.
    """
    name = host_named(inventory, host)
    known: dict[Hashable, Any] = {}
    # A login that is left for the first command, of which there is none here, would only be made twice.
    given = {**inventory.variables(name), **(variables or {}), "sshexec_optimistic": False}
    merged = opened(given, name, known)
    shared = _Shared(contexts)
    connector, options = connection(name, merged, shared)
    if Capability.TERMINAL not in connector.capabilities:
        raise OptionError(f"host {name}: a {connector.name} connection has no terminal")
    context = shared.of(connector)

    def connect(prompts: Prompts) -> Connector[Any, Any]:
        asking = context.asking(prompts)
        asking.check(options)
        return connector(name, options, asking, timeouts)

    return connect


class _Shared(Contexts):
    """What is checked as if somebody could be asked, among what is made once for sessions that begin at once."""

    def __init__(self, contexts: Contexts) -> None:
        super().__init__()
        self._contexts = contexts

    def __getitem__(self, connector: ConnectorClass) -> Context:
        return self.of(connector).asking(_Somebody())

    def of(self, connector: ConnectorClass) -> Context:
        with _making:
            return self._contexts[connector]
