"""Callback classes that are written for Ansible, on top of its own CallbackBase, called by our engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import textwrap
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


@pytest.fixture(scope="module")
def answer(oracle_python: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the callbacks of a process were told that has both Ansible and this project."""
    version = subprocess.run([oracle_python, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True)
    if version.stdout.decode().strip() != str(sys.version_info[:2]):
        pytest.skip("the oracle's Python is another one than ours, and can't load what is built for ours")
    script = tmp_path_factory.mktemp("callbacks") / "callbacks.py"
    script.write_text(textwrap.dedent(SCRIPT))
    done = subprocess.run(
        [oracle_python, str(script), sysconfig.get_path("purelib")],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "HOME": str(script.parent), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_DEPRECATION_WARNINGS": "0"},
        cwd=script.parent,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


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
