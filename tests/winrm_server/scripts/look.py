"""Double of sshexec/modules/windows/scripts/look.ps1."""

from __future__ import annotations

from typing import Any

from tests.winrm_server.powershell import Call
from tests.winrm_server.scripts import _paths


def run(call: Call) -> int:
    def read(path: str, told: dict[str, Any]) -> None:
        data = _paths.read(call, path)
        told |= {"size": len(data), "sha1": _paths.digest(data)}

    return _paths.reading(call, read, size=None, sha1="")
