"""A module on a host that it is not for fails there with what to use; nothing is contacted, and other hosts go on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Host, Inventory, errors
from sshexec.callbacks.subjects import resolved
from sshexec.connectors.base import Capability, Timeouts
from sshexec.modules import registry
from sshexec.modules.base import Module
from sshexec.modules.registry import module_class, module_names, module_on
from sshexec.modules.windows.instead import Instead
from sshexec.runtime.job import Job
from sshexec.runtime.plan import Contexts, plan
from sshexec.task import Target, Task
from tests.winrm_server.powershell import Answer, Call
from tests.winrm_server.server import WinrmServer

POSIX = Capability.POSIX | Capability.FILES | Capability.BECOME
WINDOWS = Capability.WINDOWS | Capability.FILES


@pytest.fixture
def mixed(endpoint: WinrmServer, folder: Path) -> Inventory:
    here = Host("here", {"ansible_connection": "local", "word": "posix"})
    return Inventory.from_hosts([here, Host("win1", {**endpoint.variables(), "word": "windows"})])


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, WinrmServer]]:
    """An engine with a host of each kind, and the Windows host, which is never to be contacted."""
    folder = tmp_path_factory.mktemp("standing")
    server = WinrmServer({"vagrant": "secret"}, ("basic",), allow_unencrypted=True, drive=folder / "C")
    with pytest.MonkeyPatch.context() as patch, server:
        patch.chdir(folder)
        here = Host("here", {"ansible_connection": "local"})
        with Engine(Inventory.from_hosts([here, Host("win1", server.variables())])) as engine:
            yield engine, server
    assert server.connections == 0


@pytest.mark.parametrize(
    ("module", "args", "use"),
    [
        ("command", "true", "win_command"),
        ("shell", "true", "win_shell"),
        ("ansible.builtin.copy", "content=x dest=x", "win_copy"),
        ("file", "path=x state=touch", "win_file"),
        ("ansible.legacy.stat", "path=/", "win_stat"),
    ],
)
def test_a_module_for_posix_hosts(module: str, args: str, use: str, standing: tuple[Engine, WinrmServer]) -> None:
    engine, endpoint = standing
    result = engine.run("all", module, args)
    assert result["here"].good
    name = module.rpartition(".")[2]
    assert result["win1"].status == "failed"
    assert result["win1"].to_ansible()["msg"] == f"{name} is not for Windows hosts: use {use}"
    assert result["win1"].to_ansible()["changed"] is False
    assert endpoint.connections == 0


@pytest.mark.parametrize(
    ("module", "args", "use"),
    [
        ("win_command", "hostname", "command"),
        ("ansible.windows.win_shell", "hostname", "shell"),
        ("win_copy", {"content": "x", "dest": "C:\\Windows\\Temp\\x"}, "copy"),
        ("ansible.builtin.win_file", {"path": "C:\\Windows\\Temp\\d", "state": "directory"}, "file"),
        ("win_stat", {"path": "C:\\Windows"}, "stat"),
        ("win_ping", "", "ping"),
    ],
)
def test_a_module_for_windows_hosts(module: str, args: Any, use: str, standing: tuple[Engine, WinrmServer]) -> None:
    result = standing[0].run("here", module, args)["here"]
    assert result.status == "failed"
    assert result.msg == f"{module.rpartition('.')[2]} is for Windows hosts only: use {use}"


def test_both_kinds_in_one_run(mixed: Inventory, endpoint: WinrmServer) -> None:
    with Engine(mixed) as engine:
        assert engine.run("all", "ping").counts == {"ok": 2}
        facts = engine.run("all", "setup", "gather_subset=!all filter=ansible_os_family")
        families = {host: result.to_ansible()["ansible_facts"]["ansible_os_family"] for host, result in facts.items()}
        assert families["win1"] == "Windows" != families["here"]
        result = engine.run("all", "wait_for_connection", "timeout=20")
        assert result.counts == {"ok": 2}
        endpoint.powershell["echo windows"] = Answer("for windows\r\n")
        said = engine.run("all", "raw", "echo {{ word }}")
        assert {host: each.to_ansible()["stdout"] for host, each in said.items()} == {
            "here": "posix\n",
            "win1": "for windows\r\n",
        }
        assert endpoint.shells  # it stays open for the next task
    assert endpoint.shells == {}


def test_values_of_the_environment_are_texts(mixed: Inventory, endpoint: WinrmServer) -> None:
    seen = []

    def show(call: Call) -> int:
        seen.append({name: call.environment[name] for name in ("A", "B", "C")})
        return 0

    endpoint.powershell[re.compile("show$")] = Answer(run=show)
    given: dict[str, Any] = {"A": "{{ [1, word] }}", "B": 5, "C": True}
    with Engine(mixed) as engine:
        assert engine.run("win1", "win_shell", "show", environment=given)["win1"].good
        assert (
            engine.run("here", "shell", "echo $A $B $C", environment=given)["here"].to_ansible()["stdout"]
            == "[1, 'posix'] 5 True"
        )
    assert seen == [{"A": "[1, 'windows']", "B": "5", "C": "True"}]


def test_a_kept_connection_stays_for_the_next_task(mixed: Inventory, endpoint: WinrmServer) -> None:
    with Engine(mixed, keep=60) as engine:
        assert engine.run("win1", "ping").counts == {"ok": 1}
        operations = list(endpoint.operations)
        assert engine.run("win1", "command", "true").counts == {"failed": 1}
        assert endpoint.operations == operations
        assert engine.run("win1", "ping").counts == {"ok": 1}
    assert (endpoint.connections, endpoint.operations.count("Create")) == (1, 1)


def test_callbacks_hear_the_collection() -> None:
    names = ("win_copy", "ansible.builtin.win_copy", "ansible.windows.win_copy", "ansible.windows.setup", "copy")
    assert [resolved(name) for name in names] == [
        "ansible.windows.win_copy",
        "ansible.windows.win_copy",
        "ansible.windows.win_copy",
        "ansible.windows.setup",
        "ansible.builtin.copy",
    ]


def test_arguments_are_parsed_once_for_each_kind(
    endpoint: WinrmServer, monkeypatch: pytest.MonkeyPatch, mixed: Inventory
) -> None:
    parsed: list[str] = []
    for kind in (module_on("ping", POSIX), module_on("ping", WINDOWS)):

        def counting(cls: Any, args: Any, made: Any = kind.from_args) -> Module:
            parsed.append(cls.__module__)
            return made(args)  # type: ignore[no-any-return]

        monkeypatch.setattr(kind, "from_args", classmethod(counting))
    targets = tuple(Target(f"{name}{i}", mixed.variables(name)) for name in ("here", "win1") for i in range(3))
    contexts = Contexts()
    try:
        plans = plan(Job("1", Task("ping"), targets, Timeouts()), contexts)
    finally:
        contexts.close()
    assert parsed == ["sshexec.modules.ping", "sshexec.modules.windows.ping"]
    assert len({id(each.module) for each in plans.values()}) == 2


@pytest.mark.parametrize(
    ("module", "args", "kind", "words"),
    [
        ("win_command", {"cmd": "x", "bogus": 1}, errors.ArgumentError, "bogus"),
        ("ping", {"bogus": 1}, errors.ArgumentError, "bogus"),
        ("win_comand", "x", errors.UnknownModuleError, r"no module named 'win_comand'.*did you mean win_command\?"),
        ("ansible.windows.copy", "x", errors.UnknownModuleError, "ansible.windows.copy"),
        ("win_command", "{{ nope }}", errors.InputError, "'nope' is undefined"),
    ],
)
def test_bad_input_is_bad_input_still(
    module: str, args: Any, kind: type[Exception], words: str, standing: tuple[Engine, WinrmServer]
) -> None:
    engine, endpoint = standing
    with pytest.raises(kind, match=words):
        engine.run("all", module, args)
    assert endpoint.connections == 0


def test_no_log_says_nothing_of_wrong_arguments(standing: tuple[Engine, WinrmServer]) -> None:
    with pytest.raises(errors.ArgumentError) as caught:
        standing[0].run("win1", "win_command", {"cmd": "x", "canary": 1}, no_log=True)
    assert str(caught.value) == "win_command: the arguments are wrong, and not shown, since no_log is set"


def test_expressions_of_a_module_that_is_not_for_a_host(standing: tuple[Engine, WinrmServer]) -> None:
    # What only the other host has is not asked for.
    result = standing[0].run("win1", "command", "echo {{ only_elsewhere }}")["win1"]
    assert result.msg == "command is not for Windows hosts: use win_command"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"ansible_become": True}, "host win1: ansible_become: a winrm connection can't become another user"),
        (
            {"ansible_become": "yes", "ansible_become_method": "runas"},
            "host win1: ansible_become_method: runas is not supported: a winrm connection can't become another user",
        ),
        (
            {"ansible_become": "yes", "ansible_become_method": "ansible.builtin.runas"},
            "ansible_become_method: runas is not supported",
        ),
    ],
)
def test_nobody_becomes_another_user(variables: dict[str, Any], words: str, endpoint: WinrmServer) -> None:
    host = Host("win1", {**endpoint.variables(), **variables})
    with Engine(Inventory.from_hosts([host])) as engine, pytest.raises(errors.OptionError, match=words):
        engine.run("win1", "ping")
    assert endpoint.connections == 0


def test_a_method_that_nobody_uses_hurts_nobody(endpoint: WinrmServer) -> None:
    host = Host("win1", {**endpoint.variables(), "ansible_become_method": "runas"})
    with Engine(Inventory.from_hosts([host])) as engine:
        assert engine.run("win1", "ping").counts == {"ok": 1}


def test_every_module_has_a_class_for_each_kind_or_says_what_to_use() -> None:
    for name in module_names():
        for capabilities in (POSIX, WINDOWS):
            found = module_on(name, capabilities)
            assert found.name == name
            assert found.needs in capabilities
        assert issubclass(module_on(name, POSIX), Instead) == name.startswith("win_")
    assert module_class("ansible.windows.setup") is module_class("setup")
    assert module_on("ansible.windows.slurp", WINDOWS) is module_on("slurp", WINDOWS)
    assert module_on("raw", Capability.NONE) is module_class("raw")


class Posix(Module):
    name = "acme.tools.posix"
    parameters = ()

    def run(self, connector: Any, invocation: Any) -> dict[str, Any]:
        return {}


class Windows(Posix):
    name = "acme.tools.windows"
    needs = Capability.WINDOWS


class Anywhere(Posix):
    name = "acme.tools.anywhere"
    needs = Capability.NONE


def test_modules_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {kind.name: kind for kind in (Posix, Windows, Anywhere)}
    monkeypatch.setattr(registry, "module_class", kinds.__getitem__)
    on = module_on.__wrapped__
    assert on("acme.tools.posix", POSIX) is Posix
    assert on("acme.tools.windows", WINDOWS) is Windows
    assert on("acme.tools.anywhere", WINDOWS) is on("acme.tools.anywhere", POSIX) is Anywhere
    told = {
        on(name, where).from_args("x").run(None, None)["msg"]  # type: ignore[arg-type]
        for name, where in (("acme.tools.posix", WINDOWS), ("acme.tools.windows", POSIX))
    }
    assert told == {
        "acme.tools.posix is not for Windows hosts: it needs a POSIX shell",
        "acme.tools.windows is for Windows hosts only",
    }
    # A host of neither kind: the plan says that the module does not work over its connection.
    assert on("acme.tools.windows", Capability.NONE) is Windows


def test_a_module_of_ansible_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    from sshexec.modules.ansible.foreign import Foreign

    apt = type("Apt", (Foreign,), {"name": "apt", "__module__": Foreign.__module__})
    monkeypatch.setattr(registry, "module_class", lambda name: apt)
    module = module_on.__wrapped__("apt", WINDOWS).from_args("name=vim")
    assert module.run(None, None)["msg"] == (  # type: ignore[arg-type]
        "apt is a module that needs Python, which Windows has not: use win_shell, win_command or script"
    )
