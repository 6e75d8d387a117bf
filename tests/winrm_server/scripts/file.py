"""Double of sshexec/modules/windows/scripts/file.ps1; of .NET's formats it knows those of digits."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path

from tests.winrm_server.powershell import Call
from tests.winrm_server.scripts import _paths, dotnet
from tests.winrm_server.scripts.dotnet import DotnetError

_FORMATS = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S", "zzz": "%z"}


class _FinishedError(Exception):
    pass


def run(call: Call) -> int:
    at = call.arguments["path"]
    try:
        times = [each for each in map(_time, call.arguments["times"]) if each is not None]
        path = at = _paths.full(call, call.arguments["path"])
        call.answer({"changed": _done(call, path, times), "path": path})
    except _FinishedError as finished:
        problem, said, *rest = finished.args
        call.answer({"problem": problem, "said": said, "at": rest[0] if rest else at})
    except DotnetError as error:
        at = getattr(error, "at", at)
        call.answer({"problem": _paths.why(error), "said": error.message.strip(), "at": at})
    return 0


def _time(order: dict[str, str]) -> tuple[str, float] | None:
    value = order["value"]
    if value == "preserve":
        return None
    if value == "now":
        return order["what"], datetime.now().timestamp()
    form = re.sub("|".join(_FORMATS), lambda found: _FORMATS[found[0]], order["format"])
    try:
        return order["what"], datetime.strptime(value, form).timestamp()
    except ValueError:
        raise _FinishedError("time", "String was not recognized as a valid DateTime.", order["what"]) from None


def _done(call: Call, path: str, times: list[tuple[str, float]]) -> bool:
    state, check = call.arguments["state"], call.arguments["check"]
    kind = _paths.kind(call, path)
    if state == "absent":
        if kind == "absent":
            return False
        given = _paths.expand(call.arguments["path"], call.environment).rstrip(" .")
        if given.endswith(":") or path.rstrip("\\/").endswith(":"):
            raise _FinishedError("root", "")
        if not check:
            _remove(call, path.rstrip("\\/"))
        return True
    if (state == "directory" and kind == "file") or (state == "file" and kind != "file"):
        raise _FinishedError(kind, "")
    changed = kind == "absent"
    place = _paths.place(call, path)
    if changed and not check:
        if state == "directory":
            _paths.make(call, path)
        else:
            dotnet.open_new(place, path)
            place.touch()
    if changed and check:
        return True
    return _set(place, times, check) or changed


def _set(place: Path, times: list[tuple[str, float]], check: bool) -> bool:
    changed = False
    for what, moment in times:
        status = place.stat()
        was = {"LastWriteTime": status.st_mtime, "LastAccessTime": status.st_atime}
        if was[what] != moment:
            changed = True
            was[what] = moment
            if not check:
                os.utime(place, (was["LastAccessTime"], was["LastWriteTime"]))
    return changed


def _remove(call: Call, path: str) -> None:
    place = _paths.place(call, path)
    if place.is_dir() and not place.is_symlink():
        try:
            for each in sorted(place.iterdir()):
                _remove(call, f"{path}\\{each.name}")
            _locked(place, path)
            place.rmdir()
        except OSError as error:
            raise dotnet.of_os(error, path) from None
    else:
        _locked(place, path)
        place.unlink()


def _locked(place: Path, path: str) -> None:
    """Refuse what another program has open: for a test, what is called so."""
    if place.name == "in use":
        error = DotnetError(
            dotnet.WIN32 | 32,
            f"The process cannot access the file '{path}' because it is being used by another process.",
        )
        error.at = path  # type: ignore[attr-defined]
        raise error
