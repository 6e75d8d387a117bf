"""Double of sshexec/modules/windows/scripts/slurp.ps1."""

from __future__ import annotations

import base64
from typing import Any

from tests.winrm_server.powershell import Call
from tests.winrm_server.scripts import _paths
from tests.winrm_server.scripts.dotnet import DotnetError

_PIECE = 49152


def run(call: Call) -> int:
    told: dict[str, Any] = {"path": call.arguments["path"], "kind": "absent", "reason": "", "said": "", "size": 0}
    limit = call.arguments["limit"]
    try:
        path = told["path"] = _paths.full(call, told["path"])
        told["kind"] = _paths.kind(call, path)
        if told["kind"] == "file":
            data = _paths.read(call, path)
            while told["size"] <= limit and (piece := data[told["size"] : told["size"] + _PIECE]):
                call.out(base64.b64encode(piece) + b"\r\n")
                told["size"] += len(piece)
            if told["size"] > limit:
                told["kind"] = "large"
    except DotnetError as error:
        told |= {"reason": _paths.why(error), "said": error.message}
        if told["reason"] == "absent":
            told |= {"kind": "absent", "reason": ""}
    call.answer(told)
    return 0
