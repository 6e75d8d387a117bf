"""The ``win_file`` module: files and directories of a Windows host, made, touched and removed, in one exchange."""

from __future__ import annotations

from typing import Any

from sshexec.connectors.base import Capability, Connector
from sshexec.connectors.powershell import Script
from sshexec.modules.arguments import Parameter, readable
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.windows.asking import ask
from sshexec.modules.windows.names import check_paths

_FILE = Script(__package__, "file")
_TIME = "`now`, `preserve`, or a time"
_FORMAT = "yyyy-MM-dd HH:mm:ss"
_WRITTEN = "how that time is written (format of .NET's `DateTime`)"
_TIMES = {"modification": "LastWriteTime", "access": "LastAccessTime"}


class WinFile(Module):
    """Make a directory or an empty file, remove what is there, or set times; messages are those of ansible.windows."""

    name = "win_file"
    parameters = (
        Parameter("path", "path", required=True, aliases=("dest", "name"), help="what it is about"),
        Parameter(
            "state",
            choices=("absent", "directory", "file", "touch"),
            help="`file` (the default) must be there, `touch` makes one; `directory`; `absent` removes all of it",
        ),
        Parameter("modification_time", help=f"{_TIME}; `now` is the default of `touch`, else it is `preserve`"),
        Parameter("modification_time_format", default=_FORMAT, help=_WRITTEN),
        Parameter("access_time", help=f"{_TIME}; likewise"),
        Parameter("access_time_format", default=_FORMAT, help=_WRITTEN),
    )
    needs = Capability.WINDOWS

    def check_arguments(self) -> None:
        """Check the path."""
        check_paths(self.name, self.arguments, "path")

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Do it, or in check mode say whether something would change."""
        state = self.arguments["state"] or "file"
        asked = {
            "path": self.arguments["path"],
            "state": state,
            "check": invocation.check,
            "times": [] if state == "absent" else [self._time(name, state) for name in _TIMES],
        }
        answer = ask(_FILE, asked, connector, invocation)
        if "problem" in answer:
            return self._failed(self._message(answer, state))
        return self._result(changed=answer["changed"])

    def _time(self, name: str, state: str) -> dict[str, str]:
        value = self.arguments[f"{name}_time"] or ("now" if state == "touch" else "preserve")
        return {"what": _TIMES[name], "value": value, "format": self.arguments[f"{name}_time_format"]}

    def _message(self, answer: dict[str, Any], state: str) -> str:
        path, problem, said = self.arguments["path"], answer["problem"], answer["said"]
        if problem == "time":
            name = next(name for name, what in _TIMES.items() if what == answer["at"])
            value, form = self.arguments[f"{name}_time"], self.arguments[f"{name}_time_format"]
            about = f"time {readable(value)} using format {readable(form)}"
            return f"Error while obtaining timestamp for {about}: {said}"
        if problem == "root":
            return f"path {path} is a whole drive or share, which is not removed"
        if not said:
            return {
                "file": f"path {path} is not a directory",
                "directory": f"path {path} is not a file",
                "absent": f"path {path} will not be created",
            }[problem]
        return f"Failed to delete {answer['at']}: {said}" if state == "absent" else said
