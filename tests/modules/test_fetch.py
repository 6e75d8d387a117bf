"""The fetch module: files come whole, and land where they should."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Host, Inventory
from sshexec.connectors.base import Deadline, Timeouts
from sshexec.connectors.fake import FakeConnector, FakeContext, FakeOptions
from sshexec.connectors.output import Output
from sshexec.errors import ArgumentError
from sshexec.modules.base import Invocation
from sshexec.modules.registry import module_class

Run = Callable[..., dict[str, Any]]


def test_new_same_and_changed(run: Run, folder: Path) -> None:
    args = f"src={folder}/f.txt dest=got"
    result = run("fetch", args)
    dest = folder / "got/web1" / str(folder).lstrip("/") / "f.txt"
    sha1 = hashlib.sha1(b"hello\n").hexdigest()
    assert set(result) == {"changed", "checksum", "dest", "md5sum", "remote_checksum", "remote_md5sum"}
    assert (result["changed"], result["dest"], result["checksum"], result["remote_checksum"]) == (
        True, str(dest), sha1, sha1,
    )  # fmt: skip
    assert dest.read_text() == "hello\n"
    same = run("fetch", args)
    assert set(same) == {"changed", "checksum", "dest", "file", "md5sum"}
    assert same["changed"] is False
    (folder / "f.txt").write_bytes(b"\0\xff" * 100_000)
    assert run("fetch", args)["changed"] is True
    assert dest.read_bytes() == b"\0\xff" * 100_000
    assert os.listdir(dest.parent) == ["f.txt"]


def test_flat(run: Run, folder: Path) -> None:
    assert run("fetch", f"src={folder}/f.txt dest=one flat=yes")["dest"] == f"{folder}/one"
    assert run("fetch", f"src={folder}/f.txt dest=two/ flat=yes")["dest"] == f"{folder}/two/f.txt"
    assert run("fetch", f"src={folder}/f.txt dest=two flat=yes")["msg"].startswith("dest is an existing directory")


def test_missing_and_directories(run: Run, folder: Path) -> None:
    missing = run("fetch", f"src={folder}/nope dest=got")
    assert (missing["failed"], missing["msg"]) == (
        True,
        "the remote file does not exist, not transferring, ignored",
    )
    allowed = run("fetch", f"src={folder}/nope dest=got fail_on_missing=no")
    assert ("failed" in allowed, allowed["changed"], allowed["file"]) == (False, False, f"{folder}/nope")
    assert (
        run("fetch", f"src={folder} dest=got")["msg"] == "remote file is a directory, fetch cannot work on directories"
    )


def test_only_regular_files_are_replaced_and_links_stay(run: Run, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    refused = run("fetch", f"src={folder}/f.txt dest=pipe flat=yes")
    assert (refused["failed"], "is not a regular file" in refused["msg"]) == (True, True)
    assert (folder / "pipe").is_fifo()
    (folder / "real").write_text("old")
    (folder / "link").symlink_to("real")
    assert run("fetch", f"src={folder}/f.txt dest=link flat=yes")["changed"] is True
    assert (folder / "link").is_symlink()
    assert (folder / "real").read_text() == "hello\n"


def test_a_full_disk_here_is_named(run: Run, folder: Path, small_disk: Path) -> None:
    (folder / "big").write_bytes(b"x" * 2_000_000)
    failed = run("fetch", f"src={folder}/big dest={small_disk}/got flat=yes")
    assert failed["failed"] is True
    assert "No space left on device" in failed["msg"]
    assert f"{small_disk}/got" in failed["msg"]
    assert f"{folder}/big" not in failed["msg"]
    assert os.listdir(small_disk) == []


def test_dots_in_the_path_are_resolved(run: Run, folder: Path) -> None:
    (folder / "sub").mkdir()
    result = run("fetch", f"src={folder}/sub/../f.txt dest=got")
    assert result["dest"] == f"{folder}/got/web1{folder}/f.txt"


def test_a_relative_destination_is_below_the_directory_of_the_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f.txt").write_text("hello")
    with Engine(Inventory.from_hosts([Host("h", {"ansible_connection": "local"})])) as engine:
        for name in ("one", "two"):  # the engine's worker begins in the first, which is gone when the second is there
            (tmp_path / name).mkdir()
            monkeypatch.chdir(tmp_path / name)
            result = engine.run("h", "fetch", {"src": f"{tmp_path}/f.txt", "dest": "got", "flat": True})["h"]
            assert result.to_ansible()["dest"] == f"{tmp_path}/{name}/got"
            monkeypatch.chdir(tmp_path)
            shutil.rmtree(tmp_path / name)


def test_the_mode_of_a_file_that_is_replaced_stays(run: Run, folder: Path) -> None:
    (folder / "old").write_text("old")
    (folder / "old").chmod(0o640)
    assert run("fetch", f"src={folder}/f.txt dest=old flat=yes")["changed"] is True
    assert (folder / "old").stat().st_mode & 0o7777 == 0o640


def test_why_a_path_leads_nowhere(run: Run, folder: Path) -> None:
    where = f"{folder}/f.txt/x"
    message = f"Failed to get information on remote file ({where}): Not a directory"
    failed = run("fetch", {"src": where, "dest": "got"})
    assert failed == {"failed": True, "changed": False, "file": where, "msg": message}
    ignored = run("fetch", {"src": where, "dest": "got", "fail_on_missing": False})
    assert ignored == {"changed": False, "file": where, "msg": f"{message}, ignored"}


def test_a_host_that_answers_something_else(folder: Path) -> None:
    options = FakeOptions.from_vars({"fake_answers": {"*": {"stdout": "hm", "rc": 0}}})
    connector = FakeConnector("h", options, FakeContext(), Timeouts())
    connector.open(Deadline())
    connector._builtin = lambda kind, words: None  # type: ignore[method-assign]
    result = module_class("fetch").from_args("src=x dest=y").run(connector, Invocation("h", Output(), Deadline()))
    assert (result["failed"], result["msg"]) == (True, "hm")


def test_check_mode_skips(run: Run, folder: Path) -> None:
    assert run("fetch", f"src={folder}/f.txt dest=got", check=True)["skipped"] is True
    assert not (folder / "got").exists()


@pytest.mark.parametrize("host", ["..", "../../x", "a/b", "."])
@pytest.mark.parametrize("path", ["/etc/../../../x", "../../x"])
def test_neither_host_nor_path_leads_out_of_dest(folder: Path, host: str, path: str) -> None:
    options = FakeOptions.from_vars({"fake_files": {path: "evil"}})
    connector = FakeConnector(host, options, FakeContext(), Timeouts())
    connector.open(Deadline())
    dest = folder / "deep/er/got"
    module = module_class("fetch").from_args({"src": path, "dest": str(dest)})
    result = module.run(connector, Invocation(host, Output(), Deadline()))
    assert dest in Path(os.path.normpath(result["dest"])).parents
    assert Path(result["dest"]).read_text() == "evil"


@pytest.mark.parametrize("args", ["src=x", "dest=x", ""])
def test_wrong_arguments(args: str) -> None:
    with pytest.raises(ArgumentError, match="src and dest are required"):
        module_class("fetch").from_args(args)


def test_a_remote_pipe_is_refused_and_not_waited_for(run: Run, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    result = run("fetch", f"src={folder}/pipe dest={folder}/got")
    assert result["failed"] is True
    assert result["msg"] == "remote file is not a regular file"
