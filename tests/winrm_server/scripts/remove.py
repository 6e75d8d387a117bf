"""Double of connectors/winrm/scripts/remove.ps1."""

from __future__ import annotations

import ntpath

from tests.winrm_server.powershell import Call
from tests.winrm_server.scripts import dotnet


def run(call: Call) -> int:
    """Do what the script does."""
    folder = ntpath.dirname(dotnet.full_path(call, call.arguments["path"]))
    call.drive.resolve(ntpath.join(folder, call.arguments["temporary"])).unlink(missing_ok=True)
    return 0
