"""The ``setup`` module: the facts that tasks are chosen by, in one round trip and without Python on the host."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

from sshexec.connectors.base import Command, Connector
from sshexec.connectors.output import Output
from sshexec.errors import ArgumentError
from sshexec.modules import facts as read
from sshexec.modules.arguments import Parameter
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.distribution import distribution, package_manager, service_manager
from sshexec.modules.exchange import said
from sshexec.modules.facts_script import script, sections
from sshexec.modules.network_facts import network

_MINIMAL = {
    "apparmor", "caps", "cmdline", "date_time", "distribution", "dns", "env", "fips", "local", "lsb", "pkg_mgr",
    "platform", "python", "selinux", "service_mgr", "ssh_pub_keys", "user",
}  # fmt: skip
_OTHERS = {
    "chroot": "is_chroot",
    "distribution": "distribution_major_version distribution_release distribution_version os_family",
    "facter": "",
    "fibre_channel_wwn": "",
    "hardware": "devices mounts processor processor_cores processor_count",
    "iscsi": "",
    "loadavg": "",
    "network": "all_ipv4_addresses all_ipv6_addresses default_ipv4 default_ipv6 interfaces",
    "nvme": "",
    "ohai": "",
    "platform": "architecture kernel kernel_version machine machine_id python_version system",
    "caps": "system_capabilities system_capabilities_enforced",
    "ssh_pub_keys": "ssh_host_key_dsa_public ssh_host_key_ecdsa_public ssh_host_key_ed25519_public"
    " ssh_host_key_rsa_public ssh_host_pub_keys",
    "systemd": "",
    "user": "effective_group_ids effective_user_id real_user_id user_dir user_gecos user_gid user_id user_shell"
    " user_uid",
    "virtual": "virtualization_role virtualization_tech_guest virtualization_tech_host virtualization_type",
}
"""Ansible's names of what can be gathered, each with its other names."""
_COLLECTORS = {name: _OTHERS.get(name, "").split() for name in _MINIMAL | _OTHERS.keys()}
_SHOWN_TOO = {
    "network": ("platform", "distribution"),
    "hardware": ("platform",),
    "pkg_mgr": ("distribution",),
    "service_mgr": ("platform", "distribution"),
}
"""Whose facts are shown along with those of another one."""
_ASKED_TOO = {"platform": ("python",), "distribution": ("platform",), "pkg_mgr": ("platform",)}
"""What answers are needed to make out those of another one."""


