"""The ``fetch`` module for Windows hosts: what it is on this machine's side is that of POSIX hosts."""

from __future__ import annotations

import errno
from typing import Any

from sshexec.connectors.base import Capability, Connector
from sshexec.connectors.powershell import Script
from sshexec.modules import fetch
from sshexec.modules.base import Invocation
from sshexec.modules.reading import Readable
from sshexec.modules.windows.asking import ask
from sshexec.modules.windows.names import check_paths

_LOOK = Script(__package__, "look")
_ERRNO = {"": 0, "absent": errno.ENOENT, "denied": errno.EACCES, "locked": errno.EACCES, "long": errno.ENAMETOOLONG}


class Fetch(fetch.Fetch):
    r"""Bring a host's file to ``dest/HOST/PATH``; ``C:\x\y`` is ``C:/x/y`` there, as Ansible has it."""

    needs = Capability.WINDOWS | Capability.FILES

    def check_arguments(self) -> None:
        """Check what any host asks for, and the path."""
        super().check_arguments()
        check_paths(self.name, self.arguments, "src")

    def _look(self, connector: Connector[Any, Any], invocation: Invocation, src: str) -> Readable:
        answer = ask(_LOOK, {"path": src}, connector, invocation)
        kind, reason = answer["kind"], answer["reason"]
        number = _ERRNO.get(reason or (kind if kind == "absent" else ""), errno.EIO)
        return Readable(answer["path"], kind, number, answer["size"], answer["sha1"], answer["said"])

    def _local(self, path: str) -> str:
        return path.replace("\\", "/")
