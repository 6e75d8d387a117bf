"""Real Ansible, asked task by task: runs in the oracle's own virtual environment, not in the project's.

Reads one JSON request a line and writes one JSON answer a line:

``{"inventory": path, "basedir": path, "module": name, "args": text or mapping, "check": bool, "diff": bool, ...}``
→ ``{"status": "ok|failed|skipped|unreachable", "result": {...}, "events": [...]}``

``{"call": name, "each": [arguments, ...]}`` → ``{"answers": [{"result": ...} or {"error": text}, ...]}``, see `CALLS`.

A text is split as the ``ansible`` command splits ``-a``; a mapping is handed over as it is.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from ansible import constants, context
from ansible.executor.task_queue_manager import TaskQueueManager
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.collections import ImmutableDict
from ansible.module_utils.common.parameters import DEFAULT_TYPE_VALIDATORS
from ansible.module_utils.errors import UnsupportedError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.splitter import parse_kv
from ansible.playbook.play import Play
from ansible.plugins.callback import CallbackBase
from ansible.plugins.loader import init_plugin_loader
from ansible.vars.manager import VariableManager

try:
    from ansible.template import trust_as_template
except ImportError:  # ansible-core 2.18 trusts every text

    def trust_as_template(value: Any) -> Any:
        return value


CHANNEL = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="surrogateescape")
"""Where answers go; what Ansible prints goes to standard error."""
os.dup2(2, 1)


class Recorder(CallbackBase):
    """Keeps what the callbacks are told."""

    def __init__(self) -> None:
        super().__init__()
        self.status = "nothing"
        self.result: dict[str, Any] = {}
        self.events: list[str] = []

    def _keep(self, status: str, result: Any) -> None:
        self.status, self.result = status, result._result
        self.events.append(f"v2_runner_on_{status}")

    def v2_runner_on_ok(self, result: Any, **_: Any) -> None:
        self._keep("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._keep("failed", result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._keep("skipped", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._keep("unreachable", result)


def trusted(value: Any) -> Any:
    """Return a value whose texts are templates, as those of a playbook are."""
    if isinstance(value, dict):
        return {name: trusted(each) for name, each in value.items()}
    if isinstance(value, list):
        return [trusted(each) for each in value]
    return trust_as_template(value) if isinstance(value, str) else value


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run one task on the one host of an inventory."""
    # As for `ansible` ad-hoc, local files are looked for in the current directory.
    os.chdir(request["basedir"])
    args = request["args"]
    if isinstance(args, str):
        free = request["module"].rpartition(".")[2] in [*constants.MODULE_REQUIRE_ARGS_SIMPLE, "meta"]
        raw = request["module"] in constants.MODULE_REQUIRE_ARGS or free
        args = parse_kv(args, check_raw=raw)
    context.CLIARGS = ImmutableDict(
        check=request.get("check", False), diff=request.get("diff", False), verbosity=0, forks=1, connection="ssh"
    )
    loader = DataLoader()
    loader.set_basedir(request["basedir"])
    inventory = InventoryManager(loader, sources=[request["inventory"]])
    variables = VariableManager(loader, inventory, version_info={"string": "", "full": ""})
    task = {"action": {"module": request["module"], "args": trusted(args)}, **request.get("keywords", {})}
    play = Play().load(
        trusted({"name": "oracle", "hosts": "all", "gather_facts": "no", "tasks": [task]}), variables, loader
    )
    recorder = Recorder()
    manager = TaskQueueManager(inventory, variables, loader, passwords={}, forks=1)
    recorder._init_callback_methods()
    manager._callback_plugins.append(recorder)
    try:
        manager.run(play)
    finally:
        manager.cleanup()
    return {"status": recorder.status, "result": recorder.result, "events": recorder.events}


def validated(spec: dict[str, Any], rules: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Hold arguments to an argument spec, as a module does; the first thing wrong is raised."""
    found = ArgumentSpecValidator(spec, **rules).validate(given)
    if found.errors.errors:
        error = found.errors[0]
        raise ValueError(("Unsupported parameters: " if isinstance(error, UnsupportedError) else "") + error.msg)
    return {name: value for name, value in found.validated_parameters.items() if name in spec}


CALLS: dict[str, Callable[..., Any]] = {
    "parse_kv": parse_kv,
    "convert": lambda kind, value: DEFAULT_TYPE_VALIDATORS[kind](value),
    "validate": validated,
}
"""Parts of Ansible that a test puts many questions to at once: ``{"call": name, "each": [arguments, ...]}``."""


def called(part: Callable[..., Any], arguments: list[Any]) -> dict[str, Any]:
    """Return what a part of Ansible answers, or the error that it raises."""
    try:
        return {"result": part(*arguments)}
    except Exception as error:
        return {"error": str(error)}


def main() -> None:
    """Answer until standard input ends."""
    init_plugin_loader([])
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("call") in CALLS:
            answer = {"answers": [called(CALLS[request["call"]], each) for each in request["each"]]}
        else:
            try:
                answer = run(request)
            except Exception as error:
                answer = {"status": "error", "result": {"msg": str(error)}, "events": []}
        CHANNEL.write(json.dumps(answer, default=str) + "\n")
        CHANNEL.flush()


if __name__ == "__main__":
    main()
