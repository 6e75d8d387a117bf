"""What docs/modules.md says of results of modules for Windows hosts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.modules.test_page import section, table
from tests.winrm_server import WinrmServer

CASES: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {
    "win_copy": [
        ({"src": "f.txt", "dest": "C:\\f.txt", "backup": True}, {"diff": True}),
        ({"src": "nope", "dest": "C:\\f.txt"}, {}),
        ({"src": "tree", "dest": "C:\\tree"}, {}),
    ],
    "win_file": [({"path": "C:\\d", "state": "directory"}, {}), ({"path": "C:\\d", "state": "file"}, {})],
    "win_stat": [({"path": "C:\\f.txt"}, {}), ({"path": "C:\\a|b"}, {})],
}
UNSEEN = {"win_stat": {"warnings"}}
"""Keys of results that the host of these tests does not show."""


@pytest.mark.parametrize("module", CASES)
def test_the_keys_of_results_are_those_on_the_page(
    module: str, run: Callable[..., Any], folder: Path, endpoint: WinrmServer
) -> None:
    named = {key for cells in table(module, "result") for key in re.findall(r"`(\w+)`", cells[0])}
    (folder / "f.txt").write_text("new")
    (folder / "tree").mkdir()
    (folder / "tree" / "link").symlink_to("nowhere")
    assert endpoint.drive is not None
    (endpoint.drive / "f.txt").write_text("old")
    seen: set[str] = set()
    for args, more in CASES[module]:
        seen |= run(module, args, **more).keys()
    assert named - seen == UNSEEN.get(module, set())
    assert seen <= named


def test_the_keys_of_stat_are_those_on_the_page(run: Callable[..., Any], endpoint: WinrmServer) -> None:
    assert endpoint.drive is not None
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
