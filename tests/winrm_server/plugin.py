"""Ansible's own winrm connection plugin, asked step by step: runs in the oracle's virtual environment.

Reads one JSON request a line and writes one JSON answer a line:

``{"variables": {...}, "steps": [["exec", command], ["put", here, there], ["fetch", there, here], ...]}``
→ ``{"answers": [{"rc": ..., "stdout": ..., "stderr": ...} or {} or {"error": text, "kind": class}, ...]}``

Any other request is one of `tests.oracle.driver`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "oracle"))

import driver
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader, init_plugin_loader

_NAMED = {"transport", "scheme", "path", "connection_timeout", "kerberos_mode", "kinit_cmd", "kinit_args"}
"""What is an option of the plugin; other ``ansible_winrm_*`` variables are handed to pywinrm as they are."""


def connect(variables: dict[str, Any]) -> Any:
    """Return the plugin with a host's variables as its options."""
    connection = connection_loader.get("winrm", PlayContext(), os.devnull)
    extras = {
        name: value
        for name, value in variables.items()
        if name.startswith("ansible_winrm_") and name.removeprefix("ansible_winrm_") not in _NAMED
    }
    connection.set_options(var_options={**variables, "_extras": extras})
    return connection


def step(connection: Any, name: str, *arguments: str) -> dict[str, Any]:
    """Do one thing."""
    if name == "exec":
        rc, stdout, stderr = connection.exec_command(arguments[0])
        return {"rc": rc, "stdout": stdout.decode(), "stderr": stderr.decode()}
    {"put": connection.put_file, "fetch": connection.fetch_file}[name](*arguments)
    return {}


def conversation(request: dict[str, Any]) -> dict[str, Any]:
    """Hold one conversation over one connection."""
    connection = connect(request["variables"])
    answers = []
    try:
        for each in request["steps"]:
            try:
                answers.append(step(connection, *each))
            except Exception as error:
                answers.append({"error": str(error), "kind": type(error).__name__})
    finally:
        connection.close()
    return {"answers": answers}


def main() -> None:
    """Answer until standard input ends."""
    init_plugin_loader([])
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = conversation(request) if "steps" in request else driver.run(request)
        except Exception as error:
            answer = {"status": "error", "result": {"msg": repr(error)}, "events": []}
        driver.CHANNEL.write(json.dumps(answer, default=str) + "\n")
        driver.CHANNEL.flush()


if __name__ == "__main__":
    main()
