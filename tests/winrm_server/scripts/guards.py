"""Double of sshexec/modules/windows/scripts/guards.ps1."""

from __future__ import annotations

import fnmatch
import os
from typing import Any

from tests.winrm_server.interpreter import expand
from tests.winrm_server.powershell import Call


def run(call: Call) -> int:
    told: dict[str, Any] = {}
    path = ""
    try:
        for name in ("creates", "removes"):
            if call.arguments.get(name):
                path = expand(call.arguments[name], call.environment)
                told[name] = {"path": path, "exists": there(call, path)}
        if call.arguments.get("chdir"):
            path = call.drive.absolute(expand(call.arguments["chdir"], call.environment))
            told["chdir"] = {"path": path, "exists": call.drive.resolve(path).is_dir()}
    except PermissionError:
        told.update(error=f"Access to the path '{path}' is denied.", path=path)
    call.answer(told)
    return 0


def there(call: Call, path: str) -> bool:
    if "*" in path or "?" in path:
        place = call.drive.resolve(path)
        names = os.listdir(place.parent) if place.parent.is_dir() else []
        return any(fnmatch.fnmatch(name.lower(), place.name.lower()) for name in names)
    if path.lower().startswith("c:\\denied"):
        raise PermissionError
    return call.drive.resolve(path).exists()
