"""Double of sshexec/modules/windows/scripts/remote_copy.ps1."""

from __future__ import annotations

import ntpath
import os
from typing import Any

from tests.winrm_server.powershell import Call
from tests.winrm_server.scripts import _paths
from tests.winrm_server.scripts.dotnet import DotnetError


class _FinishedError(Exception):
    pass


def run(call: Call) -> int:
    copy = _Copy(call)
    try:
        call.answer(copy.run())
    except _FinishedError as finished:
        call.answer({"problem": str(finished), "said": "", "from": copy.source, "to": copy.to})
    except DotnetError as error:
        call.answer({"problem": _paths.why(error), "said": error.message.strip(), "from": copy.source, "to": copy.to})
    return 0


class _Copy:
    def __init__(self, call: Call) -> None:
        self.call = call
        self.asked: dict[str, Any] = call.arguments
        self.check = self.asked["check"]
        self.source, self.to = self.asked["src"], self.asked["dest"]
        self.changed = False
        self.diff = self.backup = ""
        self.links: list[str] = []
        self.size = 0

    def run(self) -> dict[str, Any]:
        call = self.call
        source = self.source = _paths.full(call, self.asked["src"])
        dest = self.to = _paths.full(call, self.asked["dest"])
        kind = _paths.kind(call, source)
        if kind == "absent":
            raise _FinishedError("no_source")
        inner = source.endswith("\\")
        source = source.rstrip("\\")
        source += "\\" if source.endswith(":") else ""
        base, digest = ntpath.basename(source), ""
        if kind == "directory":
            operation = "folder_copy"
            dest = self.to = dest if inner else ntpath.join(dest, base)
            if (dest.rstrip("\\") + "\\").lower().startswith(source.rstrip("\\").lower() + "\\"):
                raise _FinishedError("inside")
            if inner:
                self.below(source, dest)
            else:
                self.folder(source, dest)
        else:
            operation = "file_copy"
            named = dest.endswith("\\") or _paths.kind(call, dest) == "directory"
            dest = ntpath.join(dest, base) if named else dest
            above = self.to = ntpath.dirname(dest)
            there = _paths.kind(call, above)
            if there == "file":
                raise _FinishedError("up_file")
            if there == "absent":
                if not named:
                    raise _FinishedError("no_parent")
                self.make(above)
            digest = self.file(source, dest)
        told = {"changed": self.changed, "operation": operation, "dest": dest, "base": base, "checksum": digest}
        told |= {"size": self.size, "backup": self.backup, "diff": self.diff, "links": "|".join(self.links)}
        return told

    def make(self, path: str) -> None:
        if not self.check:
            _paths.make(self.call, path)
        self.diff += f"+{path.rstrip(chr(92))}\\\n"
        self.changed = True

    def file(self, source: str, dest: str) -> str:
        call = self.call
        self.source, self.to = source, dest
        data = _paths.read(call, source)
        self.size += len(data)
        digest = _paths.digest(data) if self.asked["force"] else ""
        kind = _paths.kind(call, dest)
        if kind == "directory":
            raise _FinishedError("folder")
        if kind == "file" and (not self.asked["force"] or _paths.digest(_paths.read(call, dest)) == digest):
            return digest
        above = ntpath.dirname(dest)
        there = _paths.kind(call, above)
        if there == "file":
            raise _FinishedError("parent_file")
        if there == "absent" and not self.check:
            self.make(above)
        if kind == "file":
            if self.asked["backup"]:
                self.backup = _paths.backup(dest)
                if not self.check:
                    _paths.copy(call, dest, self.backup)
            self.diff += f"-{dest}\n"
        if not self.check:
            temporary = ntpath.join(above, ".sshexec-0123456789abcdef")
            _paths.copy(call, source, temporary)
            os.replace(_paths.place(call, temporary), _paths.place(call, dest))
        self.diff += f"+{dest}\n"
        self.changed = True
        return digest

    def folder(self, source: str, dest: str) -> None:
        self.source, self.to = source, dest
        kind = _paths.kind(self.call, dest)
        if kind == "file":
            raise _FinishedError("is_file")
        if kind == "absent":
            if _paths.kind(self.call, ntpath.dirname(dest)) == "file":
                raise _FinishedError("parent_file")
            self.make(dest)
        self.below(source, dest)

    def below(self, source: str, dest: str) -> None:
        for each in sorted(_paths.place(self.call, source).iterdir()):
            path, to = ntpath.join(source, each.name), ntpath.join(dest, each.name)
            if not each.is_dir():
                self.file(path, to)
            elif each.is_symlink():
                self.links.append(path)
            else:
                self.folder(path, to)
