"""What `AnsibleApi` stands in for, on real Ansible: runs in the oracle's own virtual environment.

The class in platform code is an inventory of plain names, one play of one task through Ansible's Python API, and a
callback that sorts results into three maps. This does the same in its own words. Reads one JSON request,
``{"settings": {...}, "runs": [{...}, ...]}``, and writes the maps of every run, by host, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

CHANNEL = os.fdopen(os.dup(1), "w", encoding="utf-8")
"""Where the answer goes; what Ansible prints goes to standard error."""
os.dup2(2, 1)

from ansible import context  # noqa: E402 - Ansible may print while it is imported
from ansible.executor.task_queue_manager import TaskQueueManager  # noqa: E402
from ansible.inventory.manager import InventoryManager  # noqa: E402
from ansible.module_utils.common.collections import ImmutableDict  # noqa: E402
from ansible.parsing.dataloader import DataLoader  # noqa: E402
from ansible.playbook.play import Play  # noqa: E402
from ansible.plugins.callback import CallbackBase  # noqa: E402
from ansible.plugins.loader import init_plugin_loader  # noqa: E402
from ansible.vars.manager import VariableManager  # noqa: E402


class Maps(CallbackBase):
    """Sorts results by host; ``skipped`` is the map that some relatives of the class have."""

    def __init__(self) -> None:
        super().__init__()
        self.maps: dict[str, dict[str, Any]] = {name: {} for name in ("success", "failed", "unreachable", "skipped")}

    def _keep(self, name: str, result: Any) -> None:
        self.maps[name][result._host.get_name()] = result._result

    def v2_runner_on_ok(self, result: Any, **_: Any) -> None:
        self._keep("success", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._keep("failed", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._keep("unreachable", result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._keep("skipped", result)


def run(settings: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    """Run one task on every host of the settings."""
    names = ("become", "become_method", "become_user", "check", "diff", "remote_user", "private_key_file")
    given = {name: settings.get(name) for name in names}
    context.CLIARGS = ImmutableDict(connection=settings.get("connection", "smart"), forks=5, verbosity=0, **given)
    loader = DataLoader()
    inventory = InventoryManager(loader, sources=["localhost,"])
    for host in settings["host_lists"]:
        inventory.add_host(host, port=settings["port"])
    variables = VariableManager(loader, inventory)
    action = {"module": task.get("module", "shell"), "args": task["args"]}
    play = {"name": "original", "hosts": settings["host_lists"], "gather_facts": "no", "tasks": [{"action": action}]}
    recorder = Maps()
    manager = TaskQueueManager(inventory, variables, loader, passwords={"conn_pass": settings.get("remote_password")})
    if hasattr(recorder, "_init_callback_methods"):  # since ansible-core 2.19
        recorder._init_callback_methods()
    manager._callback_plugins.append(recorder)
    try:
        manager.run(Play().load(play, variables, loader))
    finally:
        manager.cleanup()
    return recorder.maps


def main() -> None:
    """Answer the one request."""
    init_plugin_loader([])
    request = json.load(sys.stdin)
    answers = [run({**request["settings"], **each.pop("settings", {})}, each) for each in request["runs"]]
    json.dump(answers, CHANNEL, default=str)
    CHANNEL.flush()


if __name__ == "__main__":
    main()
