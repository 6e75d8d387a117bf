"""The slurp module: contents come whole and bounded, with whatever tools the host has."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Deadline, Timeouts
from sshexec.connectors.fake import FakeConnector, FakeContext, FakeOptions
from sshexec.connectors.output import Output
from sshexec.modules import slurp
from sshexec.modules.base import Invocation
from sshexec.modules.registry import module_class

Run = Callable[..., dict[str, Any]]


def content(result: dict[str, Any]) -> bytes:
    assert "failed" not in result, result
    assert result["encoding"] == "base64"
    return base64.b64decode(result["content"], validate=True)


def test_a_file_comes_byte_by_byte(run: Run, folder: Path) -> None:
    data = bytes(range(256)) * 1000 + b"\n.0\nend"
    (folder / "data").write_bytes(data)
    result = run("slurp", {"src": f"{folder}/data"})
    assert content(result) == data
    assert (result["changed"], result["source"]) == (False, f"{folder}/data")
    assert result["invocation"] == {"module_args": {"src": f"{folder}/data"}}


@pytest.mark.parametrize("name", ["two\n.0\nlines", "-n", " ", "a'b\"c$(id)`id`", "é\udcff", "*"])
def test_hostile_names(run: Run, folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"found")
    assert content(run("slurp", {"src": f"{folder}/{name}"})) == b"found"


def test_a_relative_name_with_a_dash_is_no_option(run: Run) -> None:
    assert run("slurp", {"src": "-nonexistent"})["msg"] == "File not found: ./-nonexistent"


def test_what_can_not_be_read(run: Run, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    assert run("slurp", {"src": f"{folder}/nope"})["msg"] == f"File not found: {folder}/nope"
    assert run("slurp", {"src": str(folder)})["msg"] == f"Source is a directory and must be a file: {folder}"
    assert run("slurp", {"src": f"{folder}/pipe"})["msg"] == f"Source is a pipe and must be a file: {folder}/pipe"
    assert (
        run("slurp", {"src": f"{folder}/f.txt/x"})["msg"] == f"Unable to slurp file: {folder}/f.txt/x: Not a directory"
    )


@pytest.mark.parametrize("tools", ["base64", "openssl", "od"])
def test_hosts_with_few_tools(run: Run, folder: Path, tools: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "bin"
    path.mkdir()
    for name in {"tr", "dd", *(("head",) if tools != "od" else ()), tools}:
        (path / name).symlink_to(str(shutil.which(name)))
    data = bytes(range(256)) * 500
    (folder / "data").write_bytes(data)
    monkeypatch.setattr(slurp, "_CONTENT", f"PATH={path}\n{slurp._CONTENT}")
    assert content(run("slurp", {"src": f"{folder}/data"})) == data


def test_a_large_file_is_refused_and_not_held(run: Run, folder: Path) -> None:
    with (folder / "large").open("wb") as opened:
        opened.truncate(slurp.LIMIT)
    assert len(content(run("slurp", {"src": f"{folder}/large"}))) == slurp.LIMIT
    with (folder / "large").open("wb") as opened:
        opened.truncate(slurp.LIMIT * 10)
    for source in (f"{folder}/large", "/dev/zero"):
        failed = run("slurp", {"src": source})
        assert failed["failed"] is True
        assert failed["msg"] == f"Unable to slurp file: {source}: it has over 16 MiB: use the fetch module"


def test_it_is_one_round_trip() -> None:
    options = FakeOptions.from_vars({"fake_files": {"/etc/motd": "hello"}})
    context = FakeContext()
    connector = FakeConnector("h", options, context, Timeouts())
    connector.open(Deadline())
    module = module_class("slurp").from_args("src=/etc/motd")
    assert content(module.run(connector, Invocation("h", Output(), Deadline()))) == b"hello"
    assert [call["call"] for call in context.hosts["h"].calls] == ["open", "execute"]
    missing = module_class("slurp").from_args("src=/nope")
    result = missing.run(connector, Invocation("h", Output(), Deadline()))
    assert result["msg"] == "File not found: /nope"
