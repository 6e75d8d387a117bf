"""Which modules there are: the built-in ones, and those that other distributions bring as entry points."""

from __future__ import annotations

import difflib
import functools
import importlib
from importlib import metadata
from typing import TYPE_CHECKING

from sshexec.errors import UnknownModuleError

if TYPE_CHECKING:
    from sshexec.modules.base import Module

GROUP = "sshexec.modules"

_BUILT_IN = {
    "command": "sshexec.modules.command:Command",
    "copy": "sshexec.modules.copy:Copy",
    "fetch": "sshexec.modules.fetch:Fetch",
    "ping": "sshexec.modules.ping:Ping",
    "raw": "sshexec.modules.raw:Raw",
    "script": "sshexec.modules.script:Script",
    "shell": "sshexec.modules.command:Shell",
}
_PREFIXES = ("ansible.builtin.", "ansible.legacy.")


@functools.cache
def module_class(name: str) -> type[Module]:
    """Return the module of that name: ``copy``, ``ansible.builtin.copy`` or ``ansible.legacy.copy``.

    Raises:
        UnknownModuleError: there is none, or the distribution that brings it is broken.
    """
    short = name
    for prefix in _PREFIXES:
        short = short.removeprefix(prefix)
    if short in _BUILT_IN:
        module, _, attribute = _BUILT_IN[short].partition(":")
        found: type[Module] = getattr(importlib.import_module(module), attribute)
        return found
    for entry in metadata.entry_points(group=GROUP):
        if entry.name == name:
            try:
                loaded: type[Module] = entry.load()
            except Exception as error:
                owner = entry.dist.name if entry.dist else "an unknown distribution"
                raise UnknownModuleError(f"module {name!r} of {owner} does not load: {error}") from error
            return loaded
    names = module_names()
    close = difflib.get_close_matches(short, names, 1)
    guess = f"; did you mean {close[0]}?" if close else ""
    raise UnknownModuleError(f"no module named {name!r} (there are: {', '.join(names)}){guess}")


def module_names() -> list[str]:
    """Return the names of all modules."""
    return sorted({*_BUILT_IN, *(entry.name for entry in metadata.entry_points(group=GROUP))})
