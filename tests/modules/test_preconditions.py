"""What must hold before a command runs, in every shell that a host may have."""

from __future__ import annotations

import os
import shutil
import string
import subprocess
from pathlib import Path

import pytest

from sshexec.connectors.posix import NOTE, quote
from sshexec.modules.preconditions import DIRECTORY, PROGRAM, WANTED, unmet
from tests.modules.conftest import Run

SHELLS = [shell for shell in (["dash"], ["bash"], ["busybox", "sh"]) if shutil.which(shell[0])]


def note(shell: list[str], script: str, path: str, **more: int) -> str:
    """Return what a piece of script notes about a path; "ran" where it holds."""
    text = f'{NOTE}() {{ echo "$*"; }}\n{WANTED}={quote(path)}\n{script}echo ran\n'
    done = subprocess.run([*shell, "-c", text], capture_output=True, text=True, timeout=30, check=False, **more)
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_each_shell_tells_the_reason(shell: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").touch()
    (tmp_path / "plain").chmod(0o644)
    (tmp_path / "program").symlink_to("/bin/true")
    for path, chdir, program in (
        ("/", "ran", 13), (".", "ran", 13), ("..", "ran", 13), ("//nope", 2, 2), ("nope", 2, 2), ("./nope/x/y", 2, 2),
        ("plain", 20, 2), ("./plain", 20, 13), ("plain/x", 20, 20), (f"{tmp_path}/plain/x/y", 20, 20),
        ("./program", 20, "ran"), ("true", 2, "ran"), ("nope/", 2, 2), ("*", 2, 2), ("( ", 2, 2),
    ):  # fmt: skip
        assert note(shell, DIRECTORY, path) == (f"chdir {chdir}" if isinstance(chdir, int) else chdir), path
        assert note(shell, PROGRAM, path) == (f"executable {program}" if isinstance(program, int) else program), path


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_what_lies_below_a_closed_directory_is_forbidden_not_missing(shell: list[str]) -> None:
    closed = "/root/nope"
    assert Path("/root").stat().st_mode & 0o077 == 0
    assert note(shell, DIRECTORY, closed, user=65534) == "chdir 13"
    assert note(shell, DIRECTORY, "/root", user=65534) == "chdir 13"
    assert note(shell, PROGRAM, closed, user=65534) == "executable 13"


def test_a_program_on_the_path_that_may_not_be_run_is_forbidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prog").touch(0o644)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for shell in SHELLS:
        assert note(shell, PROGRAM, "prog") == "executable 13"


def test_reasons_are_those_of_ansible() -> None:
    assert unmet("executable 2", "nö\udcff") == (
        "Error executing command: [Errno 2] No such file or directory: b'n\\xc3\\xb6\\xff'"
    )
    assert unmet("chdir 20", "/etc/passwd") == (
        "Unable to change directory before execution: [Errno 20] Not a directory: b'/etc/passwd'"
    )


@pytest.mark.parametrize("module", ["command", "shell", "script"])
def test_the_environment_of_a_command_is_the_callers(module: str, run: Run, tmp_path: Path) -> None:
    mine = dict.fromkeys(string.ascii_lowercase, "MINE") | {"CDPATH": "/usr"}
    if module == "command":
        mine["IFS"] = ","  # a shell sets its own
    (tmp_path / "show").write_text("#!/bin/sh\nexec env\n")
    free = f"{tmp_path}/show" if module == "script" else "env"
    arguments = {"_raw_params": free, "chdir": "/tmp", "creates": "/nonexistent", "removes": "/etc"}
    result = run(module, arguments, environment=mine)
    assert result["rc"] == 0, result
    seen = dict(line.split("=", 1) for line in result["stdout"].splitlines() if "=" in line)
    assert {name: seen.get(name) for name in mine} == mine