class Setup(Module):
    """Gather the facts that tasks are chosen by: a part of those that Ansible gathers, with its names and values."""

    name = "setup"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "gather_subset",
            "list",
            default=["all"],
            help="what to gather: `all`, `min`, `network`, `hardware`, or one collector; with `!` in front, what not",
        ),
        Parameter("gather_timeout", "int", default=10, help="not used: the task's own limit holds"),
        Parameter("filter", "list", default=[], help="patterns of names; only facts that one of them fits are told"),
        Parameter("fact_path", "path", default="/etc/ansible/facts.d", help="the host's directory of `*.fact` files"),
    )

    def check_arguments(self) -> None:
        """Check that there is everything that is to be gathered."""
        allowed = sorted({"all", *_COLLECTORS, *(each for others in _COLLECTORS.values() for each in others)})
        for name in self._subset:
            if name[:1] != "!" and name not in allowed and name != "min":
                raise ArgumentError(
                    f"{self.name}: Bad subset '{name}' given to Ansible. gather_subset options allowed: "
                    f"{', '.join(allowed)}"
                )
        self._collectors = _with(selected(self._subset), _SHOWN_TOO)
        self._script = script(_with(self._collectors, _ASKED_TOO), self.arguments["fact_path"])

    @property
    def _subset(self) -> list[str]:
        return [name.strip() for name in self.arguments["gather_subset"]]

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Gather them, in check mode too: nothing is changed."""
        output = Output()
        command = Command(self._script, environment=invocation.environment, about=("setup",))
        done = connector.execute(command, output, invocation.deadline).rc
        if output.truncated:
            return self._failed("the host did not tell its facts: they are too large")
        try:
            found, warnings = self._facts(list(sections(output.stdout)))
        except ValueError as error:
            return self._failed(f"the host did not tell its facts: {said(output) or f'exit status {done}: {error}'}")
        shown_facts = {f"ansible_{name}": value for name, value in found.items()}
        shown_facts |= {"gather_subset": self.arguments["gather_subset"] or ["all"], "module_setup": True}
        result = self._result(ansible_facts=self._filtered(shown_facts), changed=False)
        return {**result, "warnings": warnings} if warnings else result

    def _facts(self, parts: Sequence[tuple[str, bytes]]) -> tuple[dict[str, Any], list[str]]:
        told = {name: data.decode("utf-8", "replace") for name, data in parts}
        platform = read.platform(told)
        system = platform["system"]
        distributed = distribution(system, platform["kernel"], told)
        python = read.python(told)
        version = python["python"]["version_info"][:3] if python else ()
        if version:
            platform["python_version"] = ".".join(map(str, version))
        programs: dict[str, str] = {}
        for line in read.lines(told, "packages"):
            program, _, link = line.partition(" ")
            programs[program] = link
        makers: dict[str, Callable[[], dict[str, Any]]] = {
            "env": lambda: read.environment(next((data for name, data in parts if name == "env"), b"")),
            "platform": lambda: platform,
            "python": lambda: python,
            "distribution": lambda: distributed,
            "pkg_mgr": lambda: {"pkg_mgr": package_manager(str(distributed["os_family"]), programs)},
            "service_mgr": lambda: {"service_mgr": service_manager(system, read.lines(told, "services"))},
            "user": lambda: read.user(told),
            "selinux": lambda: read.selinux(told),
            "date_time": lambda: read.date_time(told),
            "hardware": lambda: read.hardware(told),
            "network": lambda: network(told),
        }
        found: dict[str, Any] = {}
        for name, make in makers.items():
            if name in self._collectors:
                found |= make()
        if "local" not in self._collectors:
            return found, []
        local, warnings = read.local([data for name, data in parts if name == "fact"])
        return {**found, **local}, warnings

    def _filtered(self, found: dict[str, Any]) -> dict[str, Any]:
        patterns = [pattern.strip() for pattern in self.arguments["filter"]]
        if not all(patterns):
            return found
        patterns += [f"ansible_{pattern}" for pattern in patterns if not pattern.startswith("ansible_")]
        fits = [re.compile(fnmatch.translate(pattern)) for pattern in patterns]
        return {name: value for name, value in found.items() if not fits or any(fit.match(name) for fit in fits)}


def selected(subset: Collection[str]) -> set[str]:
    """Return the collectors that a ``gather_subset`` means.

    What is named wins over what is excluded; where nothing is named the minimal ones are meant.
    """
    everything = {name for primary, others in _COLLECTORS.items() for name in (primary, *others)}
    chosen = everything if not subset else _MINIMAL
    named: set[str] = set()
    excluded: set[str] = set()
    groups = {"all": everything, "min": _MINIMAL}
    for name in subset:
        if name == "!all":
            excluded |= everything - groups["min"]
        elif name.startswith("!"):
            excluded |= groups.get(name[1:], {name[1:], *_COLLECTORS.get(name[1:], ())})
        elif name in groups:
            chosen = chosen | groups[name]
        else:
            named.add(name)
    chosen = (chosen - excluded) | named
    return {primary for primary, others in _COLLECTORS.items() if not chosen.isdisjoint({primary, *others})}


def _with(collectors: set[str], more: Mapping[str, tuple[str, ...]]) -> set[str]:
    return collectors.union(*(more.get(name, ()) for name in collectors))
