"""The ``setup`` module on Windows: the facts that tasks are chosen by, asked by one PowerShell.

Names and values are those of ansible.windows 3.3. What there needs compiled code or takes seconds is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sshexec.connectors.base import Capability, Connector
from sshexec.connectors.powershell import Script
from sshexec.errors import HostError
from sshexec.modules import setup
from sshexec.modules.arguments import Parameter
from sshexec.modules.base import Invocation, Result
from sshexec.modules.exchange import is_answer
from sshexec.modules.windows.asking import Shape, ask
from sshexec.modules.windows.names import check_paths
from sshexec.modules.wording import readable

_SETUP = Script(__package__, "setup")
_TOLD: Shape = {"facts": dict, "warnings": list}

_GROUPS = {
    "min": ("date_time", "distribution", "dns", "env", "local", "platform", "powershell_version", "user"),
    "network": ("all_ipv4_addresses", "all_ipv6_addresses", "interfaces", "windows_domain", "winrm"),
    "hardware": ("bios", "memory", "processor", "uptime", "virtual"),
    "external": ("facter",),
}
"""Ansible's names of what can be gathered; of some of them nothing is gathered here."""
_ALL = {name for names in _GROUPS.values() for name in names}


class Setup(setup.Setup):
    """Gather the facts that tasks are chosen by: a part of those that Ansible gathers, with its names and values."""

    parameters = tuple(
        Parameter("fact_path", "path", help="the host's directory of `*.json` and `*.ps1` files; none unless given")
        if each.name == "fact_path"
        else each
        for each in setup.Setup.parameters
    )
    needs = Capability.WINDOWS

    def check_arguments(self) -> None:
        """Check the path. Any subset is taken: a name that Windows does not know is a warning."""
        check_paths(self.name, self.arguments, "fact_path")

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Gather them, in check mode too: nothing is changed."""
        subset = self._subset or ["all"]
        chosen, unknown = selected(subset)
        asked = {"collectors": sorted(chosen), "fact_path": self.arguments["fact_path"] or ""}
        try:
            told = ask(_SETUP, asked, connector, invocation, _TOLD)
        except HostError as error:
            if not is_answer(error):
                raise
            return self._failed(f"the host did not tell its facts: {error.message}")
        facts = {f"ansible_{name}": value for name, value in told["facts"].items()}
        facts |= {"gather_subset": subset, "module_setup": True}
        result = self._result(ansible_facts=self._filtered(facts), changed=False)
        warnings = [f"invalid value {readable(name)} specified in gather_subset" for name in unknown]
        warnings = [*result.get("warnings", []), *warnings, *told["warnings"]]
        return {**result, "warnings": warnings} if warnings else result


def selected(subset: Sequence[str]) -> tuple[set[str], list[str]]:
    """Return the collectors that a ``gather_subset`` means on Windows, and the names in it that mean nothing there.

    As in ansible.windows everything is meant but for what is excluded, what is named wins, and an unknown name is no
    error: the same list may be meant for POSIX hosts too.
    """
    groups = {**{name: set(names) for name, names in _GROUPS.items()}, "all": _ALL}
    named: set[str] = set()
    excluded: set[str] = set()
    unknown = []
    for name in subset:
        if name == "!all":
            excluded |= _ALL - groups["min"]
        elif name.startswith("!"):
            excluded |= groups.get(name[1:], {name[1:]})
        elif name in groups or name in _ALL:
            named |= groups.get(name, {name})
        else:
            unknown.append(name)
    return (_ALL - excluded) | named, unknown
