"""The ``raw`` module: a text for the login shell, untouched."""

from __future__ import annotations

from typing import Any

from sshexec.connectors.base import Capability, Command, Completed, Connector
from sshexec.connectors.output import Output
from sshexec.connectors.posix import Frame, quote
from sshexec.errors import ArgumentError
from sshexec.modules.arguments import FREE_FORM, Parameter
from sshexec.modules.base import Invocation, Module, Result


class Raw(Module):
    """Run a text as it is: no shell of ours around it, no clock, no environment."""

    name = "raw"
    parameters = (
        Parameter(FREE_FORM, help="what the login shell gets; must be given"),
        Parameter("executable", help="shell that the login shell starts for it, with `-c`"),
    )
    free_form = True
    needs = Capability.NONE

    def check_arguments(self) -> None:
        """Check that there is a command, and that it can be put to a host."""
        text, executable = self.arguments[FREE_FORM], self.arguments["executable"]
        if not text:
            raise ArgumentError(f"{self.name}: no command given")
        script = f"{executable} -c {quote(text)}" if executable else text
        self._command = Command(script, verbatim=True, about=("run", text))
        Frame(self._command, Output()).line()

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Run the text; check mode skips it."""
        if invocation.check:
            return {"changed": False, "skipped": True}
        done = connector.execute(self._command, invocation.output, invocation.deadline)
        result = plain(done, invocation.output)
        if invocation.environment:
            result["warnings"] = ["raw module does not support the environment keyword"]
        return result


def plain(done: Completed, output: Output) -> Result:
    """Return the result that ``raw`` and ``script`` give: exit status and output, not stripped."""
    stdout, stderr = output.text("stdout"), output.text("stderr")
    result: Result = {
        "changed": True,
        "rc": done.rc,
        "stdout": stdout,
        "stdout_lines": stdout.splitlines(),
        "stderr": stderr,
        "stderr_lines": stderr.splitlines(),
    }
    if done.rc != 0:
        result.update(failed=True, msg="non-zero return code")
    return result
