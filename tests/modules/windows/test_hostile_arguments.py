"""Arguments nobody meant, for Windows hosts: each is one clear line, or a command that can be sent."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Capability, Command, Completed, Deadline, Form
from sshexec.connectors.output import Output
from sshexec.connectors.powershell import MARK, encoded
from sshexec.connectors.winrm.commandline import line_of
from sshexec.connectors.winrm.program import Program
from sshexec.errors import ArgumentError, HostError
from sshexec.modules.base import Invocation
from sshexec.modules.registry import module_on
from tests.modules.test_hostile_arguments import EXCLUDED, TEXTS, VALUES, assert_clear

BASE: dict[str, dict[str, Any]] = {
    "win_ping": {},
    "ping": {},
    "raw": {"_raw_params": "x"},
    "win_command": {"cmd": "x"},
    "win_shell": {"cmd": "x"},
    "script": {"cmd": "x.ps1"},
    "win_copy": {"src": "x", "dest": "C:\\x"},
    "win_file": {"path": "C:\\x"},
    "win_stat": {"path": "C:\\x"},
    "fetch": {"src": "C:\\x", "dest": "x"},
    "slurp": {"src": "C:\\x"},
    "setup": {},
    "wait_for_connection": {},
}
KINDS = {name: module_on(name, Capability.WINDOWS) for name in BASE}


class Writing:
    """Writes down what a host would be sent, and says that nothing is there."""

    def execute(self, command: Command, output: Output, deadline: Deadline) -> Completed:
        text = command.script
        if command.form is Form.PROGRAM:
            text = Program(command).command.script
        assert encoded(text)
        line_of(command)
        output.write("stdout", f"{MARK}{'e30='}\n".encode())
        return Completed(0)


@pytest.fixture(autouse=True)
def nothing_to_send(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A current directory and a home with nothing in them."""
    monkeypatch.setenv("HOME", str(folder))


@pytest.mark.parametrize("module", BASE)
def test_every_argument_is_refused_clearly_or_can_be_sent(module: str) -> None:
    kind = KINDS[module]
    for parameter in kind.parameters:
        for value in VALUES:
            args = {**BASE[module], parameter.name: value}
            args.pop(EXCLUDED.get(parameter.name, ""), None)
            try:
                made = kind.from_args(args)
            except ArgumentError as error:
                assert_clear(error)
                continue
            if not made.opens or module == "setup":
                continue
            with contextlib.suppress(HostError):
                assert json.dumps(made.run(Writing(), Invocation("win1", Output(), Deadline())))  # type: ignore[arg-type]


@pytest.mark.parametrize("module", BASE)
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:10]))
def test_every_text_is_refused_clearly_or_taken(module: str, text: str) -> None:
    try:
        KINDS[module].from_args(text)
    except ArgumentError as error:
        assert_clear(error)
