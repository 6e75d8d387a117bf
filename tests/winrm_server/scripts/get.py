"""Double of connectors/winrm/scripts/get.ps1."""

from __future__ import annotations

import base64
import hashlib
from typing import BinaryIO

from tests.winrm_server.powershell import Call
from tests.winrm_server.scripts import dotnet

_PIECE = 49152


def read(stream: BinaryIO, size: int) -> bytes:
    """Read from the disk; tests put in its place what happens meanwhile."""
    return stream.read(size)


def run(call: Call) -> int:
    """Do what the script does."""
    number = 0
    path = ""
    try:
        for name in call.arguments["paths"]:
            path = dotnet.full_path(call, name)
            place = call.drive.resolve(path)
            if place.is_dir():
                call.answer({"number": number, "reason": "is_directory"})
                return 0
            if not place.parent.is_dir():
                raise dotnet.DotnetError(dotnet.WIN32 | 3, f"Could not find a part of the path '{path}'.")
            if place.exists() and not place.stat().st_mode & 0o444:
                raise dotnet.denied(path)
            digest = hashlib.sha1()
            size = 0
            with open(place, "rb") as stream:
                stream.seek(call.arguments["offset"])
                while data := read(stream, _PIECE):
                    digest.update(data)
                    size += len(data)
                    call.out(b":" + base64.b64encode(data) + b"\n")
            call.out(f"={size} {digest.hexdigest().upper()}\n")
            number += 1
    except (dotnet.DotnetError, OSError) as error:
        problem = error if isinstance(error, dotnet.DotnetError) else dotnet.of_os(error, path)
        call.answer({"number": number, "reason": "failed", "code": problem.code, "message": problem.message})
    return 0
