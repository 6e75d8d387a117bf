"""Modules of which a part runs inside Ansible itself: what of them can be done without it, and what to use instead.

Where such a part does nothing for certain arguments but to start its module, the module is run with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sshexec.connectors.posix import NOTE, operand
from sshexec.errors import ArgumentError
from sshexec.modules.words import expanding
from sshexec.scalars import boolean

_PLAYBOOK = (
    "add_host assert debug fail gather_facts group_by import_playbook import_role import_tasks include_role"
    " include_tasks include_vars meta pause set_fact set_stats validate_argument_spec"
)
_INSTEAD = {
    **dict.fromkeys(_PLAYBOOK.split(), "belongs to playbooks, which sshexec does not run"),
    **dict.fromkeys(("async_status", "async_wrapper"), "is for tasks in the background, which sshexec does not start"),
    "package": "asks Ansible which package manager a host has: use apt, dnf, dnf5 or that of the host",
    "reboot": "runs inside Ansible: use the shell module, then wait_for_connection",
    "service": "asks Ansible which service manager a host has: use systemd_service or sysvinit",
    "template": "is filled in inside Ansible, and not available yet: copy takes a content with expressions in it",
}
_PREFIXES = ("ansible.builtin.", "ansible.legacy.")


@dataclass(frozen=True, slots=True)
class Part:
    """What a module's controller part leaves to be done.

    Args:
        arguments: the module's arguments.
        script: shell text that runs on the host before the module.
        notes: results for the notes by which that script ends the task.
        check: the result in check mode, where the module is not run at all then.
    """

    arguments: Mapping[str, Any]
    script: str = ""
    notes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    check: Mapping[str, Any] | None = None


def instead(name: str) -> str | None:
    """Return why a module can't be used at all, and what can; None where nothing is known against it."""
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return _INSTEAD.get(name)


def part(action: str, arguments: Mapping[str, Any]) -> Part:
    """Return what a controller part leaves to be done for these arguments.

    Args:
        action: its full name; "" where the module has none.
        arguments: the module's, as they were given.

    Raises:
        ArgumentError: something that only Ansible itself can do.
    """
    if not action:
        return Part(arguments)
    if action not in _PARTS:
        raise ArgumentError(f"{action}: a part of this module runs inside Ansible itself, which sshexec does not do")
    return _PARTS[action](arguments)


def _assemble(arguments: Mapping[str, Any]) -> Part:
    if not _true(arguments.get("remote_src", True)):
        raise ArgumentError(
            "assemble: remote_src=no is done inside Ansible itself: copy the fragments to the host first"
        )
    return Part(_without(arguments, "decrypt"))


def _dnf(arguments: Mapping[str, Any]) -> Part:
    backend = arguments.get("use", arguments.get("use_backend"))
    if backend not in ("dnf", "dnf4", "yum4"):
        raise ArgumentError(
            "dnf: Ansible itself finds out which dnf a host has: say use_backend=dnf4, or use the dnf5 module"
        )
    return Part(_without(arguments, "use", "use_backend"))


def _unarchive(arguments: Mapping[str, Any]) -> Part:
    if "copy" in arguments and "remote_src" in arguments:
        raise ArgumentError("unarchive: parameters are mutually exclusive: ('copy', 'remote_src')")
    remote = not _true(arguments["copy"]) if "copy" in arguments else _true(arguments.get("remote_src", False))
    if not remote:
        raise ArgumentError(
            "unarchive: without remote_src=yes the archive is sent by Ansible itself: copy it to the host first"
        )
    arguments = {**_without(arguments, "copy", "decrypt"), "remote_src": True}
    creates, dest = arguments.get("creates"), str(arguments.get("dest") or "")
    script = f"[ -d {expanding(operand(dest))} ] || {{ {NOTE} dest; exit 1; }}\n"
    if creates:
        script = f"if [ -e {expanding(operand(str(creates)))} ]; then {NOTE} creates; exit 0; fi\n{script}"
    return Part(
        arguments,
        script,
        {
            "creates": {"skipped": True, "msg": f"skipped, since {creates} exists"},
            "dest": {"failed": True, "msg": f"dest '{dest}' must be an existing dir"},
        },
    )


def _uri(arguments: Mapping[str, Any]) -> Part:
    if not _true(arguments.get("remote_src", False)):
        sent = "src" if arguments.get("src") else "body_format=form-multipart"
        if sent == "src" or arguments.get("body_format") == "form-multipart":
            raise ArgumentError(f"uri: without remote_src=yes what {sent} names is sent by Ansible itself")
    skipped = {"skipped": True, "msg": "This action (uri) does not support check mode."}
    return Part(arguments, check=skipped)


_PARTS = {
    "ansible.builtin.assemble": _assemble,
    "ansible.builtin.dnf": _dnf,
    "ansible.builtin.unarchive": _unarchive,
    "ansible.builtin.uri": _uri,
}


def _true(value: Any) -> bool:
    # As its controller part: what is no boolean is taken for false.
    try:
        return boolean(value)
    except ValueError:
        return False


def _without(arguments: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in names}
