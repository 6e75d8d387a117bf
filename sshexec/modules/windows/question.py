"""A question to a Windows host: one of this project's own scripts, and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sshexec.connectors.base import Connector, Phase
from sshexec.connectors.output import Output
from sshexec.connectors.powershell import Script, answer_of
from sshexec.errors import HostError
from sshexec.modules.base import Invocation

_LONGEST_SAID = 300


def ask(
    script: Script, arguments: Mapping[str, Any], connector: Connector[Any, Any], invocation: Invocation, **more: Any
) -> Any:
    """Run a script of ours and return what it answers.

    Args:
        script: which one.
        arguments: what it gets as ``$a``.
        connector: the host's, open.
        invocation: says by when, and in which environment.
        more: further arguments of `Script.command`.

    Raises:
        HostError: PowerShell gave no answer; the message says what it said instead.
    """
    output = Output()
    command = script.command(arguments, environment=invocation.environment, **more)
    rc = connector.execute(command, output, invocation.deadline).rc
    try:
        return answer_of(output)
    except ValueError as error:
        words = (output.text("stderr") or output.text("stdout")).split()
        said = " ".join(words)[:_LONGEST_SAID] or f"exit status {rc}: {error}"
        raise HostError(f"the host's PowerShell does not answer: {said}", phase=Phase.RUNNING) from None
