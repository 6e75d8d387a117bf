"""Doubles of the functions in sshexec/modules/windows/scripts/_paths.ps1, and what .NET does with a path.

A drive of Windows has neither modes nor owners: who may do what is told by mode bits as in `dotnet`.
"""

from __future__ import annotations

import hashlib
import ntpath
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.winrm_server.interpreter import expand
from tests.winrm_server.powershell import Call
from tests.winrm_server.scripts import dotnet
from tests.winrm_server.scripts.dotnet import WIN32, DotnetError

_WHY = {2: "absent", 3: "absent", 5: "denied", 206: "long", 87: "invalid", 32: "locked", 112: "no_space"}
_NOT_SUPPORTED = 0x80131515 - 2**32


def full(call: Call, text: str) -> str:
    """GetFullPath of what is expanded: absolute, a separator at its end stays."""
    if not text.startswith("\\\\?\\"):
        text = expand(text, call.environment)
    if not text.strip():
        raise DotnetError(WIN32 | 87, "The path is not of a legal form.")
    if any(ord(char) < 32 for char in text):
        raise DotnetError(WIN32 | 87, "Illegal characters in path.")
    whole = dotnet.full_path(call, text)
    return whole + "\\" if text[-1] in "\\/" and not whole.endswith("\\") else whole


def place(call: Call, path: str) -> Path:
    """Where a full path leads on this machine."""
    if path.startswith("\\\\") and not path.startswith("\\\\?\\"):
        raise DotnetError(WIN32 | 53, "The network path was not found.\r\n")
    found = call.drive.resolve(path)
    for above in found.relative_to(call.drive.root).parents if found.is_relative_to(call.drive.root) else ():
        if (folder := call.drive.root / above).is_dir() and not folder.stat().st_mode & 0o555:
            raise dotnet.denied(path)
    return found


def kind(call: Call, path: str) -> str:
    """What is there, by its own attributes: a link that leads nowhere is a file."""
    found = place(call, path)
    if found.is_dir():
        return "directory"
    return "file" if found.is_symlink() or found.exists() else "absent"


def why(error: DotnetError) -> str:
    if error.code == _NOT_SUPPORTED:
        return "invalid"
    return _WHY.get((error.code + 2**32) & 0xFFFF, "failed")


def read(call: Call, path: str) -> bytes:
    """Open and read a file."""
    found = place(call, path)
    if found.is_dir():
        raise dotnet.denied(path)
    if not found.parent.is_dir():
        raise DotnetError(WIN32 | 3, f"Could not find a part of the path '{path}'.")
    if not found.exists():
        raise DotnetError(WIN32 | 2, f"Could not find file '{path}'.")
    if not found.stat().st_mode & 0o444:
        raise dotnet.denied(path)
    return found.read_bytes()


def reading(call: Call, read_it: Callable[[str, dict[str, Any]], None], **told: Any) -> int:
    """What `look` and `slurp` have in common: they answer what is at ``$a.path``, or why it can't be read.

    Args:
        call: the script's.
        read_it: reads a file; gets its path, and the answer to add to.
        **told: the answer before.
    """
    told = {"path": call.arguments["path"], "kind": "absent", "reason": "", "said": "", **told}
    try:
        path = told["path"] = full(call, told["path"])
        told["kind"] = kind(call, path)
        if told["kind"] == "file":
            read_it(path, told)
    except DotnetError as error:
        told |= {"reason": why(error), "said": error.message.strip()}
        if told["reason"] == "absent":
            told |= {"kind": "absent", "reason": ""}
    call.answer(told)
    return 0


def digest(data: bytes, algorithm: str = "SHA1") -> str:
    return hashlib.new(algorithm, data).hexdigest()


def make(call: Call, path: str) -> None:
    """Directory.CreateDirectory: with all above; what is there already is none of its business."""
    found = place(call, path)
    if found.is_dir():
        return
    above = found
    while not above.exists():
        above = above.parent
    if not above.is_dir():
        raise DotnetError(
            WIN32 | 183, f"Cannot create '{path}' because a file or directory with the same name already exists."
        )
    if not above.stat().st_mode & 0o222:
        raise dotnet.denied(path)
    found.mkdir(parents=True)


def copy(call: Call, source: str, path: str) -> None:
    """File.Copy onto a place where nothing is; attributes and the time of writing come along."""
    data, found = read(call, source), place(call, path)
    dotnet.open_new(found, path)
    found.write_bytes(data)
    status = place(call, source).stat()
    found.chmod(status.st_mode & 0o777)
    os.utime(found, ns=(time.time_ns(), status.st_mtime_ns))


def backup(path: str) -> str:
    return f"{path}.{os.getpid()}.{time.strftime('%Y%m%d-%H%M%S')}.bak"


def join(*parts: str) -> str:
    """Path.Combine: an absolute part forgets those before."""
    if any(char in part for part in parts for char in '<>|"\0'):
        raise DotnetError(WIN32 | 87, "Illegal characters in path.")
    return ntpath.join(*[part for part in parts if part])
