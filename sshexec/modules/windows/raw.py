"""The ``raw`` module on Windows: a text for PowerShell, as Ansible's connection plugin ``winrm`` hands it over."""

from __future__ import annotations

from typing import Any

from sshexec.connectors.base import Capability, Command, Connector
from sshexec.errors import ArgumentError
from sshexec.modules import raw
from sshexec.modules.arguments import FREE_FORM
from sshexec.modules.base import Invocation, Result


class Raw(raw.Raw):
    """Run a text by PowerShell as it is, without a profile."""

    needs = Capability.WINDOWS

    def check_arguments(self) -> None:
        """Check that there is a text."""
        text = self.arguments[FREE_FORM]
        if not text:
            raise ArgumentError(f"{self.name}: no command given")
        self._command = Command(text, verbatim=True, about=("run", text))

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Run the text; check mode skips it."""
        result = super().run(connector, invocation)
        if self.arguments["executable"]:
            warning = "raw: executable has no meaning on Windows, where PowerShell takes the text"
            result["warnings"] = [*result.get("warnings", []), warning]
        return result
