"""This machine with other tools than its own: busybox's first in PATH, and its shell."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Command, Connector, Deadline, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.posix import all_or_nothing
from sshexec.connectors.registry import connector_class
from sshexec.modules import exchange
from sshexec.modules.base import Invocation, Result
from sshexec.modules.registry import module_class
from tests.testbed import lacking

TOOLS = ("gnu", "busybox")


class Here:
    """Runs modules on this machine.

    Args:
        connector: open.
    """

    def __init__(self, connector: Connector[Any, Any]) -> None:
        self.connector = connector

    def __call__(self, module: str, args: Any = None, **more: Any) -> Result:
        """Run a module."""
        invocation = Invocation("here", Output(), Deadline.after(60), **more)
        return module_class(module).from_args(args).run(self.connector, invocation)


def here(tools: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    """Run modules here with the machine's own tools, or with busybox's; the folder then holds its applets."""
    if tools == "busybox":
        busybox = shutil.which("busybox")
        if busybox is None:
            lacking("busybox")
        subprocess.run([busybox, "--install", "-s", str(folder)], check=True)
        monkeypatch.setenv("PATH", str(folder))

        def from_stdin(script: str, about: tuple[str, ...]) -> Command:
            return Command(f"exec {folder}/sh", stdin=all_or_nothing(script), about=about)

        monkeypatch.setattr(exchange, "from_stdin", from_stdin)
    kind = connector_class("local")
    context = kind.Context()
    opened = kind("here", kind.Options.from_vars({"inventory_hostname": "here"}, "here"), context, Timeouts())
    try:
        opened.open(Deadline.after(30))
        yield Here(opened)
    finally:
        opened.close()
        context.close()
