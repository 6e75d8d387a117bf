"""Double of connectors/winrm/scripts/put.ps1. Where it is stopped, it leaves what a killed process leaves."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import ntpath
import os
import stat
from pathlib import Path
from typing import BinaryIO

from tests.winrm_server.powershell import Call, Stopped
from tests.winrm_server.scripts import dotnet


class _Refused(Exception):
    """The script leaves with a word."""


class _File:
    """The file that is being written."""

    def __init__(self, call: Call, order: dict[str, str]) -> None:
        self.path = dotnet.full_path(call, order["path"])
        self.place = call.drive.resolve(self.path)
        if self.place.is_dir():
            raise _Refused("is_directory")
        temporary = ntpath.join(ntpath.dirname(self.path), order["temporary"])
        self.temporary = call.drive.resolve(temporary)
        dotnet.open_new(self.temporary, temporary)
        self.digest = hashlib.sha1()
        self.stream: BinaryIO = open(self.temporary, "xb")  # noqa: SIM115

    def write(self, data: bytes) -> None:
        write(self.stream, data)
        self.digest.update(data)

    def finish(self, sha1: str) -> None:
        self.stream.close()
        if self.digest.hexdigest() != sha1:
            raise _Refused("changed")
        if self.place.is_file():
            self.temporary.chmod(stat.S_IMODE(self.place.stat().st_mode))
        os.replace(self.temporary, self.place)

    def drop(self) -> None:
        with contextlib.suppress(OSError):
            self.stream.close()
        self.temporary.unlink(missing_ok=True)


def write(stream: BinaryIO, data: bytes) -> None:
    """Write to the disk; tests put a full one in its place."""
    stream.write(data)


def run(call: Call) -> int:
    """Do what the script does."""
    number = 0
    file: _File | None = None
    sha1 = ""
    path = Path("?")
    try:
        for line in call.stdin:
            if line.startswith(">"):
                order = json.loads(base64.b64decode(line[1:], validate=True))
                path = order["path"]
                file = _File(call, order)
            elif line.startswith("="):
                assert file is not None
                file.finish(line[1:])
                sha1, file = line[1:].upper(), None
                number += 1
            else:
                assert file is not None
                file.write(base64.b64decode(line, validate=True))
    except _Refused as refused:
        return _leave(call, file, {"number": number, "reason": str(refused)})
    except (dotnet.DotnetError, OSError) as error:
        problem = error if isinstance(error, dotnet.DotnetError) else dotnet.of_os(error, str(path))
        said = {"number": number, "reason": "failed", "code": problem.code, "message": problem.message}
        return _leave(call, file, said)
    except Stopped:
        if file is not None:
            file.stream.close()  # and no more: a process that is killed clears nothing up
        raise
    if file is not None:
        return _leave(call, file, {"number": number, "reason": "cut"})
    call.answer({"number": number, "sha1": sha1})
    return 0


def _leave(call: Call, file: _File | None, said: dict[str, object]) -> int:
    if file is not None:
        file.drop()
    call.answer(said)
    linger(call)
    return 0


def linger(call: Call) -> None:
    """Wait for one more line, or the end of them: powershell.exe does not see before that its script has ended."""
    next(call.stdin, None)
