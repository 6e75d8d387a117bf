"""win_command: a program without a shell."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshexec.connectors.base import Connector, Deadline
from sshexec.connectors.output import Output
from sshexec.errors import ArgumentError, CommandTimeoutError
from sshexec.modules.base import Invocation
from sshexec.modules.registry import module_class
from sshexec.modules.windows.command_line import command_line
from sshexec.modules.windows.encodings import codec
from tests.modules.windows.conftest import Run
from tests.winrm_server.interpreter import split
from tests.winrm_server.server import WinrmServer

MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}"


def scripts(endpoint: WinrmServer) -> list[str]:
    return [event.detail["script"] for event in endpoint.log if event.op == "Command"]


def test_a_program_runs_without_a_shell(run: Run, endpoint: WinrmServer) -> None:
    result = run("win_command", "printf '%s|' a 'b c' %OS% ; exit 3 && $HOME")
    words = ["a", "'b", "c'", "%OS%", ";", "exit", "3", "&&", "$HOME"]
    assert result["stdout"] == "".join(f"'{word}|'" for word in words)
    (event,) = (event for event in endpoint.log if event.op == "Command")
    told = event.detail["arguments"]
    assert (told["program"], told["arguments"]) == ("printf", "'%s|' a 'b c' %OS% ; exit 3 && $HOME")


def test_keys_are_those_of_ansible_windows(run: Run) -> None:
    result = run("win_command", 'printf "one\\ntwo\\n"')
    assert {name: result[name] for name in ("changed", "cmd", "rc", "stdout", "stderr")} == {
        "changed": True,
        "cmd": 'printf "one\\ntwo\\n"',
        "rc": 0,
        "stdout": "one\r\ntwo\r\n",
        "stderr": "",
    }
    assert (result["stdout_lines"], result["stderr_lines"]) == (["one", "two"], [])
    assert re.fullmatch(MOMENT, result["start"])
    assert re.fullmatch(MOMENT, result["end"])
    assert result["start"] <= result["end"]
    assert re.fullmatch(r"0:00:\d\d\.\d{6}", result["delta"])
    assert result["invocation"]["module_args"]["_raw_params"] == 'printf "one\\ntwo\\n"'
    assert "failed" not in result


def test_an_exit_status_fails(run: Run) -> None:
    result = run("win_command", {"argv": ["sh", "-c", "echo out; echo err >&2; exit 7"]})
    assert (result["failed"], result["changed"], result["rc"]) == (True, True, 7)
    assert (result["msg"], result["stdout"], result["stderr"]) == ("non-zero return code", "out\r\n", "err\r\n")


@pytest.mark.parametrize("command", ["nosuchprogram /x", r'"C:\No Such\thing.exe" a'])
def test_no_such_program(command: str, run: Run) -> None:
    result = run("win_command", command)
    assert result["msg"].startswith(f"Failed to run: '{command}': ")
    assert "find the file" in result["msg"]
    assert {name: result[name] for name in ("failed", "changed", "cmd", "rc")} == {
        "failed": True,
        "changed": False,
        "cmd": command,
        "rc": 2,
    }
    assert run("win_command", "printf still")["stdout"] == "still"


def test_a_line_too_long_says_what_to_do(run: Run) -> None:
    result = run("win_command", {"argv": ["printf", "x" * 40000]})
    assert result["msg"].startswith("Failed to run: 'printf xxx")
    assert "32767" in result["msg"]


def test_argv_stays_as_it_is(run: Run) -> None:
    words = ["a b", "", 'say "hi"', "C:\\dir\\", "tail\\\\ x\\", "%OS%", "$HOME;|&", "tab\there", "é"]
    result = run("win_command", {"argv": ["printf", "%s\\n", *words]})
    assert result["stdout"].split("\r\n")[:-1] == words
    assert result["cmd"].startswith('printf %s\\n "a b" "" "say \\"hi\\"" C:\\dir\\ "tail\\\\ x\\\\" %OS%')


@pytest.mark.parametrize(
    "words",
    [
        ["C:\\Program Files\\x.exe", "a"],
        ["x", "\\"],
        ["x", 'a\\"b', "\\\\", ' \\\\"', '"', '\\" \\'],
        ["x", "", " ", "\t", "\n"],
    ],
)
def test_words_survive_command_line_to_argv(words: list[str]) -> None:
    assert split(command_line(words)) == words


@given(st.lists(st.text('ab \\\\"\t|&^%'), max_size=6))
def test_words_are_quoted_as_microsoft_s_c_reads_them(words: list[str]) -> None:
    words = ["x", *words]
    assert split(subprocess.list2cmdline(words)) == words
    assert split(command_line(words)) == words


def test_stdin_goes_as_it_is(run: Run) -> None:
    assert run("win_command", {"cmd": "cat", "stdin": "é\nx"})["stdout"] == "é\r\nx"
    assert run("win_command", "cat")["stdout"] == ""


def test_chdir(run: Run, endpoint: WinrmServer) -> None:
    (endpoint.drive / "Data").mkdir()
    result = run("win_command", {"cmd": "pwd", "chdir": "C:\\Data"})
    assert result["stdout"].rstrip().endswith("/C/Data")
    assert len(scripts(endpoint)) == 1
    result = run("win_command", {"cmd": "pwd", "chdir": "%SystemRoot%\\Temp"})
    assert result["stdout"].rstrip().endswith("/C/Windows/Temp")
    assert len(scripts(endpoint)) == 3
    assert run("win_command", "pwd")["stdout"].rstrip().endswith("/C/Users/vagrant")


@pytest.mark.parametrize("chdir", ["C:\\Nope", "nope", "%OS%\\x"])
def test_no_such_directory(chdir: str, run: Run) -> None:
    result = run("win_command", {"cmd": "pwd", "chdir": chdir})
    assert (result["failed"], result["changed"]) == (True, False)
    assert result["msg"].startswith("Failed to run: 'pwd': ")
    assert run("win_command", "printf still")["stdout"] == "still"


def test_creates_and_removes(run: Run, endpoint: WinrmServer) -> None:
    (endpoint.drive / "flag one.txt").touch()
    (endpoint.drive / "Users" / "vagrant" / "mine").touch()
    result = run("win_command", {"cmd": "printf x", "creates": "c:\\FLAG one.txt"})
    assert {name: result[name] for name in result if name != "invocation"} == {
        "changed": False,
        "skipped": True,
        "cmd": "printf x",
        "rc": 0,
        "msg": "skipped, since c:\\FLAG one.txt exists",
    }
    assert run("win_command", {"cmd": "printf x", "creates": "C:\\flag*"})["skipped"] is True
    # Relative to the login's directory, with chdir too.
    assert run("win_command", "printf x creates=mine chdir=C:\\Windows")["skipped"] is True
    assert run("win_command", "printf x creates=%USERPROFILE%\\mine")["msg"] == (
        "skipped, since C:\\Users\\vagrant\\mine exists"
    )
    assert run("win_command", "printf x removes=C:/nope")["msg"] == "skipped, since C:/nope does not exist"
    assert run("win_command", "printf x removes=mine creates=C:/nope")["stdout"] == "x"
    assert scripts(endpoint) == [*["guards"] * 6, "program"]


def test_a_path_that_nobody_may_look_at_fails(run: Run, endpoint: WinrmServer) -> None:
    result = run("win_command", {"cmd": "printf x", "creates": "C:\\denied\\x"})
    assert (result["failed"], result["changed"]) == (True, False)
    assert result["msg"] == "C:\\denied\\x: Access to the path 'C:\\denied\\x' is denied."
    assert len(scripts(endpoint)) == 1


def test_environment(run: Run) -> None:
    result = run("win_command", {"argv": ["sh", "-c", "echo $GREETING"]}, environment={"GREETING": "hi there"})
    assert result["stdout"] == "hi there\r\n"


def test_check_mode_skips(run: Run, endpoint: WinrmServer) -> None:
    result = run("win_command", "printf x creates=C:/nope", check=True)
    assert (result["skipped"], result["changed"]) == (True, False)
    assert result["msg"] == "remote module (win_command) does not support check mode"
    assert scripts(endpoint) == []


def test_output_in_another_encoding(run: Run) -> None:
    octets = {"argv": ["printf", "\\264\\345\\344"], "output_encoding_override": "Windows-1251"}
    assert run("win_command", octets)["stdout"] == b"\264\345\344".decode("cp1251")
    assert run("win_command", {**octets, "output_encoding_override": "utf-16"})["stdout"] == "\ue5b4\ufffd"
    assert run("win_command", {"argv": octets["argv"]})["stdout"] == "\ufffd" * 3


def test_names_of_encodings() -> None:
    given = {"IBM850": "cp850", "Big5": "big5", "unicodeFFFE": "utf-16-be", "437": "cp437", "x-mac-roman": "mac-roman"}
    assert {name: codec(name) for name in given} == given
    for wrong in ("nope", "", "base64", "idna", "\0"):
        with pytest.raises(LookupError, match="is no encoding"):
            codec(wrong)


def test_the_deadline_ends_it(connector: Connector[Any, Any], endpoint: WinrmServer) -> None:
    module = module_class("win_command").from_args({"argv": ["sh", "-c", "echo begun; sleep 60"]})
    output = Output()
    with pytest.raises(CommandTimeoutError) as caught:
        module.run(connector, Invocation("win1", output, Deadline.after(1.5)))
    assert caught.value.killed is True
    assert output.text("stdout") == "begun\r\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("", "one of the following is required: _raw_params, cmd, argv"),
        ({"cmd": "x", "argv": ["y"]}, r"mutually exclusive: _raw_params\|cmd\|argv"),
        ({"cmd": "  "}, "win_command: no command given"),
        ({"argv": []}, "no command given"),
        ({"argv": [""]}, "no command given"),
        ({"argv": ['a"b', "c"]}, "no program's name holds a quotation mark"),
        ({"cmd": "x", "executable": "sh"}, r"Unsupported parameters for \(win_command\) module: executable"),
        ({"cmd": "x", "output_encoding_override": "nope"}, "output_encoding_override: 'nope' is no encoding"),
        ({"cmd": "a\0b"}, "NUL"),
    ],
)
def test_wrong_arguments(args: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        module_class("win_command").from_args(args)
