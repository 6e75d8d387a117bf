"""Callback classes that are written for Ansible, on top of its own CallbackBase, called by our engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
    import site, sys
    site.addsitedir(sys.argv[1])
    # Workers could not import what only this process finds.
    from gevent import monkey; monkey.patch_all()
    import contextlib, io, json, logging
    from ansible import context
    from ansible.module_utils.common.collections import ImmutableDict
    from ansible.plugins.callback import CallbackBase
    from ansible.plugins.loader import callback_loader, init_plugin_loader
    from sshexec import Engine, Host, Inventory

    class Current(CallbackBase):
        def __init__(self):
            super().__init__()
            self.seen = {"ok": {}, "failed": {}, "skipped": {}, "unreachable": {}}
        def v2_runner_on_ok(self, result, **kwargs):
            self.seen["ok"][result._host.get_name()] = self._dump_results(result._result)
        def v2_runner_on_failed(self, result, ignore_errors=False):
            self.seen["failed"][result._host.get_name()] = result._result["rc"]
        def v2_runner_on_skipped(self, result):
            self.seen["skipped"][result._host.get_name()] = result._task.get_name()
        def v2_runner_on_unreachable(self, result):
            self.seen["unreachable"][result._host.get_name()] = result._result["unreachable"]

    class Old(CallbackBase):
        seen = []
        def runner_on_ok(self, host, res):
            self.seen.append(["ok", host])
        def runner_on_failed(self, host, res, ignore_errors=False):
            self.seen.append(["failed", host])
        def playbook_on_stats(self, stats):
            self.seen.append(["stats", sorted(stats.processed)])

    class Logged(logging.Handler):
        seen = []
        def emit(self, record):
            self.seen.append(self.format(record))

    init_plugin_loader([])
    context.CLIARGS = ImmutableDict(check=False)
    logging.getLogger("sshexec").addHandler(Logged())
    own = []
    for name in ("default", "minimal"):
        plugin = callback_loader.get(name)
        plugin.set_options()
        own.append(plugin)
    current, old = Current(), Old()
    local = {"ansible_connection": "local"}
    down = {"ansible_connection": "fake", "fake_fault": "refused"}
    inventory = Inventory.from_hosts([Host("up", local), Host("down", down)])
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), Engine(inventory, callback=[current, old, *own]) as engine:
        engine.run("all", "shell", "echo hi")
        engine.run("up", "shell", "exit 3")
        engine.run("up", "raw", "true", check=True)
        engine.run("up", "copy", {"content": "x\\n", "dest": "/nowhere"}, check=True, diff=True)
    print(json.dumps({"current": current.seen, "old": old.seen, "printed": printed.getvalue(), "logged": Logged.seen}))
"""


