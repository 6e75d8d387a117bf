"""Which modules there are: the built-in ones, and those that other distributions bring as entry points."""

from __future__ import annotations

import difflib
import functools
from typing import TYPE_CHECKING

from sshexec.errors import UnknownModuleError
from sshexec.plugins import attribute, plugins

if TYPE_CHECKING:
    from sshexec.modules.base import Module

GROUP = "sshexec.modules"

_BUILT_IN = {
    "command": "sshexec.modules.command:Command",
    "copy": "sshexec.modules.copy:Copy",
    "fetch": "sshexec.modules.fetch:Fetch",
    "file": "sshexec.modules.file:File",
    "ping": "sshexec.modules.ping:Ping",
    "raw": "sshexec.modules.raw:Raw",
    "script": "sshexec.modules.script:Script",
    "setup": "sshexec.modules.setup:Setup",
    "shell": "sshexec.modules.command:Shell",
    "slurp": "sshexec.modules.slurp:Slurp",
    "stat": "sshexec.modules.stat:Stat",
    "wait_for_connection": "sshexec.modules.wait_for_connection:WaitForConnection",
}
_PREFIXES = ("ansible.builtin.", "ansible.legacy.")


@functools.cache
def module_class(name: str) -> type[Module]:
    """Return the module of that name: ``copy``, ``ansible.builtin.copy`` or ``ansible.legacy.copy``.

    Raises:
        UnknownModuleError: there is none, or the distribution that brings it is broken.
    """
    short = next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)
    found: type[Module]
    if short in _BUILT_IN:
        found = attribute(_BUILT_IN[short])
        return found
    plugin = plugins(GROUP).get(name)
    if plugin is not None:
        try:
            loaded = plugin.load()
        except (Exception, SystemExit) as error:
            raise UnknownModuleError(f"module {name!r} of {plugin.owner} does not load: {error}") from error
        if not hasattr(loaded, "from_args"):
            raise UnknownModuleError(f"module {name!r} of {plugin.owner} is no Module, but {loaded!r:.80}")
        found = loaded
        return found
    return _from_ansible(name, short)


def _from_ansible(name: str, short: str) -> type[Module]:
    """Return a module that an ansible-core brings which is installed beside."""
    from sshexec.modules.ansible.builder import HOW_TO_GET, interpreter
    from sshexec.modules.ansible.controller_part import instead
    from sshexec.modules.ansible.foreign import foreign_class

    names = module_names()
    close = difflib.get_close_matches(short, names, 1)
    guess = f"; did you mean {close[0]}?" if close else ""
    if instead(name) is None and interpreter() is None:
        raise UnknownModuleError(f"no module named {name!r} here (there are: {', '.join(names)}): {HOW_TO_GET}{guess}")
    try:
        return foreign_class(name)
    except UnknownModuleError as error:
        raise UnknownModuleError(f"{error.message}{guess}") from None


def module_names() -> list[str]:
    """Return the names of all modules."""
    return sorted({*_BUILT_IN, *plugins(GROUP)})
