"""Questions to a Windows host by scripts of ours: what is said where no answer comes, and what they are made of."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Callable
from typing import Any

import pytest

from sshexec.connectors.powershell import Script
from sshexec.errors import HostError
from tests.winrm_server.powershell import Call, PowershellError
from tests.winrm_server.scripts import look, stat

PACKAGE = "sshexec.modules.windows"
FOLDER = importlib.resources.files(PACKAGE) / "scripts"
SCRIPTS = sorted(each.name.removesuffix(".ps1") for each in FOLDER.iterdir() if not each.name.startswith("_"))


def refused(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, double: Callable[[Call], int]) -> str:
    monkeypatch.setattr(stat, "run", double)
    with pytest.raises(HostError) as caught:
        run("win_stat", "path=C:/x")
    assert caught.value.status == "failed"
    return caught.value.message


def test_powershell_that_breaks_off(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(call: Call) -> int:
        raise PowershellError("Method invocation is supported only on core types in this language mode.")

    message = refused(run, monkeypatch, broken)
    assert message == (
        "the host's PowerShell broke off: Method invocation is supported only on core types in this language mode."
    )


def test_powershell_that_says_nothing(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(run, monkeypatch, lambda call: 3) == "the host's PowerShell broke off: it gave no answer (rc 3)"


def test_an_answer_that_is_cut(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(call: Call) -> int:
        call.out("sshexec:eyJzdGF0Ijog\r\n")
        return 0

    assert "sshexec:" in refused(run, monkeypatch, cut)


def test_what_a_profile_prints_is_no_answer(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    original = look.run

    def chatty(call: Call) -> int:
        call.out("Welcome!\r\nnot sshexec: at all\r\n")
        return original(call)

    monkeypatch.setattr(look, "run", chatty)
    assert run("fetch", "src=C:/nope dest=got fail_on_missing=no")["changed"] is False


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_has_the_functions_that_it_calls(name: str) -> None:
    text = Script(PACKAGE, name).text
    shared = re.findall(r"^function (\w+)", (FOLDER / "_paths.ps1").read_text("utf-8"), re.MULTILINE)
    assert "#INCLUDE" not in text
    assert len(shared) == 6
    for function in shared:
        called = re.search(rf"(?:^|[(={{;])\s*{function} \$", text, re.MULTILINE)
        assert not called or f"function {function}(" in text, function
