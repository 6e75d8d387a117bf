"""One question to a Windows host: a script of ours runs there, and what it answers comes back."""

from __future__ import annotations

from typing import Any

from sshexec.connectors.base import Command, Connector
from sshexec.connectors.output import DEFAULT_LIMIT, Output
from sshexec.connectors.powershell import answer_of
from sshexec.errors import HostError
from sshexec.modules.base import Invocation
from sshexec.modules.exchange import said


def ask(
    connector: Connector[Any, Any], invocation: Invocation, command: Command, output: Output | None = None
) -> dict[str, Any]:
    """Run one of our scripts within the invocation's deadline.

    Args:
        connector: the host.
        invocation: the task's.
        command: made by `sshexec.connectors.powershell.Script.command`.
        output: what takes what it prints; None is one of the usual size.

    Returns:
        What the script gave to ``answer``.

    Raises:
        HostError: as `Connector.execute`; or it gave no answer, or one too long to be kept whole.
    """
    output = Output() if output is None else output
    done = connector.execute(command, output, invocation.deadline)
    if output.truncated:
        raise HostError(f"the host's answer is longer than {DEFAULT_LIMIT // 2**20} MiB")
    try:
        answer = answer_of(output)
    except ValueError as error:
        raise HostError(f"the host's PowerShell broke off: {said(output) or f'{error} (rc {done.rc})'}") from None
    if not isinstance(answer, dict):
        raise HostError("the host's answer is not understood")
    return answer
