"""``stat`` with the tools of GNU and of busybox; tests/oracle/test_stat.py holds it to Ansible's."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.modules.tools import TOOLS, Here, here

HOSTILE = "-a b'c\"d\né$(x)*\udce9"


@pytest.fixture(params=TOOLS)
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Here]:
    """Run a module here, with each set of tools."""
    yield from here(request.param, tmp_path_factory.mktemp("applets"), monkeypatch)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with one of each kind."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").write_text("hello\n")
    (tmp_path / "f").chmod(0o4750)
    os.utime(tmp_path / "f", ns=(1_500_000_000_250_000_000, 1_600_000_000_500_000_000))
    (tmp_path / "d").mkdir()
    (tmp_path / "l").symlink_to("f")
    (tmp_path / "lost").symlink_to("nope")
    (tmp_path / HOSTILE).write_text("x")
    os.mkfifo(tmp_path / "p")
    return tmp_path


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("path", ["f", "d", "l", "lost", "p", HOSTILE, "/dev/null"])
@pytest.mark.parametrize("follow", [False, True])
def test_what_the_host_tells_is_what_the_system_tells(run: Here, path: str, follow: bool) -> None:
    args = {"path": path, "follow": follow, "get_mime": False, "get_attributes": False}
    if follow and path == "lost":
        assert run("stat", args)["stat"] == {"exists": False}
        return
    status = os.stat(path, follow_symlinks=follow)  # before: to read something is a time of access
    told = run("stat", args)["stat"]
    assert told["path"] == path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    names = {"inode": "ino", "device_type": "rdev", "block_size": "blksize"}
    for name in ("uid", "gid", "size", "inode", "dev", "nlink", "blocks", "block_size", "device_type"):
        assert told[name] == getattr(status, f"st_{names.get(name, name)}"), name
    for name in ("atime", "mtime", "ctime"):
        assert told[name] == getattr(status, f"st_{name}"), name
    assert told["mode"] == f"{stat.S_IMODE(status.st_mode):04o}"
    kinds = {"isreg", "isdir", "islnk", "isfifo", "issock", "isblk", "ischr"}
    true = {name for name in kinds if told[name]}
    assert true == {f"is{'lnk' if stat.S_ISLNK(status.st_mode) else stat_kind(status.st_mode)}"}
    assert (told["readable"], told["executable"]) == (os.access(path, os.R_OK), os.access(path, os.X_OK))
    assert told.get("lnk_source") == (os.path.realpath(path) if stat.S_ISLNK(status.st_mode) else None)
    assert told.get("lnk_target") == (os.readlink(path) if stat.S_ISLNK(status.st_mode) else None)


def stat_kind(mode: int) -> str:
    return {"-": "reg", "d": "dir", "p": "fifo", "c": "chr"}[stat.filemode(mode)[0]]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"])
def test_every_checksum_on_every_host(run: Here, algorithm: str) -> None:
    result = run("stat", {"path": "f", "checksum_algorithm": algorithm})
    assert result["stat"]["checksum"] == hashlib.new(algorithm, b"hello\n").hexdigest()


@pytest.mark.usefixtures("place")
def test_what_is_no_readable_file_has_no_checksum(run: Here) -> None:
    assert not [path for path in ("d", "l", "p", "/dev/null") if "checksum" in run("stat", {"path": path})["stat"]]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("run", ["busybox"], indirect=True)
def test_where_there_is_neither_file_nor_lsattr_nothing_is_known(run: Here) -> None:
    told = run("stat", {"path": "f"})["stat"]
    assert {name: told[name] for name in ("mimetype", "charset", "version", "attributes", "attr_flags")} == {
        "mimetype": "unknown", "charset": "unknown", "version": None, "attributes": [], "attr_flags": ""
    }  # fmt: skip


@pytest.mark.usefixtures("place")
def test_what_can_not_be_looked_at_fails_and_what_is_missing_does_not(run: Here) -> None:
    result = run("stat", {"path": "f/x"})
    assert (result["failed"], result["msg"]) == (True, "Not a directory")
    assert run("stat", {"path": "nope"})["stat"] == {"exists": False}


def test_the_path_in_the_invocation_is_expanded(run: Here, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L", str(place))
    result = run("stat", {"path": "$L/f"})
    assert result["invocation"]["module_args"]["path"] == result["stat"]["path"] == str(place / "f")
