"""Modules of which a part runs inside Ansible itself; tests/oracle/test_foreign.py runs those that can be used."""

from __future__ import annotations

from typing import Any

import pytest

from sshexec.errors import ArgumentError, UnknownModuleError
from sshexec.modules.ansible.controller_part import instead, part
from sshexec.modules.registry import module_class


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("service", "systemd_service or sysvinit"),
        ("package", "apt, dnf"),
        ("template", "not available yet"),
        ("reboot", "wait_for_connection"),
        ("set_fact", "belongs to playbooks"),
        ("ansible.builtin.include_tasks", "belongs to playbooks"),
        ("ansible.legacy.async_status", "background"),
    ],
)
def test_what_can_not_be_used_at_all_says_what_to_use(name: str, advice: str) -> None:
    with pytest.raises(UnknownModuleError, match=f"^module '{name}' .*{advice}"):
        module_class(name)


def test_nothing_is_known_against_the_others() -> None:
    assert instead("lineinfile") is None
    assert instead("my.own.service") is None


@pytest.mark.parametrize(
    ("action", "arguments", "message"),
    [
        ("my.own.part", {}, "my.own.part: a part of this module runs inside Ansible itself"),
        ("ansible.builtin.assemble", {"remote_src": "no"}, "assemble: remote_src=no is done inside Ansible"),
        ("ansible.builtin.dnf", {"name": "x"}, "dnf: .* say use_backend=dnf4, or use the dnf5 module"),
        ("ansible.builtin.dnf", {"use_backend": "dnf5"}, "use the dnf5 module"),
        ("ansible.builtin.unarchive", {"src": "a", "dest": "b"}, "unarchive: without remote_src=yes"),
        ("ansible.builtin.unarchive", {"src": "a", "dest": "b", "copy": "yes"}, "unarchive: without remote_src=yes"),
        ("ansible.builtin.unarchive", {"remote_src": True, "copy": False}, "mutually exclusive: .'copy', 'remote_src'"),
        ("ansible.builtin.uri", {"src": "a"}, "uri: without remote_src=yes what src names"),
        ("ansible.builtin.uri", {"body_format": "form-multipart"}, "what body_format=form-multipart names"),
    ],
)
def test_what_only_ansible_can_do_is_refused(action: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        part(action, arguments)


def test_arguments_of_the_part_itself_are_left_out() -> None:
    assert part("", {"decrypt": 1}).arguments == {"decrypt": 1}
    assert part("ansible.builtin.assemble", {"src": "a", "decrypt": "no"}).arguments == {"src": "a"}
    assert part("ansible.builtin.dnf", {"name": "x", "use": "dnf4", "use_backend": "x"}).arguments == {"name": "x"}
    assert part("ansible.builtin.unarchive", {"src": "a", "dest": "b", "copy": "no", "decrypt": 1}).arguments == {
        "src": "a",
        "dest": "b",
        "remote_src": True,
    }
    assert part("ansible.builtin.uri", {"src": "a", "remote_src": "yes"}).arguments == {"src": "a", "remote_src": "yes"}
