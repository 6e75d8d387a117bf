"""What is asked before a command runs on Windows: its directory, ``creates`` and ``removes``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sshexec.connectors.base import Connector, Phase
from sshexec.connectors.powershell import Script
from sshexec.errors import HostError
from sshexec.modules.base import Invocation
from sshexec.modules.windows.asking import Shape, ask

_GUARDS = Script(__package__, "guards")
_FAILED: Shape = {"error": str, "path": str}
_FOUND: Shape = {"path": str, "exists": bool}
_ABSOLUTE = re.compile(r"[A-Za-z]:[\\/][^%]*|\\\\[^%]*")
"""A directory that the host need not be asked about: no drive, variable or login's directory is left to it."""


@dataclass(frozen=True, slots=True)
class Guards:
    """What the host said.

    Args:
        directory: where the command runs, in full; None is the login's directory.
        missing: whether that directory is not there.
        unless: ``creates`` or ``removes``, where its path says that nothing is to be done; else "".
        path: that path, with variables expanded.
    """

    directory: str | None = None
    missing: bool = False
    unless: str = ""
    path: str = ""


def guards(arguments: Mapping[str, Any], connector: Connector[Any, Any], invocation: Invocation) -> Guards:
    """Return what holds on the host; it is asked only where there is something to ask.

    ``%NAME%`` is expanded in all of them, and a path is relative to the login's directory, also where there is a
    ``chdir`` (as in ansible.windows, whose ``Test-AnsiblePath`` looks from its own directory).

    Args:
        arguments: the module's ``chdir``, ``creates`` and ``removes``, as far as it has them.
        connector: the host's, open.
        invocation: says by when, and in which environment.

    Raises:
        HostError: the host can't tell, such as for a path that nobody may look at.
    """
    chdir = arguments.get("chdir")
    asked = {name: arguments[name] for name in ("creates", "removes") if arguments.get(name)}
    if chdir and not _ABSOLUTE.fullmatch(chdir):
        asked["chdir"] = chdir
    if not asked:
        return Guards(chdir or None)
    told = ask(_GUARDS, asked, connector, invocation, _FAILED, dict.fromkeys(asked, _FOUND))
    if "error" in told:
        raise HostError(f"{told['path']}: {told['error']}", phase=Phase.RUNNING)
    for name, unless in (("creates", True), ("removes", False)):
        if name in asked and told[name]["exists"] is unless:
            return Guards(unless=name, path=told[name]["path"])
    if "chdir" in asked:
        return Guards(told["chdir"]["path"], not told["chdir"]["exists"])
    return Guards(chdir or None)
