"""Double of sshexec/modules/windows/scripts/destination.ps1."""

from __future__ import annotations

import ntpath
from typing import Any

from tests.winrm_server.powershell import Call
from tests.winrm_server.scripts import _paths
from tests.winrm_server.scripts.dotnet import DotnetError


def run(call: Call) -> int:
    question = _Question(call)
    try:
        call.answer(question.answer())
    except DotnetError as error:
        call.answer({"reason": _paths.why(error), "said": error.message.strip(), "at": question.at})
    return 0


class _Question:
    def __init__(self, call: Call) -> None:
        self.call = call
        self.asked: dict[str, Any] = call.arguments
        self.at = self.asked["dest"]

    def answer(self) -> dict[str, Any]:
        call, asked = self.call, self.asked
        path = self.at = _paths.full(call, asked["dest"])
        within, parent, backup, above = False, "", "", ""
        places, folders = [], []
        if not asked["tree"]:
            named = path.endswith("\\")
            within = bool(asked["base"]) and (named or _paths.kind(call, path) == "directory")
            if within:
                path = _paths.join(path, asked["base"])
            self.at = path
            above = ntpath.dirname(path)
            parent = "directory" if above == path else _paths.kind(call, above)
            places = [path]
        else:
            places = [_paths.join(path, name) for name in asked["names"]]
            folders = [_paths.join(path, name) for name in asked["folders"]]
        there = [self.kind(each) for each in folders]
        files = [self.look(*each) for each in zip(places, asked["sizes"], asked["sums"], strict=True)]
        if asked["make"] and not ("file" in there or "directory" in files or parent == "file"):
            if within and parent == "absent":
                self.make(above)
                parent = "directory"
            for each in folders:
                self.make(each)
            send = [number for number, each in enumerate(files) if each in ("absent", "differs")]
            if asked["backup"] and len(send) == 1 and files[send[0]] == "differs" and "absent" not in there:
                self.at = places[send[0]]
                backup = _paths.backup(self.at)
                _paths.copy(call, self.at, backup)
        return {
            "path": path,
            "within": within,
            "parent": parent,
            "backup": backup,
            "folders": " ".join(there),
            "files": " ".join(files),
        }

    def kind(self, path: str) -> str:
        self.at = path
        return _paths.kind(self.call, path)

    def make(self, path: str) -> None:
        self.at = path
        _paths.make(self.call, path)

    def look(self, path: str, size: int, sha1: str) -> str:
        kind = self.kind(path)
        if kind != "file" or not self.asked["compare"]:
            return kind
        try:
            data = _paths.read(self.call, path)
        except DotnetError as error:
            return "absent" if _paths.why(error) == "absent" else "differs"
        return "same" if len(data) == size and _paths.digest(data) == sha1 else "differs"
