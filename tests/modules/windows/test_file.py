"""win_file: directories and files come, are touched and go, with the words of ansible.windows."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sshexec.errors import ArgumentError
from sshexec.modules.registry import module_class
from tests.winrm_server import WinrmServer

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def disk(endpoint: WinrmServer) -> Path:
    assert endpoint.drive is not None
    return endpoint.drive


def outcome(result: dict[str, Any]) -> Any:
    assert "invocation" in result
    return result["msg"] if result.get("failed") else result["changed"]


def test_a_directory_with_those_above(run: Run, disk: Path) -> None:
    asked = {"path": "C:\\Temp\\folder\\sub folder", "state": "directory"}
    assert outcome(run("win_file", asked, check=True)) is True
    assert not (disk / "Temp" / "folder").exists()
    assert outcome(run("win_file", asked)) is True
    assert (disk / "Temp" / "folder" / "sub folder").is_dir()
    assert outcome(run("win_file", asked)) is False
    assert outcome(run("win_file", {**asked, "path": asked["path"] + "\\"})) is False


def test_a_file_in_the_way(run: Run, disk: Path) -> None:
    (disk / "f").write_bytes(b"x")
    assert outcome(run("win_file", {"path": "C:\\f", "state": "directory"})) == "path C:\\f is not a directory"
    assert "already exists" in outcome(run("win_file", {"path": "C:\\f\\d", "state": "directory"}))


def test_a_file_is_there_or_not(run: Run, disk: Path) -> None:
    (disk / "f").write_bytes(b"x")
    (disk / "d").mkdir()
    assert outcome(run("win_file", "path=C:/f state=file")) is False
    assert outcome(run("win_file", "path=C:/f")) is False
    assert outcome(run("win_file", "path=C:/d")) == "path C:/d is not a file"
    assert outcome(run("win_file", "path=C:/nope")) == "path C:/nope will not be created"


def test_touch(run: Run, disk: Path) -> None:
    assert outcome(run("win_file", "path=C:/new state=touch", check=True)) is True
    assert not (disk / "new").exists()
    assert outcome(run("win_file", "path=C:/new state=touch")) is True
    assert (disk / "new").read_bytes() == b""
    (disk / "new").write_bytes(b"kept")
    os.utime(disk / "new", (1, 1))
    assert outcome(run("win_file", "path=C:/new state=touch", check=True)) is True
    assert (disk / "new").stat().st_mtime == 1
    assert outcome(run("win_file", "path=C:/new state=touch")) is True
    assert abs((disk / "new").stat().st_mtime - time.time()) < 60
    assert (disk / "new").read_bytes() == b"kept"
    missing = outcome(run("win_file", "path=C:/no/new state=touch"))
    assert missing == "Could not find a part of the path 'C:\\no\\new'."


def test_times(run: Run, disk: Path) -> None:
    keep = "modification_time=preserve access_time=preserve"
    assert outcome(run("win_file", f"path=C:/f state=touch {keep}")) is True
    assert outcome(run("win_file", f"path=C:/f state=touch {keep}")) is False
    asked = {"path": "C:\\f", "state": "file", "modification_time": "2024-02-29 13:14:15"}
    assert outcome(run("win_file", asked, check=True)) is True
    assert outcome(run("win_file", asked)) is True
    assert (disk / "f").stat().st_mtime == datetime(2024, 2, 29, 13, 14, 15).timestamp()
    assert outcome(run("win_file", asked)) is False
    other = {"path": "C:\\f", "access_time": "01.02.2023", "access_time_format": "dd.MM.yyyy"}
    assert outcome(run("win_file", other)) is True
    assert (disk / "f").stat().st_atime == datetime(2023, 2, 1).timestamp()
    wrong = outcome(run("win_file", {"path": "C:\\f", "access_time": "yesterday"}))
    assert wrong == (
        "Error while obtaining timestamp for time yesterday using format yyyy-MM-dd HH:mm:ss: "
        "String was not recognized as a valid DateTime."
    )


def test_absent(run: Run, disk: Path) -> None:
    (disk / "f").write_bytes(b"x")
    (disk / "f").chmod(0o444)
    assert outcome(run("win_file", "path=C:/f state=absent", check=True)) is True
    assert (disk / "f").exists()
    assert outcome(run("win_file", "path=C:/f state=absent")) is True
    assert not (disk / "f").exists()
    assert outcome(run("win_file", "path=C:/f state=absent")) is False


def test_a_tree_goes_and_what_its_links_lead_to_stays(run: Run, disk: Path) -> None:
    (disk / "kept").mkdir()
    (disk / "kept" / "f").write_bytes(b"x")
    (disk / "tree" / "a" / "b").mkdir(parents=True)
    (disk / "tree" / "a" / "b" / "f").write_bytes(b"x")
    (disk / "tree" / "link").symlink_to(disk / "kept")
    (disk / "tree" / "lost").symlink_to("nowhere")
    assert outcome(run("win_file", {"path": "C:\\tree\\", "state": "absent"})) is True
    assert not (disk / "tree").exists()
    assert (disk / "kept" / "f").exists()
    (disk / "link").symlink_to(disk / "kept")
    assert outcome(run("win_file", {"path": "C:\\link", "state": "absent"})) is True
    assert (disk / "kept" / "f").exists()


def test_what_is_in_use_stays(run: Run, disk: Path) -> None:
    (disk / "tree").mkdir()
    (disk / "tree" / "in use").write_bytes(b"x")
    assert outcome(run("win_file", {"path": "C:\\tree", "state": "absent"})) == (
        "Failed to delete C:\\tree\\in use: The process cannot access the file 'C:\\tree\\in use' "
        "because it is being used by another process."
    )


@pytest.mark.parametrize("path", ["C:\\", "C:/", "C:\\x\\..", "C:\\x\\..\\", "C:", "c: ", "%DRIVE%"])
def test_a_whole_drive_is_not_removed(run: Run, disk: Path, path: str) -> None:
    (disk / "f").write_bytes(b"x")
    for check in (True, False):
        asked = {"path": path, "state": "absent"}
        refused = outcome(run("win_file", asked, check=check, environment={"DRIVE": "C:"}))
        assert refused == f"path {path} is a whole drive or share, which is not removed"
    assert (disk / "f").exists()
    assert (disk / "Users" / "vagrant").exists()


@pytest.mark.parametrize("name", ["with space", "a'b$(1)`x;&{}[1]", "‘’‚‛“”", "日本 ä€😀", "-x", "%", "#", "$a"])
def test_hostile_names(run: Run, disk: Path, name: str) -> None:
    for state, there in (("directory", True), ("absent", False)):
        assert outcome(run("win_file", {"path": f"C:\\d\\{name}", "state": state})) is True
        assert (disk / "d" / name).exists() is there
    assert sorted(each.name for each in (disk / "d").iterdir()) == []


def test_arguments() -> None:
    kind = module_class("win_file")
    with pytest.raises(ArgumentError, match="missing required arguments: path"):
        kind.from_args("state=absent")
    with pytest.raises(ArgumentError, match="must be one of: absent, directory, file, touch, got: link"):
        kind.from_args("path=x state=link")
