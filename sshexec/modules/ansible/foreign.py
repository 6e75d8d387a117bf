"""Any module of Ansible that this project does not have itself, by an ansible-core that is installed beside.

Its payload (`sshexec.modules.ansible.payload`) is built once for all runs, and piped to the host's Python in one round
trip.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any, ClassVar

from sshexec.connectors.base import Command, Completed, Connector
from sshexec.connectors.output import DEFAULT_LIMIT, Output
from sshexec.connectors.posix import NOTE
from sshexec.errors import ArgumentError, UnknownModuleError
from sshexec.modules.ansible import answer, controller_part
from sshexec.modules.ansible.builder import Builder
from sshexec.modules.ansible.payload import Payload
from sshexec.modules.arguments import parse, quoted, readable, split
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.words import expanding

LARGEST_ANSWER = DEFAULT_LIMIT
"""Bytes of a module's answer; all packages of a large host are about a million."""

PYTHON = "ansible_python_interpreter"
_DISCOVERED = frozenset({"auto", "auto_silent", "auto_legacy", "auto_legacy_silent"})
_PYTHONS = (
    *(f"python3.{minor}" for minor in range(13, 7, -1)),
    "/usr/bin/python3",
    "/usr/libexec/platform-python",
    "python3",
)
_SEARCH = (
    f"for sshexec_p in {' '.join(_PYTHONS)}; do\n"
    # Whether it starts, too: pyenv has a name for every version that it knows of.
    'command -v "$sshexec_p" >/dev/null 2>&1 && "$sshexec_p" -ESc "" </dev/null >/dev/null 2>&1 && exec "$sshexec_p"\n'
    "done\n"
    f"{NOTE} python; exit 127"
)


class Foreign(Module):
    """A module of Ansible; `foreign_class` makes one for each name."""

    parameters = ()
    reads = (PYTHON, "ansible_remote_tmp", "ansible_shell_executable")
    builder: ClassVar[Builder] = Builder()

    def __init__(self, arguments: Mapping[str, Any], payload: Payload) -> None:
        super().__init__(arguments)
        self._payload = payload
        short = self.name.rpartition(".")[2]
        self._part = controller_part.part(payload.action, arguments)
        # A controller part starts its module by this name.
        self._called = f"ansible.legacy.{short}" if payload.action else self.name

    @classmethod
    def from_args(cls, args: str | Mapping[str, Any] | None) -> Foreign:
        """Check arguments by the module's documentation; what it does not tell, the module judges on the host.

        Raises:
            ArgumentError: an argument is unknown, missing or can't be sent.
            UnknownModuleError: the module can't be had any more.
        """
        payload = cls.builder.payload(cls.name)
        given = dict(args) if isinstance(args, Mapping) else split(cls.name, args or "")
        wrong = [name for name in given if not isinstance(name, str) or name.startswith("_ansible_")]
        if wrong:
            raise ArgumentError(f"{cls.name}: {readable(wrong[0])} is no parameter")
        if payload.documented:
            parse(cls.name, payload.parameters, given)
        for name, value in given.items():
            try:
                json.dumps(value)
            except (TypeError, ValueError, RecursionError) as error:
                raise ArgumentError(f"{cls.name}: argument {readable(name)} can't be sent: {error}") from None
        return cls(given, payload)

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Run the module by the host's Python; check mode is the module's own."""
        part = self._part
        if invocation.check and part.check is not None:
            return {"changed": False, **part.check}
        python = str(invocation.settings.get(PYTHON) or "auto")
        found = python in _DISCOVERED
        command = Command(
            part.script + (_SEARCH if found else _start(python)),
            stdin=self._payload.filled({**part.arguments, **self._private(invocation)}),
            environment=invocation.environment,
            about=(self.name,),
        )
        # Its answer is no output of the task, and must be whole.
        output = Output(LARGEST_ANSWER)
        done = connector.execute(command, output, invocation.deadline)
        return self._answer(done, output, "/usr/bin/python3" if found else python, invocation)

    def _answer(self, done: Completed, output: Output, python: str, invocation: Invocation) -> Result:
        note = self._part.notes.get(done.note)
        if note is not None:
            return {"changed": False, **note}
        if output.truncated:
            size = LARGEST_ANSWER // 2**20
            return {"changed": True, "failed": True, "msg": f"the module's answer is longer than {size} MiB"}
        result = answer.read(output.text("stdout"), output.text("stderr"), done.rc, python)
        if done.note == "python":
            tried = ", ".join(_PYTHONS)
            result["warnings"] = [f"No python interpreters found for host {invocation.host} (tried {tried})"]
        return result

    def _private(self, invocation: Invocation) -> dict[str, Any]:
        settings = invocation.settings
        return {
            **self._payload.private,
            "_ansible_check_mode": invocation.check,
            "_ansible_diff": invocation.diff,
            "_ansible_module_name": self._called,
            "_ansible_no_log": invocation.no_log or self._payload.private.get("_ansible_no_log", False),
            "_ansible_remote_tmp": settings.get("ansible_remote_tmp", "~/.ansible/tmp"),
            "_ansible_shell_executable": settings.get("ansible_shell_executable", "/bin/sh"),
        }


def foreign_class(name: str) -> type[Foreign]:
    """Return the module that ansible-core has under a name; it is built, so that a wrong name is found here.

    Raises:
        UnknownModuleError: it can't be had; the message says why, and what to do.
    """
    why = controller_part.instead(name)
    if why is not None:
        raise UnknownModuleError(f"module {name!r} {why}")
    Foreign.builder.payload(name)
    made: type[Foreign] = type("Foreign", (Foreign,), {"name": name, "__doc__": Foreign.__doc__})
    return made


def _start(python: str) -> str:
    """Return the start of an interpreter; as in Ansible, arguments may follow its path."""
    try:
        words = shlex.split(python)
    except ValueError as error:
        raise ArgumentError(f"{PYTHON}: {error}: {quoted(python)}") from None
    return f"exec {' '.join(expanding(word) for word in words)}"
