"""win_shell: a text for PowerShell or another shell."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from sshexec.connectors.base import Connector, Deadline
from sshexec.connectors.output import Output
from sshexec.errors import ArgumentError, CommandTimeoutError
from sshexec.modules.base import Invocation
from sshexec.modules.registry import module_class
from tests.modules.windows.conftest import Run
from tests.winrm_server.powershell import Answer, Call
from tests.winrm_server.server import WinrmServer


def answered(text: str) -> re.Pattern[str]:
    """Return what finds a user's text in the script that PowerShell gets."""
    return re.compile(re.escape(text) + r"\Z")


def commands(endpoint: WinrmServer) -> list[dict[str, Any]]:
    return [event.detail for event in endpoint.log if event.op == "Command"]


def test_powershell_takes_the_text(run: Run, endpoint: WinrmServer) -> None:
    text = "Get-Item 'C:\\Windows' | % { $_.Name; \"é\" }"
    endpoint.powershell[answered(text)] = Answer("Windows\r\né\r\n", "careful\r\n")
    result = run("win_shell", {"cmd": f"  {text}\n"})
    times = {name: result.pop(name) for name in ("start", "end", "delta")}
    assert result == {
        "changed": True,
        "cmd": text,
        "rc": 0,
        "stdout": "Windows\r\né\r\n",
        "stdout_lines": ["Windows", "é"],
        "stderr": "careful\r\n",
        "stderr_lines": ["careful"],
    }
    assert re.fullmatch(r"\d:\d\d:\d\d\.\d{6}", times["delta"])
    (command,) = commands(endpoint)
    # On one line with the user's, so that an error names the right one.
    assert command["powershell"].startswith("try{[Console]::InputEncoding=")
    assert "\n" not in command["powershell"]
    assert "-NonInteractive" in command["line"]
    assert "-NoProfile" not in command["line"]


def test_a_failure(run: Run, endpoint: WinrmServer) -> None:
    endpoint.powershell[answered("exit 5")] = Answer(rc=5)
    result = run("win_shell", "exit 5")
    assert (result["failed"], result["changed"], result["rc"], result["msg"]) == (True, True, 5, "non-zero return code")
    assert "invocation" not in result


def test_a_long_text_arrives_whole(run: Run, endpoint: WinrmServer) -> None:
    text = "# " + "x" * 100_000 + "\nWrite-Output 'end'"
    endpoint.powershell[answered(text)] = Answer("end\r\n")
    assert run("win_shell", {"_raw_params": text})["stdout"] == "end\r\n"


def test_stdin_and_profile(run: Run, endpoint: WinrmServer) -> None:
    def read(call: Call) -> int:
        call.out("|".join(call.stdin))
        return 0

    endpoint.powershell[answered("$input")] = Answer(run=read)
    assert run("win_shell", {"cmd": "$input", "stdin": "a\nb", "no_profile": "yes"})["stdout"] == "a|b"
    (command,) = commands(endpoint)
    assert "-NoProfile" in command["line"]
    assert sum(event.detail["size"] for event in endpoint.log if event.op == "Send") == len(b"a\nb\r\n")


@pytest.mark.parametrize("executable", ["cmd", "cmd.exe", "C:\\Windows\\System32\\cmd.exe"])
def test_cmd_takes_a_line(executable: str, run: Run, endpoint: WinrmServer) -> None:
    result = run("win_shell", {"cmd": "echo %USERNAME% && echo more", "executable": executable})
    assert result["stdout"].split() == ["vagrant", "more"]
    (command,) = commands(endpoint)
    assert command["line"] == "echo %USERNAME% && echo more"


@pytest.mark.parametrize("executable", ["powershell", "PowerShell.exe"])
def test_powershell_by_name_is_the_usual_one(executable: str, run: Run, endpoint: WinrmServer) -> None:
    endpoint.powershell[answered("$PID")] = Answer("1\r\n")
    assert run("win_shell", {"cmd": "$PID", "executable": executable})["stdout"] == "1\r\n"


@pytest.mark.parametrize(
    ("executable", "program"),
    [("pwsh", "pwsh.exe"), ("C:\\Program Files\\PowerShell\\7\\pwsh.exe",) * 2],
)
def test_another_powershell(executable: str, program: str, run: Run, endpoint: WinrmServer) -> None:
    result = run("win_shell", {"cmd": "$PSHOME", "executable": executable, "no_profile": True})
    assert result["cmd"] == "$PSHOME"
    (command,) = commands(endpoint)
    told = command["arguments"]
    options, script = told["arguments"].rsplit(" ", 1)
    assert (told["program"], options) == (program, "-NoProfile -NonInteractive -OutputFormat Text -EncodedCommand")
    assert base64.b64decode(script).decode("utf-16-le").endswith(";$PSHOME")


def test_another_shell_gets_slash_c(run: Run, endpoint: WinrmServer) -> None:
    result = run("win_shell", {"cmd": "a | b", "executable": "C:\\Tools\\nosuch"})
    assert (result["failed"], result["rc"]) == (True, 2)
    assert result["msg"].startswith("Failed to run: 'a | b': ")
    (command,) = commands(endpoint)
    assert (command["arguments"]["program"], command["arguments"]["arguments"]) == ("C:\\Tools\\nosuch.exe", "/c a | b")


def test_guards_and_check_mode(run: Run, endpoint: WinrmServer) -> None:
    result = run("win_shell", {"cmd": "x", "creates": "C:\\Windows"})
    assert result == {
        "changed": False,
        "skipped": True,
        "cmd": "x",
        "rc": 0,
        "msg": "skipped, since C:\\Windows exists",
    }
    assert run("win_shell", "x", check=True) == {
        "changed": False,
        "skipped": True,
        "msg": "remote module does not support check mode",
    }


def test_chdir_and_environment(run: Run, endpoint: WinrmServer) -> None:
    def tell(call: Call) -> int:
        call.out(f"{call.directory} {call.environment['GREETING']}")
        return 0

    endpoint.powershell[answered("tell")] = Answer(run=tell)
    result = run("win_shell", {"cmd": "tell", "chdir": "C:\\Windows"}, environment={"GREETING": "hi"})
    assert result["stdout"] == "C:\\Windows hi"


def test_output_in_another_encoding(run: Run, endpoint: WinrmServer) -> None:
    endpoint.powershell[answered("bytes")] = Answer(b"\x82", "caf\u00e9\r\n")
    result = run("win_shell", {"cmd": "bytes", "output_encoding_override": "ibm850"})
    # What PowerShell itself says comes as it wrote it, whatever a program prints.
    assert (result["stdout"], result["stderr"]) == ("é", "café\r\n")


def test_the_deadline_ends_it(connector: Connector[Any, Any], endpoint: WinrmServer) -> None:
    endpoint.powershell[answered("Start-Sleep 60")] = Answer(delay=60)
    module = module_class("win_shell").from_args("Start-Sleep 60")
    with pytest.raises(CommandTimeoutError):
        module.run(connector, Invocation("win1", Output(), Deadline.after(1)))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("", "one of the following is required: _raw_params, cmd"),
        ({"cmd": "x", "_raw_params": "y"}, r"mutually exclusive: _raw_params\|cmd"),
        ({"cmd": "\n"}, "win_shell: no command given"),
        ({"cmd": "x", "argv": ["y"]}, r"Unsupported parameters for \(win_shell\) module: argv"),
        ({"cmd": "x", "no_profile": "perhaps"}, "not a valid boolean"),
    ],
)
def test_wrong_arguments(args: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        module_class("win_shell").from_args(args)
