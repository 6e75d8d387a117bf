"""One question to a Windows host: a script of ours runs there, and what it answers comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sshexec.connectors.base import Connector
from sshexec.connectors.output import DEFAULT_LIMIT, Output
from sshexec.connectors.powershell import Script, answer_of
from sshexec.errors import HostError
from sshexec.modules.base import Invocation
from sshexec.modules.exchange import said


def ask(
    script: Script,
    arguments: Mapping[str, Any],
    connector: Connector[Any, Any],
    invocation: Invocation,
    output: Output | None = None,
) -> Any:
    """Run one of our scripts within the invocation's deadline.

    Args:
        script: which one.
        arguments: what it gets as ``$a``.
        connector: the host.
        invocation: the task's.
        output: what takes what it prints; None is one of the usual size.

    Returns:
        What the script gave to ``answer``.

    Raises:
        HostError: as `Connector.execute`; or it gave no answer, or one too long to be kept whole.
    """
    output = Output() if output is None else output
    command = script.command(arguments, environment=invocation.environment)
    done = connector.execute(command, output, invocation.deadline)
    if output.truncated:
        raise HostError(f"the host's answer is longer than {DEFAULT_LIMIT // 2**20} MiB")
    try:
        return answer_of(output)
    except ValueError as error:
        raise HostError(f"the host's PowerShell broke off: {said(output) or f'{error} (rc {done.rc})'}") from None
