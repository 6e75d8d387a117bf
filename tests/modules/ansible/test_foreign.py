"""Modules of Ansible that this project does not have itself; tests/oracle/test_foreign.py compares their results."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Host, Inventory
from sshexec.connectors.base import Connector, Deadline
from sshexec.connectors.output import Output
from sshexec.errors import ArgumentError, CommandTimeoutError, UnknownModuleError
from sshexec.modules import registry
from sshexec.modules.ansible import foreign
from sshexec.modules.ansible.builder import SETTING, Builder
from sshexec.modules.ansible.foreign import PYTHON, Foreign, foreign_class
from sshexec.modules.ansible.payload import Shelf
from sshexec.modules.base import Invocation, Result
from sshexec.modules.registry import module_class
from tests.modules.ansible.beside import ECHO, answer, asked, interpreter
from tests.modules.ansible.test_builder import REAL

Ask = Callable[..., Result]
SETTINGS = {PYTHON: sys.executable}
PARAMETERS = [
    {"name": "path", "aliases": ["dest"], "required": True},
    {"name": "line", "aliases": [], "required": False},
]


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is known from before, and nothing is left."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(Foreign, "builder", Builder(Shelf(tmp_path / "cache")))
    module_class.cache_clear()
    yield
    module_class.cache_clear()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., type[Foreign]]:
    """Make a module whose Python text is this."""

    def make(does: str = ECHO, **more: Any) -> type[Foreign]:
        folder = tmp_path / os.urandom(4).hex()
        folder.mkdir()
        monkeypatch.setenv(SETTING, str(interpreter(folder, answer(does, **more))))
        return foreign_class("thing")

    return make


@pytest.fixture
def ask(connector: Connector[Any, Any], module: Callable[..., type[Foreign]]) -> Ask:
    """Run a module whose Python text is this: ``ask("print('{}')")``."""

    def call(does: str = ECHO, args: Any = None, *, within: float = 60, about: Any = None, **more: Any) -> Result:
        more.setdefault("settings", SETTINGS)
        made = module(does, **(about or {})).from_args(args)
        return made.run(connector, Invocation("web1", Output(), Deadline.after(within), **more))

    return call


def test_arguments_and_modes_arrive(ask: Ask) -> None:
    result = ask(args={"path": "it's", "list": [1, None]}, check=True, diff=True, no_log=True)
    assert result == {
        "changed": False,
        "arguments": {
            "path": "it's",
            "list": [1, None],
            "_ansible_version": "2.19.14",
            "_ansible_check_mode": True,
            "_ansible_diff": True,
            "_ansible_no_log": True,
            "_ansible_module_name": "thing",
            "_ansible_remote_tmp": "~/.ansible/tmp",
            "_ansible_shell_executable": "/bin/sh",
        },
    }


def test_settings_of_the_host_and_its_environment(ask: Ask) -> None:
    settings = {PYTHON: f"/usr/bin/env {sys.executable}", "ansible_remote_tmp": "/t"}
    does = "print(json.dumps({'changed': True, 'a': os.environ['A'], 't': arguments['_ansible_remote_tmp']}))\n"
    assert ask(does, environment={"A": "it's"}, settings=settings) == {"changed": True, "a": "it's", "t": "/t"}


def test_text_arguments(ask: Ask) -> None:
    assert ask(args="path='a b' line=\"x = 1\" state=")["arguments"].items() >= {
        ("path", "a b"), ("line", "x = 1"), ("state", ""),
    }  # fmt: skip


def test_nothing_is_put_into_the_arguments_of_processes(ask: Ask) -> None:
    does = "print(json.dumps({'words': open('/proc/self/cmdline').read(), 'changed': False}))\n"
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("no /proc")
    assert "s3cret" not in ask(does, {"password": "s3cret"})["words"]


@pytest.mark.parametrize("value", [None, "auto", "auto_silent", "auto_legacy"])
def test_a_python_is_looked_for_where_none_is_named(ask: Ask, value: str | None) -> None:
    does = "print(json.dumps({'changed': False, 'version': sys.version_info[0]}))\n"
    assert ask(does, settings={PYTHON: value} if value else {})["version"] == 3


def test_a_host_without_python(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    result = ask(settings={PYTHON: "/opt/no python/bin"})
    assert (result["rc"], result["msg"]) == (127, "The module interpreter '/opt/no python/bin' was not found.")
    monkeypatch.setattr(foreign, "_SEARCH", foreign._SEARCH.replace("python", "nosuchpython"))
    monkeypatch.setattr(foreign, "_SEARCH", foreign._SEARCH.replace("sshexec_note nosuchpython", "sshexec_note python"))
    result = ask(settings={})
    assert (result["failed"], result["rc"], result["changed"]) == (True, 127, False)
    assert result["msg"] == "The module interpreter '/usr/bin/python3' was not found."
    assert result["warnings"][0].startswith("No python interpreters found for host web1 (tried python3.13, ")


def test_a_module_that_dies_is_a_failed_host(ask: Ask) -> None:
    result = ask("sys.exit('no such luck')\n")
    assert result["msg"] == "Module result deserialization failed: No start of json char found"
    assert (result["rc"], result["module_stderr"]) == (1, "no such luck\n")


def test_an_answer_that_is_too_long(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "LARGEST_ANSWER", 2**20)
    assert ask("print(json.dumps({'x': 'x' * 900_000}))\n")["changed"] is False
    assert ask("print(json.dumps({'x': 'x' * 2_000_000}))\n")["msg"] == "the module's answer is longer than 1 MiB"


def test_the_deadline_ends_it(ask: Ask, tmp_path: Path) -> None:
    with pytest.raises(CommandTimeoutError):
        ask(f"open({str(tmp_path / 'began')!r}, 'w').close()\nimport time; time.sleep(60)\n", within=3)
    assert (tmp_path / "began").exists()


def test_check_mode_and_conditions_of_a_controller_part(ask: Ask, tmp_path: Path) -> None:
    uri = {"action": "ansible.builtin.uri"}
    assert ask(about=uri, check=True)["msg"] == "This action (uri) does not support check mode."
    assert ask(about=uri)["arguments"]["_ansible_module_name"] == "ansible.legacy.thing"
    unarchive = {"action": "ansible.builtin.unarchive"}
    args = {"src": "a", "dest": str(tmp_path / "it's"), "remote_src": "yes", "creates": str(tmp_path / "-x y")}
    missing = ask(args=args, about=unarchive)
    assert (missing["failed"], missing["msg"]) == (True, f"dest '{tmp_path}/it's' must be an existing dir")
    (tmp_path / "it's").mkdir()
    assert ask(args=args, about=unarchive)["arguments"]["dest"] == str(tmp_path / "it's")
    (tmp_path / "-x y").touch()
    assert ask(args=args, about=unarchive) == {
        "changed": False,
        "skipped": True,
        "msg": f"skipped, since {tmp_path}/-x y exists",
    }


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("line=x", "^thing: missing required arguments: path$"),
        ("bogus=1", "^thing: missing required arguments: path$"),
        ("path=/f lines=1 bogus=2", r"Unsupported parameters for \(thing\) module: bogus, lines\. Supported .*path"),
        ("path=/f x", "expected key=value"),
        ("path='/f", "unbalanced"),
        ({"path": {1, 2}}, "thing: argument path can't be sent: Object of type set is not JSON serializable"),
        ({"path": "x", 1: 2}, "thing: 1 is no parameter"),
        ({"path": "x", "_ansible_check_mode": False}, "thing: _ansible_check_mode is no parameter"),
    ],
)
def test_bad_arguments_are_found_here(module: Callable[..., type[Foreign]], args: Any, message: str) -> None:
    kind = module(documented=True, parameters=PARAMETERS)
    with pytest.raises(ArgumentError, match=message):
        kind.from_args(args)


def test_what_the_documentation_does_not_tell_the_module_judges(module: Callable[..., type[Foreign]]) -> None:
    assert module(documented=False, parameters=[]).from_args("bogus=1").arguments == {"bogus": "1"}
    kind = module(documented=True, parameters=PARAMETERS)
    assert kind.from_args({"dest": "/f", "line": None}).arguments == {"dest": "/f", "line": None}


def test_the_registry_asks_for_what_it_does_not_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, str(interpreter(tmp_path, answer())))
    assert issubclass(module_class("my.own.thing"), Foreign)
    assert module_class("my.own.thing").name == "my.own.thing"
    assert asked(tmp_path) == 1
    assert module_class("ansible.builtin.command").name == "command"
    assert asked(tmp_path) == 1


def test_an_unknown_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says = {"error": "unknown", "message": "ansible-core 2.19.14 has no module of that name"}
    monkeypatch.setenv(SETTING, str(interpreter(tmp_path, says)))
    with pytest.raises(UnknownModuleError, match=r"^no module named 'shel': ansible-core .*; did you mean shell\?$"):
        module_class("shel")


def test_engine_runs_one_for_many_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    does = "print(json.dumps({'changed': False, 'x': arguments['x'], 'python': sys.executable}))\n"
    monkeypatch.setenv(SETTING, str(interpreter(tmp_path, answer(does))))
    names = [f"h{number}" for number in range(5)]
    local = {"ansible_connection": "local", "place": os.path.dirname(sys.executable)}
    python = "{{ place }}/" + os.path.basename(sys.executable)
    hosts = [Host(name, {**local, PYTHON: python}) for name in names]
    with Engine(Inventory.from_hosts(hosts)) as engine:
        result = engine.run("all", "thing", "x='{{ inventory_hostname }}'")
        assert {name: result[name].to_ansible()["x"] for name in names} == {name: name for name in names}
        assert result["h0"].to_ansible()["python"] == sys.executable
        assert engine.run("all", "thing", {"x": 1}).ok
    assert asked(tmp_path) == 1


def test_no_log_keeps_it_out_of_the_hosts_logs_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    does = f"open({str(tmp_path / 'said')!r}, 'w').write(str(arguments['_ansible_no_log']))\nprint('{{\"x\": 1}}')\n"
    monkeypatch.setenv(SETTING, str(interpreter(tmp_path, answer(does))))
    host = Host("h", {"ansible_connection": "local", PYTHON: sys.executable})
    with Engine(Inventory.from_hosts([host])) as engine:
        assert engine.run("all", "thing").ok
        assert (tmp_path / "said").read_text() == "False"
        assert "censored" in engine.run("all", "thing", no_log=True)["h"].to_ansible()
        assert (tmp_path / "said").read_text() == "True"


@pytest.mark.parametrize("version", sorted(REAL))
@pytest.mark.parametrize("connector", ["ssh"], indirect=True)
def test_real_modules_of_both_versions(
    version: str, connector: Connector[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path(REAL[version]).exists():
        pytest.skip(f"not there: {REAL[version]} (make oracle)")
    monkeypatch.setenv(SETTING, REAL[version])
    path = tmp_path / "f"
    path.write_text("a\n")

    def run(**more: Any) -> Result:
        made = registry.module_class("ansible.builtin.lineinfile").from_args({"path": str(path), "line": "b"})
        return made.run(connector, Invocation("web1", Output(), Deadline.after(60), settings=SETTINGS, **more))

    would = run(check=True, diff=True)
    assert (would["changed"], would["diff"][0]["after"], path.read_text()) == (True, "a\nb\n", "a\n")
    assert run()["msg"] == "line added"
    assert path.read_text() == "a\nb\n"
    assert run()["changed"] is False
