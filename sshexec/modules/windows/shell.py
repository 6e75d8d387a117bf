"""The ``win_shell`` module: a text for PowerShell, or for another shell of Windows.

Arguments, keys and messages follow ansible.windows 3.3 to 3.7.
"""

from __future__ import annotations

import ntpath
from typing import Any

from sshexec.connectors import base
from sshexec.connectors.base import Form
from sshexec.connectors.output import Output, Stream
from sshexec.connectors.powershell import encoded
from sshexec.modules.arguments import FREE_FORM, Parameter, Rules
from sshexec.modules.base import Invocation, Result
from sshexec.modules.windows.command import ENCODING, GUARDED, WinCommand
from sshexec.modules.windows.guards import Guards

_COMMANDS = (FREE_FORM, "cmd")

_INPUT = "try{[Console]::InputEncoding=New-Object Text.UTF8Encoding $false}catch{};"
"""Without it the mark in front of UTF-8 stands in the input of what PowerShell starts, such as jobs. Where only trusted
scripts may do so, PowerShell refuses it. On the user's first line, so that errors tell the right one."""


class WinShell(WinCommand):
    """Run a text by PowerShell, or by ``executable /c``."""

    name = "win_shell"
    parameters = (
        Parameter(FREE_FORM, help="the text: one that is not `key=value`"),
        Parameter("cmd", help="the text, under another name"),
        *GUARDED,
        Parameter("executable", "path", help="shell to use in place of Windows PowerShell: `cmd`, `pwsh`, or a path"),
        Parameter("stdin", help="what the text reads, with a line end behind it; nothing unless given"),
        Parameter("no_profile", "bool", default=False, help="do not run the login's PowerShell profile first"),
        ENCODING,
    )
    rules = Rules(exclusive=(_COMMANDS,), one_of=(_COMMANDS,))

    def check_arguments(self) -> None:
        """Check that there is a text, and find out who takes it."""
        super().check_arguments()
        self._text = self._text.strip()
        executable = (self.arguments["executable"] or "").strip()
        shell = ntpath.basename(executable).lower().removesuffix(".exe")
        line = f'"{executable}"' if executable.lower().endswith(".exe") else f'"{executable}.exe"'
        self._script, self._form = _INPUT + self._text, Form.SHELL
        if executable.lower() in ("", "powershell", "powershell.exe"):
            pass
        elif shell == "cmd":
            self._script, self._form = self._text, Form.CMD
        elif shell in ("powershell", "pwsh"):
            options = "-NoProfile " if self.arguments["no_profile"] else ""
            options += "-NonInteractive -OutputFormat Text -EncodedCommand"
            self._script, self._form = f"{line} {options} {encoded(self._script)}", Form.PROGRAM
        else:
            self._script, self._form = f"{line} /c {self._text}", Form.PROGRAM

    def _command(self, met: Guards, invocation: Invocation) -> base.Command:
        return base.Command(
            self._script,
            self._stdin,
            invocation.environment,
            about=("run", self._text),
            form=self._form,
            directory=met.directory,
            profile=not self.arguments["no_profile"],
        )

    @property
    def _stdin(self) -> bytes | None:
        stdin = super()._stdin
        return stdin + b"\r\n" if stdin and not stdin.endswith(b"\n") else stdin

    @property
    def _unchecked(self) -> str:
        return "remote module does not support check mode"

    def _told(self, **values: Any) -> Result:
        return values  # without the arguments, as in ansible.windows

    def _decoded(self, output: Output, stream: Stream) -> str:
        if stream == "stderr" and self._form is Form.SHELL:
            return output.text("stderr")  # of PowerShell's own writing, which the connector has read
        return super()._decoded(output, stream)
