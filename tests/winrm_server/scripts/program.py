"""Double of connectors/winrm/scripts/program.ps1: a program that has nothing to read."""

from __future__ import annotations

import threading

from tests.winrm_server import faults
from tests.winrm_server.faults import Fault
from tests.winrm_server.interpreter import Interpreter, Line, split
from tests.winrm_server.powershell import Answers, Call, Stopped
from tests.winrm_server.process import Process

_SLICE = 0.1
_PIECE = 64 * 1024
_ERRORS = {faults.FILE_NOT_FOUND: (2, "The system cannot find the file specified")}


def run(call: Call) -> int:
    """Do what the script does."""
    process = launch(call)
    if process is None:
        return 1
    process.write(b"", True, 0)
    return follow(call, process)


def launch(call: Call) -> Process | None:
    """Start the program; None where it can't be started, which is answered."""
    program, arguments = call.arguments["program"], call.arguments["arguments"]
    text = f'"{program}" {arguments}'
    interpreter = Interpreter(Answers(), lambda text: None)
    try:
        return interpreter.program(Line(text, False, call.drive, call.environment), split(text))
    except Fault as fault:
        code, message = _ERRORS.get(fault.code or 0, (87, "The parameter is incorrect"))
        call.answer({"token": call.arguments["token"], "code": code, "message": message})
        return None


def follow(call: Call, process: Process) -> int:
    """Hand on what the program prints, till it ends; it ends with the script where that is stopped."""
    # A slow reader of the output must not keep the program alive when the script is stopped.
    watcher = threading.Thread(target=lambda: call.stopped.wait() and process.kill(), daemon=True)
    watcher.start()
    try:
        rc = None
        while rc is None:
            if call.stopped.is_set():
                raise Stopped
            pieces, rc = process.read(_SLICE, _PIECE)
            for stream, data in pieces:
                call.write_to(stream, data)
        return rc
    finally:
        process.close()
