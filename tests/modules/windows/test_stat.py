"""win_stat: keys and values as ansible.windows has them, on whatever path."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshexec.errors import ArgumentError
from sshexec.modules.registry import module_class
from tests.winrm_server import WinrmServer

Run = Callable[..., dict[str, Any]]

FILE = {
    "exists", "attributes", "checksum", "creationtime", "extension", "filename", "hlnk_targets", "isarchive", "isdir",
    "ishidden", "isjunction", "islnk", "isreadonly", "isreg", "isshared", "lastaccesstime", "lastwritetime", "nlink",
    "owner", "path", "size",
}  # fmt: skip


@pytest.fixture
def disk(endpoint: WinrmServer) -> Path:
    assert endpoint.drive is not None
    return endpoint.drive


def test_a_file(run: Run, disk: Path) -> None:
    (disk / "foo.ini").write_bytes(b"hello")
    os.utime(disk / "foo.ini", (1477984205.25, 1477984206.5))
    result = run("win_stat", {"path": "C:\\foo.ini"})
    stat = result["stat"]
    assert result["changed"] is False
    assert result["invocation"]["module_args"]["path"] == "C:\\foo.ini"
    assert stat.keys() == FILE
    assert stat["checksum"] == hashlib.sha1(b"hello").hexdigest()
    assert (stat["size"], stat["extension"], stat["filename"]) == (5, ".ini", "foo.ini")
    assert (stat["lastaccesstime"], stat["lastwritetime"]) == (1477984205.25, 1477984206.5)
    assert (stat["isreg"], stat["isdir"], stat["islnk"], stat["isreadonly"]) == (True, False, False, False)
    assert (stat["attributes"], stat["nlink"], stat["hlnk_targets"]) == ("Archive", 1, [])
    assert (stat["path"], stat["owner"]) == ("C:\\foo.ini", "BUILTIN\\Administrators")


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha384", "sha512"])
def test_checksums(run: Run, disk: Path, algorithm: str) -> None:
    (disk / "f").write_bytes(b"content")
    stat = run("win_stat", f"path=C:/f checksum_algorithm={algorithm}")["stat"]
    assert stat["checksum"] == hashlib.new(algorithm, b"content").hexdigest()


def test_what_is_not_asked_for_is_left_out(run: Run, disk: Path) -> None:
    (disk / "f").write_bytes(b"content")
    assert run("win_stat", "path=C:/f get_checksum=no get_size=no")["stat"].keys() == FILE - {"checksum", "size"}


def test_a_directory_has_the_size_of_all_below(run: Run, disk: Path) -> None:
    (disk / "d" / "sub").mkdir(parents=True)
    (disk / "d" / "a").write_bytes(b"123")
    (disk / "d" / "sub" / "b").write_bytes(b"4567")
    stat = run("win_stat", {"path": "C:\\d"})["stat"]
    assert (stat["isdir"], stat["isreg"], stat["attributes"], stat["size"]) == (True, False, "Directory", 7)
    assert stat.keys() == FILE - {"checksum", "extension"}


def test_nothing(run: Run, disk: Path) -> None:
    for path in ("C:\\nope", "C:\\nope\\deeper", "Z:\\x"):
        assert run("win_stat", {"path": path})["stat"] == {"exists": False}


def test_links(run: Run, disk: Path) -> None:
    (disk / "d").mkdir()
    (disk / "d" / "f").write_bytes(b"x")
    (disk / "link").symlink_to("d/f")
    (disk / "junction").symlink_to(disk / "d")
    stat = run("win_stat", {"path": "C:\\link"})["stat"]
    assert (stat["islnk"], stat["isjunction"], stat["isreg"]) == (True, False, False)
    assert (stat["lnk_target"], stat["lnk_source"]) == ("d\\f", "C:\\d\\f")
    stat = run("win_stat", {"path": "C:\\junction"})["stat"]
    assert (stat["islnk"], stat["isjunction"], stat["lnk_source"]) == (False, True, "C:\\d")
    followed = run("win_stat", {"path": "C:\\link", "follow": True})["stat"]
    assert (followed["path"], followed["isreg"], followed["islnk"]) == ("C:\\d\\f", True, False)
    os.link(disk / "d" / "f", disk / "twin")
    stat = run("win_stat", {"path": "C:\\twin"})["stat"]
    assert (stat["nlink"], stat["hlnk_targets"], stat["lnk_type"]) == (2, ["C:\\d\\f"], "hard")


def test_links_that_lead_nowhere_or_in_a_circle(run: Run, disk: Path) -> None:
    (disk / "lost").symlink_to("nope")
    (disk / "a").symlink_to("b")
    (disk / "b").symlink_to("a")
    assert run("win_stat", {"path": "C:\\lost", "get_checksum": False})["stat"]["islnk"] is True
    assert run("win_stat", {"path": "C:\\lost", "follow": True})["stat"] == {"exists": False}
    circle = run("win_stat", {"path": "C:\\a", "follow": True})
    assert (circle["failed"], circle["msg"]) == (True, "the links lead in a circle")


def test_what_may_not_be_looked_at(run: Run, disk: Path) -> None:
    (disk / "secret").write_bytes(b"x")
    (disk / "secret").chmod(0)
    (disk / "closed").mkdir()
    (disk / "closed" / "f").write_bytes(b"x")
    (disk / "closed").chmod(0)
    unhashed = "Failed to get hash of file, set get_checksum to False to ignore this error: "
    assert run("win_stat", {"path": "C:\\secret"})["msg"] == f"{unhashed}Access to the path 'C:\\secret' is denied."
    assert run("win_stat", {"path": "C:\\secret", "get_checksum": False})["stat"]["isreg"] is True
    closed = run("win_stat", {"path": "C:\\closed\\f"})
    assert (closed["failed"], closed["msg"]) == (True, "Access to the path 'C:\\closed\\f' is denied.")


def test_paths_that_are_none(run: Run, disk: Path) -> None:
    assert "Illegal characters" in run("win_stat", {"path": "C:\\a|b"})["msg"]
    assert "too long" in run("win_stat", {"path": "C:\\" + "x" * 300})["msg"]
    assert "format is not supported" in run("win_stat", {"path": "C:\\f:stream"})["msg"]
    assert "network path" in run("win_stat", {"path": "\\\\server\\share\\f"})["msg"]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("C:\\with space\\f", "with space/f"),
        ("C:/forward/f", "forward/f"),
        ("C:\\a'b$(1)`x;&{}[1]\\f", "a'b$(1)`x;&{}[1]/f"),
        ("C:\\‘’‚‛“”\\日本 ä€😀", "‘’‚‛“”/日本 ä€😀"),
        ("C:\\a\\..\\b\\.\\f", "b/f"),
        ("relative", "Users/vagrant/relative"),
        ("%USERPROFILE%\\f", "Users/vagrant/f"),
        ("%NOSUCH%", "Users/vagrant/%NOSUCH%"),
        ("C:\\UPPER\\F", "upper/f"),
    ],
)
def test_hostile_and_other_names(run: Run, disk: Path, path: str, place: str) -> None:
    (disk / place).parent.mkdir(parents=True, exist_ok=True)
    (disk / place).write_bytes(b"found")
    stat = run("win_stat", {"path": path})["stat"]
    assert (stat["exists"], stat["size"]) == (True, 5)


def test_it_is_one_command(run: Run, disk: Path, endpoint: WinrmServer) -> None:
    (disk / "f").write_bytes(b"x")
    run("win_stat", "path=C:/f")
    assert endpoint.operations.count("Command") == 1


def test_arguments() -> None:
    kind = module_class("win_stat")
    with pytest.raises(ArgumentError, match="missing required arguments: path"):
        kind.from_args("")
    with pytest.raises(ArgumentError, match="must be one of: md5, sha1, sha256, sha384, sha512"):
        kind.from_args("path=x checksum_algorithm=crc")
    with pytest.raises(ArgumentError, match="Unsupported parameters"):
        kind.from_args("path=x get_md5=yes")
