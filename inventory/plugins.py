"""Inventory sources that other distributions bring as entry points.

An entry point ``NAME`` of the group ``sshexec.inventories`` is a callable. It gets the source as the user wrote it
(``NAME://…`` or ``NAME:…``) and returns a `sshexec.inventory.source.Source`, or what an inventory script prints for
``--list``: groups with hosts, vars and children, and the variables of hosts in ``_meta``.
"""

from __future__ import annotations

import re

from sshexec.errors import InventoryError
from sshexec.inventory.draft import Draft
from sshexec.inventory.listing import read_listing
from sshexec.inventory.source import Source, read_source, said
from sshexec.plugins import plugins

GROUP = "sshexec.inventories"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9_+.-]*):(//)?")


def read_plugin(draft: Draft, source: str) -> bool:
    """Add what a plugin lists, where the source names one.

    Returns:
        False where the source has another form, such as ``host:port``.

    Raises:
        InventoryError: there is no plugin for ``NAME://``, or it is broken.
    """
    found = _SCHEME.match(source)
    if not found:
        return False
    name = found[1]
    installed = plugins(GROUP)
    plugin = installed.get(name)
    if plugin is None:
        if not found[2]:
            return False
        known = ", ".join(sorted(installed)) or "none is installed"
        raise InventoryError(f"no inventory plugin is named {name!r} (there are: {known})")
    try:
        listing = plugin.load()(source)
    except InventoryError:
        raise
    except Exception as error:
        raise InventoryError(f"inventory plugin {name!r} of {plugin.owner} failed: {said(error)}") from error
    shown = f"plugin {name!r} of {plugin.owner}"
    if isinstance(listing, Source):
        read_source(draft, listing, shown)
        return True
    draft.path = shown
    read_listing(draft, listing)
    return True
