"""What others wrote for the page is as they published it, has its licence beside it, and is named in NOTICE."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent.parent
VENDOR = ROOT / "sshexec" / "web" / "page" / "vendor"


@pytest.fixture(scope="module")
def vendor() -> ModuleType:
    """`tools/vendor.py`, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("vendor", ROOT / "tools" / "vendor.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["vendor"] = module
    spec.loader.exec_module(module)
    return module


def test_no_file_was_changed_added_or_lost(vendor):
    assert vendor.differences() == []


def test_a_changed_an_added_and_a_lost_file_are_told(vendor, tmp_path):
    copy = Path(shutil.copytree(VENDOR, tmp_path / "vendor"))
    with (copy / "xterm-xterm" / "xterm.mjs").open("ab") as file:
        file.write(b"//")
    (copy / "more.js").write_text("1")
    (copy / "xterm-addon-fit" / "LICENSE").unlink()
    assert vendor.differences(copy) == [
        "more.js: nobody asked for it",
        "xterm-addon-fit/LICENSE: missing",
        "xterm-xterm/xterm.mjs: changed",
    ]


def test_what_is_there_is_what_is_pinned(vendor):
    entries = {each["name"]: each for each in json.loads((VENDOR / "VENDOR.json").read_text())["packages"]}
    pinned = {package.name: (package.version, package.integrity, package.licence) for package in vendor.PACKAGES}
    assert {name: (each["version"], each["integrity"], each["licence"]) for name, each in entries.items()} == pinned


def test_each_has_its_licence_and_its_place_in_the_notice(vendor):
    notice = (ROOT / "NOTICE").read_text()
    words = {"MIT": "Permission is hereby granted", "Apache-2.0": "Apache License", "OFL-1.1": "SIL OPEN FONT LICENSE"}
    for package in vendor.PACKAGES:
        assert words[package.licence] in (VENDOR / package.folder / "LICENSE").read_text()
        assert package.folder in notice or (package.folder.startswith("xterm-") and "vendor/xterm-*" in notice)
