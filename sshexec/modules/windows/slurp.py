"""The ``slurp`` module for Windows hosts."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from sshexec.connectors.base import Capability, Connector
from sshexec.connectors.output import Output
from sshexec.connectors.powershell import MARK, Script
from sshexec.errors import HostError
from sshexec.modules import slurp
from sshexec.modules.base import Invocation, Result
from sshexec.modules.windows.asking import ask
from sshexec.modules.windows.names import check_paths

_SLURP = Script(__package__, "slurp")
_ENCODED = 2 * slurp.LIMIT
"""Bytes in which a host writes a content of that size at most: a third more in base64, and line ends."""


class Slurp(slurp.Slurp):
    """Answer with the content of a file, in base64; messages are those of ansible.windows."""

    needs = Capability.WINDOWS

    def check_arguments(self) -> None:
        """Check the path."""
        check_paths(self.name, self.arguments, "src")

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Read the file, in check mode too: nothing is changed."""
        output = Output(_ENCODED)
        asked = {"path": self.arguments["src"], "limit": slurp.LIMIT}
        answer = ask(_SLURP, asked, connector, invocation, output)
        path, kind = answer["path"], answer["kind"]
        if kind == "directory":
            return self._failed_at(path, f"Path {path} is a directory")
        if kind == "large":
            return self._failed_at(path, f"Unable to slurp file: {path}: {slurp.TOO_LARGE}")
        if answer["reason"]:
            return self._failed_at(path, f"Unable to slurp file: {path}: {answer['said']}")
        if kind == "absent":
            return self._failed_at(path, f"Path {path} is not found")
        content = _content(output)
        if len(content) != answer["size"]:
            raise HostError(f"{len(content)} of {answer['size']} bytes of {path} have arrived")
        return self._slurped(path, content)


def _content(output: Output) -> bytes:
    lines = [line.strip() for line in output.stdout.splitlines()]
    try:
        return b"".join(base64.b64decode(line, validate=True) for line in lines if not line.startswith(MARK.encode()))
    except binascii.Error:
        raise HostError("the host's PowerShell printed what is no part of the file") from None
