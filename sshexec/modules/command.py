"""The ``command`` and ``shell`` modules.

Everything happens within one round trip: changing the directory, the test of ``creates`` and ``removes``, the search
for the executable, the command itself. What is not the command's own doing the script tells beside its output.
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Mapping
from typing import Any

from sshexec.connectors import base
from sshexec.connectors.base import Completed, Connector
from sshexec.connectors.output import Output
from sshexec.connectors.posix import Frame, operand, quote
from sshexec.errors import ArgumentError
from sshexec.modules.arguments import FREE_FORM, Parameter, Rules, quoted
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.preconditions import (
    DIRECTORY,
    PROGRAM,
    SAID,
    STATES,
    WANTED,
    errno_of,
    guards,
    telling,
    told,
    unmet,
)
from sshexec.modules.splitting import split_words
from sshexec.modules.words import expanding

_COMMANDS = (FREE_FORM, "cmd", "argv")
_PATHS = ("chdir", "creates", "removes")


class Command(Module):
    """Run a command without a shell; ``~`` and variables in its words are expanded all the same, as Ansible does."""

    name = "command"
    called = "command"
    free_form = True
    parameters = (
        Parameter(FREE_FORM, help="the command: a text that is not `key=value`"),
        Parameter(
            "_uses_shell", "bool", default=False, help="what makes `shell` of `command`; callers of the API use it"
        ),
        Parameter("cmd", help="the command, under another name"),
        Parameter("argv", "list", elements="str", help="the command as a list of words"),
        Parameter("chdir", "path", help="directory to change to first"),
        Parameter("executable", help="for `shell`: shell to use in place of `/bin/sh`; `command` warns of it"),
        Parameter(
            "expand_argument_vars", "bool", default=True, help="for `command`: expand `~` and variables in words"
        ),
        Parameter("creates", "path", help="do nothing where this path or glob exists; relative to `chdir`"),
        Parameter("removes", "path", help="do nothing where this path or glob does not exist; likewise"),
        Parameter("stdin", help="what the command reads; nothing unless given"),
        Parameter("stdin_add_newline", "bool", default=True, help="put a line end behind `stdin`"),
        Parameter("strip_empty_ends", "bool", default=True, help="leave line ends at the end of output out"),
    )
    rules = Rules(exclusive=(_COMMANDS,), one_of=(_COMMANDS,))

    def check_arguments(self) -> None:
        """Check that there is a command, that it can be split into words, and that it can be put to a host."""
        given = self.arguments[FREE_FORM] or self.arguments["cmd"]
        try:
            self._words: list[str] = split_words(given) if given else self.arguments["argv"] or []
        except ValueError as error:
            if not self._shell:
                raise ArgumentError(f"{self.name}: {error}: {quoted(given)}") from None
        if not (given if self._shell and given else self._words):
            raise ArgumentError(f"{self.name}: no command given")
        # What a shell gets as words becomes a text.
        self._text: str = given or shlex.join(self._words)
        self._script = self._preparation + self._running
        Frame(base.Command(self._script), Output()).line()

    @property
    def _shell(self) -> bool:
        return bool(self.arguments["_uses_shell"])

    @property
    def _shown(self) -> str | list[str]:
        """The command as the result shows it: words are not yet expanded."""
        given: str = self.arguments[FREE_FORM] or self.arguments["cmd"]
        return given if self._shell and given else self._words

    @functools.cached_property
    def _stdin(self) -> bytes | None:
        stdin = self.arguments["stdin"]
        if not stdin:
            return None
        newline = "\n" if self.arguments["stdin_add_newline"] else ""
        return f"{stdin}{newline}".encode("utf-8", "surrogateescape")

    @functools.cached_property
    def _preparation(self) -> str:
        """The script up to the command's start."""
        chdir = self.arguments["chdir"]
        change = f"{WANTED}={expanding(operand(chdir))}\n{DIRECTORY}" if chdir else ""
        return telling(self.arguments, _PATHS) + change + guards(self.arguments, glob=True)

    @property
    def _program(self) -> str:
        """What is looked for before it is started; "" for `/bin/sh`, which is running already."""
        return (self.arguments["executable"] or "") if self._shell else self._words[0]

    @property
    def _running(self) -> str:
        """The end of the script: what runs the command."""
        if not self._shell:
            write = expanding if self.arguments["expand_argument_vars"] else quote
            words = [write(word) for word in self._words]
        elif self._program:
            words = [quote(operand(self._program)), "-c", quote(self._text)]
        else:
            return f"exec /bin/sh -c {quote(self._text)}"
        return f"{WANTED}={words[0]}\n{PROGRAM}exec {' '.join(words)}"

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Run the command, or say what would be run."""
        script = self._preparation if invocation.check else self._script
        if not script:
            return self._answer(invocation, Completed(0))
        command = base.Command(script, stdin=self._stdin, environment=invocation.environment, about=("run", self._text))
        return self._answer(invocation, connector.execute(command, invocation.output, invocation.deadline))

    def _answer(self, invocation: Invocation, done: Completed) -> Result:
        note, paths = told(done.note)
        arguments = {**self.arguments, **paths} if paths else self.arguments
        kind = note.partition(" ")[0]
        result = self._result(
            changed=False, cmd=self._shown, rc=0, stdout="", stderr="", start=None, end=None, delta=None, msg=""
        )
        result["invocation"]["module_args"].update(paths)
        if kind == "chdir":
            result.update(failed=True, rc=None, msg=SAID[kind], exception=unmet(note, arguments["chdir"]))
        elif kind == "executable":
            words = [self._program, "-c", self._text] if self._shell else self._words
            result.update(failed=True, rc=errno_of(note), cmd=shlex.join(words), msg=SAID[kind])
            result["exception"] = unmet(note, self._program)
            for name in ("start", "end", "delta"):
                del result[name]
        elif kind in STATES:
            would = "Would not run" if invocation.check else "Did not run"
            result["msg"] = f"{would} command since '{arguments[kind]}' {STATES[kind]}"
            result["stdout"] = f"skipped, since {arguments[kind]} {STATES[kind]}"
        elif invocation.check:
            guarded = arguments["creates"] is not None or arguments["removes"] is not None
            result.update(msg="Command would have run if not in check mode", changed=guarded)
            if not guarded:
                result["skipped"] = True
        else:
            result.update(self._ran(invocation.output, done))
        result["stdout_lines"] = result["stdout"].splitlines()
        result["stderr_lines"] = result["stderr"].splitlines()
        return self._warned(result)

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

    def _warned(self, result: Result) -> Result:
        executable = self.arguments["executable"]
        if executable and not self._shell:
            warning = (
                "As of Ansible 2.4, the parameter 'executable' is no longer supported with the 'command' module. "
                f"Not using '{executable}'."
            )
            result["warnings"] = [*result.get("warnings", []), warning]
        return result


class Shell(Command):
    """Run a text by ``/bin/sh -c``, or by another shell."""

    name = "shell"

    @classmethod
    def from_args(cls, args: str | Mapping[str, Any] | None) -> Module:
        """Parse and check arguments; one of `Command` is refused, as Ansible does.

        Raises:
            ArgumentError: an argument is unknown, missing or wrong; nothing was contacted.
        """
        if isinstance(args, Mapping) and "expand_argument_vars" in args:
            raise ArgumentError("shell: Unsupported parameters for (shell) module: expand_argument_vars")
        return super().from_args(args)

    @property
    def _shell(self) -> bool:
        return True

    def _module_args(self) -> dict[str, Any]:
        return {**super()._module_args(), "_uses_shell": True}
