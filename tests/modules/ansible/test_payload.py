"""Payloads of Ansible's modules and the shelf where they are kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from sshexec.modules.ansible import payload as payloads
from sshexec.modules.ansible.payload import Payload, Shelf, state
from tests.modules.ansible.beside import answer


@pytest.mark.parametrize("value", ['it\'s "x" \\n \\', "é\t\n\0", {"a": [1, None, True]}, "\udcff", "')\nexit()\n('"])
def test_arguments_arrive_as_they_are(value: Any) -> None:
    program = Payload.from_answer(answer()).filled({"value": value, "_ansible_check_mode": False})
    done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, check=True)
    assert json.loads(done.stdout)["arguments"] == {"value": value, "_ansible_check_mode": False}


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    given = answer(parameters=[{"name": "path", "aliases": ["dest"], "required": True}], documented=True)
    Shelf(tmp_path / "a" / "b").put("key", given)
    found = Shelf(tmp_path / "a" / "b").get("key")
    assert found == Payload.from_answer(given)
    assert found.parameters[0].aliases == ("dest",)
    assert Shelf(tmp_path / "a" / "b").get("another") is None


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        Shelf(tmp_path / "shelf").put("key", answer())
    finally:
        os.umask(old)
    (kept,) = (tmp_path / "shelf").iterdir()
    assert (tmp_path / "shelf").stat().st_mode & 0o777 == 0o700
    assert kept.stat().st_mode & 0o777 == 0o600


def _only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        lambda path: path.write_bytes(path.read_bytes().replace(b"print", b"prynt")),
        lambda path: path.write_bytes(b"\xff\0" * 1000),
        lambda path: path.chmod(0o622),
        lambda path: path.parent.chmod(0o777),
        lambda path: (path.rename(path.with_name("x")), path.symlink_to("x")),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["empty", "cut", "altered", "noise", "others may write it", "others may write beside it", "link", "directory"],
)
def test_what_can_not_be_trusted_is_not_taken(tmp_path: Path, damage: Any) -> None:
    folder = tmp_path / "shelf"
    Shelf(folder).put("key", answer())
    assert Shelf(folder).get("key") is not None
    damage(_only(folder))
    assert Shelf(folder).get("key") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_not_taken(tmp_path: Path) -> None:
    folder = tmp_path / "shelf"
    Shelf(folder).put("key", answer())
    os.chown(_only(folder), 65534, 65534)
    assert Shelf(folder).get("key") is None


def test_it_is_out_of_date_where_a_source_has_changed(tmp_path: Path) -> None:
    source, missing = tmp_path / "source.py", tmp_path / "missing.py"
    source.write_text("1")
    watched = [[str(path), *state(str(path))] for path in (source, missing)]
    shelf = Shelf(tmp_path / "shelf")
    shelf.put("key", answer(watched=watched))
    assert shelf.get("key") is not None
    missing.write_text("")
    assert shelf.get("key") is None
    missing.unlink()
    assert shelf.get("key") is not None
    source.write_text("22")
    assert shelf.get("key") is None


def test_there_is_an_end_to_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "MOST_KEPT", 3)
    shelf = Shelf(tmp_path)
    tmp_path.chmod(0o700)
    for number in range(5):
        shelf.put(str(number), answer())
        os.utime(shelf._path(str(number)), (number, number))
    assert [shelf.get(str(number)) is not None for number in range(5)] == [False, False, True, True, True]
    monkeypatch.setattr(payloads, "LARGEST_KEPT", 100)
    shelf.put("large", answer())
    assert shelf.get("large") is None


def test_where_nothing_can_be_kept_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    shelf = Shelf(tmp_path / "file" / "shelf")
    shelf.put("key", answer())
    with shelf.alone(5):
        assert shelf.get("key") is None


def test_one_builds_and_the_others_wait(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    said: list[str] = []

    def second() -> None:
        with Shelf(tmp_path).alone(30):
            said.append("second")

    with Shelf(tmp_path).alone(30):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        said.append("first")
    thread.join(30)
    assert said == ["first", "second"]
    with Shelf(tmp_path).alone(30), Shelf(tmp_path).alone(0):
        said.append("whoever waits too long goes on")
    assert len(said) == 3
