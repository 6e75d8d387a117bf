"""cmd.exe by wine, where that is installed: real line ends, paths and builtins, for a smoke test.

It is no oracle. A code page is not changed, an unknown command ends with another code, lines over 8,191 characters
print nothing, exit codes have 8 bits, and ``powershell``, ``find`` and ``findstr`` are stubs that do nothing and
succeed: so PowerShell stays the double's, and no test may rely on those.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType

from tests.winrm_server.interpreter import Interpreter, Line
from tests.winrm_server.powershell import Answers
from tests.winrm_server.process import Child, Process

_FOLDERS = ("/usr/lib/wine", "/usr/lib/x86_64-linux-gnu/wine")
_BOOT_SECONDS = 180.0


def program(*names: str) -> str | None:
    """Return where one of these programs of wine is."""
    for name in names:
        found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(_FOLDERS))
        if found is not None:
            return found
    return None


LOADER = program("wine64", "wine")
SERVER = program("wineserver64", "wineserver")


class Wine:
    """A wine of its own, booted, and kept awake while it is used.

    Args:
        folder: where its ``C:`` and what else it keeps goes.
    """

    def __init__(self, folder: Path) -> None:
        assert LOADER is not None
        assert SERVER is not None
        self.folder = folder
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "WINEPREFIX": str(folder / "prefix"),
            "WINEDEBUG": "-all",
            "WINELOADER": LOADER,
            "WINESERVER": SERVER,
            # Else it asks for two packages to be downloaded.
            "WINEDLLOVERRIDES": "mscoree,mshtml=",
        }
        self._awake: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Wine:
        assert LOADER is not None
        subprocess.run(
            [LOADER, "wineboot", "-i"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_BOOT_SECONDS,
            check=True,
        )
        # Without one that stays, each command starts all of wine, and its services keep the command's output open.
        self._awake = subprocess.Popen(
            [LOADER, "cmd"],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert SERVER is not None
        if self._awake is not None and self._awake.stdin is not None:
            self._awake.stdin.close()
        # That of this prefix alone, and all that runs in it.
        subprocess.run([SERVER, "-k"], env=self.environment, check=False, timeout=30)
        if self._awake is not None:
            self._awake.wait(30)


class WineInterpreter(Interpreter):
    """Runs lines of cmd.exe by wine's; all else is as it is.

    Args:
        wine: which one.
        answers: to users' PowerShell.
        errors: gets what doubles did wrong.
    """

    def __init__(self, wine: Wine, answers: Answers, errors: list[str]) -> None:
        super().__init__(answers, errors.append)
        self._wine = wine
        self._number = itertools.count()

    def cmd(self, line: Line) -> Process:
        """Start a line, by a script that holds it."""
        assert LOADER is not None
        # Handed over as an argument, its quotes would be written in another way; the rules of a script apply.
        script = self._wine.folder / f"line{next(self._number)}.bat"
        script.write_bytes(b"@echo off\r\n" + line.text.encode() + b"\r\n")
        own = {
            name: value for name, value in line.environment.items() if name not in ("PATH", "TEMP", "TMP", "ComSpec")
        }
        seen = f"Z:{script}".replace("/", "\\")
        return Child(
            [LOADER, "cmd", "/c", seen], line.drive.resolve("."), {**own, **self._wine.environment}, crlf=False
        )
