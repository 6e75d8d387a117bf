"""The ``win_ping`` module, and ``ping`` on Windows: is there a PowerShell that answers?"""

from __future__ import annotations

from typing import Any

from sshexec.connectors.base import Capability, Connector
from sshexec.connectors.powershell import Script
from sshexec.errors import HostError
from sshexec.modules import ping
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.exchange import is_answer
from sshexec.modules.windows.asking import ask

_PING = Script(__package__, "ping")


class Ping(Module):
    """Make one round trip through the PowerShell of the host and return ``data``; ``crash`` fails, as in Ansible."""

    name = "ping"
    parameters = ping.Ping.parameters
    needs = Capability.WINDOWS

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Ask the host, in check mode too: nothing is changed."""
        data = self.arguments["data"]
        if data == "crash":
            return {"failed": True, "changed": False, "msg": "Module failed: boom"}
        try:
            ask(_PING, {}, connector, invocation)
        except HostError as error:
            if not is_answer(error):
                raise
            return {"failed": True, "changed": False, "msg": error.message}
        return self._result(changed=False, ping=data)


class WinPing(Ping):
    """`Ping` under the name that ansible.windows has for it."""

    name = "win_ping"
