"""A file or tree of a Windows host, copied to another place there, in one exchange."""

from __future__ import annotations

from typing import Any

from sshexec.connectors.base import Connector
from sshexec.connectors.powershell import Script
from sshexec.errors import HostError
from sshexec.modules.arguments import Arguments
from sshexec.modules.base import Invocation, Result
from sshexec.modules.windows.asking import Shape, ask

_REMOTE_COPY = Script(__package__, "remote_copy")
_PROBLEM: Shape = {"problem": str, "said": str, "from": str, "to": str}
_DONE: Shape = {
    "changed": bool,
    "operation": str,
    "dest": str,
    "base": str,
    "checksum": str,
    "size": int,
    "backup": str,
    "diff": str,
    "links": str,
}
_FROM = "cannot copy file from '{from}' to '{to}': "
_MESSAGES = {
    "no_source": "Cannot copy src file: '{from}' as it does not exist",
    "folder": _FROM + "dest is already a folder",
    "parent_file": _FROM + "object at dest parent dir is not a folder",
    "is_file": "cannot copy folder from '{from}' to '{to}': dest is already a file",
    "inside": "cannot copy folder from '{from}' to '{to}': dest is below src",
    "up_file": "object at destination parent dir '{to}' is currently a file",
    "no_parent": "Destination directory '{to}' does not exist",
}


def remote_copy(arguments: Arguments, connector: Connector[Any, Any], invocation: Invocation) -> Result:
    """Copy, or in check mode say what would change.

    Args:
        arguments: the module's.
        connector: the host.
        invocation: the task's.

    Raises:
        HostError: it does not work.
    """
    asked = {name: arguments[name] for name in ("src", "dest", "force", "backup")}
    answer = ask(_REMOTE_COPY, {**asked, "check": invocation.check}, connector, invocation, _PROBLEM, _DONE)
    if "problem" in answer:
        raise HostError(_MESSAGES.get(answer["problem"], _FROM + "{said}").format(**answer))
    told: Result = {
        "changed": answer["changed"],
        "src": arguments["src"],
        "dest": answer["dest"],
        "operation": answer["operation"],
        "size": answer["size"],
    }
    if answer["operation"] == "file_copy":
        told |= {"original_basename": answer["base"], "checksum": answer["checksum"] or None}
    if answer["backup"]:
        told["backup_file"] = answer["backup"]
    if invocation.diff:
        told["diff"] = {"prepared": answer["diff"]}
    if answer["links"]:
        told["warnings"] = [f"links are not copied: {answer['links'].replace('|', ', ')}"]
    return told
