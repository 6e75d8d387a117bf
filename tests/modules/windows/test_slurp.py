"""slurp on Windows hosts: contents come whole and bounded, in one command."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshexec.modules import slurp
from tests.winrm_server import WinrmServer

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def disk(endpoint: WinrmServer) -> Path:
    assert endpoint.drive is not None
    return endpoint.drive


def content(result: dict[str, Any]) -> bytes:
    assert "failed" not in result, result
    assert result["encoding"] == "base64"
    return base64.b64decode(result["content"], validate=True)


@pytest.mark.parametrize("data", [b"", b"x", b"sshexec:\r\n#< CLIXML", bytes(range(256)) * 1000])
def test_a_file_comes_byte_by_byte(run: Run, disk: Path, endpoint: WinrmServer, data: bytes) -> None:
    (disk / "data").write_bytes(data)
    result = run("slurp", {"path": "C:\\data"}, check=True)
    assert content(result) == data
    assert (result["changed"], result["source"]) == (False, "C:\\data")
    assert result["invocation"]["module_args"]["src"] == "C:\\data"
    assert endpoint.operations.count("Command") == 1


def test_what_can_not_be_read(run: Run, disk: Path) -> None:
    (disk / "secret").write_bytes(b"x")
    (disk / "secret").chmod(0)
    assert run("slurp", "src=C:/nope")["msg"] == "Path C:\\nope is not found"
    assert run("slurp", "src=C:/Users")["msg"] == "Path C:\\Users is a directory"
    denied = run("slurp", "src=C:/secret")
    assert (denied["failed"], denied["changed"]) == (True, False)
    assert denied["msg"] == "Unable to slurp file: C:\\secret: Access to the path 'C:\\secret' is denied."
    assert "Illegal characters" in run("slurp", {"src": "C:\\a<b"})["msg"]


def test_a_large_file_is_refused_and_not_held(run: Run, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurp, "LIMIT", 100_000)
    (disk / "large").write_bytes(b"x" * 100_000)
    assert len(content(run("slurp", "src=C:/large"))) == 100_000
    (disk / "large").write_bytes(b"x" * 1_000_000)
    failed = run("slurp", "src=C:/large")
    assert failed["msg"] == f"Unable to slurp file: C:\\large: {slurp.TOO_LARGE}"


@pytest.mark.parametrize("name", ["with space", "a'b$(1)`x;&{}[1]", "‘’‚‛“”", "日本 ä€😀", "-x", "%TEMP"])
def test_hostile_names(run: Run, disk: Path, name: str) -> None:
    (disk / name).write_bytes(b"found")
    assert content(run("slurp", {"src": f"C:\\{name}"})) == b"found"
