"""Double of connectors/winrm/scripts/feed.ps1: a program that reads what comes by standard input."""

from __future__ import annotations

import base64
import contextlib
import threading

from tests.winrm_server.powershell import Call, Stopped
from tests.winrm_server.process import Process
from tests.winrm_server.scripts.program import follow, launch


def run(call: Call) -> int:
    """Do what the script does."""
    process = launch(call)
    if process is None:
        return 1
    feeder = threading.Thread(target=feed, args=(call, process), daemon=True)
    feeder.start()
    return follow(call, process)


def feed(call: Call, process: Process) -> None:
    """Hand on what comes."""
    with contextlib.suppress(Stopped, OSError, ValueError):
        for line in call.stdin:
            process.write(base64.b64decode(line, validate=True), False, 60)
        process.write(b"", True, 60)
