"""The ``command`` and ``shell`` modules.

Everything happens within one round trip: changing the directory, the test of ``creates`` and ``removes``, the search
for the executable, the command itself. What is not the command's own doing the script tells beside its output.

One difference to Ansible: where a signal ends the command, ``rc`` is 128 + n as a shell says it, not -n.
"""

from __future__ import annotations

import functools
import shlex
from abc import abstractmethod
from typing import Any

from sshexec.connectors import base
from sshexec.connectors.base import Completed, Connector
from sshexec.connectors.output import Output
from sshexec.connectors.posix import Frame, quote
from sshexec.errors import ArgumentError
from sshexec.modules.arguments import FREE_FORM, Parameter, exclusive, one_of, quoted
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.preconditions import DIRECTORY, PROGRAM, STATES, WANTED, errno_of, guards, unmet
from sshexec.modules.words import expanding

_COMMON = (
    Parameter(FREE_FORM, help="the command: a text that is not `key=value`"),
    Parameter("cmd", help="the command, under another name"),
    Parameter("chdir", "path", inline=True, help="directory to change to first"),
    Parameter("creates", "path", inline=True, help="do nothing where this path or glob exists; relative to `chdir`"),
    Parameter("removes", "path", inline=True, help="do nothing where this path or glob does not exist; likewise"),
    Parameter("stdin", inline=True, help="what the command reads; nothing unless given"),
    Parameter("stdin_add_newline", "bool", default=True, inline=True, help="put a line end behind `stdin`"),
    Parameter("strip_empty_ends", "bool", default=True, inline=True, help="leave line ends at the end of output out"),
)


