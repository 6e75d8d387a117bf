"""Which modules there are: the built-in ones, and those that other distributions bring as entry points.

A module that works on hosts of both kinds has a class for each. On a host that it is not for stands `Instead` for it.
"""

from __future__ import annotations

import difflib
import functools
from typing import TYPE_CHECKING

from sshexec.connectors.base import Capability
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
_WINDOWS = {
    "fetch": "sshexec.modules.windows.fetch:Fetch",
    "ping": "sshexec.modules.windows.ping:Ping",
    "raw": "sshexec.modules.windows.raw:Raw",
    "script": "sshexec.modules.windows.script:Script",
    "setup": "sshexec.modules.windows.setup:Setup",
    "slurp": "sshexec.modules.windows.slurp:Slurp",
    "wait_for_connection": "sshexec.modules.windows.wait_for_connection:WaitForConnection",
    "win_command": "sshexec.modules.windows.command:WinCommand",
    "win_copy": "sshexec.modules.windows.copy:WinCopy",
    "win_file": "sshexec.modules.windows.file:WinFile",
    "win_ping": "sshexec.modules.windows.ping:WinPing",
    "win_shell": "sshexec.modules.windows.shell:WinShell",
    "win_stat": "sshexec.modules.windows.stat:WinStat",
}
"""What a Windows host has, by the names that a POSIX host has other classes for, and by names of its own."""
_PREFIXES = ("ansible.builtin.", "ansible.legacy.")
_COLLECTION = "ansible.windows."
_IN_COLLECTION = frozenset({*(name for name in _WINDOWS if name.startswith("win_")), "setup", "slurp"})
"""What ansible.windows has; of Ansible's own modules it redirects ``ansible.builtin.win_copy`` and the like to it."""

_NO_OTHERS = "of Ansible's modules for Windows no others can be used, win_shell and script run PowerShell"


@functools.cache
def module_class(name: str) -> type[Module]:
    """Return the module of that name: ``copy``, ``ansible.builtin.copy`` or ``ansible.legacy.copy``.

    Where there is a class for POSIX hosts and one for Windows it is the first; `module_on` tells them apart.

    Raises:
        UnknownModuleError: there is none, or the distribution that brings it is broken.
    """
    short = short_name(name)
    found: type[Module]
    place = _BUILT_IN.get(short) or _WINDOWS.get(short)
    if place is not None:
        found = attribute(place)
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


@functools.cache
def module_on(name: str, capabilities: Capability) -> type[Module]:
    """Return what a name means on a host: the class for its kind, or what says there that it is not for it.

    Args:
        name: as `module_class` takes it.
        capabilities: of the host's connector.

    Raises:
        UnknownModuleError: as `module_class`; the name means nothing on any host.
    """
    windows = Capability.WINDOWS in capabilities
    found: type[Module]
    short = short_name(name)
    if windows and short in _WINDOWS:
        found = attribute(_WINDOWS[short])
        return found
    found = module_class(name)
    if found.needs in capabilities:
        return found
    if windows or (Capability.WINDOWS in found.needs and Capability.POSIX in capabilities):
        from sshexec.modules.windows.instead import instead_of

        return instead_of(found, windows=windows)
    return found


def short_name(name: str) -> str:
    """Return a module's name without the collection, where that is one whose modules are built in."""
    if name.startswith(_COLLECTION):
        short = name.removeprefix(_COLLECTION)
        return short if short in _IN_COLLECTION else name
    return next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)


def _from_ansible(name: str, short: str) -> type[Module]:
    """Return a module that an ansible-core brings which is installed beside."""
    from sshexec.modules.ansible.builder import HOW_TO_GET, interpreter
    from sshexec.modules.ansible.controller_part import instead
    from sshexec.modules.ansible.foreign import foreign_class

    names = module_names()
    close = difflib.get_close_matches(short, names, 1)
    guess = f"; did you mean {close[0]}?" if close else ""
    if instead(name) is None and interpreter() is None:
        how = _NO_OTHERS if short.rpartition(".")[2].startswith("win_") else HOW_TO_GET
        raise UnknownModuleError(f"no module named {name!r} here (there are: {', '.join(names)}): {how}{guess}")
    try:
        return foreign_class(name)
    except UnknownModuleError as error:
        raise UnknownModuleError(f"{error.message}{guess}") from None


def module_names() -> list[str]:
    """Return the names of all modules."""
    return sorted({*_BUILT_IN, *_WINDOWS, *plugins(GROUP)})
