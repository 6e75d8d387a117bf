"""What an Ansible module prints, made into the result that Ansible makes of it (ansible-core 2.19.14)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sshexec.modules.base import Result

_KIND = "__ansible_type"
"""Key by which ansible-core 2.19 marks structures of its own in a module's answer."""
_FAILED = "Module result deserialization failed"


def read(stdout: str, stderr: str, rc: int, interpreter: str) -> Result:
    """Return the result of a module that was run.

    Args:
        stdout: what it printed; lines around the JSON are let pass.
        stderr: what it said beside that.
        rc: its exit status.
        interpreter: the Python that was to run it, for messages.
    """
    try:
        text, behind = _json(stdout)
        answer = json.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"The module interpreter '{interpreter}' was not found." if rc == 127 else f"{_FAILED}: {error}"
        return {
            "failed": True,
            "changed": False,
            "msg": message,
            "module_stdout": stdout,
            "module_stderr": stderr,
            "rc": rc,
        }
    result = _result(answer)
    if behind:
        _warn(result, f"Module invocation had junk after the JSON data: {behind}")
    return result


def _json(text: str) -> tuple[str, str]:
    """Return the JSON object in a text, from the first line that may begin one, and what follows the last that ends."""
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.lstrip().startswith("{")]
    if not starts:
        raise ValueError("No start of json char found")
    ends = [number for number, line in enumerate(lines) if line.rstrip().endswith("}") and number >= starts[0]]
    if not ends:
        raise ValueError("No end of json char found")
    return "\n".join(lines[starts[0] : ends[-1] + 1]), "\n".join(lines[ends[-1] + 1 :]).strip()


def _result(answer: dict[str, Any]) -> Result:
    exception = answer.pop("exception", None)
    private = [name for name in answer if name.startswith("_ansible_")]
    result: Result = {name: value for name, value in answer.items() if name not in private}
    # Texts as they are, before anything else is added to them.
    for name in ("warnings", "deprecations"):
        if isinstance(result.get(name), list):
            result[name] = [_plain(each) for each in result[name]]
    for name in private:
        _warn(result, f"Removed unexpected internal key in module return: {name} = {answer[name]}")
    if "results" in result and not isinstance(result["results"], (list, dict)):
        result["ansible_module_results"] = result.pop("results")
        _warn(result, "Found internal 'results' key in module return, renamed to 'ansible_module_results'.")
    for stream in ("stdout", "stderr"):
        if stream in result and f"{stream}_lines" not in result:
            result[f"{stream}_lines"] = str(result[stream] or "").splitlines()
    failed = result["failed"] if "failed" in result else result.get("rc") not in (None, 0, "0")
    result.pop("failed", None)
    if failed:
        result["failed"] = True
        if "msg" not in result:
            said = _message(exception)
            result["msg"] = f"Module failed: {said}" if said else "Action failed: Unknown error."
    result.setdefault("changed", False)
    return result


def _warn(result: Result, text: str) -> None:
    result["warnings"] = [*(result.get("warnings") or ()), text]


def _plain(value: Any) -> Any:
    """Return a warning or deprecation as results show it."""
    if not isinstance(value, Mapping) or _KIND not in value:
        return value
    message = _message(value)
    if value[_KIND] != "DeprecationSummary":
        return message
    deprecator = value.get("deprecator")
    shown: dict[str, Any] = {"msg": message}
    if isinstance(deprecator, Mapping):
        deprecator = {name: each for name, each in deprecator.items() if name != _KIND}
        shown["collection_name"] = deprecator.get("resolved_name")
    shown.update({name: value[name] for name in ("date", "version") if value.get(name) is not None})
    return {**shown, "deprecator": deprecator}


def _message(summary: Any) -> str:
    """Return what a summary says: its event's message, and behind it those of what led to it."""
    event = summary.get("event") if isinstance(summary, Mapping) else None
    said = []
    while isinstance(event, Mapping):
        said.append(str(event.get("msg") or ""))
        chain = event.get("chain")
        event = chain.get("event") if isinstance(chain, Mapping) and chain.get("follow", True) else None
    message = said.pop() if said else ""
    for outer in reversed(said):
        # Many messages quote their cause already.
        message = outer if outer.endswith(message) else f"{outer.removesuffix('.')}: {message}"
    return message