class _Running(Module):
    """What ``command`` and ``shell`` have in common."""

    free_form = True
    uses_shell: bool

    def check_arguments(self) -> None:
        """Check that there is one command, and that it can be put to a host."""
        arguments = self.arguments
        names = [name for name in (FREE_FORM, "cmd", "argv") if name in arguments]
        exclusive(self.name, arguments, *names)
        one_of(self.name, {name: arguments[name] or None for name in names}, *names)
        Frame(base.Command(self._script(check=False)), Output()).line()

    @property
    def text(self) -> str:
        """The command as it was given."""
        return str(self.arguments[FREE_FORM] or self.arguments["cmd"])

    @property
    def shown(self) -> str | list[str]:
        """The command as the result shows it."""
        return self.text

    @abstractmethod
    def running(self) -> str:
        """Return the end of the script: what runs the command."""

    @functools.cached_property
    def _stdin(self) -> bytes | None:
        stdin = self.arguments["stdin"]
        if stdin is None:
            return None
        newline = "\n" if self.arguments["stdin_add_newline"] else ""
        return f"{stdin}{newline}".encode("utf-8", "surrogateescape")

    def _script(self, check: bool) -> str:
        chdir = self.arguments["chdir"]
        change = f"{WANTED}={_path(chdir)}\n{DIRECTORY}" if chdir else ""
        return change + guards(self.arguments, glob=True) + ("" if check else self.running())

    @functools.cached_property
    def _full_script(self) -> str:
        return self._script(check=False)

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Run the command, or say what would be run."""
        script = self._script(check=True) if invocation.check else self._full_script
        if not script:
            return self._answer(invocation, Completed(0))
        command = base.Command(script, stdin=self._stdin, environment=invocation.environment, about=("run", self.text))
        return self._answer(invocation, connector.execute(command, invocation.output, invocation.deadline))

    def _answer(self, invocation: Invocation, done: Completed) -> Result:
        note = done.note.partition(" ")[0]
        arguments = self.arguments
        result = self._result(
            changed=False, cmd=self.shown, rc=0, stdout="", stderr="", start=None, end=None, delta=None, msg=""
        )
        if note == "chdir":
            result.update(failed=True, rc=None, msg=unmet(done.note, arguments["chdir"]))
        elif note == "executable":
            result.update(failed=True, rc=errno_of(done.note), cmd=self._joined(), msg=unmet(done.note, self._program))
            for name in ("start", "end", "delta"):
                del result[name]
        elif note in STATES:
            would = "Would not run" if invocation.check else "Did not run"
            result["msg"] = f"{would} command since '{arguments[note]}' {STATES[note]}"
            result["stdout"] = f"skipped, since {arguments[note]} {STATES[note]}"
        elif invocation.check:
            result["msg"] = "Command would have run if not in check mode"
            if arguments["creates"] or arguments["removes"]:
                result["changed"] = True
            else:
                result["skipped"] = True
        else:
            result.update(self._ran(invocation.output, done))
        result["stdout_lines"] = result["stdout"].splitlines()
        result["stderr_lines"] = result["stderr"].splitlines()
        result.update(self._warnings())
        return result

    def _ran(self, output: Output, done: Completed) -> Result:
        texts = {stream: output.text(stream) for stream in ("stdout", "stderr")}
        if self.arguments["strip_empty_ends"]:
            texts = {stream: text.rstrip("\r\n") for stream, text in texts.items()}
        times = {"start": done.start, "end": done.end, "delta": done.delta}
        ran: Result = {"changed": True, "rc": done.rc, **texts}
        ran.update({name: None if value is None else str(value) for name, value in times.items()})
        if done.rc != 0:
            ran.update(failed=True, msg="non-zero return code")
        return ran

    @property
    @abstractmethod
    def _program(self) -> str:
        """What is looked for before the command is started."""

    @abstractmethod
    def _joined(self) -> str:
        """Return the command as the result shows it where its program was not found."""

    def _warnings(self) -> Result:
        return {}

    def _module_args(self) -> dict[str, Any]:
        return {"argv": None, "expand_argument_vars": True, **self.arguments, "_uses_shell": self.uses_shell}


class Command(_Running):
    """Run a command without a shell; ``~`` and variables in its words are expanded all the same, as Ansible does."""

    name = "command"
    parameters = (
        *_COMMON,
        Parameter("argv", "list", elements="str", help="the command as a list of words"),
        Parameter("executable", "path", inline=True, help="not used any more; a warning says so"),
        Parameter("expand_argument_vars", "bool", default=True, help="expand `~` and variables in the words"),
    )
    uses_shell = False

    @functools.cached_property
    def _words(self) -> list[str]:
        argv: list[str] | None = self.arguments["argv"]
        return argv or shlex.split(self.arguments[FREE_FORM] or self.arguments["cmd"] or "")

    @property
    def text(self) -> str:
        """The command's words, as a shell would take them."""
        return shlex.join(self._words) if self.arguments["argv"] else super().text

    @property
    def shown(self) -> list[str]:
        """The command as the result shows it: its words, not yet expanded."""
        return self._words

    def check_arguments(self) -> None:
        """Check that there is one command, and that it can be split into words."""
        try:
            words = self._words
        except ValueError as error:
            raise ArgumentError(f"{self.name}: {error}: {quoted(self.text)}") from None
        super().check_arguments()
        if not words or not words[0]:
            raise ArgumentError(f"{self.name}: no command given")

    def running(self) -> str:
        """Return the search for the executable and its start."""
        write = expanding if self.arguments["expand_argument_vars"] else quote
        words = [write(word) for word in self._words or [""]]
        return f"{WANTED}={words[0]}\n{PROGRAM}exec {' '.join(words)}"

    @property
    def _program(self) -> str:
        return self._words[0]

    def _joined(self) -> str:
        return shlex.join(self._words)

    def _warnings(self) -> Result:
        executable = self.arguments["executable"]
        if executable is None:
            return {}
        return {
            "warnings": [
                "As of Ansible 2.4, the parameter 'executable' is no longer supported with the 'command' module. "
                f"Not using '{executable}'."
            ]
        }


class Shell(_Running):
    """Run a text by ``/bin/sh -c``, or by another shell."""

    name = "shell"
    parameters = (*_COMMON, Parameter("executable", "path", inline=True, help="shell to use in place of `/bin/sh`"))
    uses_shell = True

    def running(self) -> str:
        """Return the start of the shell."""
        executable = self.arguments["executable"]
        if not executable:
            return f"exec /bin/sh -c {quote(self.text)}"
        word = _path(executable)
        return f"{WANTED}={word}\n{PROGRAM}exec {word} -c {quote(self.text)}"

    @property
    def _program(self) -> str:
        return str(self.arguments["executable"])

    def _joined(self) -> str:
        return shlex.join([self._program, "-c", self.text])


def _path(path: str) -> str:
    """Write a path that can't be taken for an option, nor for the `-` of `cd`."""
    return expanding(f"./{path}" if path.startswith("-") else path)
