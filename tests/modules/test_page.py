"""docs/modules.md says what the code accepts and answers; tests/test_docs.py runs its examples."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Capability
from sshexec.modules.arguments import Parameter
from sshexec.modules.grammar import LIFTED
from sshexec.modules.registry import module_class, module_names, module_on
from sshexec.modules.windows.instead import Instead

PAGE = (Path(__file__).parents[2] / "docs" / "modules.md").read_text(encoding="utf-8")
MODULES = (
    "ping",
    "raw",
    "command",
    "shell",
    "script",
    "copy",
    "file",
    "stat",
    "fetch",
    "slurp",
    "setup",
    "wait_for_connection",
)
WINDOWS = ("win_ping", "win_command", "win_shell", "win_copy", "win_file", "win_stat")
"""Those of Windows hosts alone; tests/modules/windows/test_page.py looks at their results."""
ALL = (*MODULES, *WINDOWS)


def section(module: str) -> str:
    return PAGE.split(f"\n## {module}\n")[1].split("\n## ")[0]


def table(module: str, heading: str) -> list[list[str]]:
    """Return the cells below a heading, row by row."""
    rows = section(module).split(f"| {heading} |", 1)[1].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def row(module: str, parameter: Parameter) -> list[str]:
    """Return what the page says about an argument of a module."""
    default = parameter.default
    shown = "" if default is None else f"`{default if isinstance(default, str) else str(default).lower()}`"
    names = ", ".join(f"`{name}`" for name in (parameter.name, *parameter.aliases))
    lifted = module_class(module).free_form and parameter.name in LIFTED
    return [f"{names} *" if lifted else names, parameter.type, shown, parameter.help]


def test_every_module_has_its_section_and_a_link_to_it() -> None:
    assert set(ALL) == set(module_names())
    assert re.findall(r"^\| \[(\w+)\]\(#(\w+)\) \|", PAGE, re.MULTILINE) == [(name, name) for name in ALL]


@pytest.mark.parametrize("module", ALL)
def test_the_arguments_are_those_of_the_code(module: str) -> None:
    expected = [row(module, parameter) for parameter in module_class(module).parameters]
    assert sorted(table(module, "argument")) == sorted(expected)


@pytest.mark.parametrize("module", MODULES)
def test_what_a_module_is_on_windows(module: str) -> None:
    said = section("Modules on Windows")
    here, there = (module_on(module, capabilities) for capabilities in (Capability.POSIX, Capability.WINDOWS))
    if issubclass(there, Instead):
        assert f"[win_{module}](#win_{module})" in said
        return
    assert f"`{module}`" in said
    # The arguments are the same, and another default has its words.
    assert [each.name for each in there.parameters] == [each.name for each in here.parameters]
    differing = [each.name for each in there.parameters if each not in here.parameters]
    assert differing == (["fact_path"] if module == "setup" else [])
    assert all(f"`{name}` is " in said for name in differing)


@pytest.mark.parametrize("module", ALL)
def test_every_module_has_an_example_of_each_kind(module: str) -> None:
    assert re.search(rf"^\$ sshexec run .* -m {module} ?", section(module), re.MULTILINE)
    assert f'", "{module}"' in section(module)


CASES: dict[str, list[tuple[Any, dict[str, Any]]]] = {
    "ping": [("", {}), ("data=crash", {})],
    "raw": [("true", {}), ("false", {"environment": {"A": "b"}}), ("true", {"check": True})],
    "command": [
        ("true executable=/bin/sh", {}),
        ("false", {}),
        ("true", {"check": True}),
        ("nosuchprogram", {}),
        ("true chdir=/nonexistent", {}),
        ("true creates=/", {}),
    ],
    "shell": [("true", {}), ("true", {"check": True}), ("false", {}), ("true executable=/nonexistent", {})],
    "script": [("f.txt executable=true", {}), ("f.txt creates=/", {}), ("nope", {})],
    "copy": [
        ("src=f.txt dest={folder}/g.txt", {}),
        ("src=f.txt dest={folder}/g.txt", {}),
        ("content=x dest={folder}/g.txt backup=yes", {}),
        ("content=y dest={folder}/g.txt validate='false %s'", {}),
        ("src=f.txt dest={folder}/g.txt checksum=0", {}),
        ("src=. dest={folder}/tree", {}),
        ("content=z dest={folder}/g.txt", {"check": True, "diff": True}),
        ("content=z dest={folder}/g.txt validate='/nonexistent %s'", {}),
        ("src=f.txt dest={folder}/h.txt", {}),
        ("src=f.txt dest={folder}/h.txt owner=nosuch", {"check": True}),
    ],
    "file": [
        ("path={folder}/f.txt mode=600", {"diff": True}),
        ("path={folder}/l src=f.txt state=link", {}),
        ("path={folder}/lost src=nope state=link force=yes", {}),
        ("path={folder}/nope", {}),
        ("path={folder}/f.txt attributes=+Y", {}),
    ],
    "stat": [("path={folder}/f.txt", {}), ("path={folder}/f.txt/x", {})],
    "fetch": [
        ("src={folder}/f.txt dest=got", {}),
        ("src={folder}/f.txt dest=got", {}),
        ("src=/nonexistent dest=got", {}),
        ("src=/nonexistent dest=got", {"check": True}),
    ],
    "slurp": [("src={folder}/f.txt", {}), ("src=/nonexistent", {})],
    "setup": [("fact_path={folder}", {})],
    "wait_for_connection": [("", {}), ("", {"check": True})],
}
UNSEEN = {"file": {"secontext"}, "ping": {"rc"}, "setup": {"failed", "msg"}, "wait_for_connection": {"failed", "msg"}}
"""Keys of results that a host of these tests, which answers, does not show."""


@pytest.mark.parametrize("connector", ["local"], indirect=True)
@pytest.mark.parametrize("module", MODULES)
def test_the_keys_of_results_are_those_on_the_page(module: str, run: Callable[..., Any], folder: Path) -> None:
    named = {key for cells in table(module, "result") for key in re.findall(r"`(\w+)`", cells[0])}
    seen: set[str] = set()
    (folder / "bad.fact").write_text("neither JSON nor INI")
    for args, more in CASES[module]:
        seen |= run(module, args.format(folder=folder), **more).keys()
    assert named - seen == UNSEEN.get(module, set())
    assert seen <= named
