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
from sshexec.connectors.output import Output
from sshexec.connectors.posix import NOTE, Frame, quote
from sshexec.errors import ArgumentError, HostError
from sshexec.modules.arguments import FREE_FORM, Parameter, exclusive, first_word, one_of, readable
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.local_file import shared
from sshexec.modules.preconditions import DIRECTORY, PROGRAM, STATES, WANTED, guards, unmet
from sshexec.modules.raw import plain

# In the home directory first: /tmp is often mounted noexec. mkdir makes the directory or fails, so nobody else's is
# used. A TERM or a lost connection ends the running script first, then the trap removes the directory.
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

_PLAIN = re.compile(r"[A-Za-z0-9_./+@%,~-]+")
"""A word that is the same in a command and in an assignment; ``~`` at its beginning is expanded in both."""
_INTERPRETER = re.compile(rb"#![ \t]*([^ \t\n\0]{1,255})")


class Script(Module):
    """Run a local script on the host; what follows its name is left to the host's shell as it is."""

    name = "script"
    parameters = (
        Parameter(FREE_FORM, help="path of the script on this machine, and its arguments for the host's shell"),
        Parameter("cmd", help="the same, under another name"),
        Parameter("chdir", "path", help="directory of the host to change to first; absolute"),
        Parameter("creates", "path", help="skip where this path exists on the host"),
        Parameter("removes", "path", help="skip where this path does not exist on the host"),
        Parameter("executable", "path", help="interpreter, with its arguments, that runs the script"),
        Parameter("decrypt", "bool", default=True, help="refuse a script that is encrypted with Ansible Vault"),
    )
    free_form = True

    def check_arguments(self) -> None:
        """Check that there is a script, that ``chdir`` is absolute, and that all of it can be put to a host."""
        arguments = self.arguments
        exclusive(self.name, arguments, FREE_FORM, "cmd")
        one_of(self.name, {name: arguments[name] or None for name in (FREE_FORM, "cmd")}, FREE_FORM, "cmd")
        text = str(arguments[FREE_FORM] or arguments["cmd"]).strip()
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
        if invocation.check and not guarded:
            return {"changed": False, "skipped": True, "msg": "Check mode is not supported for this task."}
        try:
            content = b"" if invocation.check else self._read()
        except HostError as error:
            return {"failed": True, "changed": False, "msg": error.message}
        script = guards(arguments, glob=False) + ("" if invocation.check else self._running(content))
        about = ("script", str(self._file.path), self._rest)
        command = Command(script, stdin=content, environment=invocation.environment, about=about)
        done = connector.execute(command, invocation.output, invocation.deadline)
        if done.note in STATES:
            message = f"{arguments[done.note]} {STATES[done.note]}, matching {done.note} option"
            return {"changed": False, "skipped": True, "msg": message}
        if invocation.check:
            return {"changed": True}
        result = plain(done, invocation.output)
        if done.note == "place":
            why = result["stderr"].strip() or "it did not arrive whole"
            result.update(changed=False, msg=f"the script could not be written to the host: {why}")
        elif done.note.startswith("chdir"):
            result.update(changed=False, msg=unmet(done.note, arguments["chdir"]))
        elif done.note.startswith("executable"):
            result.update(changed=False, msg=unmet(done.note, self._program(content)))
        return result

    def _read(self) -> bytes:
        content = self._file.content()
        if self.arguments["decrypt"] and content.startswith(b"$ANSIBLE_VAULT;"):
            raise HostError(f"'{self._file.given}' is encrypted with Ansible Vault, which is not supported")
        return content

    def _program(self, content: bytes) -> str:
        """Return the program that must be there for the script to start; "" where that is up to the shell."""
        if self._executable:
            word = self._executable.split()[0]
            return word if _PLAIN.fullmatch(word) else ""
        named = _INTERPRETER.match(content)
        return named[1].decode("utf-8", "surrogateescape") if named else ""

    def _running(self, content: bytes) -> str:
        name = re.sub(r"[^A-Za-z0-9._-]", "_", os.path.basename(self._file.path)).lstrip("-.") or "script"
        place = _PLACE.format(token=secrets.token_hex(8), note=NOTE, name=name, size=len(content))
        chdir = self.arguments["chdir"]
        line = f'{self._executable} "$0" {self._rest}'.lstrip()
        change = f"{WANTED}={quote(chdir)}\n{DIRECTORY}" if chdir else ""
        program, search = self._program(content), ""
        if program and self._executable:
            # A name may be one of the shell's own commands too.
            own = f'case ${WANTED} in */*) false ;; *) command -v "${WANTED}" >/dev/null 2>&1 ;; esac'
            search = f"{WANTED}={program}\n{own} || {{\n{PROGRAM}}}\n"
        elif program:
            search = f"{WANTED}={quote(program if '/' in program else f'./{program}')}\n{PROGRAM}"
        return f'{place}{change}{search}/bin/sh -c {quote(line)} "$sshexec_f" </dev/null'
