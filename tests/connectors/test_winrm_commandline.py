"""What a service is told to start."""

from __future__ import annotations

import base64

import pytest

from sshexec.connectors.base import Command, Form
from sshexec.connectors.winrm.commandline import CMD_LIMIT, Line, bootstrap, line_of
from sshexec.errors import HostError

START = "PowerShell -NoProfile -NonInteractive -ExecutionPolicy Unrestricted -EncodedCommand "


def test_powershell() -> None:
    line = line_of(Command("Get-Item 'ä €'"))
    assert line.text.startswith(START)
    assert base64.b64decode(line.text.removeprefix(START)).decode("utf-16-le") == "Get-Item 'ä €'"
    assert line == Line(line.text)


def test_powershell_with_the_profile() -> None:
    assert line_of(Command("x", profile=True)).text.startswith("PowerShell -NonInteractive -ExecutionPolicy")


def test_a_long_script_goes_by_standard_input() -> None:
    limits = [size for size in range(2500, 3500) if line_of(Command("x" * size)).ahead is None]
    assert limits == list(range(2500, limits[-1] + 1))
    assert CMD_LIMIT - 150 < len(line_of(Command("x" * limits[-1])).text) <= CMD_LIMIT
    script = "'\U0001f600 ä'\n" * 100_000
    line = line_of(Command(script))
    assert base64.b64decode(line.text.removeprefix(START)).decode("utf-16-le") == bootstrap()
    assert line.ahead is not None
    assert line.ahead.endswith(b"\r\n")
    assert base64.b64decode(line.ahead.removesuffix(b"\r\n"), validate=True).decode() == script
    assert len(line.text) < CMD_LIMIT


def test_the_bootstrap_has_nothing_for_people_in_it() -> None:
    text = bootstrap()
    assert "#" not in text
    assert "  " not in text.replace("`n`n", "")
    assert "$null = $input" in text  # else powershell.exe hands it nothing (ConsoleHost)


def test_a_line_of_cmd() -> None:
    assert line_of(Command('dir "a b" & echo %PATH%\r\n', form=Form.CMD)) == Line('dir "a b" & echo %PATH%')
    assert len(line_of(Command("x" * CMD_LIMIT, form=Form.CMD)).text) == CMD_LIMIT


@pytest.mark.parametrize("script", ["x" * (CMD_LIMIT + 1), "one\ntwo", "one\r\ntwo", "one\rtwo"])
def test_what_cmd_would_cut_off_is_an_error(script: str) -> None:
    with pytest.raises(HostError, match="PowerShell"):
        line_of(Command(script, form=Form.CMD))
