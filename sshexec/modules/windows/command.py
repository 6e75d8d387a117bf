"""The ``win_command`` module: a program of Windows, started without a shell.

Arguments, keys and messages follow ansible.windows 3.3 to 3.7. Times are of this machine's clock, in UTC as there: the
command is all that goes to the host.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, ClassVar

from sshexec.connectors import base
from sshexec.connectors.base import Capability, Completed, Connector, Form
from sshexec.connectors.output import Output, Stream
from sshexec.errors import ArgumentError, HostError, NotStartedError
from sshexec.modules.arguments import FREE_FORM, Parameter, Rules
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.exchange import is_answer
from sshexec.modules.preconditions import STATES
from sshexec.modules.windows.command_line import command_line
from sshexec.modules.windows.encodings import codec
from sshexec.modules.windows.guards import Guards, guards
from sshexec.modules.windows.names import check_paths

_COMMANDS = (FREE_FORM, "cmd", "argv")
_FILE_NOT_FOUND = 2
"""ERROR_FILE_NOT_FOUND: the status of what could not be started, where Windows has no other."""

ENCODING = Parameter(
    "output_encoding_override", help="encoding of the output by .NET's name, where a program takes no notice of UTF-8"
)
GUARDED = (
    Parameter("chdir", "path", help="directory to run in; the login's unless given"),
    Parameter("creates", "path", help="skip where this path, or one that fits the pattern, exists"),
    Parameter("removes", "path", help="skip where this path, or one that fits the pattern, does not exist"),
)


class WinCommand(Module):
    """Run a program with its arguments; nothing in them is a shell's to read."""

    name = "win_command"
    free_form = True
    needs = Capability.WINDOWS
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(FREE_FORM, help="the command: a text that is not `key=value`"),
        Parameter("cmd", help="the command, under another name"),
        Parameter(
            "argv", "list", elements="str", help="the command as a list of words, which are quoted as C reads them"
        ),
        *GUARDED,
        Parameter("stdin", help="what the command reads; nothing unless given"),
        ENCODING,
    )
    rules = Rules(exclusive=(_COMMANDS,), one_of=(_COMMANDS,))
    form: ClassVar[Form] = Form.PROGRAM

    def check_arguments(self) -> None:
        """Check that there is a command, the paths, and that Python knows the encoding."""
        arguments = self.arguments
        words = arguments.get("argv") or []
        self._text: str = (arguments[FREE_FORM] or "").strip() or arguments["cmd"] or ""
        if not self._text and words and words[0]:
            try:
                self._text = command_line(words)
            except ArgumentError as error:
                raise ArgumentError(f"{self.name}: {error.message}") from None
        if not self._text.strip():
            raise ArgumentError(f"{self.name}: no command given")
        check_paths(self.name, arguments, "chdir", "creates", "removes")
        try:
            self._codec = codec(arguments["output_encoding_override"] or "utf-8")
        except LookupError as error:
            raise ArgumentError(f"{self.name}: output_encoding_override: {error.args[0]}") from None

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Run the command; check mode skips it."""
        if invocation.check:
            return self._told(changed=False, skipped=True, msg=self._unchecked)
        try:
            met = guards(self.arguments, connector, invocation)
        except HostError as error:
            if not is_answer(error):
                raise
            return self._told(failed=True, changed=False, cmd=self._text, msg=error.message)
        if met.unless:
            message = f"skipped, since {met.path} {STATES[met.unless]}"
            return self._told(changed=False, skipped=True, cmd=self._text, rc=0, msg=message)
        if met.missing:
            return self._not_started(f"Could not find specified -WorkingDirectory '{met.directory}'")
        return self._run(met, connector, invocation)

    def _run(self, met: Guards, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        start = datetime.now(timezone.utc)
        try:
            done = connector.execute(self._command(met, invocation), invocation.output, invocation.deadline)
        except HostError as error:
            if isinstance(error, NotStartedError):
                return self._not_started(error.message, error.code)
            if not is_answer(error):
                raise
            return self._not_started(error.message)
        return self._ran(invocation.output, done, start, datetime.now(timezone.utc))

    def _command(self, met: Guards, invocation: Invocation) -> base.Command:
        return base.Command(
            self._text,
            self._stdin,
            invocation.environment,
            about=("run", self._text),
            form=self.form,
            directory=met.directory,
        )

    @property
    def _stdin(self) -> bytes | None:
        stdin: str = self.arguments["stdin"]
        return stdin.encode("utf-8", "surrogateescape") if stdin else None

    @property
    def _unchecked(self) -> str:
        return f"remote module ({self.name}) does not support check mode"

    def _told(self, **values: Any) -> Result:
        return self._result(**values)

    def _not_started(self, why: str, code: int = 0) -> Result:
        message = f"Failed to run: '{self._text}': {why}"
        return self._told(failed=True, changed=False, cmd=self._text, rc=code or _FILE_NOT_FOUND, msg=message)

    def _ran(self, output: Output, done: Completed, start: datetime, end: datetime) -> Result:
        stdout, stderr = self._decoded(output, "stdout"), self._decoded(output, "stderr")
        result = self._told(
            changed=True,
            cmd=self._text,
            rc=done.rc,
            stdout=stdout,
            stdout_lines=stdout.splitlines(),
            stderr=stderr,
            stderr_lines=stderr.splitlines(),
            start=_shown(start),
            end=_shown(end),
            delta=_shown_delta(start, end),
        )
        if done.rc != 0:
            result.update(failed=True, msg="non-zero return code")
        return result

    def _decoded(self, output: Output, stream: Stream) -> str:
        return (output.stdout if stream == "stdout" else output.stderr).decode(self._codec, "replace")


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def _shown_delta(start: datetime, end: datetime) -> str:
    seconds, micros = divmod(max(0, round((end - start).total_seconds() * 1_000_000)), 1_000_000)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}.{micros:06}"
