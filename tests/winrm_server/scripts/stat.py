"""Double of sshexec/modules/windows/scripts/stat.ps1: a link with an absolute target to a directory is a junction."""

from __future__ import annotations

import ntpath
import os
from pathlib import Path
from typing import Any

from tests.winrm_server.powershell import Call
from tests.winrm_server.scripts import _paths
from tests.winrm_server.scripts.dotnet import DotnetError


def run(call: Call) -> int:
    failed = "path"
    try:
        path = _paths.full(call, call.arguments["path"])
        for _ in range(64):
            kind = _paths.kind(call, path)
            place = _paths.place(call, path)
            link, target = _link(call, place)
            if kind == "absent" or not (link and call.arguments["follow"]):
                break
            path = _source(path, target)
        else:
            call.answer({"failed": "path", "reason": "failed", "said": "the links lead in a circle", "warnings": []})
            return 0
        if kind == "absent":
            call.answer({"stat": {"exists": False}, "warnings": []})
            return 0
        stat = _facts(call, path, place, kind, link)
        if link:
            stat |= {"lnk_target": target, "lnk_source": _source(path, target)}
        if kind == "directory":
            if call.arguments["size"]:
                stat["size"] = _below(place)
        else:
            stat["extension"] = ntpath.splitext(path)[1]
            if call.arguments["size"]:
                stat["size"] = place.lstat().st_size if not link else 0
            if call.arguments["checksum"]:
                failed = "checksum"
                stat["checksum"] = _paths.digest(_paths.read(call, path), call.arguments["checksum"])
        call.answer({"stat": stat, "warnings": []})
    except DotnetError as error:
        call.answer({"failed": failed, "reason": _paths.why(error), "said": error.message.strip(), "warnings": []})
    return 0


def _facts(call: Call, path: str, place: Path, kind: str, link: str) -> dict[str, Any]:
    status = place.lstat()
    attributes = {
        "ReadOnly": not link and not status.st_mode & 0o222,
        "Directory": kind == "directory",
        "Archive": kind == "file",
        "ReparsePoint": bool(link),
    }
    others = [] if link or kind == "directory" else _twins(call, place)
    stat = {
        "exists": True,
        "attributes": ", ".join(name for name, there in attributes.items() if there),
        "creationtime": status.st_ctime,
        "filename": ntpath.basename(path.rstrip("\\")),
        "hlnk_targets": "|".join(others),
        "isarchive": attributes["Archive"],
        "isdir": kind == "directory",
        "ishidden": False,
        "isjunction": link == "Junction",
        "islnk": link == "SymbolicLink",
        "isreadonly": attributes["ReadOnly"],
        "isreg": kind == "file" and not link,
        "isshared": False,
        "lastaccesstime": status.st_atime,
        "lastwritetime": status.st_mtime,
        "nlink": len(others) + 1,
        "owner": "BUILTIN\\Administrators",
        "path": path,
    }
    return stat | ({"lnk_type": "hard"} if others else {})


def _link(call: Call, place: Path) -> tuple[str, str]:
    if not place.is_symlink():
        return "", ""
    target = os.readlink(place)
    if not target.startswith("/"):
        return "SymbolicLink", target.replace("/", "\\")
    return "Junction" if place.is_dir() else "SymbolicLink", call.drive.name(Path(target))


def _source(path: str, target: str) -> str:
    return ntpath.normpath(ntpath.join(ntpath.dirname(path.rstrip("\\")), target))


def _below(place: Path) -> int:
    return sum(each.stat().st_size for each in place.rglob("*") if each.is_file() and not each.is_symlink())


def _twins(call: Call, place: Path) -> list[str]:
    if place.stat().st_nlink == 1:
        return []
    found = (each for each in call.drive.root.rglob("*") if each != place and each.is_file() and each.samefile(place))
    return sorted(call.drive.name(each) for each in found if not each.is_symlink())
