"""Real ansible-runner: runs in the oracle's own virtual environment, not in the project's.

Reads one JSON object from standard input and writes one to standard output:

``{"run": [{"inventory": {}, "module": name, "args": {}, "diff": bool, "check": bool, ...}, ...], "folder": path}``
→ ``{"run": [{"adhoc": [events], "playbook": [events], "status": ..., "rc": ..., "stats": ...}, ...]}``

``{"read": {"folder": path, "ident": name, "host": name}}``
→ ``{"events": [...], "stats": {...}, "host_events": [...], "facts": {...}, "stdout": text}``
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ansible_runner
from ansible_runner.config.runner import RunnerConfig

CHANNEL = os.fdopen(os.dup(1), "w")
"""Where answers go; what Ansible prints goes to standard error."""
os.dup2(2, 1)


def run(request: dict[str, Any], folder: str) -> dict[str, Any]:
    """Run one task as the ``ansible`` command does, and as a playbook of its own."""
    for name in ("adhoc", "playbook"):
        os.makedirs(os.path.join(folder, name))
    inventory = os.path.join(folder, "hosts.json")
    with open(inventory, "w") as file:
        json.dump(request["inventory"], file)
    flags = " ".join(flag for name, flag in (("diff", "--diff"), ("check", "--check")) if request.get(name))
    kept = {"inventory": inventory, "quiet": True, "cmdline": flags or None}
    words = " ".join(f"{name}={value}" for name, value in request["args"].items() if name != "_raw_params")
    words = request["args"].get("_raw_params", words)
    adhoc = ansible_runner.run(
        private_data_dir=os.path.join(folder, "adhoc"),
        module=request["module"],
        module_args=words,
        host_pattern="all",
        **kept,
    )
    task = {"action": {"module": request["module"], **request["args"]}, **request.get("keywords", {})}
    playbook = ansible_runner.run(
        private_data_dir=os.path.join(folder, "playbook"),
        playbook=[{"hosts": "all", "gather_facts": False, "tasks": [task]}],
        **kept,
    )
    return {
        "adhoc": list(adhoc.events),
        "playbook": list(playbook.events),
        "status": playbook.status,
        "rc": playbook.rc,
        "stats": playbook.stats,
    }


def read(request: dict[str, Any]) -> dict[str, Any]:
    """Read what somebody else has left in files, as a platform does."""
    config = RunnerConfig(private_data_dir=request["folder"], ident=request["ident"])
    config.artifact_dir = os.path.join(request["folder"], "artifacts", request["ident"])
    config.fact_cache = os.path.join(config.artifact_dir, "fact_cache")
    config.fact_cache_type = "jsonfile"
    runner = ansible_runner.Runner(config)
    with runner.stdout as stdout:
        text = stdout.read()
    return {
        "events": list(runner.events),
        "stats": runner.stats,
        "host_events": list(runner.host_events(request["host"])),
        "facts": runner.get_fact_cache(request["host"]),
        "stdout": text,
    }


def main() -> None:
    """Answer."""
    request = json.load(sys.stdin)
    if "read" in request:
        answer = read(request["read"])
    else:
        with ThreadPoolExecutor(2) as pool:
            folders = [os.path.join(request["folder"], str(number)) for number in range(len(request["run"]))]
            answer = {"run": list(pool.map(run, request["run"], folders))}
    json.dump(answer, CHANNEL)
    CHANNEL.flush()


if __name__ == "__main__":
    main()
