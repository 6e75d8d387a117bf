"""The ``script`` module: a local script, run on the host within one round trip.

The script's bytes are the standard input of a small shell script, which writes them into a private directory, checks
that all have come, runs the file with an empty standard input and removes the directory again.
"""

from __future__ import annotations

import os
import re
import secrets
from typing import Any

from sshexec.connectors.base import Command, Completed, Connector
from sshexec.connectors.output import Output
from sshexec.connectors.posix import NOTE, Frame, quote
from sshexec.errors import ArgumentError, HostError
from sshexec.modules.arguments import FREE_FORM, Parameter, Rules, first_word, readable
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.local_file import not_there, shared
from sshexec.modules.preconditions import STATES, guards
from sshexec.modules.raw import plain

# In the home directory first: /tmp is often mounted noexec. mkdir makes the directory or fails, so nobody else's is
# used. A TERM or a lost connection ends the running script first, then the trap removes the directory. Where there is
# no such directory to change to, or no such interpreter, the host's shell says so, as with Ansible.
_PLACE = """
for sshexec_t in "$HOME" "${{TMPDIR:-/tmp}}"; do
sshexec_d=$sshexec_t/.sshexec-{token}; mkdir -m 700 "$sshexec_d" 2>/dev/null && break; sshexec_d=; done
[ "$sshexec_d" ] || {{ echo "no directory to write to: $HOME, ${{TMPDIR:-/tmp}}" >&2; {note} place; exit 1; }}
trap 'trap "" HUP INT TERM; rm -rf "$sshexec_d"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
sshexec_f=$sshexec_d/{name}
cat >"$sshexec_f" && chmod u+x "$sshexec_f" && [ "$(wc -c <"$sshexec_f")" -eq {size} ] || {{ {note} place; exit 1; }}
"""


class Script(Module):
    """Run a local script on the host; what follows its name is left to the host's shell as it is."""

    name = "script"
    parameters = (
        Parameter(FREE_FORM, help="path of the script on this machine, and its arguments for the host's shell"),
        Parameter("cmd", help="the same, under another name"),
        Parameter("chdir", help="directory of the host to change to first; absolute"),
        Parameter("creates", help="skip where this path exists on the host"),
        Parameter("removes", help="skip where this path does not exist on the host"),
        Parameter("executable", help="interpreter, with its arguments, that runs the script"),
    )
    free_form = True
    rules = Rules(exclusive=((FREE_FORM, "cmd"),), one_of=((FREE_FORM, "cmd"),))

    def check_arguments(self) -> None:
        """Check that there is a script, that ``chdir`` is absolute, and that all of it can be put to a host."""
        arguments = self.arguments
        text = str(arguments[FREE_FORM] or arguments["cmd"] or "").strip()
        path, self._rest = first_word(self.name, text)
        if not path:
            raise ArgumentError(f"{self.name}: no script given")
        self._file = shared(path)
        self._executable = (arguments["executable"] or "").strip()
        chdir = arguments["chdir"]
        if chdir and not chdir.startswith("/"):
            raise ArgumentError(
                f"{self.name}: chdir {readable(chdir)} must be an absolute path for a Unix-aware remote node"
            )
        try:
            Frame(Command(guards(arguments, glob=False) + self._running(b"")), Output()).line()
        except ArgumentError as error:
            raise ArgumentError(f"{self.name}: {error.message.removesuffix(': use the script module')}") from None

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Send and run the script; check mode tests ``creates`` and ``removes`` only."""
        arguments = self.arguments
        guarded = bool(arguments["creates"] or arguments["removes"])
        content, missing = b"", ""
        try:
            content = self._read()
        except HostError as error:
            missing = error.message
        if not guarded:
            if missing:
                return {"failed": True, "changed": False, "msg": missing}
            if invocation.check:
                return {"changed": False, "skipped": True, "msg": "Check mode is not supported for this task."}
        idle = invocation.check or bool(missing)
        script = guards(arguments, glob=False) + ("" if idle else self._running(content))
        about = ("script", str(self._file.path), self._rest)
        stdin = b"" if idle else content
        command = Command(script, stdin=stdin, environment=invocation.environment, about=about)
        done = connector.execute(command, invocation.output, invocation.deadline)
        if done.note in STATES:
            message = f"{arguments[done.note]} {STATES[done.note]}, matching {done.note} option"
            return {"changed": False, "skipped": True, "msg": message}
        if missing:
            return {"failed": True, "changed": False, "msg": missing}
        return {"changed": True} if invocation.check else self._answer(done, invocation.output)

    def _answer(self, done: Completed, output: Output) -> Result:
        result = plain(done, output)
        if done.note == "place":
            why = result["stderr"].strip() or "it did not arrive whole"
            result.update(changed=False, msg=f"the script could not be written to the host: {why}")
        return result

    def _read(self) -> bytes:
        if self._file.is_directory:
            raise HostError(not_there(self._file.path))
        self._file.plain()
        return self._file.content()

    def _running(self, content: bytes) -> str:
        name = re.sub(r"[^A-Za-z0-9._-]", "_", os.path.basename(self._file.path)).lstrip("-.") or "script"
        place = _PLACE.format(token=secrets.token_hex(8), note=NOTE, name=name, size=len(content))
        chdir = self.arguments["chdir"]
        line = f'{self._executable} "$0" {self._rest}'.lstrip()
        change = f"cd {quote(chdir)} && " if chdir else ""
        return f'{place}{change}/bin/sh -c {quote(line)} "$sshexec_f" </dev/null'
