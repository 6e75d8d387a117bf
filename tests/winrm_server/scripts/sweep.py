"""Double of sshexec/modules/windows/scripts/sweep.ps1."""

from __future__ import annotations

import shutil

from tests.winrm_server.powershell import Call


def run(call: Call) -> int:
    place = call.drive.resolve(f"{call.environment['TEMP']}\\sshexec-{call.arguments['token']}")
    shutil.rmtree(place, ignore_errors=True)
    call.answer(not place.exists())
    return 0
