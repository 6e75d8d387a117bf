"""The public names: fixed, each with one home, loaded on first use."""

from __future__ import annotations

import ast
import importlib
import inspect
from importlib import metadata
from pathlib import Path

import pytest

import sshexec

NAMES = {
    "Engine": "sshexec.engine",
    "History": "sshexec.history.history",
    "Host": "sshexec.inventory.members",
    "HostFinished": "sshexec.events",
    "HostPhase": "sshexec.events",
    "HostResult": "sshexec.results",
    "HostStarted": "sshexec.events",
    "Inventory": "sshexec.inventory.model",
    "Output": "sshexec.events",
    "Question": "sshexec.connectors.prompts",
    "Recordings": "sshexec.terminal.recordings",
    "Run": "sshexec.run",
    "RunFinished": "sshexec.events",
    "RunResult": "sshexec.results",
    "Secret": "sshexec.secret",
    "TerminalManager": "sshexec.terminal.sessions",
    "TerminalSession": "sshexec.terminal.session",
    "Timeouts": "sshexec.connectors.base",
    "TransferProgress": "sshexec.events",
}


def test_all_is_exact():
    assert sorted(sshexec.__all__) == sorted([*NAMES, "__version__", "errors"])


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_public_name_is_the_class_of_its_home(name):
    value = getattr(sshexec, name)
    assert inspect.isclass(value)
    assert value is getattr(importlib.import_module(NAMES[name]), name)
    assert value.__module__ == NAMES[name]


def test_errors_is_the_module():
    assert sshexec.errors is importlib.import_module("sshexec.errors")


def test_the_type_checker_sees_the_names_from_the_same_homes():
    tree = ast.parse(Path(sshexec.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == {**NAMES, "errors": "sshexec"}


def test_dir_lists_names_that_are_not_loaded_yet():
    assert set(sshexec.__all__) <= set(dir(sshexec))


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'sshexec' has no attribute 'Enigne'"):
        _ = sshexec.Enigne
    assert not hasattr(sshexec, "gevent")


def test_the_version_is_that_of_the_distribution():
    assert sshexec.__version__ == metadata.version("sshexec")


def kinds(function: object) -> dict[str, inspect._ParameterKind]:
    """Return name -> kind of each parameter but self."""
    return {name: one.kind for name, one in inspect.signature(function).parameters.items() if name != "self"}


KEYWORD = inspect.Parameter.KEYWORD_ONLY
OF_AN_ENGINE = ("concurrency", "processes", "timeouts", "variables", "keep")
OF_A_RUN = ("check", "diff", "environment", "timeout", "serial", "max_fail_percentage", "variables", "run_timeout")


def test_an_engine_takes_an_inventory_and_keywords():
    first, *others = kinds(sshexec.Engine).items()
    assert first[0] == "inventory"
    assert [name for name, kind in others if kind is KEYWORD and name in OF_AN_ENGINE] == list(OF_AN_ENGINE)


@pytest.mark.parametrize("name", ["run", "stream", "start", "arun", "astream"])
def test_a_run_takes_pattern_module_args_and_keywords(name):
    function = getattr(sshexec.Engine, name)
    assert list(kinds(function))[:3] == ["pattern", "module", "args"]
    inspect.signature(function).bind(None, "all", "command", "uptime", **dict.fromkeys(OF_A_RUN))


def test_a_run_takes_nothing_else_by_position():
    assert [name for name, kind in kinds(sshexec.Engine.start).items() if kind is not KEYWORD] == [
        "pattern",
        "module",
        "args",
    ]
    assert set(OF_A_RUN) <= set(kinds(sshexec.Engine.start))
