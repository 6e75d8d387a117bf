"""What is set on a path of the host, and the words and keys of a failure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sshexec.connectors.base import Deadline
from sshexec.connectors.output import Output
from sshexec.modules.base import Invocation
from sshexec.modules.wish import Context, SettingError, Settled, Wish, settle, system_error
from tests.modules.tools import TOOLS, Here, here


@pytest.fixture(params=TOOLS)
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Here]:
    """Run a module here, with each set of tools."""
    yield from here(request.param, tmp_path_factory.mktemp("applets"), monkeypatch)


def settled(run: Here, *wishes: Wish) -> list[Settled]:
    return settle(run.connector, Invocation("here", Output(), Deadline.after(30)), wishes)


def test_every_wish_is_told_what_is_there_then(run: Here, tmp_path: Path) -> None:
    first, second = tmp_path / "a b", tmp_path / "d"
    first.write_text("x")
    second.mkdir()
    second.chmod(0o2755)
    found = settled(run, Wish(str(first), bits=0o640, owner=str(os.getuid())), Wish(str(second), bits=0o755))
    assert [(each.kind, each.mode, each.uid) for each in found] == [
        ("file", 0o640, os.getuid()),
        ("directory", 0o755, 0),
    ]


def test_a_context_does_nothing_without_selinux(run: Here, tmp_path: Path) -> None:
    if Path("/sys/fs/selinux/enforce").exists():
        pytest.skip("this machine has SELinux")
    (found,) = settled(run, Wish(str(tmp_path), context=Context(type="etc_t", user="_default")))
    assert (found.before, found.after) == ({}, {})


@pytest.mark.parametrize("run", ["gnu"], indirect=True)
def test_attributes_are_set_where_they_differ(run: Here, tmp_path: Path) -> None:
    if shutil.which("chattr") is None:
        pytest.skip("not installed: chattr")
    try:
        assert settled(run, Wish(str(tmp_path), attributes="+d"))[0].after == {"attributes": "+d"}
    except SettingError:
        pytest.skip("this file system has no attributes")
    (found,) = settled(run, Wish(str(tmp_path), attributes="-d"))
    assert found.after == {"attributes": "-d"}
    assert "d" in found.before["attributes"]


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (Wish("x", owner="nosuch"), "chown failed: failed to look up user nosuch"),
        (Wish("x", owner=""), "chown failed: failed to look up user "),
        (Wish("x", group="nosuch"), "chgrp failed: failed to look up group nosuch"),
    ],
)
def test_a_failure_has_ansibles_words_and_tells_what_is_there(
    wish: Wish, message: str, run: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x").write_text("")
    with pytest.raises(SettingError) as error:
        settled(run, Wish("x", bits=0o600), wish)
    assert error.value.message == message
    assert error.value.path == "x"
    assert error.value.found is not None
    assert error.value.found.mode == 0o600


def test_what_the_system_says_is_written_as_python_writes_it() -> None:
    said = "ln: failed to create symbolic link 'b': Permission denied\n"
    assert system_error(said, "a", "b") == "[Errno 13] Permission denied: b'a' -> b'b'"
    assert system_error("rm: something else") == "rm: something else"


@pytest.mark.parametrize("module", ["file", "wish"])
def test_a_link_that_waits_for_one_is_not_followed(run: Here, tmp_path: Path, module: str) -> None:
    """Who may write to the directory must not choose where root makes a link."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    (mine / "link").symlink_to("old")
    soon = int(run("shell", "echo $$")["stdout"])
    for number in range(soon, soon + 3000):
        (mine / f".{number}.sshexec.tmp").symlink_to(other)
        (mine / f".sshexec-link-{number}").symlink_to(other)
    if module == "file":
        assert run("file", {"path": f"{mine}/link", "src": f"{tmp_path}/new", "state": "link", "force": True})["failed"]
    else:
        with pytest.raises(SettingError, match="can't make the link"):
            settled(run, Wish(str(mine / "link"), link="new"))
    assert (os.readlink(mine / "link"), os.listdir(other)) == ("old", [])
