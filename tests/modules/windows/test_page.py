"""docs/modules.md says of modules on Windows what they answer; tests/modules/test_page.py holds the rest of it."""

from __future__ import annotations

import importlib.resources
import re
from pathlib import Path
from typing import Any

import pytest

from tests.modules.test_page import PAGE, section, table
from tests.modules.windows.conftest import Run
from tests.winrm_server.drive import Drive
from tests.winrm_server.powershell import Answer, Call
from tests.winrm_server.scripts.setup import facts
from tests.winrm_server.server import WinrmServer

CASES: dict[str, list[tuple[Any, dict[str, Any]]]] = {
    "win_ping": [("", {}), ("data=crash", {})],
    "win_command": [
        ("true", {}),
        ("false", {}),
        ("nosuch", {}),
        ("true creates=C:/Windows", {}),
        ("x", {"check": True}),
    ],
    "win_shell": [("$PID", {}), ("exit 1", {}), ("x executable=nosuch", {}), ("x creates=C:/Windows", {})],
    "script": [("go.ps1", {}), ("nope.ps1", {}), ("go.ps1 creates=C:/Windows", {})],
    "setup": [("gather_subset=!all,nosuch", {})],
    "win_copy": [
        ({"src": "f.txt", "dest": "C:\\f.txt", "backup": True}, {"diff": True}),
        ({"src": "nope", "dest": "C:\\f.txt"}, {}),
        ({"src": "tree", "dest": "C:\\tree"}, {}),
    ],
    "win_file": [({"path": "C:\\d", "state": "directory"}, {}), ({"path": "C:\\d", "state": "file"}, {})],
    "win_stat": [({"path": "C:\\f.txt"}, {}), ({"path": "C:\\a|b"}, {})],
}
UNSEEN = {"setup": {"failed", "msg"}, "win_stat": {"warnings"}}
"""Keys of results that a host of these tests, which answers, does not show."""


@pytest.mark.parametrize("module", CASES)
def test_the_keys_of_results_are_those_on_the_page(module: str, run: Run, folder: Path, endpoint: WinrmServer) -> None:
    (folder / "go.ps1").write_text("exit 1\n")
    (folder / "f.txt").write_text("new")
    (folder / "tree").mkdir()
    (folder / "tree" / "link").symlink_to("nowhere")
    (endpoint.drive / "f.txt").write_text("old")
    for text, rc in (("$PID", 0), ("exit 1", 1)):
        endpoint.powershell[re.compile(re.escape(text) + r"\Z")] = Answer("1\r\n", rc=rc)
    named = {key for cells in table(module, "result") for key in re.findall(r"`(\w+)`", cells[0])}
    seen: set[str] = set()
    for args, more in CASES[module]:
        seen |= run(module, args, **more).keys()
    assert named - seen == UNSEEN.get(module, set())
    assert seen <= named


def rows() -> dict[str, set[str]]:
    """Return the page's facts by collector."""
    found: dict[str, set[str]] = {}
    shown = PAGE.split("### Facts of Windows")[1].split("| collector | facts |")[1].partition("\n\n")[0]
    for line in shown.splitlines()[2:]:
        collectors, names = (re.findall(r"`(\w+)`", cell) for cell in line.strip("|").split("|"))
        found |= {collector: set(names) or {collector} for collector in collectors}
    return found


def test_the_facts_are_those_of_the_script_and_of_its_double(tmp_path: Path) -> None:
    text = (importlib.resources.files("sshexec.modules.windows") / "scripts" / "setup.ps1").read_text("utf-8")
    collectors = dict(re.findall(r"^\$collect\['(\w+)'\] = \{\n(.*?)\n\}$", text, re.DOTALL | re.MULTILINE))
    script = {name: set(re.findall(r"\$facts\['(\w+)'\]", body)) for name, body in collectors.items()}
    script["all_ipv6_addresses"] = script["all_ipv4_addresses"]
    assert script.pop("local") == set()
    assert script == rows()
    environment = {"USERPROFILE": "C:\\Users\\x", "USERNAME": "x"}
    call = Call("", {}, Drive(tmp_path), environment)
    assert {name: set(told) for name, told in facts(call).items()} == script


def test_the_keys_of_stat_are_those_on_the_page(run: Run, endpoint: WinrmServer) -> None:
    (endpoint.drive / "f").write_text("x")
    (endpoint.drive / "twin").hardlink_to(endpoint.drive / "f")
    (endpoint.drive / "link").symlink_to("f")
    words = section("win_stat").split("`stat` has ")[1].split("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", words))
    seen: set[str] = set()
    for path in ("C:\\f", "C:\\link", "C:\\"):
        seen |= run("win_stat", {"path": path})["stat"].keys()
    assert named - seen == {"sharename"}
    assert seen - named == {"exists"}
