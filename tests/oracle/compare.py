"""How two answers are compared: a short normalisation, then key by key.

What is normalised, and nothing else: times and process ids, temporary names, the name prefix of the module (``copy:``,
``ansible.legacy.``), "did you mean", the order of the boolean words and of the supported arguments, ``Task failed:``, a
full stop at a message's end, ``exception``, private keys (``_ansible_...``), ``failed`` and ``skipped`` (`status` says
them), and of ``invocation`` the private arguments. Of ``script``, ``raw``, ``fetch`` and modules of others those are
compared that both tell; ``src`` is each one's own name for what it sent, of ``copy`` too. A failure whose
``invocation`` Ansible leaves out, since no module ran, may have one here. A place that was searched is named once.
Of input that is refused before any host is contacted only the message is compared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_STRICT = frozenset({"command", "shell", "file", "stat", "slurp", "ping", "setup", "copy"})
_REPLACED = (
    # Temporary files of the controller part, and Ansible's name for the file in them.
    (re.compile(r"(/[^\s':]*)?/\.ansible/tmp/ansible-(tmp|moduletmp|local)-[^\s']*"), "<temporary>"),
    (re.compile(r"[^\s':]*\.(sshexec|ansible_tmp)[-._\w]*"), "<temporary>"),
    # Backup names carry a process id and a time.
    (re.compile(r"\.\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~"), ".<time>~"),
    (re.compile(r"\bansible\.(legacy|builtin)\."), ""),
)
_MARKS = (".ansible", ".sshexec", "@", "ansible.")
"""One of these is in every text that a pattern above fits."""
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?\Z|\d+:\d\d:\d\d(\.\d{6})?\Z")
_VARYING = frozenset(f"ansible_{name}" for name in ("memfree_mb", "swapfree_mb", "uptime_seconds", "date_time"))
_OF_LOGIN = re.compile(r"SSH_|SUDO_COMMAND\Z|LC_CTYPE\Z|PWD\Z|SHLVL\Z")
"""Variables of one login, and those that a shell or Python sets for itself."""
_PREFIX = re.compile(r"Task failed: |Unexpected AnsibleActionFail error: ")
_HINT = re.compile(r" Did you mean [^?]*\?\Z")
_BOOLEANS = re.compile(r"(?<=Valid booleans include: ).*", re.DOTALL)
_AGAIN = re.compile(r"((?:\n\t[^\n]+)+)(?=\1)")
"""Places that were searched and are named again, since two of Ansible's rules lead there."""
_SUPPORTED = re.compile(r"(?<=Supported parameters include: ).*", re.DOTALL)


def normalised(module: str, result: Mapping[str, Any], module_args: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a result as it is compared.

    Args:
        module: short name of the module.
        result: what was answered.
        module_args: the other side's; then only arguments that both have are kept.
    """
    kept = {name: value for name, value in result.items() if not name.startswith("_ansible") and name != "exception"}
    for name in ("start", "end", "delta"):
        if isinstance(kept.get(name), str) and _TIME.match(kept[name]):
            kept[name] = "<time>"
    if isinstance(kept.get("msg"), str):
        kept["msg"] = _message(module, kept["msg"])
    arguments = kept.pop("invocation", {}).get("module_args", {})
    arguments = {name: value for name, value in arguments.items() if not name.startswith("_") or name == "_raw_params"}
    if module_args is not None and module not in _STRICT:
        arguments = {name: value for name, value in arguments.items() if name in module_args}
    if module not in _STRICT or module == "copy":
        # Each has its own name for the file that it sent.
        arguments.pop("src", None)
    return {**replaced(kept), **{f"invocation.{name}": value for name, value in replaced(arguments).items()}}


def facts_compared(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts as they are compared: what differs from one moment or login to the next is only there or not."""
    compared = {name: "<varies>" if name in _VARYING else value for name, value in facts.items()}
    if "ansible_env" in compared:
        env = compared["ansible_env"]
        compared["ansible_env"] = {name: value for name, value in env.items() if not _OF_LOGIN.match(name)}
    for name in ("ansible_interfaces", "ansible_all_ipv4_addresses", "ansible_all_ipv6_addresses"):
        # Ansible tells them in the order of a Python set.
        if name in compared:
            compared[name] = sorted(compared[name])
    return compared


def replaced(value: Any) -> Any:
    """Return a value whose texts have no temporary names in them."""
    if isinstance(value, str):
        # Most texts hold none; one of megabytes would take minutes.
        if any(mark in value for mark in _MARKS):
            for pattern, text in _REPLACED:
                value = pattern.sub(text, value)
        return value
    if isinstance(value, Mapping):
        return {replaced(name): replaced(each) for name, each in value.items()}
    return [replaced(each) for each in value] if isinstance(value, (list, tuple)) else value


def dropped(result: dict[str, Any], name: str) -> None:
    """Take a key out of a result; ``stat.inode`` is a key within a key, since some of those can't be the same twice."""
    result.pop(name, None)
    outer, dot, inner = name.partition(".")
    if dot and isinstance(result.get(outer), dict):
        dropped(result[outer], inner)


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what differs, by key: ours, theirs; a key that is missing is ``<missing>``."""
    keys = sorted({*ours, *theirs})
    pairs = {key: (ours.get(key, "<missing>"), theirs.get(key, "<missing>")) for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _message(module: str, text: str) -> str:
    text = _HINT.sub("", _PREFIX.sub("", text).removeprefix(f"{module}: ")).rstrip(".")
    # Ansible lists the elements of a set: another order in each process.
    text = _BOOLEANS.sub(lambda found: ", ".join(sorted(found[0].split(", "))), text)
    text = _AGAIN.sub("", text)
    names = _SUPPORTED.search(text)
    if names:
        public = sorted(name for name in re.split(r",\s+(?![^(]*\))", names[0]) if not name.startswith("_"))
        text = text[: names.start()] + ", ".join(public)
    return text
