"""Double of sshexec/modules/windows/scripts/script.ps1, with a few statements of PowerShell and of cmd for the scripts.

A process that is ended by force removes nothing: where the command is stopped, the script stays where it is.
"""

from __future__ import annotations

import base64
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests.winrm_server.powershell import Call, PowershellError, Stopped

TEXT = r"'([^']*)'"


def run(call: Call) -> int:
    arguments = call.arguments
    folder = call.drive.resolve(f"{call.environment['TEMP']}\\sshexec-{arguments['token']}")
    folder.mkdir(parents=True)
    place = folder / arguments["name"]
    with place.open("xb") as file:
        for line in call.stdin:
            file.write(base64.b64decode(line, validate=True))
    try:
        if place.stat().st_size != arguments["size"]:
            raise PowershellError("the script did not arrive whole")
        if arguments["chdir"]:
            if not call.drive.resolve(arguments["chdir"]).is_dir():
                raise PowershellError(f"Cannot find path '{arguments['chdir']}' because it does not exist.")
            call.drive = call.drive.at(arguments["chdir"])
        rc = started(call, place, arguments["before"], shlex.split(arguments["behind"]))
    except Stopped:
        raise
    except BaseException:
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)
    return rc


def started(call: Call, place: Path, before: str, words: list[str]) -> int:
    if before:
        program = before.split()
        if program[0] != "python":
            call.err(f"{program[0]} : The term '{program[0]}' is not recognized as the name of a cmdlet\r\n")
            return 1
        done = subprocess.run([sys.executable, *program[1:], str(place), *words], capture_output=True, check=False)
        call.out(done.stdout.replace(b"\n", b"\r\n"))
        call.err(done.stderr)
        return done.returncode
    statements = PS1 if place.suffix.lower() == ".ps1" else BAT
    for line in place.read_text("utf-8-sig").splitlines():
        for form, does in statements:
            found = re.fullmatch(form, line.strip())
            if found:
                code = does(call, found, words)
                break
        else:
            raise AssertionError(f"the double knows no statement {line!r}")
        if code is not None:
            return code
    return 0


def say(call: Call, found: re.Match[str], words: list[str]) -> None:
    call.out(f"{found[1]}\r\n")


def complain(call: Call, found: re.Match[str], words: list[str]) -> None:
    call.err(f"{found[1]}\r\n".encode())


def each_argument(call: Call, found: re.Match[str], words: list[str]) -> None:
    call.out("".join(f"{word}\r\n" for word in words))


def variable(call: Call, found: re.Match[str], words: list[str]) -> None:
    call.out(f"{call.environment.get(found[1], '')}\r\n")


def where(call: Call, found: re.Match[str], words: list[str]) -> None:
    call.out(f"{call.directory}\r\n")


def itself(call: Call, found: re.Match[str], words: list[str]) -> None:
    call.out(f"{call.environment['TEMP']}\\sshexec-{call.arguments['token']}\\{call.arguments['name']}\r\n")


def leave(call: Call, found: re.Match[str], words: list[str]) -> int:
    return int(found[1])


def wait(call: Call, found: re.Match[str], words: list[str]) -> None:
    if call.stopped.wait(float(found[1])):
        raise Stopped


def throw(call: Call, found: re.Match[str], words: list[str]) -> int:
    call.err(f"{found[1]}\r\n")
    return 1


def nothing(call: Call, found: re.Match[str], words: list[str]) -> None:
    pass


PS1 = (
    (rf"Write-Output {TEXT}", say),
    (r"Write-Output \$args", each_argument),
    (r"Write-Output \$env:(\w+)", variable),
    (r"Write-Output \(Get-Location\)\.Path", where),
    (r"Write-Output \$PSCommandPath", itself),
    (rf"\[Console\]::Error\.WriteLine\({TEXT}\)", complain),
    (r"Start-Sleep (\d+)", wait),
    (rf"throw {TEXT}", throw),
    (r"exit (-?\d+)", leave),
    (r"#.*|", nothing),
)
BAT = (
    (r"@echo off|rem .*|", nothing),
    (r"echo %\*", each_argument),
    (r"echo %(\w+)%", variable),
    (r"echo (.*) 1>&2", complain),
    (r"echo (.*)", say),
    (r"exit /b (-?\d+)", leave),
)
