"""The ``win_stat`` module: everything that a Windows host tells about a path, in one exchange."""

from __future__ import annotations

from typing import Any

from sshexec.connectors.base import Capability, Connector
from sshexec.connectors.powershell import Script
from sshexec.modules.arguments import Parameter
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.windows.asking import ask
from sshexec.modules.windows.names import check_paths

_STAT = Script(__package__, "stat")
_UNHASHED = "Failed to get hash of file, set get_checksum to False to ignore this error"


class WinStat(Module):
    """Tell what is at a path; nothing is changed. Keys are those of ansible.windows 3."""

    name = "win_stat"
    parameters = (
        Parameter("path", "path", required=True, aliases=("dest", "name"), help="what it is about"),
        Parameter("follow", "bool", default=False, help="of a symbolic link or junction, tell about what it leads to"),
        Parameter("get_checksum", "bool", default=True, help="tell the checksum of a file"),
        Parameter("get_size", "bool", default=True, help="tell the size; of a directory that of all files below"),
        Parameter(
            "checksum_algorithm",
            default="sha1",
            choices=("md5", "sha1", "sha256", "sha384", "sha512"),
            help="how the checksum is computed",
        ),
    )
    needs = Capability.WINDOWS

    def check_arguments(self) -> None:
        """Check the path."""
        check_paths(self.name, self.arguments, "path")

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Ask the host."""
        arguments = self.arguments
        asked = {
            "path": arguments["path"],
            "follow": arguments["follow"],
            "checksum": arguments["checksum_algorithm"].upper() if arguments["get_checksum"] else "",
            "size": arguments["get_size"],
        }
        answer = ask(_STAT, asked, connector, invocation)
        warnings = list(answer.get("warnings") or ())
        if "stat" in answer:
            stat = answer["stat"]
            if stat["exists"]:
                stat["hlnk_targets"] = [target for target in stat["hlnk_targets"].split("|") if target]
            result = self._result(changed=False, stat=stat)
        elif answer["reason"] == "absent" and answer["failed"] == "path":
            result = self._result(changed=False, stat={"exists": False})
        else:
            lead = f"{_UNHASHED}: " if answer["failed"] == "checksum" else ""
            result = self._failed(lead + answer["said"])
        return {**result, "warnings": [*result.get("warnings", ()), *warnings]} if warnings else result
