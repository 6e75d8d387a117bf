"""Names of Windows files: what can't be one, and where a path ends.

Sources: Microsoft, "Naming Files, Paths, and Namespaces"; a name with a colon is a stream of another file.
"""

from __future__ import annotations

import ntpath
import re
from collections.abc import Mapping
from typing import Any

from sshexec.errors import ArgumentError
from sshexec.modules.exchange import shown

_FORBIDDEN = re.compile(r'[\x00-\x1f<>:"/\\|?*\ud800-\udfff]')
_CONTROL = re.compile(r"[\x00-\x1f]")
_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9\u00b9\u00b2\u00b3])[ ]*(\.|\Z)", re.IGNORECASE)


def is_possible(name: str) -> bool:
    """Return whether a file of Windows can have that name, and has it then and no other."""
    return bool(name) and not (_FORBIDDEN.search(name) or _DEVICE.match(name) or name[-1] in " .")


def unnamable(name: str) -> str:
    """Return what is said of a name that `is_possible` refuses."""
    return f"a file of Windows can't be named {shown(name)!r}"


def check_paths(module: str, arguments: Mapping[str, Any], *names: str) -> None:
    """Check that paths of the host hold no control character, which none can.

    Mostly it was a backslash: ``C:\\new`` in ``key=value`` words has a line end in it, also for Ansible.

    Args:
        module: its name.
        arguments: its arguments.
        names: those of them that are paths of the host.

    Raises:
        ArgumentError: one does. Sent on, ``creates`` would say that nothing is there, and the command would run.
    """
    for name in names:
        path = arguments.get(name)
        if isinstance(path, str) and _CONTROL.search(path):
            raise ArgumentError(
                f"{module}: no path of Windows holds a control character, as {name} does: {path!a};"
                " where words are key=value, write / or \\\\ for \\, or give a JSON object"
            )


def folded(name: str) -> str:
    """Return what two names have in common that are one to Windows, which turns letter by letter into a capital."""
    return "".join(upper if len(upper := char.upper()) == 1 else char for char in name)


def ends_in_separator(path: str) -> bool:
    """Return whether a path says that it is a directory."""
    return path.endswith(("\\", "/"))


def last(path: str) -> str:
    """Return the last part of a path."""
    return ntpath.basename(path.rstrip("\\/"))


def above(path: str) -> str:
    """Return the directory that holds what is at a path."""
    return ntpath.dirname(path.rstrip("\\/"))


def below(folder: str, name: str) -> str:
    """Return the path of what is below a directory."""
    return f"{folder.rstrip(chr(92))}\\{name}" if name else folder
