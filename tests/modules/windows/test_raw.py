"""raw on Windows: a text for PowerShell as it is."""

from __future__ import annotations

import pytest

from sshexec.errors import ArgumentError
from sshexec.modules.registry import module_on
from tests.modules.windows.conftest import Run
from tests.winrm_server.powershell import Answer
from tests.winrm_server.server import WinrmServer


def test_the_text_is_not_touched(run: Run, endpoint: WinrmServer) -> None:
    endpoint.powershell["  ipconfig \n"] = Answer("Windows IP\r\n", "hm\r\n", rc=1)
    assert run("raw", {"_raw_params": "  ipconfig \n"}) == {
        "changed": True,
        "rc": 1,
        "stdout": "Windows IP\r\n",
        "stdout_lines": ["Windows IP"],
        "stderr": "hm\r\n",
        "stderr_lines": ["hm"],
        "failed": True,
        "msg": "non-zero return code",
    }
    (command,) = (event.detail for event in endpoint.log if event.op == "Command")
    assert command["powershell"] == "  ipconfig \n"
    assert "-NoProfile -NonInteractive -ExecutionPolicy Unrestricted -EncodedCommand" in command["line"]


def test_what_has_no_meaning_is_told(run: Run, endpoint: WinrmServer) -> None:
    endpoint.powershell["hostname"] = Answer("WIN1\r\n")
    result = run("raw", "hostname executable=/bin/bash", environment={"A": "b"})
    assert result["stdout"] == "WIN1\r\n"
    assert result["warnings"] == [
        "raw module does not support the environment keyword",
        "raw: executable has no meaning on Windows, where PowerShell takes the text",
    ]


def test_check_mode_skips(run: Run, endpoint: WinrmServer) -> None:
    assert run("raw", "hostname", check=True) == {"changed": False, "skipped": True}
    assert "Command" not in endpoint.operations


def test_an_empty_text(run: Run, endpoint: WinrmServer) -> None:
    from sshexec.connectors.registry import connector_class

    with pytest.raises(ArgumentError, match="raw: no command given"):
        module_on("raw", connector_class("winrm").capabilities).from_args("")
