"""The copy module: idempotent, atomic, and the keys of Ansible."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Connector, Deadline
from sshexec.connectors.output import Output
from sshexec.errors import ArgumentError, CommandTimeoutError, ConnectionLostError
from sshexec.modules.base import Invocation
from sshexec.modules.destination import Question
from sshexec.modules.registry import module_class
from tests.modules.tools import here

Run = Callable[..., dict[str, Any]]
CHANGED = {
    "changed", "checksum", "dest", "diff", "gid", "group", "invocation", "md5sum", "mode", "owner", "size", "src",
    "state", "uid",
}  # fmt: skip


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_new_then_unchanged_then_changed(run: Run, folder: Path) -> None:
    args = f"src=f.txt dest={folder}/out.txt mode=0640"
    result = run("copy", args)
    assert set(result) == CHANGED
    assert (result["changed"], result["mode"], result["size"], result["state"]) == (True, "0640", 6, "file")
    assert result["checksum"] == hashlib.sha1(b"hello\n").hexdigest()
    assert result["md5sum"] == hashlib.md5(b"hello\n").hexdigest()
    assert (folder / "out.txt").read_text() == "hello\n"
    assert mode(folder / "out.txt") == 0o640
    before = (folder / "out.txt").stat()
    result = run("copy", args)
    assert set(result) == (CHANGED | {"path"}) - {"md5sum", "src"}
    assert result["changed"] is False
    assert (folder / "out.txt").stat().st_mtime_ns == before.st_mtime_ns
    (folder / "f.txt").write_text("other\n")
    assert run("copy", args)["changed"] is True


def test_mode_alone_changes(run: Run, folder: Path) -> None:
    out = folder / "out"
    run("copy", f"src=f.txt dest={out} mode=0600")
    result = run("copy", f"src=f.txt dest={out} mode=u+x,g=r", diff=True)
    assert (result["changed"], mode(out)) == (True, 0o740)
    assert result["diff"] == {"before": {"mode": "0600", "path": str(out)}, "after": {"mode": "0740", "path": str(out)}}
    assert run("copy", f"src=f.txt dest={out} mode=u+x,g=r")["changed"] is False
    (folder / "f.txt").chmod(0o711)
    assert run("copy", f"src=f.txt dest={out} mode=preserve")["mode"] == "0711"


def test_a_replaced_file_keeps_mode_and_owner(run: Run, folder: Path) -> None:
    out = folder / "out"
    out.write_text("old")
    if os.geteuid() == 0:
        os.chown(out, 12, 34)
    out.chmod(0o604)
    result = run("copy", f"content=new dest={out}")
    assert (result["mode"], out.read_text()) == ("0604", "new")
    if os.geteuid() == 0:
        assert (result["uid"], result["gid"]) == (12, 34)


def test_content_with_structure_is_json(run: Run, folder: Path) -> None:
    result = run("copy", {"content": {"a": 1, "b": [True, None]}, "dest": str(folder / "out")})
    assert (folder / "out").read_text() == '{"a": 1, "b": [true, null]}'
    assert result["invocation"]["module_args"]["content"] is None
    would = run("copy", {"content": "secret", "dest": str(folder / "out")}, check=True)
    assert would["invocation"]["module_args"]["content"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


@pytest.mark.parametrize("name", ["a b", "it's", 'q"', "a\nb\n", "-n", "*", "é", "raw\udcff", "$(id)", "\\", "x;y"])
def test_hostile_names(run: Run, folder: Path, name: str) -> None:
    args = {"content": "x", "dest": f"{folder}/{name}"}
    assert run("copy", args)["changed"] is True
    assert Path(os.fsdecode(os.fsencode(f"{folder}/{name}"))).read_text() == "x"
    assert run("copy", args)["changed"] is False


def test_directories_as_destination(run: Run, folder: Path) -> None:
    (folder / "d").mkdir()
    assert run("copy", f"src=f.txt dest={folder}/d")["dest"] == f"{folder}/d/f.txt"
    assert run("copy", f"src=f.txt dest={folder}/d/")["changed"] is False
    assert run("copy", f"src=f.txt dest={folder}/new/deep/", check=True)["changed"] is True
    assert not (folder / "new").exists()
    run("copy", f"src=f.txt dest={folder}/new/deep/ directory_mode=0700")
    assert (folder / "new/deep/f.txt").read_text() == "hello\n"
    assert mode(folder / "new/deep") == 0o700


def test_a_source_that_changes_before_it_is_sent_is_told(
    run: Run, folder: Path, connector: Connector[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = folder / "tree"
    tree.mkdir()
    (tree / "a").write_text("same")
    (tree / "b").write_text("what was hashed")
    put_all = connector.put_all

    def late(*arguments: Any, **more: Any) -> None:
        (tree / "b").write_text("what was sent")
        put_all(*arguments, **more)

    monkeypatch.setattr(connector, "put_all", late)
    result = run("copy", f"src={tree}/ dest={folder}/out")
    assert (result.get("failed"), result.get("path")) == (True, f"{folder}/out/b")
    assert "does not match the expected checksum" in result["msg"]


def test_what_can_t_be_written_says_why(run: Run, folder: Path) -> None:
    def failing(args: Any) -> str:
        result = run("copy", args)
        assert result["failed"] is True
        return str(result["msg"])

    assert failing(f"src=f.txt dest={folder}/nope/x") == f"Destination directory {folder}/nope does not exist"
    assert failing(f"content=x dest={folder}") == "can not use content with a dir as dest"
    (folder / "d/f.txt").mkdir(parents=True)
    assert "Is a directory" in failing(f"src=f.txt dest={folder}/d")
    assert failing(f"src=f.txt dest={folder}/f.txt/x").endswith(f"({folder}/f.txt/x): Not a directory")
    missing = failing(f"src=nope dest={folder}/x")
    assert missing.startswith(
        f"Could not find or access 'nope'\nSearched in:\n\t{folder}/files/nope\n\t{folder}/nope on"
    )
    assert failing(f"src=f.txt dest={folder}/x owner=nosuch") == "chown failed: failed to look up user nosuch"
    assert failing(f"src=f.txt dest={folder}/x group=nosuch") == "chgrp failed: failed to look up group nosuch"
    assert "does not match the expected checksum" in failing(f"src=f.txt dest={folder}/y checksum=00")
    assert not (folder / "y").exists()


def test_disk_full(run: Run, folder: Path, small_disk: Path) -> None:
    (small_disk / "out").write_text("old")
    (folder / "big").write_bytes(b"x" * 2**21)
    result = run("copy", f"src=big dest={small_disk}/out")
    assert result["failed"] is True
    assert "no space left on device" in result["msg"].lower()
    assert (small_disk / "out").read_text() == "old"
    assert os.listdir(small_disk) == ["out"]


def test_backup(run: Run, folder: Path) -> None:
    out = folder / "out"
    out.write_text("old")
    args = f"src=f.txt dest={out} backup=yes"
    backup = Path(run("copy", args)["backup_file"])
    assert backup.read_text() == "old"
    assert backup.name.startswith("out.")
    assert backup.name.endswith("~")
    assert "backup_file" not in run("copy", args)
    assert len(list(folder.glob("out.*~"))) == 1


def test_a_backup_that_does_not_fit_is_not_left_cut(run: Run, small_disk: Path) -> None:
    out = small_disk / "out"
    out.write_bytes(b"x" * 700_000)
    failed = run("copy", {"content": "new", "dest": str(out), "backup": True})
    assert failed["failed"] is True
    assert "No space left on device" in failed["msg"]
    assert os.listdir(small_disk) == ["out"]
    assert out.read_bytes() == b"x" * 700_000


def test_a_validation_that_is_stopped_leaves_nothing(connector: Connector[Any, Any], folder: Path) -> None:
    args = {"content": "new", "dest": str(folder / "out"), "validate": "sh -c 'sleep 60' %s"}
    with pytest.raises(CommandTimeoutError):
        module_class("copy").from_args(args).run(connector, Invocation("web1", Output(), Deadline.after(1.5)))
    limit = time.monotonic() + 20
    while os.listdir(folder) != ["f.txt"]:
        assert time.monotonic() < limit, os.listdir(folder)
        time.sleep(0.05)


def test_a_file_is_hashed_once_for_all_destinations(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = [module_class("copy").from_args(f"src=f.txt dest=/d{n}") for n in range(3)]
    assert len({id(module._order.file) for module in modules}) == 1
    (folder / "f.txt").write_text("changed\n")
    assert module_class("copy").from_args("src=f.txt dest=/d")._order.file is not modules[0]._order.file


@pytest.mark.parametrize(
    ("module", "args", "words"),
    [
        ("copy", {"src": "f.txt", "dest": "a\0b"}, "NUL"),
        ("copy", {"src": "f\ud800", "dest": "x"}, "half a surrogate pair"),
        ("copy", {"content": "\ud800", "dest": "x"}, "half a surrogate pair"),
        ("fetch", {"src": "a\0b", "dest": "x"}, "NUL"),
        ("script", {"cmd": "a\0b"}, "NUL"),
        ("shell", {"cmd": "true", "chdir": "\ud800"}, "half a surrogate pair"),
        ("shell", {"cmd": "cat", "stdin": "\ud800"}, "half a surrogate pair"),
    ],
)
def test_what_no_path_or_text_can_hold(module: str, args: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        module_class(module).from_args(args)


def test_a_name_too_long_is_a_failed_host(run: Run) -> None:
    failed = run("copy", f"src={'x' * 300} dest=/tmp/never")
    assert (failed["failed"], "File name too long" in failed["msg"]) == (True, True)


def test_a_current_directory_that_is_gone(folder: Path) -> None:
    (folder / "gone").mkdir()
    os.chdir(folder / "gone")
    (folder / "gone").rmdir()
    with pytest.raises(ArgumentError, match="current directory, which has been removed"):
        module_class("copy").from_args("src=f.txt dest=/tmp/never")


def test_validate(run: Run, folder: Path) -> None:
    out = folder / "out"
    assert run("copy", {"content": "good", "dest": str(out), "validate": "grep -q good %s"})["changed"] is True
    refused = run("copy", {"content": "bad", "dest": str(out), "validate": "sh -c 'echo no; exit 7' %s"})
    assert (refused["failed"], refused["msg"]) == (True, "failed to validate")
    assert (refused["exit_status"], refused["stdout"]) == (7, "no\n")
    gone = run("copy", {"content": "bad", "dest": str(out), "validate": "/nope %s"})
    assert (gone["msg"], gone["rc"]) == ("Error executing command.", 2)
    assert out.read_text() == "good"
    assert sorted(os.listdir(folder)) == ["f.txt", "out"]


def test_force_no(run: Run, folder: Path) -> None:
    out = folder / "out"
    assert run("copy", f"src=f.txt dest={out} force=no")["changed"] is True
    out.write_text("mine")
    result = run("copy", f"src=f.txt dest={out} force=no")
    assert (result["changed"], result["dest"], result["src"]) == (False, str(out), f"{folder}/f.txt")
    assert out.read_text() == "mine"


def test_links(run: Run, folder: Path) -> None:
    (folder / "target").write_text("old")
    (folder / "link").symlink_to("target")
    run("copy", f"src=f.txt dest={folder}/link follow=yes")
    assert (folder / "link").is_symlink()
    assert (folder / "target").read_text() == "hello\n"
    assert run("copy", f"src=f.txt dest={folder}/link")["changed"] is True
    assert not (folder / "link").is_symlink()


def test_check_mode_and_difference(run: Run, folder: Path) -> None:
    out = folder / "out"
    result = run("copy", f"src=f.txt dest={out}", check=True, diff=True)
    assert set(result) == {"changed", "diff", "invocation"}
    assert result["diff"] == [{"before": "", "after": "hello\n", "after_header": f"{folder}/f.txt"}]
    assert not out.exists()
    out.write_bytes(b"\0")
    (folder / "f.txt").write_bytes(b"x" * 200_000)
    assert run("copy", f"src=f.txt dest={out}", diff=True)["diff"] == [{"dst_binary": 1, "src_larger": 104448}]
    out.write_bytes(b"\xe9\n")
    (folder / "f.txt").write_bytes(b"\xff\n")
    (difference,) = run("copy", f"src=f.txt dest={out}", diff=True)["diff"]
    assert (difference["before"], difference["after"]) == ("\\xe9\n", "\\xff\n")


def test_trees(run: Run, folder: Path) -> None:
    (folder / "tree/a/b").mkdir(parents=True)
    (folder / "tree/empty").mkdir()
    (folder / "tree/a/it's\n").write_text("one")
    (folder / "tree/x").write_text("two")
    would = run("copy", f"src=tree dest={folder}/out", check=True)
    assert would["changed"] is True
    assert not (folder / "out").exists()
    result = run("copy", f"src=tree dest={folder}/out mode=0600 directory_mode=0750")
    assert (result["changed"], result["dest"], result["src"]) == (True, f"{folder}/out/", f"{folder}/tree")
    assert (folder / "out/tree/a/it's\n").read_text() == "one"
    assert mode(folder / "out/tree/x") == 0o600
    assert mode(folder / "out/tree/empty") == 0o750
    assert run("copy", f"src=tree dest={folder}/out mode=0600")["changed"] is False
    assert run("copy", f"src=tree/ dest={folder}/flat")["dest"] == f"{folder}/flat/"
    assert (folder / "flat/a/b").is_dir()


def test_a_tree_that_links_to_itself_is_refused(run: Run, folder: Path) -> None:
    (folder / "tree").mkdir()
    (folder / "tree/again").symlink_to("..", target_is_directory=True)
    (folder / "tree/again2").symlink_to(".", target_is_directory=True)
    assert "links back" in run("copy", f"src=tree dest={folder}/out")["msg"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("dest=x", r"src \(or content\) is required"),
        ("src=x", "dest is required"),
        ("src=x content=y dest=z", "src and content are mutually exclusive"),
        ("content=x dest=y/", "can not use content with a dir as dest"),
        ("src=x dest=y mode=rwx", "mode must be in octal or symbolic form"),
        ("src=x dest=y mode=99999", "mode must be in octal or symbolic form"),
        ("src=x dest=y validate=true", "validate must contain %s: true"),
        ("src=x dest=y bakup=yes", r"Unsupported parameters.*bakup.*Did you mean backup\?"),
        ("x", "expected key=value, got 'x'"),
    ],
)
def test_wrong_arguments(args: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        module_class("copy").from_args(args)


def test_a_file_of_files_comes_first(run: Run, folder: Path) -> None:
    (folder / "files").mkdir()
    (folder / "files/f.txt").write_text("of files")
    run("copy", f"src=f.txt dest={folder}/out")
    assert (folder / "out").read_text() == "of files"


def test_what_arrives_otherwise_is_refused_before_it_takes_its_place(
    run: Run, folder: Path, connector: Connector[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder / "out"
    out.write_text("old")
    put = connector.put

    def late(source: Any, *arguments: Any, **more: Any) -> None:
        source.write_text("what was sent")
        put(source, *arguments, **more)

    monkeypatch.setattr(connector, "put", late)
    result = run("copy", f"src=f.txt dest={out}")
    assert "does not match the expected checksum" in result["msg"]
    assert out.read_text() == "old"
    assert sorted(os.listdir(folder)) == ["f.txt", "out"]


def test_a_broken_connection_leaves_the_old_file(
    run: Run, folder: Path, connector: Connector[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder / "out"
    out.write_text("old")
    execute, calls = connector.execute, 0

    def breaking(*arguments: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ConnectionLostError("lost", host="web1")
        return execute(*arguments, **more)

    monkeypatch.setattr(connector, "execute", breaking)
    with pytest.raises(ConnectionLostError):
        run("copy", f"src=f.txt dest={out}")
    assert out.read_text() == "old"
    assert sorted(os.listdir(folder)) == ["f.txt", "out"]


def test_owner_that_can_t_be_set_tells_what_is_there(run: Run, folder: Path) -> None:
    failed = run("copy", f"src=f.txt dest={folder}/out owner=nosuch mode=0600")
    assert (failed["path"], failed["mode"], failed["size"], failed["state"]) == (f"{folder}/out", "0600", 6, "file")
    assert (failed["checksum"], failed["diff"]) == (hashlib.sha1(b"hello\n").hexdigest(), [])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_unsafe_writes_write_over_what_can_t_be_renamed(run: Run, folder: Path) -> None:
    (folder / "held").write_text("old")
    (folder / "below").write_text("old")
    mounted = subprocess.run(["mount", "--bind", folder / "below", folder / "held"], check=False)
    if mounted.returncode:
        pytest.skip("no right to mount")
    try:
        assert run("copy", f"src=f.txt dest={folder}/held")["failed"] is True
        assert (folder / "below").read_text() == "old"
        assert run("copy", f"src=f.txt dest={folder}/held unsafe_writes=yes")["changed"] is True
        assert (folder / "below").read_text() == "hello\n"
    finally:
        subprocess.run(["umount", folder / "held"], check=True)
    assert sorted(os.listdir(folder)) == ["below", "f.txt", "held"]


def test_links_of_a_tree(run: Run, folder: Path) -> None:
    (folder / "tree/sub").mkdir(parents=True)
    (folder / "tree/one").write_text("1")
    (folder / "tree/two").write_text("2")
    (folder / "tree/it's a\nlink").symlink_to("t\nwo\n")
    (folder / "tree/below").symlink_to("sub", target_is_directory=True)
    args = f"src=tree/ dest={folder}/out local_follow=no"
    assert run("copy", args)["changed"] is True
    assert os.readlink(folder / "out/it's a\nlink") == "t\nwo\n"
    assert os.readlink(folder / "out/below") == "sub"
    assert run("copy", args)["changed"] is False
    (folder / "out/below").unlink()
    (folder / "out/below").mkdir()
    (folder / "out/below/x").write_text("x")
    assert "is not empty, refusing to convert it" in run("copy", args)["msg"]


def test_a_tree_is_backed_up_and_validated_file_by_file(run: Run, folder: Path) -> None:
    (folder / "tree").mkdir()
    (folder / "out").mkdir()
    for name in "ab":
        (folder / "tree" / name).write_text("new")
        (folder / "out" / name).write_text("old")
    args = {"src": "tree/", "dest": f"{folder}/out", "backup": True}
    assert run("copy", {**args, "validate": "grep -q nothing %s", "backup": False})["msg"] == "failed to validate"
    assert sorted(os.listdir(folder / "out")) == ["a", "b"]
    assert run("copy", {**args, "validate": "grep -q new %s"})["changed"] is True
    assert sorted(path.read_text() for path in (folder / "out").iterdir()) == ["new", "new", "old", "old"]


def test_rights_of_a_tree(run: Run, folder: Path) -> None:
    (folder / "tree/sub").mkdir(parents=True)
    (folder / "tree/a").write_text("a")
    (folder / "tree/b").write_text("b")
    run("copy", f"src=tree/ dest={folder}/out")
    args = f"src=tree/ dest={folder}/out directory_mode=u=rwx,g=,o=x"
    assert run("copy", args, check=True)["changed"] is True
    assert run("copy", args)["changed"] is True
    assert (mode(folder / "out"), mode(folder / "out/sub")) == (0o755, 0o701)
    assert run("copy", args)["changed"] is False


def test_within_the_host(run: Run, folder: Path) -> None:
    (folder / "f.txt").chmod(0o640)
    args = f"src={folder}/f.txt dest={folder}/out remote_src=yes"
    assert run("copy", args, check=True)["changed"] is True
    assert not (folder / "out").exists()
    result = run("copy", args)
    assert set(result) == (CHANGED - {"diff"})
    assert (result["changed"], result["mode"], result["src"]) == (True, "0644", f"{folder}/f.txt")
    assert run("copy", args)["changed"] is False
    (folder / "out").write_text("old")
    result = run("copy", f"{args} backup=yes")
    assert (mode(folder / "out"), Path(result["backup_file"]).read_text()) == (0o640, "old")
    assert run("copy", f"{args} mode=u+x")["mode"] == "0740"
    refused = run(
        "copy", {**dict(word.split("=") for word in args.split()), "validate": "grep -q no %s", "src": "/etc/hosts"}
    )
    assert (refused["msg"], (folder / "out").read_text()) == ("failed to validate", "hello\n")
    assert len(os.listdir(folder)) == 3


@pytest.mark.parametrize("name", ["a b", "it's", "a\nb\n", "-n", "é", "$(id)", "\\"])
def test_trees_within_the_host(run: Run, folder: Path, name: str) -> None:
    tree = folder / name
    (tree / name / "deep").mkdir(parents=True)
    (tree / name / "deep" / name).write_text("1")
    (tree / name / "deep" / name).chmod(0o604)
    (tree / "link").symlink_to(name)
    args = {"src": str(tree), "dest": f"{folder}/o/", "remote_src": True}
    assert run("copy", args, check=True)["msg"] == f"dest directory {folder}/o would be created"
    assert run("copy", args)["dest"] == f"{folder}/o/{name}"
    made = folder / "o" / name
    assert (mode(made / name / "deep" / name), os.readlink(made / "link")) == (0o604, name)
    assert run("copy", args)["changed"] is False
    (made / name / "deep" / name).write_text("mine")
    (made / name / "deep" / "own").write_text("own")
    assert run("copy", args, check=True)["changed"] is True
    assert run("copy", args)["changed"] is True
    assert (made / name / "deep" / name).read_text() == "1"
    assert sorted(os.listdir(made / name / "deep")) == sorted([name, "own"])


def test_a_link_that_waits_for_a_tree_is_not_written_through(run: Run, folder: Path) -> None:
    """Who may write to the destination must not choose what root writes to: names on the way are not to be guessed."""
    (folder / "tree").mkdir()
    (folder / "tree" / "f").write_text("new")
    out = folder / "out" / "tree"
    out.mkdir(parents=True)
    (out / "f").write_text("old")
    (folder / "precious").write_text("precious")
    soon = int(run("shell", "echo $$")["stdout"])
    for number in range(soon, soon + 3000):
        (out / f".sshexec-tree-{number}").symlink_to(folder / "precious")
    run("copy", {"src": str(folder / "tree"), "dest": f"{folder}/out", "remote_src": True})
    assert ((folder / "precious").read_text(), (out / "f").read_text()) == ("precious", "new")


def test_within_a_host_that_is_full(run: Run, folder: Path, small_disk: Path) -> None:
    (small_disk / "out").write_text("old")
    (folder / "big").write_bytes(b"x" * 2**21)
    result = run("copy", f"src={folder}/big dest={small_disk}/out remote_src=yes")
    assert "No space left on device" in result["msg"]
    assert (small_disk / "out").read_text() == "old"
    assert os.listdir(small_disk) == ["out"]


@pytest.mark.parametrize("module", ["copy", "script"])
def test_a_local_pipe_is_refused_and_not_waited_for(run: Run, folder: Path, module: str) -> None:
    os.mkfifo(folder / "pipe")
    text = f"src=pipe dest={folder}/out" if module == "copy" else "pipe"
    result = run(module, text)
    assert result["failed"] is True
    assert "'pipe' is not a regular file" in result["msg"]


def coming() -> range:
    """Return the process ids that this machine gives next."""
    last = subprocess.run(["sh", "-c", "echo $$"], check=True, capture_output=True).stdout
    return range(int(last), int(last) + 2000)


@pytest.mark.parametrize("dest", ["a$b", "a$o$token$backup", "a$p"])
@pytest.mark.parametrize("remote", [False, True])
def test_variables_of_a_destination_are_those_of_the_host(run: Run, folder: Path, dest: str, *, remote: bool) -> None:
    run("copy", {"src": str(folder / "f.txt"), "dest": f"{folder}/{dest}", "remote_src": remote})
    assert sorted(os.listdir(folder)) == sorted([dest, "f.txt"])


def test_a_merge_writes_through_no_link_that_somebody_else_laid(run: Run, folder: Path) -> None:
    """Whoever owns the destination might guess a temporary name."""
    (folder / "src").mkdir()
    (folder / "src/f").write_text("new")
    (folder / "dest").mkdir()
    (folder / "dest/f").write_text("old")
    for number in coming():
        (folder / f"dest/.sshexec-tree-{number}").symlink_to(folder / "f.txt")
    assert run("copy", {"src": f"{folder}/src/", "dest": f"{folder}/dest", "remote_src": True})["changed"] is True
    assert ((folder / "dest/f").read_text(), (folder / "f.txt").read_text()) == ("new", "hello\n")


def test_a_merge_copies_a_pipe_as_one_and_does_not_wait_for_it(run: Run, folder: Path) -> None:
    (folder / "src").mkdir()
    (folder / "dest").mkdir()
    os.mkfifo(folder / "src/pipe")
    args = {"src": f"{folder}/src/", "dest": f"{folder}/dest", "remote_src": True}
    assert [run("copy", args)["changed"] for _ in range(2)] == [True, False]
    assert (folder / "dest/pipe").is_fifo()


def test_a_backup_is_not_written_through_a_link_that_somebody_else_laid(run: Run, folder: Path) -> None:
    (folder / "victim").write_text("whole")
    now = time.time()
    stamps = [time.strftime("%Y-%m-%d@%H:%M:%S", time.localtime(now + second)) for second in range(4)]
    for number in coming():
        for stamp in stamps:
            (folder / f"f.txt.{number}.{stamp}~").symlink_to("victim")
    result = run("copy", {"content": "new", "dest": str(folder / "f.txt"), "backup": True})
    assert result["failed"] is True
    assert "File exists" in result["msg"]
    assert ((folder / "victim").read_text(), (folder / "f.txt").read_text()) == ("whole", "hello\n")


def test_a_merge_that_is_stopped_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bin", "src", "dest"):
        (folder / name).mkdir()
    (folder / "bin/touch").write_text("#!/bin/sh\nexec sleep 30\n")
    (folder / "bin/touch").chmod(0o755)
    (folder / "src/f").write_text("new")
    monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
    args = {"src": f"{folder}/src/", "dest": f"{folder}/dest", "remote_src": True}
    for runner in here("gnu", folder, monkeypatch):
        with pytest.raises(CommandTimeoutError):
            module_class("copy").from_args(args).run(runner.connector, Invocation("here", Output(), Deadline.after(2)))
    assert os.listdir(folder / "dest") == []


@pytest.mark.parametrize("args", ["src=d dest={folder}/t", "src=f.txt dest={folder}/g.txt"])
def test_what_hosts_are_asked_is_made_once_a_run(
    args: str, connector: Connector[Any, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "d").mkdir()
    for name in ("f.txt", "d/a", "d/b"):
        (folder / name).write_text(name)
    made: list[Question] = []

    def counted(*arguments: Any, **more: Any) -> Question:
        made.append(Question(*arguments, **more))
        return made[-1]

    for room in ("file_copy", "tree_copy"):
        monkeypatch.setattr(f"sshexec.modules.{room}.Question", counted)
    module = module_class("copy").from_args(args.format(folder=folder))
    changed = [
        module.run(connector, Invocation(host, Output(), Deadline.after(60)))["changed"] for host in ("web1", "web2")
    ]
    assert (changed, len(made)) == ([True, False], 1)