ORDER = """
    import site, sys
    site.addsitedir(sys.argv[1])
    if sys.argv[2] == "ours":
        from gevent import monkey; monkey.patch_all()
    import json
    from ansible import context
    from ansible.module_utils.common.collections import ImmutableDict
    from ansible.plugins.callback import CallbackBase
    from ansible.plugins.loader import init_plugin_loader

    CASES = [
        ("shell", {"_raw_params": "echo hi"}, {}),
        ("shell", {"_raw_params": "exit 3"}, {}),
        ("raw", {"_raw_params": "true"}, {"check": True}),
        ("ping", {"data": "x"}, {"diff": True}),
        ("copy", {"content": "x", "dest": "/nowhere"}, {"check": True, "diff": True}),
    ]
    HOSTS = {
        "up": {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"},
        "down": {"ansible_host": "127.0.0.1", "ansible_port": 1},
    }

    class Order(CallbackBase):
        def __init__(self):
            super().__init__()
            self.seen = []
        def _keep(self, name, result, **more):
            task = result._task
            # Ansible answers is_failed and is_skipped by the keys that it has just removed, so always with no.
            asked = [result.is_changed(), result.is_unreachable()]
            args = {name: value for name, value in task.args.items() if not name.startswith(("_ansible_", "_uses"))}
            self.seen.append([
                name, result._host.get_name(), str(result._host), task.get_name(), task.name, task.action, task.no_log,
                args, result.task_name, asked, "failed" in result._result, "skipped" in result._result,
                result._result.get("unreachable"), result._result.get("_ansible_no_log"), more,
            ])
        def v2_playbook_on_play_start(self, play):
            self.seen.append(["play", play.get_name()])
        def v2_playbook_on_task_start(self, task, is_conditional):
            self.seen.append(["task", task.get_name(), is_conditional])
        def v2_runner_on_start(self, host, task):
            self.seen.append(["start", host.get_name(), task.get_name()])
        def v2_runner_on_ok(self, result):
            self._keep("ok", result)
        def v2_runner_on_failed(self, result, ignore_errors):
            self._keep("failed", result, ignore_errors=bool(ignore_errors))
        def v2_runner_on_skipped(self, result):
            self._keep("skipped", result)
        def v2_runner_on_unreachable(self, result):
            self._keep("unreachable", result)
        def v2_on_file_diff(self, result):
            self._keep("diff", result, diff=bool(result._result["diff"]))

    def ours(module, args, options, pattern):
        from sshexec import Engine, Host, Inventory
        seen = Order()
        with Engine(Inventory.from_hosts([Host(*each) for each in HOSTS.items()]), callback=seen) as engine:
            engine.run(pattern, module, args, **options)
        return seen.seen

    def ansible(module, args, options, pattern):
        from ansible.executor.task_queue_manager import TaskQueueManager
        from ansible.inventory.manager import InventoryManager
        from ansible.parsing.dataloader import DataLoader
        from ansible.playbook.play import Play
        from ansible.vars.manager import VariableManager
        context.CLIARGS = ImmutableDict({"check": False, "diff": False, "verbosity": 0, "connection": "ssh", **options})
        loader = DataLoader()
        inventory = InventoryManager(loader, sources=["up,down"])
        for name, variables in HOSTS.items():
            for each in variables.items():
                inventory.get_host(name).set_variable(*each)
        variables = VariableManager(loader, inventory, version_info={"string": "", "full": ""})
        task = {"action": {"module": module, "args": args}}
        play = Play().load({"hosts": pattern, "gather_facts": "no", "tasks": [task]}, variables, loader)
        manager = TaskQueueManager(inventory, variables, loader, passwords={}, forks=2)
        seen = Order()
        seen._init_callback_methods()
        manager._callback_plugins.append(seen)
        try:
            manager.run(play)
        finally:
            manager.cleanup()
        return seen.seen

    init_plugin_loader([])
    ask = ours if sys.argv[2] == "ours" else ansible
    answers = [ask(*case, "up") for case in CASES] + [ask("ping", {}, {}, "down")]
    print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def python(oracle_python: str) -> str:
    """The oracle's interpreter, where it can load what is built for ours."""
    version = subprocess.run([oracle_python, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True)
    if version.stdout.decode().strip() != str(sys.version_info[:2]):
        pytest.skip("the oracle's Python is another one than ours, and can't load what is built for ours")
    return oracle_python


def run(python: str, script: str, folder: Path, *arguments: str) -> Any:
    """Run a script in a process that has both Ansible and this project, and return the JSON on its last line."""
    path = folder / "callbacks.py"
    path.write_text(textwrap.dedent(script))
    done = subprocess.run(
        [python, str(path), sysconfig.get_path("purelib"), *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "HOME": str(folder), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_DEPRECATION_WARNINGS": "0"},
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def answer(python: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What classes that are written for Ansible were told by our engine."""
    told: dict[str, Any] = run(python, SCRIPT, tmp_path_factory.mktemp("callbacks"))
    return told


def test_the_same_calls_with_the_same_answers_as_ansible(python: str, tmp_path: Path) -> None:
    ours, theirs = (run(python, ORDER, tmp_path, who) for who in ("ours", "ansible"))
    assert ours == theirs


def test_a_subclass_of_ansibles_class_is_called(answer: dict[str, Any]) -> None:
    seen = answer["current"]
    assert json.loads(seen["ok"]["up"]) == {"changed": True}
    assert seen["failed"] == {"up": 3}
    assert seen["skipped"] == {"up": "raw"}
    assert seen["unreachable"] == {"down": True}


def test_a_subclass_with_names_of_ansible_1_is_called(answer: dict[str, Any]) -> None:
    assert [about for about in answer["old"] if about[0] != "stats"] == [["ok", "up"], ["failed", "up"], ["ok", "up"]]
    assert answer["old"].count(["stats", ["down", "up"]]) == 1


def test_what_ansible_brings_prints_as_it_does(answer: dict[str, Any]) -> None:
    printed = answer["printed"]
    for line in (
        "up | CHANGED | rc=0 >>",
        "changed: [up]",
        "up | FAILED | rc=3 >>",
        "skipping: [up]",
        "+x",
        "down | UNREACHABLE! => {",
        "PLAY RECAP " + "*" * 69,
    ):
        assert line in printed.splitlines(), printed
    assert answer["logged"] == []
