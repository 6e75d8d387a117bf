"""win_copy: files, trees and contents come to their place, only where they differ, with Ansible's keys and words."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Connector, Deadline
from sshexec.connectors.output import Output
from sshexec.connectors.powershell import Script
from sshexec.errors import ArgumentError
from sshexec.modules.base import Invocation
from sshexec.modules.registry import module_class
from sshexec.modules.windows import tree_copy
from sshexec.modules.windows.names import folded, is_possible
from tests.winrm_server import WinrmServer
from tests.winrm_server.powershell import Call
from tests.winrm_server.scripts import destination

Run = Callable[..., dict[str, Any]]
HOSTILE = ["with space", "a'b$(1)`x;&{}[1]", "‘’‚‛“”", "日本 ä€😀", "-x", "100%", "#PROLOGUE", "sshexec"]


@pytest.fixture
def disk(endpoint: WinrmServer) -> Path:
    assert endpoint.drive is not None
    return endpoint.drive


@pytest.fixture
def commands(endpoint: WinrmServer) -> Callable[[], int]:
    """How many commands the host has run since it was asked last."""
    seen = 0

    def count() -> int:
        nonlocal seen
        before, seen = seen, endpoint.operations.count("Command")
        return seen - before

    return count


def sha1(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def tree(place: Path) -> dict[str, bytes | None]:
    """What is below a directory: contents of files, None for directories."""
    found = {each.relative_to(place).as_posix(): each for each in place.rglob("*")}
    return {name: None if each.is_dir() else each.read_bytes() for name, each in found.items()}


def shown(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "invocation"}


def test_a_file_and_once_more(run: Run, disk: Path, folder: Path, commands: Callable[[], int]) -> None:
    data = bytes(range(256)) * 1000
    (folder / "foo.conf").write_bytes(data)
    asked = {"src": "foo.conf", "dest": "C:\\renamed.conf"}
    expected = {
        "changed": True,
        "checksum": sha1(data),
        "dest": "C:\\renamed.conf",
        "operation": "file_copy",
        "original_basename": "foo.conf",
        "size": len(data),
        "src": "foo.conf",
    }
    assert shown(run("win_copy", asked, check=True)) == expected
    assert not (disk / "renamed.conf").exists()
    commands()
    assert shown(run("win_copy", asked)) == expected
    assert (disk / "renamed.conf").read_bytes() == data
    assert commands() == 2
    assert shown(run("win_copy", asked)) == {**expected, "changed": False}
    assert commands() == 1
    (disk / "renamed.conf").write_bytes(b"x" * len(data))
    assert run("win_copy", asked, check=True)["changed"] is True
    assert run("win_copy", asked)["changed"] is True
    assert (disk / "renamed.conf").read_bytes() == data


def test_into_a_directory(run: Run, disk: Path, folder: Path) -> None:
    (folder / "f").write_bytes(b"x")
    (disk / "there").mkdir()
    assert run("win_copy", "src=f dest=C:/there")["dest"] == "C:\\there\\f"
    assert run("win_copy", {"src": "f", "dest": "C:\\new dir\\sub\\"})["dest"] == "C:\\new dir\\sub\\f"
    assert run("win_copy", "src=f dest=C:/other/")["changed"] is True
    assert run("win_copy", {"src": "f", "dest": "%USERPROFILE%\\"})["dest"] == "C:\\Users\\vagrant\\f"
    for name in ("there/f", "new dir/sub/f", "other/f", "Users/vagrant/f"):
        assert (disk / name).read_bytes() == b"x", name


def test_a_content(run: Run, disk: Path) -> None:
    result = run("win_copy", {"content": "grüße\n", "dest": "C:\\f.txt"})
    assert (disk / "f.txt").read_bytes() == "grüße\n".encode()
    assert (result["src"], result["original_basename"], result["changed"]) == (None, "f.txt", True)
    assert result["invocation"]["module_args"]["content"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    assert run("win_copy", {"content": "grüße\n", "dest": "C:\\f.txt"})["changed"] is False
    run("win_copy", {"content": {"a": [1]}, "dest": "C:\\f.json"})
    assert json.loads((disk / "f.json").read_text()) == {"a": [1]}
    assert run("win_copy", {"content": "", "dest": "C:\\empty"})["changed"] is True
    assert (disk / "empty").read_bytes() == b""
    refused = run("win_copy", {"content": "x", "dest": "C:\\Users"})
    assert refused["msg"] == "cannot copy file to dest 'C:\\Users': object at path is already a directory"


def test_what_stands_in_the_way(run: Run, disk: Path, folder: Path) -> None:
    (folder / "f").write_bytes(b"x")
    (disk / "file").write_bytes(b"")
    (disk / "d" / "f").mkdir(parents=True)
    lead = f"failed to copy file {folder}/f: "
    missing = run("win_copy", "src=f dest=C:/no/f")
    assert (missing["failed"], missing["changed"]) == (True, False)
    assert missing["msg"] == f"{lead}Destination directory 'C:\\no' does not exist"
    below = run("win_copy", "src=f dest=C:/file/f")
    assert below["msg"] == f"{lead}object at destination parent dir 'C:\\file' is currently a file"
    assert run("win_copy", "src=f dest=C:/d")["msg"] == (
        "cannot copy file to dest 'C:\\d\\f': object at path is already a directory"
    )
    assert run("win_copy", {"src": "f", "dest": "C:\\a|b"})["msg"] == (
        "cannot copy to dest 'C:\\a|b': Illegal characters in path."
    )
    assert "too long" in run("win_copy", {"src": "f", "dest": "C:\\" + "x" * 300})["msg"]
    assert "network path" in run("win_copy", {"src": "f", "dest": "\\\\srv\\share\\f"})["msg"]
    assert tree(disk / "d") == {"f": None}


def test_what_can_not_be_written(run: Run, disk: Path, folder: Path) -> None:
    (folder / "f").write_bytes(b"x")
    (disk / "closed").mkdir()
    (disk / "closed").chmod(0o555)
    assert "permission denied" in run("win_copy", "src=f dest=C:/closed/f")["msg"]
    assert "denied" in run("win_copy", "src=f dest=C:/closed/sub/")["msg"]
    assert tree(disk / "closed") == {}


def test_a_file_of_a_tree_that_can_not_be_written(run: Run, disk: Path, folder: Path) -> None:
    make_tree(folder)
    (disk / "dest" / "sub").mkdir(parents=True)
    (disk / "dest" / "sub").chmod(0o555)
    (disk / "dest" / "sub" / "deep er").mkdir()
    result = run("win_copy", {"src": "tree/", "dest": "C:\\dest"})
    assert (result["failed"], result["changed"]) == (True, False)
    assert result["msg"] == f"failed to copy file {folder}/tree/sub/b: C:\\dest\\sub\\b: permission denied"
    assert not list(disk.rglob(".sshexec-*"))


def test_variables_of_the_task(run: Run, disk: Path) -> None:
    asked = {"content": "x", "dest": "%TARGET%\\f"}
    assert run("win_copy", asked, environment={"TARGET": "C:\\Users"})["changed"] is True
    assert (disk / "Users" / "f").read_bytes() == b"x"


def test_without_force_only_what_is_missing_comes(run: Run, disk: Path, folder: Path) -> None:
    (folder / "f").write_bytes(b"new")
    (disk / "f").write_bytes(b"old")
    assert run("win_copy", "src=f dest=C:/f force=no")["changed"] is False
    assert run("win_copy", "src=f dest=C:/g force=no")["changed"] is True
    assert ((disk / "f").read_bytes(), (disk / "g").read_bytes()) == (b"old", b"new")


def test_backup(run: Run, disk: Path, folder: Path, commands: Callable[[], int]) -> None:
    (folder / "f").write_bytes(b"new")
    assert "backup_file" not in run("win_copy", "src=f dest=C:/f backup=yes")
    (disk / "f").write_bytes(b"old")
    checked = run("win_copy", "src=f dest=C:/f backup=yes", check=True)
    assert checked["backup_file"] == "check-mode-backup-file.bak"
    commands()
    backup = run("win_copy", "src=f dest=C:/f backup=yes")["backup_file"]
    assert commands() == 2
    assert re.fullmatch(r"C:\\f\.\d+\.\d{8}-\d{6}\.bak", backup)
    assert (disk / backup.removeprefix("C:\\")).read_bytes() == b"old"
    assert (disk / "f").read_bytes() == b"new"
    assert "backup_file" not in run("win_copy", "src=f dest=C:/f backup=yes")
    assert len(list(disk.glob("f*"))) == 2


def test_the_difference(run: Run, disk: Path, folder: Path) -> None:
    (folder / "f").write_bytes(b"new\n")
    (disk / "f").write_bytes(b"old\n")
    for check in (True, False):
        diff = run("win_copy", "src=f dest=C:/f", diff=True, check=check)["diff"]
        assert diff == [
            {
                "before_header": "C:\\f",
                "before": "old\n",
                "after_header": f"{folder}/f",
                "after": "new\n",
            }
        ]
    assert "diff" not in run("win_copy", "src=f dest=C:/f", diff=True)
    (folder / "binary").write_bytes(b"\0")
    assert run("win_copy", "src=binary dest=C:/f", diff=True)["diff"][0]["src_binary"] == 1
    assert run("win_copy", {"content": "x", "dest": "C:\\g"}, diff=True)["diff"][0]["before"] == ""


def test_local_files_that_can_not_be_had(run: Run, folder: Path) -> None:
    assert "Could not find or access 'nope'" in run("win_copy", "src=nope dest=C:/f")["msg"]
    (folder / "vault").write_text("$ANSIBLE_VAULT;1.1;AES256\n00\n")
    assert "vault password" in run("win_copy", "src=vault dest=C:/f")["msg"]
    assert run("win_copy", "src=vault dest=C:/f decrypt=no")["changed"] is True


@pytest.mark.parametrize("meanwhile", [b"other and longer", b"", b"onE"])
def test_a_source_that_changes_meanwhile(
    run: Run, disk: Path, folder: Path, meanwhile: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = destination.run

    def slow(call: Call) -> int:
        rc = original(call)
        for each in (folder / "f", folder / "tree" / "f"):
            each.write_bytes(meanwhile)
        return rc

    (folder / "tree").mkdir()
    monkeypatch.setattr(destination, "run", slow)
    for src, source in (("f", "f"), ("tree/", "tree/f")):
        for each in (folder / "f", folder / "tree" / "f"):
            each.write_bytes(b"one")
        (disk / "f").write_bytes(b"there")
        result = run("win_copy", {"src": src, "dest": "C:\\"})
        assert result["failed"] is True
        assert result["msg"] == f"failed to copy file {folder}/{source}: C:\\f: what is sent has changed meanwhile"
        assert (disk / "f").read_bytes() == b"there"
        assert not list(disk.rglob(".sshexec-*"))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(run: Run, disk: Path, folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"x")
    assert run("win_copy", {"src": name, "dest": "C:\\into dir\\"})["changed"] is True
    assert run("win_copy", {"src": name, "dest": f"C:\\into dir\\{name}"})["changed"] is False
    assert tree(disk / "into dir") == {name: b"x"}


def make_tree(folder: Path) -> Path:
    top = folder / "tree"
    (top / "sub" / "deep er").mkdir(parents=True)
    (top / "empty").mkdir()
    (top / "a").write_bytes(b"a")
    (top / "sub" / "b").write_bytes(b"")
    (top / "sub" / "deep er" / "ü.bin").write_bytes(bytes(range(256)) * 900)
    return top


def test_a_tree_and_once_more(run: Run, disk: Path, folder: Path, commands: Callable[[], int]) -> None:
    top = make_tree(folder)
    asked = {"src": "tree", "dest": "C:\\dest"}
    expected = {"changed": True, "dest": "C:\\dest", "operation": "folder_copy", "src": "tree"}
    assert shown(run("win_copy", asked, check=True)) == expected
    assert not (disk / "dest").exists()
    commands()
    assert shown(run("win_copy", asked)) == expected
    assert commands() == 2
    assert tree(disk / "dest" / "tree") == tree(top)
    assert shown(run("win_copy", asked)) == {**expected, "changed": False}
    assert commands() == 1
    (top / "a").write_bytes(b"other")
    before = (disk / "dest" / "tree" / "sub" / "b").stat().st_ino
    assert run("win_copy", asked)["changed"] is True
    assert tree(disk / "dest" / "tree") == tree(top)
    assert (disk / "dest" / "tree" / "sub" / "b").stat().st_ino == before


def test_what_is_in_a_tree(run: Run, disk: Path, folder: Path) -> None:
    top = make_tree(folder)
    (disk / "dest").mkdir()
    (disk / "dest" / "more").write_bytes(b"stays")
    assert run("win_copy", {"src": "tree/", "dest": "C:\\dest\\"})["changed"] is True
    assert tree(disk / "dest") == {**tree(top), "more": b"stays"}
    (disk / "dest" / "empty").rmdir()
    assert run("win_copy", {"src": "tree/", "dest": "C:\\dest"}, check=True)["changed"] is True
    assert run("win_copy", {"src": "tree/", "dest": "C:\\dest"})["changed"] is True
    assert tree(disk / "dest") == {**tree(top), "more": b"stays"}


def test_an_empty_tree(run: Run, disk: Path, folder: Path, commands: Callable[[], int]) -> None:
    (folder / "tree").mkdir()
    assert run("win_copy", {"src": "tree", "dest": "C:\\dest"})["changed"] is False
    assert commands() == 0
    (folder / "tree" / "sub").mkdir()
    assert run("win_copy", {"src": "tree", "dest": "C:\\dest"})["changed"] is True
    assert tree(disk / "dest") == {"tree": None, "tree/sub": None}


def test_a_tree_that_takes_several_questions(
    run: Run, disk: Path, folder: Path, commands: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_copy, "_MOST", 3)
    top = make_tree(folder)
    for number in range(7):
        (top / f"n{number}").mkdir()
        (top / f"n{number}" / "f").write_bytes(b"%d" % number)
    assert run("win_copy", {"src": "tree/", "dest": "C:\\dest"})["changed"] is True
    assert tree(disk / "dest") == tree(top)
    commands()
    assert run("win_copy", {"src": "tree/", "dest": "C:\\dest"})["changed"] is False
    assert commands() == 7  # 11 directories take 4, the last of them with the first of 10 files


def test_a_tree_without_force(run: Run, disk: Path, folder: Path) -> None:
    make_tree(folder)
    (disk / "dest").mkdir()
    (disk / "dest" / "a").write_bytes(b"mine")
    assert run("win_copy", {"src": "tree/", "dest": "C:\\dest", "force": False})["changed"] is True
    assert (disk / "dest" / "a").read_bytes() == b"mine"
    assert (disk / "dest" / "sub" / "b").exists()


def test_a_backup_of_the_one_file_of_a_tree_that_is_replaced(run: Run, disk: Path, folder: Path) -> None:
    make_tree(folder)
    asked = {"src": "tree/", "dest": "C:\\dest", "backup": True}
    run("win_copy", asked)
    (disk / "dest" / "a").write_bytes(b"old")
    assert run("win_copy", asked, check=True)["backup_file"] == "check-mode-backup-file.bak"
    backup = run("win_copy", asked)["backup_file"]
    assert (disk / "dest" / backup.rpartition("\\")[2]).read_bytes() == b"old"
    (disk / "dest" / "a").write_bytes(b"old")
    (disk / "dest" / "sub" / "b").write_bytes(b"old")
    assert "backup_file" not in run("win_copy", asked)


def test_what_stands_in_the_way_of_a_tree(run: Run, disk: Path, folder: Path) -> None:
    make_tree(folder)
    (disk / "one" / "a").mkdir(parents=True)
    (disk / "two").mkdir()
    (disk / "two" / "empty").write_bytes(b"")
    (disk / "three").write_bytes(b"")
    assert run("win_copy", {"src": "tree/", "dest": "C:\\one"})["msg"] == (
        "cannot copy file to dest 'C:\\one\\a': object at path is already a directory"
    )
    assert run("win_copy", {"src": "tree/", "dest": "C:\\two"})["msg"] == (
        "cannot copy folder to dest 'C:\\two\\empty': object at path is already a file"
    )
    assert run("win_copy", {"src": "tree/", "dest": "C:\\three"})["msg"] == (
        "cannot copy folder to dest 'C:\\three': object at path is already a file"
    )
    assert (tree(disk / "one"), tree(disk / "two")) == ({"a": None}, {"empty": b""})


def test_the_difference_of_a_tree(run: Run, disk: Path, folder: Path) -> None:
    make_tree(folder)
    (disk / "dest" / "sub").mkdir(parents=True)
    (disk / "dest" / "a").write_bytes(b"old")
    prepared = (
        "+C:\\dest\\empty\\\n+C:\\dest\\sub\\deep er\\\n-C:\\dest\\a\n+C:\\dest\\a\n+C:\\dest\\sub\\b\n"
        "+C:\\dest\\sub\\deep er\\ü.bin\n"
    )
    for check in (True, False):
        result = run("win_copy", {"src": "tree/", "dest": "C:\\dest"}, check=check, diff=True)
        assert result["diff"] == {"prepared": prepared}


def test_links_of_a_tree(run: Run, disk: Path, folder: Path) -> None:
    top = make_tree(folder)
    (top / "link").symlink_to("a")
    (top / "lost").symlink_to("nowhere")
    result = run("win_copy", {"src": "tree/", "dest": "C:\\dest"})
    assert (disk / "dest" / "link").read_bytes() == b"a"
    assert result["warnings"] == ["links are not copied: lost"]
    result = run("win_copy", {"src": "tree/", "dest": "C:\\other", "local_follow": False})
    assert result["warnings"] == ["links are not copied: link, lost"]
    assert not (disk / "other" / "link").exists()


@pytest.mark.parametrize(
    "name", ["a\\b", "..\\..\\x", "a:b", "NUL", "com1.txt", "a?", 'a"', "a|b", "end.", "end ", "two\nlines", "\udcff"]
)
def test_names_that_windows_does_not_have(run: Run, disk: Path, folder: Path, name: str) -> None:
    (folder / "tree" / "sub").mkdir(parents=True)
    (folder / "tree" / "sub" / name).write_bytes(b"x")
    before = tree(disk)
    refused = run("win_copy", {"src": "tree", "dest": "C:\\"})
    assert refused["msg"].startswith("a file of Windows can't be named 'sub/")
    for dest in ("C:\\", "C:\\Users"):
        alone = run("win_copy", {"src": f"{folder}/tree/sub/{name}", "dest": dest})
        assert alone["msg"].startswith("a file of Windows can't be named "), alone
    assert tree(disk) == before
    assert run("win_copy", {"src": f"{folder}/tree/sub/{name}", "dest": "C:\\good"})["changed"] is True


def test_names_that_are_one_to_windows(run: Run, disk: Path, folder: Path) -> None:
    (folder / "tree").mkdir()
    (folder / "tree" / "readme").write_bytes(b"1")
    (folder / "tree" / "README").write_bytes(b"2")
    assert run("win_copy", {"src": "tree", "dest": "C:\\"})["msg"] == "'README' and 'readme' are one file on Windows"
    assert folded("straße") != folded("STRASSE")
    assert is_possible("nul1")
    assert is_possible("com.txt")
    assert not is_possible("Aux .c")


def test_a_file_on_the_host(run: Run, disk: Path, commands: Callable[[], int]) -> None:
    (disk / "f.txt").write_bytes(b"here")
    (disk / "dir").mkdir()
    asked = {"src": "C:\\f.txt", "dest": "C:\\dir", "remote_src": True}
    expected = {
        "changed": True,
        "checksum": sha1(b"here"),
        "dest": "C:\\dir\\f.txt",
        "operation": "file_copy",
        "original_basename": "f.txt",
        "size": 4,
        "src": "C:\\f.txt",
    }
    prepared = {"diff": {"prepared": "+C:\\dir\\f.txt\n"}}
    assert shown(run("win_copy", asked, check=True, diff=True)) == expected | prepared
    assert tree(disk / "dir") == {}
    commands()
    assert shown(run("win_copy", asked)) == expected
    assert shown(run("win_copy", asked)) == {**expected, "changed": False}
    assert commands() == 2
    assert tree(disk / "dir") == {"f.txt": b"here"}
    (disk / "dir" / "f.txt").write_bytes(b"old!")
    assert run("win_copy", {**asked, "force": False})["changed"] is False
    backup = run("win_copy", {**asked, "backup": True})["backup_file"]
    assert (disk / backup.removeprefix("C:\\").replace("\\", "/")).read_bytes() == b"old!"
    assert run("win_copy", {**asked, "dest": "C:\\new\\"})["dest"] == "C:\\new\\f.txt"
    assert (disk / "new" / "f.txt").read_bytes() == b"here"


def test_a_tree_on_the_host(run: Run, disk: Path, folder: Path) -> None:
    make_tree(folder).rename(disk / "tree")
    (disk / "tree" / "junction").symlink_to(disk / "Users")
    result = run("win_copy", {"src": "C:\\tree", "dest": "C:\\dest", "remote_src": True})
    assert (result["dest"], result["operation"], result["size"]) == ("C:\\dest\\tree", "folder_copy", 256 * 900 + 1)
    assert result["warnings"] == ["links are not copied: C:\\tree\\junction"]
    (disk / "tree" / "junction").unlink()
    assert tree(disk / "dest" / "tree") == tree(disk / "tree")
    again = run("win_copy", {"src": "C:\\tree\\", "dest": "C:\\dest\\tree", "remote_src": True})
    assert (again["changed"], again["dest"]) == (False, "C:\\dest\\tree")


def test_what_stands_in_the_way_on_the_host(run: Run, disk: Path) -> None:
    def message(src: str, dest: str) -> str:
        result = run("win_copy", {"src": src, "dest": dest, "remote_src": True})
        assert result["failed"] is True
        return str(result["msg"])

    (disk / "f").write_bytes(b"x")
    (disk / "tree" / "sub").mkdir(parents=True)
    (disk / "tree" / "sub" / "f").write_bytes(b"x")
    (disk / "to" / "f").mkdir(parents=True)
    (disk / "to" / "sub").write_bytes(b"")
    (disk / "to" / "tree").write_bytes(b"")
    assert message("C:\\nope", "C:\\x") == "Cannot copy src file: 'C:\\nope' as it does not exist"
    assert message("C:\\f", "C:\\to") == "cannot copy file from 'C:\\f' to 'C:\\to\\f': dest is already a folder"
    assert message("C:\\f", "C:\\no\\f") == "Destination directory 'C:\\no' does not exist"
    assert message("C:\\f", "C:\\f\\x") == "object at destination parent dir 'C:\\f' is currently a file"
    below = "cannot copy folder from 'C:\\tree' to 'C:\\to\\tree': dest is already a file"
    assert message("C:\\tree", "C:\\to") == below
    assert message("C:\\tree\\", "C:\\to") == below.replace("tree", "tree\\sub", 1).replace("to\\tree", "to\\sub")
    inside = "cannot copy folder from 'C:\\tree' to 'C:\\TREE\\x\\tree': dest is below src"
    assert message("C:\\tree", "C:\\TREE\\x") == inside
    assert not (disk / "tree" / "x").exists()
    parent = "cannot copy file from 'C:\\tree' to 'C:\\f\\tree': object at dest parent dir is not a folder"
    assert message("C:\\tree", "C:\\f") == parent
    (disk / "f").chmod(0)
    assert (
        message("C:\\f", "C:\\g") == "cannot copy file from 'C:\\f' to 'C:\\g': Access to the path 'C:\\f' is denied."
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"src": "f"}, "src .or content. and dest are required"),
        ({"dest": "C:\\f"}, "src .or content. and dest are required"),
        ({"src": "f", "content": "x", "dest": "C:\\f"}, "src and content are mutually exclusive"),
        ({"content": "x", "dest": "C:\\d\\"}, "dest must be a file if content is defined"),
        ({"content": "x", "dest": "C:/d/"}, "dest must be a file if content is defined"),
        ({"src": "f", "dest": "C:\\f", "mode": "0644"}, "Unsupported parameters"),
        ({"content": "\ud800", "dest": "C:\\f"}, "half a surrogate pair"),
    ],
)
def test_arguments(args: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        module_class("win_copy").from_args(args)


@pytest.mark.parametrize("kind", ["file", "tree"])
def test_hosts_are_asked_what_was_written_once(
    connector: Connector[Any, Any], folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (folder / "site").mkdir()
    (folder / "site" / "a").write_text("a")
    made: list[str] = []
    filled = Script.filled

    def counting(self: Script, arguments: Mapping[str, Any]) -> str:
        made.append(self.name)
        return filled(self, arguments)

    monkeypatch.setattr(Script, "filled", counting)
    src = "site/" if kind == "tree" else "site/a"
    module = module_class("win_copy").from_args({"src": src, "dest": "C:\\Windows\\Temp"})
    changed = [
        module.run(connector, Invocation(f"win{number}", Output(), Deadline.after(60)))["changed"]
        for number in range(3)
    ]
    assert changed == [True, False, False]
    assert made.count("destination") == 1
