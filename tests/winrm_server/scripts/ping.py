"""Double of sshexec/modules/windows/scripts/ping.ps1."""

from __future__ import annotations

from tests.winrm_server.powershell import Call


def run(call: Call) -> int:
    call.answer("pong")
    return 0
