"""The ``script`` module: a local script, run on the host within one round trip.

The script's bytes are the standard input of a small shell script, which writes them into a private directory, checks
that all have come, runs the file with an empty standard input and removes the directory again.
"""

from __future__ import annotations

import os
import re
import secrets
from typing import Any

from sshexec.connectors.base import Command, Connector
from sshexec.connectors.posix import NOTE, quote
from sshexec.errors import ArgumentError, HostError
from sshexec.modules.arguments import FREE_FORM, Parameter, exclusive, first_word, one_of
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.local_file import shared
from sshexec.modules.raw import plain
from sshexec.modules.words import expanding

# In the home directory first: /tmp is often mounted noexec. mkdir makes the directory or fails, so nobody else's is
# used. A TERM or a lost connection ends the running script first, then the trap removes the directory.
_PLACE = """
for t in "$HOME" "${{TMPDIR:-/tmp}}"; do d=$t/.sshexec-{token}; mkdir -m 700 "$d" 2>/dev/null && break; d=; done
[ "$d" ] || {{ echo "no directory to write to: $HOME, ${{TMPDIR:-/tmp}}" >&2; {note} place; exit 1; }}
trap 'trap "" HUP INT TERM; rm -rf "$d"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
f=$d/{name}
cat >"$f" && chmod u+x "$f" && [ "$(wc -c <"$f")" -eq {size} ] || {{ {note} place; exit 1; }}
"""


class Script(Module):
    """Run a local script on the host; what follows its name is left to the host's shell as it is."""

    name = "script"
    parameters = (
        Parameter(FREE_FORM, help="path of the script on this machine, and its arguments for the host's shell"),
        Parameter("cmd", help="the same, under another name"),
        Parameter("chdir", "path", inline=True, help="directory of the host to change to first; absolute"),
        Parameter("creates", "path", inline=True, help="skip where this path exists on the host"),
        Parameter("removes", "path", inline=True, help="skip where this path does not exist on the host"),
        Parameter("executable", "path", inline=True, help="interpreter, with its arguments, that runs the script"),
        Parameter("decrypt", "bool", default=True, help="refuse a script that is encrypted with Ansible Vault"),
    )
    free_form = True

    def check_arguments(self) -> None:
        """Check that there is a script, and that ``chdir`` is absolute."""
        arguments = self.arguments
        exclusive(self.name, arguments, FREE_FORM, "cmd")
        one_of(self.name, {name: arguments[name] or None for name in (FREE_FORM, "cmd")}, FREE_FORM, "cmd")
        text = str(arguments[FREE_FORM] or arguments["cmd"]).strip()
        path, self._rest = first_word(self.name, text)
        self._file = shared(path)
        if arguments["chdir"] and not arguments["chdir"].startswith("/"):
            raise ArgumentError(
                f"{self.name}: chdir {arguments['chdir']} must be an absolute path for a Unix-aware remote node"
            )

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Send and run the script; check mode tests ``creates`` and ``removes`` only."""
        arguments = self.arguments
        guarded = bool(arguments["creates"] or arguments["removes"])
        if invocation.check and not guarded:
            return {"changed": False, "skipped": True, "msg": "Check mode is not supported for this task."}
        try:
            content = b"" if invocation.check else self._read()
        except HostError as error:
            return {"failed": True, "changed": False, "msg": error.message}
        script = self._guards() + ("" if invocation.check else self._running(len(content)))
        about = ("script", str(self._file.path), self._rest)
        command = Command(script, stdin=content, environment=invocation.environment, about=about)
        done = connector.execute(command, invocation.output, invocation.deadline)
        if done.note in ("creates", "removes"):
            state = "exists" if done.note == "creates" else "does not exist"
            message = f"{arguments[done.note]} {state}, matching {done.note} option"
            return {"changed": False, "skipped": True, "msg": message}
        if invocation.check:
            return {"changed": True}
        result = plain(done, invocation.output)
        if done.note == "place":
            why = result["stderr"].strip() or "it did not arrive whole"
            result.update(changed=False, msg=f"the script could not be written to the host: {why}")
        return result

    def _read(self) -> bytes:
        content = self._file.content()
        if self.arguments["decrypt"] and content.startswith(b"$ANSIBLE_VAULT;"):
            raise HostError(f"'{self._file.given}' is encrypted with Ansible Vault, which is not supported")
        return content

    def _guards(self) -> str:
        lines = []
        for name, unless in (("creates", ""), ("removes", "! ")):
            if self.arguments[name]:
                lines.append(
                    f'f={expanding(self.arguments[name])}\nif {unless}[ -e "$f" ]; then {NOTE} {name}; exit 0; fi\n'
                )
        return "".join(lines)

    def _running(self, size: int) -> str:
        name = re.sub(r"[^A-Za-z0-9._-]", "_", os.path.basename(self._file.path)).lstrip("-.") or "script"
        place = _PLACE.format(token=secrets.token_hex(8), note=NOTE, name=name, size=size)
        chdir, executable = self.arguments["chdir"], self.arguments["executable"]
        line = f'{executable} "$0" {self._rest}' if executable else f'"$0" {self._rest}'
        change = f"cd {quote(chdir)} || exit\n" if chdir else ""
        return f'{place}{change}/bin/sh -c {quote(line)} "$f" </dev/null'
