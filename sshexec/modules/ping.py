"""The ``ping`` module: is there a shell that answers?"""

from __future__ import annotations

from typing import Any

from sshexec.connectors.base import Command, Connector
from sshexec.connectors.output import Output
from sshexec.modules.arguments import Parameter
from sshexec.modules.base import Invocation, Module, Result


class Ping(Module):
    """Make one round trip through the host's shell and return ``data``; the data ``crash`` fails, as in Ansible."""

    name = "ping"
    parameters = (Parameter("data", default="pong", help="what to answer; `crash` fails"),)

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Ask the host, in check mode too: nothing is changed."""
        data = self.arguments["data"]
        if data == "crash":
            return {"failed": True, "changed": False, "msg": "Module failed: boom"}
        output = Output()
        done = connector.execute(Command("echo pong", about=("ping",)), output, invocation.deadline)
        if done.rc != 0 or output.stdout.strip() != b"pong":
            said = (output.text("stderr") or output.text("stdout")).strip()[-200:]
            return {
                "failed": True,
                "changed": False,
                "rc": done.rc,
                "msg": f"the host's shell does not answer: {said or f'exit status {done.rc}'}",
            }
        return self._result(changed=False, ping=data)
