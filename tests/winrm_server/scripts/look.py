"""Double of sshexec/modules/windows/scripts/look.ps1."""

from __future__ import annotations

from typing import Any

from tests.winrm_server.powershell import Call
from tests.winrm_server.scripts import _paths
from tests.winrm_server.scripts.dotnet import DotnetError


def run(call: Call) -> int:
    told: dict[str, Any] = {"path": call.arguments["path"], "kind": "absent", "reason": "", "said": ""}
    told |= {"size": None, "sha1": ""}
    try:
        path = told["path"] = _paths.full(call, told["path"])
        told["kind"] = _paths.kind(call, path)
        if told["kind"] == "file":
            data = _paths.read(call, path)
            told |= {"size": len(data), "sha1": _paths.digest(data)}
    except DotnetError as error:
        told |= {"reason": _paths.why(error), "said": error.message}
        if told["reason"] == "absent":
            told |= {"kind": "absent", "reason": ""}
    call.answer(told)
    return 0
