"""``/api/hosts``: the hosts and groups that a user may see, for the page's tree."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Response

from sshexec.connectors.base import Capability
from sshexec.connectors.registry import connector_class
from sshexec.errors import InputError
from sshexec.inventory.model import Inventory
from sshexec.secret import Secret, closed
from sshexec.web.choice import choose
from sshexec.web.routes import Call, Endpoint, answer

if TYPE_CHECKING:
    from sshexec.terminal.sessions import TerminalManager


class Hosts:
    """The inventory, as far as its user may see it.

    Args:
        manager: has the inventory, and says who may see what.
    """

    def __init__(self, manager: TerminalManager) -> None:
        self._manager = manager
        self._lock = threading.Lock()
        self._known: weakref.WeakKeyDictionary[Inventory, dict[str, dict[str, Any]]] = weakref.WeakKeyDictionary()

    def endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        """Return what is answered here."""
        return {("GET", "/api/hosts"): self._list}

    def _list(self, call: Call) -> Response:
        """Return hosts and groups; with ``match`` only the hosts that this pattern selects, in Ansible's grammar."""
        inventory = self._manager.inventory
        names = self._manager.hosts(call.user)
        match = call.text("match", optional=True).strip()
        if match:
            names = self._matching(inventory, match, names)
        shown = set(names)
        groups = [
            {
                "name": group.name,
                "kind": inventory.kinds.get(group.name),
                "hosts": hosts,
                "children": list(group.children),
            }
            for group in inventory.groups["all"].descendants()
            for hosts in [[name for name in group.hosts if name in shown]]
        ]
        return answer({"hosts": [self._host(inventory, name) for name in names], "groups": _peopled(groups)})

    @staticmethod
    def _matching(inventory: Inventory, pattern: str, names: list[str]) -> list[str]:
        visible = set(names)
        return list(choose(inventory, pattern, visible.__contains__, visible.__contains__).hosts)

    def _host(self, inventory: Inventory, name: str) -> dict[str, Any]:
        with self._lock:
            known = self._known.setdefault(inventory, {})
            found = known.get(name)
        if found is None:
            found = _described(inventory, name)
            with self._lock:
                known[name] = found
        return found


def _described(inventory: Inventory, name: str) -> dict[str, Any]:
    """Return what the page shows of a host: nothing that is secret, or not said in plain text."""
    try:
        variables: Mapping[str, Any] = closed(inventory.variables(name))
    except InputError as error:
        return {"name": name, "address": None, "connection": None, "terminal": False, "problem": error.message}
    connection = _plain(variables.get("ansible_connection", "ssh")) or "ssh"
    try:
        terminal = Capability.TERMINAL in connector_class(connection).capabilities
        problem = None
    except InputError as error:
        terminal, problem = False, error.message
    address = _plain(variables.get("ansible_host"))
    return {"name": name, "address": address, "connection": connection, "terminal": terminal, "problem": problem}


def _plain(value: object) -> str | None:
    if isinstance(value, Secret) or not isinstance(value, str) or "{{" in value or "{%" in value:
        return None
    return value


def _peopled(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the groups that have hosts to be seen, in themselves or below, with no other children."""
    by_name = {group["name"]: group for group in groups}
    parents: dict[str, list[str]] = {}
    for group in groups:
        for child in group["children"]:
            parents.setdefault(child, []).append(group["name"])
    seen: set[str] = set()
    waiting = [group["name"] for group in groups if group["hosts"]]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += parents.get(name, [])
    return [
        {**by_name[name], "children": [child for child in by_name[name]["children"] if child in seen]}
        for name in by_name
        if name in seen
    ]
