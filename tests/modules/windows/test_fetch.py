"""fetch from Windows hosts: into the tree that Ansible makes, checked, and never outside of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.winrm_server import WinrmServer

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def disk(endpoint: WinrmServer) -> Path:
    assert endpoint.drive is not None
    return endpoint.drive


def test_a_file_and_once_more(run: Run, disk: Path, folder: Path, endpoint: WinrmServer) -> None:
    data = bytes(range(256)) * 2000
    (disk / "dir").mkdir()
    (disk / "dir" / "f.bin").write_bytes(data)
    sha1, md5 = (hashlib.new(name, data).hexdigest() for name in ("sha1", "md5"))
    dest = f"{folder}/got/win1/C:/dir/f.bin"
    result = run("fetch", {"src": "C:\\dir\\f.bin", "dest": "got"})
    assert result == {
        "changed": True,
        "dest": dest,
        "checksum": sha1,
        "md5sum": md5,
        "remote_checksum": sha1,
        "remote_md5sum": None,
    }
    assert Path(dest).read_bytes() == data
    before = endpoint.operations.count("Command")
    again = run("fetch", {"src": "C:/dir/../dir/f.bin", "dest": "got"})
    assert again == {"changed": False, "checksum": sha1, "dest": dest, "file": "C:\\dir\\f.bin", "md5sum": md5}
    assert endpoint.operations.count("Command") - before == 1


def test_flat(run: Run, disk: Path, folder: Path) -> None:
    (disk / "f.txt").write_bytes(b"x")
    (folder / "is").mkdir()
    assert run("fetch", "src=C:/f.txt dest=plain flat=yes")["dest"] == f"{folder}/plain"
    assert run("fetch", "src=C:/f.txt dest=below/ flat=yes")["dest"] == f"{folder}/below/f.txt"
    assert run("fetch", "src=C:/f.txt dest=is flat=yes")["msg"].startswith("dest is an existing directory")


def test_what_can_not_be_fetched(run: Run, disk: Path, folder: Path) -> None:
    (disk / "secret").write_bytes(b"x")
    (disk / "secret").chmod(0)
    ignored = "the remote file does not exist, not transferring, ignored"
    directory = "remote file is a directory, fetch cannot work on directories"
    missing = run("fetch", "src=C:/nope dest=got")
    assert (missing["failed"], missing["msg"]) == (True, ignored)
    missing = run("fetch", "src=C:/nope dest=got fail_on_missing=no")
    assert missing == {"changed": False, "file": "C:\\nope", "msg": ignored}
    assert run("fetch", "src=C:/Users dest=got")["msg"] == directory
    lenient = run("fetch", "src=C:/Users dest=got fail_on_missing=no")
    assert lenient["msg"] == f"{directory}, not transferring, ignored"
    assert "failed" not in lenient
    assert run("fetch", "src=C:/secret dest=got")["msg"] == "File is not readable: C:\\secret"
    long = run("fetch", {"src": "C:\\" + "x" * 300, "dest": "got"})
    assert "Failed to get information on remote file" in long["msg"]
    assert "too long" in long["msg"]
    assert run("fetch", {"src": "\\\\srv\\share\\f", "dest": "got"})["msg"].endswith("The network path was not found.")
    assert run("fetch", "src=C:/f dest=got", check=True)["skipped"] is True
    assert not (folder / "got").exists()


@pytest.mark.parametrize("name", ["with space", "a'b$(1)`x;&{}[1]", "‘’‚‛“”", "日本 ä€😀", "-x"])
def test_hostile_names(run: Run, disk: Path, folder: Path, name: str) -> None:
    (disk / name).write_bytes(b"found")
    result = run("fetch", {"src": f"C:\\{name}", "dest": "got"})
    assert (folder / "got" / "win1" / "C:" / name).read_bytes() == b"found"
    assert result["changed"] is True


@pytest.mark.parametrize("src", ["..\\..\\..\\f", "C:\\..\\..\\f", "C:/../f"])
def test_it_stays_below_dest(run: Run, disk: Path, folder: Path, src: str) -> None:
    (disk / "f").write_bytes(b"x")
    assert run("fetch", {"src": src, "dest": "got"})["dest"] == f"{folder}/got/win1/C:/f"


def test_a_file_that_changes_on_the_way_is_not_taken(
    run: Run, disk: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (disk / "f").write_bytes(b"as it was")
    from tests.winrm_server.scripts import look

    def changed(call: Any) -> int:
        rc = original(call)
        (disk / "f").write_bytes(b"as it is now")
        return rc

    original = look.run
    monkeypatch.setattr(look, "run", changed)
    result = run("fetch", "src=C:/f dest=got")
    assert (result["failed"], result["msg"]) == (True, "checksum mismatch")
    assert not list((folder / "got").rglob("f"))
