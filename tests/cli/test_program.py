"""What the command calls itself where it prints lines to be copied."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sshexec.cli.program import calling


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a command of that name in an environment of its own, and go there."""
    path = tmp_path / "an env" / "bin" / "sshexec"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["an env/bin/sshexec", "demo"])
    return path


def test_the_name_where_it_means_this_one(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "sshexec").symlink_to(installed)
    monkeypatch.setenv("PATH", f"{tmp_path}/local:/usr/bin")
    assert calling() == calling(anywhere=True) == "sshexec"


@pytest.mark.parametrize("other", [False, True])
def test_the_path_where_the_name_means_none_or_another(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: bool
) -> None:
    (tmp_path / "other").mkdir()
    if other:
        (tmp_path / "other" / "sshexec").write_text("#!/bin/sh\n")
        (tmp_path / "other" / "sshexec").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/other:/nonexistent")
    assert calling() == "'an env/bin/sshexec'"
    assert calling(anywhere=True) == f"'{installed}'"


def test_as_a_module(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/sshexec/__main__.py", "demo"])
    monkeypatch.setattr(sys, "executable", str(installed.with_name("python3")))
    monkeypatch.setenv("PATH", "/nonexistent")
    assert calling() == f"'{installed}'"
    installed.unlink()
    assert calling() == f"'{installed.with_name('python3')}' -m sshexec"
