"""One question to a Windows host: a script of ours runs there, and what it answers comes back."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Any

from sshexec.connectors.base import Connector
from sshexec.connectors.output import DEFAULT_LIMIT, Output
from sshexec.connectors.powershell import Script, answer_of
from sshexec.errors import HostError
from sshexec.modules.base import Invocation
from sshexec.modules.exchange import said

NOT_UNDERSTOOD = "the host's answer is not understood"
Shape = Mapping[str, type | UnionType | Mapping[str, Any]]
"""Names that an answer has, and what each of them holds: a type, or names again; bool is no int here."""


def ask(
    script: Script,
    arguments: Mapping[str, Any] | str,
    connector: Connector[Any, Any],
    invocation: Invocation,
    *shapes: Shape,
    output: Output | None = None,
) -> Any:
    """Run one of our scripts within the invocation's deadline.

    Args:
        script: which one.
        arguments: what it gets as ``$a``; or the text that `Script.filled` made of them, for many hosts at once.
        connector: the host.
        invocation: the task's.
        shapes: what it may answer; anything if there are none. More names than those are no fault.
        output: what takes what it prints; None is one of the usual size.

    Returns:
        What the script gave to ``answer``, which has one of these shapes.

    Raises:
        HostError: as `Connector.execute`; or it gave no answer, another one than it has, or one too long to be kept.
    """
    output = Output() if output is None else output
    command = script.command(arguments, environment=invocation.environment)
    done = connector.execute(command, output, invocation.deadline)
    if output.truncated:
        raise HostError(f"the host's answer is longer than {DEFAULT_LIMIT // 2**20} MiB")
    try:
        answer = answer_of(output)
    except ValueError as error:
        raise HostError(f"the host's PowerShell broke off: {said(output) or f'{error} (rc {done.rc})'}") from None
    if shapes and not any(_fits(answer, shape) for shape in shapes):
        raise HostError(NOT_UNDERSTOOD)
    return answer


def _fits(value: Any, shape: type | UnionType | Mapping[str, Any]) -> bool:
    if isinstance(shape, Mapping):
        return isinstance(value, dict) and all(name in value and _fits(value[name], shape[name]) for name in shape)
    return isinstance(value, shape) and not (shape in (int, int | None) and isinstance(value, bool))
