"""The module registry."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from sshexec.errors import UnknownModuleError
from sshexec.modules import registry
from sshexec.modules.base import Module
from sshexec.modules.registry import module_class, module_names


@pytest.mark.parametrize("name", ["ping", "raw", "command", "shell", "script", "copy", "fetch"])
def test_short_and_full_names(name: str) -> None:
    found = module_class(name)
    assert issubclass(found, Module)
    assert found.name == name
    assert module_class(f"ansible.builtin.{name}") is module_class(f"ansible.legacy.{name}") is found
    assert name in module_names()


def test_a_name_has_one_prefix_at_most() -> None:
    with pytest.raises(UnknownModuleError):
        module_class("ansible.builtin.ansible.legacy.copy")


def test_unknown_module() -> None:
    with pytest.raises(
        UnknownModuleError, match=r"no module named 'shel' here \(there are: command, copy.*mean shell\?"
    ):
        module_class("shel")


class _Distribution:
    name = "broken-plugin"


def _entries(*values: str) -> Any:
    entries = [
        metadata.EntryPoint(f"x{i}", value, registry.GROUP)._for(_Distribution()) for i, value in enumerate(values)
    ]
    return lambda group: entries if group == registry.GROUP else []


def test_plugins_are_loaded_lazily_and_a_broken_one_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values = ["sshexec.modules.ping:Ping", "no.such.package:Module", "sshexec.modules.registry:GROUP", "acme_program:x"]
    monkeypatch.setattr(metadata, "entry_points", _entries(*values))
    (tmp_path / "acme_program.py").write_text("raise SystemExit('a program')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module_class.cache_clear()
    try:
        assert module_class("x0").name == "ping"
        with pytest.raises(UnknownModuleError, match="module 'x1' of broken-plugin does not load"):
            module_class("x1")
        with pytest.raises(UnknownModuleError, match="module 'x2' of broken-plugin is no Module, but"):
            module_class("x2")
        with pytest.raises(UnknownModuleError, match="module 'x3' of broken-plugin does not load: a program"):
            module_class("x3")
    finally:
        module_class.cache_clear()


def test_importing_the_registry_imports_no_module() -> None:
    code = "import sys, sshexec.modules.registry; print([m for m in sys.modules if m.startswith('sshexec.modules.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['sshexec.modules.registry']"
