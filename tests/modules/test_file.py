"""``file`` with the tools of GNU and of busybox; tests/oracle/test_file.py holds it to Ansible's."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Connector
from sshexec.errors import ArgumentError
from sshexec.modules.file import File
from tests.modules.tools import TOOLS, Here, here

HOSTILE = "a b'c\"d\n-é$(x)*"
INVALID = b"caf\xe9"
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture(params=TOOLS)
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Here]:
    """Run a module here, with each set of tools."""
    yield from here(request.param, tmp_path_factory.mktemp("applets"), monkeypatch)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with files, directories and links."""
    monkeypatch.chdir(tmp_path)
    for name in ("f", "g", "d/a/x", "d/.hidden", "d/-dash", f"d/{HOSTILE}"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "l").symlink_to("f")
    (tmp_path / "ld").symlink_to("d")
    (tmp_path / "lost").symlink_to("nope")
    return tmp_path


def bits(path: Path) -> str:
    return f"{stat.S_IMODE(path.lstat().st_mode):04o}"


def tree(folder: Path) -> dict[str, Any]:
    """Return all that is in a directory, with what `file` may change."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        held = os.readlink(path) if path.is_symlink() else None
        found[str(path)] = (status.st_mode, status.st_uid, status.st_gid, status.st_ino, status.st_mtime_ns, held)
    return found


CHANGES: dict[str, tuple[dict[str, Any], Callable[[Path], bool]]] = {
    "mode": ({"path": "f", "mode": "u=rw,go="}, lambda at: bits(at / "f") == "0600"),
    "directory": ({"path": "n/o", "state": "directory", "mode": "0750"}, lambda at: bits(at / "n") == "0750"),
    "setgid": ({"path": "d", "mode": "g+s"}, lambda at: bits(at / "d") == "2755"),
    "link": ({"path": "n", "src": "d", "state": "link"}, lambda at: os.readlink(at / "n") == "d"),
    "link elsewhere": ({"path": "l", "src": "g", "state": "link"}, lambda at: os.readlink(at / "l") == "g"),
    "link from a directory": ({"path": "ld", "src": "f", "state": "link"}, lambda at: os.readlink(at / "ld") == "f"),
    "link over a file": (
        {"path": "g", "src": "f", "state": "link", "force": True},
        lambda at: os.readlink(at / "g") == "f",
    ),
    "hard link": ({"path": "n", "src": "f", "state": "hard"}, lambda at: (at / "n").samefile(at / "f")),
    "hard link over a link": (
        {"path": "lost", "src": "f", "state": "hard"},
        lambda at: (at / "lost").samefile(at / "f"),
    ),
    "time": (
        {"path": "f", "modification_time": "202001020304.05"},
        lambda at: (at / "f").stat().st_mtime == 1577934245,
    ),
    "recurse": (
        {"path": "d", "recurse": True, "mode": "u=rwX,go="},
        lambda at: bits(at / "d/a") == "0700" and bits(at / "d" / HOSTILE) == bits(at / "d/.hidden") == "0600",
    ),
    "absent": ({"path": "d", "state": "absent"}, lambda at: not (at / "d").exists()),
    "hostile": (
        {"path": f"{HOSTILE}/-n", "state": "directory"},
        lambda at: (at / HOSTILE / "-n").is_dir(),
    ),
    "dash": ({"path": "-n", "state": "touch", "modification_time": "preserve", "access_time": "preserve"},
             lambda at: (at / "-n").is_file()),
}  # fmt: skip


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("name", CHANGES)
def test_check_tells_what_a_run_then_changes_and_a_second_run_does_not(
    name: str, run: Here, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    args, done = CHANGES[name]
    before = tree(place)
    assert run("file", args, check=True)["changed"] is True
    assert tree(place) == before
    assert run("file", args)["changed"] is True
    assert done(place)
    after = tree(place)
    assert run("file", args)["changed"] is False
    assert tree(place) == after


@ROOT
@pytest.mark.usefixtures("place")
def test_owner_and_group_by_name_and_number_below_a_directory_links_included(run: Here) -> None:
    result = run("file", {"path": "d", "recurse": True, "owner": "daemon", "group": 2}, diff=True)
    assert result["changed"] is True
    assert result["diff"]["before"] == {"path": "d", "owner": 0, "group": 0}
    assert result["diff"]["after"] == {"path": "d", "owner": 1, "group": 2}
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in Path("d").rglob("*")} == {(1, 2)}
    assert run("file", {"path": "l", "follow": False, "owner": "daemon"})["changed"] is True
    assert (Path("l").lstat().st_uid, Path("f").stat().st_uid) == (1, 0)


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"path": "f", "owner": "nosuch"}, "chown failed: failed to look up user nosuch"),
        ({"path": "f", "group": "nosuch"}, "chgrp failed: failed to look up group nosuch"),
        ({"path": "nope"}, "file (nope) is absent, cannot continue"),
        ({"path": "f", "state": "directory"}, "f already exists as a file"),
        (
            {"path": "f/a/b", "state": "directory"},
            "There was an issue creating f/a as requested: [Errno 20] Not a directory: b'f/a'",
        ),
        (
            {"path": "n/o", "src": "f", "state": "link", "force": True},
            "Error while linking: [Errno 2] No such file or directory: b'f' -> b'n/o'",
        ),
        (
            {"path": "n", "src": "d", "state": "hard"},
            "Error while linking: [Errno 1] Operation not permitted: b'd' -> b'n'",
        ),
        ({"path": "n/o", "state": "touch"}, "Error, could not touch target."),
        (
            {"path": "d", "src": "f", "state": "link", "force": True},
            "the directory d is not empty, refusing to convert it",
        ),
    ],
)  # fmt: skip
def test_failures_have_the_words_of_ansible(args: dict[str, Any], message: str, run: Here, place: Path) -> None:
    before = tree(place)
    result = run("file", args)
    assert (result["failed"], result["changed"], result["msg"]) == (True, False, message)
    assert tree(place) == before


def test_a_link_that_can_not_take_a_files_place_leaves_the_file_and_nothing_else(run: Here, place: Path) -> None:
    before = sorted(os.listdir(place))
    result = run("file", {"path": "f", "src": "x" * 5000, "state": "link", "force": True})
    assert result["msg"].startswith("Error while replacing: [Errno 36] File name too long: b'xxx")
    assert ((place / "f").read_text(), sorted(os.listdir(place))) == ("f", before)


def test_names_that_are_not_utf8(run: Here, place: Path) -> None:
    name = os.fsdecode(INVALID)
    result = run("file", {"path": name, "state": "directory"})
    assert (result["changed"], result["path"]) == (True, "caf\ufffd")
    (place / name / name).write_text("x")
    run("file", {"path": name, "recurse": True, "mode": "go="})
    assert bits(place / name / name) == "0600"
    assert run("file", {"path": f"{name}2", "src": name, "state": "link"})["src"] == "caf\ufffd"
    assert os.readlink(os.fsencode(place) + b"/" + INVALID + b"2") == INVALID
    listed = run("file", {"path": name, "state": "absent"}, diff=True)["diff"]["before"]["path_content"]
    assert listed == {"directories": [], "files": ["caf\ufffd/caf\ufffd"]}


def test_paths_are_expanded_by_the_host_whatever_the_script_calls_its_variables(
    run: Here, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("P", "src", "k", "LC_ALL", "told", "depth"):
        monkeypatch.setenv(name, str(place / f"of-{name}"))
        result = run("file", {"path": f"${name}", "src": f"${{{name}}}/x", "state": "link", "force": True})
        assert result["changed"] is True
        assert os.readlink(place / f"of-{name}") == str(place / f"of-{name}/x")


def test_a_tree_is_opened_from_above_and_a_link_is_followed_out_of_it(run: Here, place: Path) -> None:
    (place / "other").mkdir()
    (place / "other/y").write_text("y")
    (place / "d/out").symlink_to("../other")
    (place / "d/a").chmod(0)
    run("file", {"path": "d", "recurse": True, "mode": "u=rwX,g=rX,o="})
    assert (bits(place / "d/a"), bits(place / "d/a/x")) == ("0750", "0640")
    assert (bits(place / "other"), bits(place / "other/y")) == ("0750", "0640")


def test_a_large_tree(run: Here, place: Path) -> None:
    for number in range(600):
        (place / f"d/a/{number}").write_text("")
    run("file", {"path": "d", "recurse": True, "mode": "g+w"})
    assert {bits(path) for path in (place / "d/a").iterdir()} == {"0664"}


def test_a_link_that_leads_back_ends(run: Here, place: Path) -> None:
    (place / "d/back").symlink_to("../d")
    result = run("file", {"path": "d", "recurse": True, "mode": "g+w"})
    assert result["failed"] is True
    assert result["msg"].startswith("Could not recursively set attributes on d/../d/../d")


@pytest.mark.usefixtures("place")
def test_times_of_a_difference_are_those_of_the_host(run: Here) -> None:
    os.utime("f", ns=(1_500_000_000_250_000_000, 1_600_000_000_500_000_000))
    diff = run("file", "path=f state=touch access_time=preserve", diff=True)["diff"]
    assert diff["before"]["mtime"] == 1_600_000_000.5
    assert diff["after"]["mtime"] >= 1_700_000_000
    assert "atime" not in diff["before"]
    assert Path("f").stat().st_atime == 1_500_000_000.25


@pytest.mark.usefixtures("folder")
def test_everything_is_one_round_trip(connector: Connector[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    execute = type(connector).execute
    monkeypatch.setattr(type(connector), "execute", lambda *args: calls.append(1) or execute(*args))
    run = Here(connector)
    folder = Path.cwd()
    assert run("file", f"path={folder}/n/o/p state=directory mode=0700")["mode"] == "0700"
    assert run("file", f"path={folder} recurse=yes mode=go=")["changed"] is True
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("state=file", "^file: missing required arguments: path$"),
        ("path=x state=bogus", "^file: value of state must be one of: absent, directory, file, hard, link, touch, got"),
        ("path=x mode=u+q", "^file: mode must be in octal or symbolic form: bad symbolic permission for mode: u[+]q$"),
        ("path=x modification_time=z", "^file: Error while obtaining timestamp for time z using format %Y.*not match"),
        ("path=x bogus=1", r"^file: Unsupported parameters for \(file\) module: bogus"),
    ],
)  # fmt: skip
def test_bad_input(args: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        File.from_args(args)


@pytest.mark.parametrize("state", ["link", "hard"])
def test_a_temporary_name_that_leads_to_a_directory_is_not_entered(run: Here, place: Path, state: str) -> None:
    """Whoever owns the directory might guess the name."""
    last = int(subprocess.run(["sh", "-c", "echo $$"], check=True, capture_output=True).stdout)
    for number in range(last, last + 2000):
        (place / f".{number}.sshexec.tmp").symlink_to("d/a")
    result = run("file", {"path": str(place / "g"), "state": state, "src": str(place / "f"), "force": True})
    assert "File exists" in result["msg"]
    assert ((place / "g").read_text(), os.listdir(place / "d/a")) == ("g", ["x"])


def test_a_link_with_a_slash_behind_it_is_not_told_to_be_removed_where_it_is_not(run: Here, place: Path) -> None:
    """GNU's rm empties the directory, as Ansible does, busybox's removes the link."""
    result = run("file", f"path={place}/ld/ state=absent")
    assert (place / "ld").is_symlink() is result.get("failed", False)
    if result.get("failed"):
        assert result["msg"] == f"rmtree failed: [Errno 20] Not a directory: '{place}/ld/'"
