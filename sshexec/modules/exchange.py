"""One exchange with a host's shell: a script goes there, what it prints comes back.

The script goes to the standard input of ``/bin/sh``, so that one for a tree of any size fits.
"""

from __future__ import annotations

from typing import Any

from sshexec.connectors.base import Command, Connector
from sshexec.connectors.output import DEFAULT_LIMIT, Output
from sshexec.connectors.posix import all_or_nothing
from sshexec.errors import BecomeError, HostError
from sshexec.modules.base import Invocation


def run_script(
    connector: Connector[Any, Any], invocation: Invocation, script: str, about: tuple[str, ...]
) -> tuple[int, Output]:
    """Run a script within the invocation's deadline.

    Args:
        connector: the host.
        invocation: the task's.
        script: POSIX shell.
        about: what it is for (`Command.about`).

    Returns:
        Exit status and output.

    Raises:
        HostError: as `Connector.execute`; or the answer is too long to be kept whole.
    """
    output = Output()
    rc = connector.execute(from_stdin(script, about), output, invocation.deadline).rc
    if output.truncated:
        raise HostError(f"the host's answer is longer than {DEFAULT_LIMIT // 2**20} MiB")
    return rc, output


def from_stdin(script: str, about: tuple[str, ...]) -> Command:
    """Return the command that reads the script from its standard input; none of it runs where not all arrives."""
    return Command("exec /bin/sh", stdin=all_or_nothing(script), about=about)


def said(output: Output) -> str:
    """Return the last words of a script that failed."""
    # As another user a host may have a terminal only, where both streams are one.
    return (output.text("stderr").strip() or output.text("stdout").strip())[-300:]


def shown(path: str) -> str:
    """Return a path for people and JSON: bytes that are not UTF-8 become U+FFFD."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def is_answer(error: HostError) -> bool:
    """Return whether an error is what the task came to on the host; any other, such as a lost connection, is raised."""
    return error.status == "failed" and not isinstance(error, BecomeError)
