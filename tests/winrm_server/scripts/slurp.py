"""Double of sshexec/modules/windows/scripts/slurp.ps1."""

from __future__ import annotations

import base64
from typing import Any

from tests.winrm_server.powershell import Call
from tests.winrm_server.scripts import _paths

_PIECE = 49152


def run(call: Call) -> int:
    def read(path: str, told: dict[str, Any]) -> None:
        data, limit = _paths.read(call, path), call.arguments["limit"]
        while told["size"] <= limit and (piece := data[told["size"] : told["size"] + _PIECE]):
            call.out(base64.b64encode(piece) + b"\n")
            told["size"] += len(piece)
        if told["size"] > limit:
            told["kind"] = "large"

    return _paths.reading(call, read, size=0)
