"""The command and shell modules: Ansible's results, in one round trip."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Command, Completed, Connector, Deadline
from sshexec.connectors.output import Output
from sshexec.errors import ArgumentError, CommandTimeoutError
from sshexec.modules.base import Invocation
from sshexec.modules.registry import module_class

Run = Callable[..., dict[str, Any]]


def test_command_result_has_the_keys_of_ansible(run: Run) -> None:
    result = run("command", "echo hi")
    assert set(result) == {
        "changed", "cmd", "rc", "stdout", "stdout_lines", "stderr", "stderr_lines",
        "start", "end", "delta", "msg", "invocation",
    }  # fmt: skip
    assert result["cmd"] == ["echo", "hi"]
    assert (result["changed"], result["rc"], result["stdout"], result["msg"]) == (True, 0, "hi", "")
    for name in ("start", "end"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?", result[name])
    assert re.fullmatch(r"0:00:0\d(\.\d{6})?", result["delta"])
    assert set(result["invocation"]["module_args"]) == {
        "_raw_params", "_uses_shell", "expand_argument_vars", "stdin_add_newline", "strip_empty_ends", "argv",
        "chdir", "executable", "creates", "removes", "stdin", "cmd",
    }  # fmt: skip


def test_a_failed_command(run: Run) -> None:
    result = run("command", "ls /nope")
    assert (result["failed"], result["changed"], result["msg"]) == (True, True, "non-zero return code")
    assert result["rc"] == 2
    assert "/nope" in result["stderr"]


def test_words_are_expanded_as_ansible_does_and_nothing_else_is(run: Run) -> None:
    home = os.path.expanduser("~")
    text = "printf %s| $HOME ${HOME}/x ~ ~/y ~root ~nosuchuser $NOPE ${NOPE} $IFS a;b * `id` $(id) 'q q' \"$HOME\""
    assert run("command", text)["stdout"].split("|")[:-1] == [
        home, f"{home}/x", home, f"{home}/y", os.path.expanduser("~root"), "~nosuchuser", "$NOPE", "${NOPE}", "$IFS",
        "a;b", "*", "`id`", "$(id)", "q q", home,
    ]  # fmt: skip


def test_paths_are_shown_as_the_host_expands_them(run: Run, folder: Path) -> None:
    environment = {"HOME": str(folder), "IT": "f.t"}
    result = run("command", {"cmd": "pwd", "chdir": "~", "creates": "$HOME/${IT}xt"}, environment=environment)
    shown = result["invocation"]["module_args"]
    assert (shown["chdir"], shown["creates"], shown["removes"]) == (str(folder), f"{folder}/f.txt", None)
    assert result["msg"] == f"Did not run command since '{folder}/f.txt' exists"
    (folder / "a\nb ; é").mkdir()
    for name, expected in (("a\nb ; é", "$IT"), ("é ;", "é ;")):
        result = run("shell", {"cmd": "pwd", "removes": "$IT"}, environment={"IT": f"{folder}/{name}"})
        expected = expected if expected == "$IT" else f"{folder}/{expected}"
        assert result["invocation"]["module_args"]["removes"] == expected
        assert result["stderr"] == ""


def test_words_are_left_alone_on_demand(run: Run) -> None:
    assert run("command", {"cmd": "echo $HOME ~", "expand_argument_vars": False})["stdout"] == "$HOME ~"


@pytest.mark.parametrize(
    "word", ["", " ", "'", '"', "\\", "a\nb", "\t", "é", "-n", "$", "${", "~/'", "!x", "\udcff", "#"]
)
def test_any_word_arrives_as_it_is(run: Run, word: str) -> None:
    expected = f"[{os.path.expanduser(word)}]".encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    assert run("command", {"argv": ["printf", "[%s]", word]})["stdout"] == expected


def test_creates_and_removes(run: Run, folder: Path) -> None:
    result = run("command", f"touch {folder}/x creates={folder}/f*")
    assert (result["changed"], result["rc"], result["start"]) == (False, 0, None)
    assert result["msg"] == f"Did not run command since '{folder}/f*' exists"
    assert result["stdout_lines"] == [f"skipped, since {folder}/f* exists"]
    assert "skipped" not in result
    assert not (folder / "x").exists()
    result = run("shell", f"touch {folder}/x removes={folder}/g[a-z]*")
    assert result["msg"] == f"Did not run command since '{folder}/g[a-z]*' does not exist"
    assert run("shell", f"touch {folder}/x removes={folder}/[a-g]* creates={folder}/x")["changed"] is True
    assert (folder / "x").exists()


def test_creates_is_relative_to_chdir_and_sees_dangling_links(run: Run, folder: Path) -> None:
    (folder / "link").symlink_to("nowhere")
    assert run("command", {"cmd": "pwd", "chdir": str(folder), "creates": "link"})["changed"] is False
    assert run("command", {"cmd": "pwd", "chdir": str(folder), "creates": "other"})["stdout"] == str(folder)


@pytest.mark.parametrize("module", ["command", "shell"])
@pytest.mark.parametrize("name", ["nope", "no pe/é", "f.txt", "f.txt/x", "link", "-"])
def test_missing_directory(run: Run, folder: Path, module: str, name: str) -> None:
    (folder / "link").symlink_to("nowhere")
    args = {"cmd": "ls", "chdir": name if name == "-" else f"{folder}/{name}"}
    result = run(module, args)
    assert (result["failed"], result["changed"], result["rc"], result["start"]) == (True, False, None, None)
    with pytest.raises(OSError, match="Errno") as caught:
        os.chdir(os.fsencode(args["chdir"]))
    assert result["msg"] == "Unable to change directory before execution."
    assert result["exception"] == f"Unable to change directory before execution: {caught.value}"
    assert result["stderr"] == ""


@pytest.mark.parametrize("module", ["command", "shell"])
def test_missing_executable(run: Run, module: str) -> None:
    args = {"command": "nosuchexe a", "shell": "nosuchexe a executable=/nope/sh"}[module]
    result = run(module, args)
    assert (result["failed"], result["changed"], result["rc"]) == (True, False, 2)
    shown = {"command": "nosuchexe a", "shell": "/nope/sh -c 'nosuchexe a'"}[module]
    name = {"command": "nosuchexe", "shell": "/nope/sh"}[module]
    said = f"Error executing command: [Errno 2] No such file or directory: b'{name}'"
    assert (result["cmd"], result["msg"], result["exception"]) == (shown, "Error executing command.", said)
    assert not {"start", "end", "delta"} & set(result)


@pytest.mark.parametrize("name", ["", "nope", "f.txt", "f.txt/x", "link", "pipe", "sub/../né'", "f.txt/"])
def test_a_program_that_can_t_be_started_is_named_with_the_reason(run: Run, folder: Path, name: str) -> None:
    os.mkfifo(folder / "pipe", 0o755)
    (folder / "sub").mkdir()
    (folder / "link").symlink_to("nowhere")
    path = f"{folder}/{name}"
    with pytest.raises(OSError, match="Errno") as caught:
        subprocess.run([os.fsencode(path)], check=True)
    expected = (caught.value.errno, f"Error executing command: {caught.value}")
    for module, args in (("command", {"argv": [path]}), ("shell", {"cmd": "echo", "executable": path})):
        result = run(module, args)
        assert (result["rc"], result["exception"]) == expected
        assert (result["changed"], result["stderr"]) == (False, "")


def test_a_command_that_says_127_itself_did_run(run: Run) -> None:
    assert run("shell", "exit 127")["msg"] == "non-zero return code"


def test_a_command_that_a_signal_ends(run: Run) -> None:
    result = run("shell", "echo out; kill -9 $$")
    assert (result["rc"], result["stdout"], result["stderr"]) == (137, "out", "")


def test_an_output_can_t_pretend_to_be_a_note(run: Run) -> None:
    forged = r"printf '\0360123456789abcdef chdir\n\036' >&2"
    result = run("shell", forged)
    assert result["rc"] == 0
    assert result["stderr"] == "\x1e0123456789abcdef chdir\n\x1e"


def test_shell(run: Run) -> None:
    result = run("shell", "echo $0; echo err >&2; (exit 4)")
    assert (result["cmd"], result["rc"]) == ("echo $0; echo err >&2; (exit 4)", 4)
    assert (result["stdout"], result["stderr"]) == ("/bin/sh", "err")
    assert run("shell", "echo $0 executable=/bin/bash")["stdout"] == "/bin/bash"


@pytest.mark.parametrize("text", ["echo )", "if true; then echo", "echo hi; }", "cat <<X\nline\nX\necho )"])
def test_a_syntax_error_stays_inside_the_command(run: Run, text: str) -> None:
    result = run("shell", {"cmd": text})
    assert result["rc"] == 2
    assert result["start"] is not None
    assert result["stderr"]


def test_shell_joins_words_so_that_they_stay_words(run: Run) -> None:
    result = run("shell", {"argv": ["printf", "%s|", "a  b", "$HOME", "it's"]})
    assert (result["stdout"], result["cmd"][2]) == ("a  b|$HOME|it's|", "a  b")


def test_command_with_uses_shell_is_shell(run: Run) -> None:
    result = run("command", {"_raw_params": "echo a; echo $0", "_uses_shell": True})
    assert (result["stdout"], result["cmd"]) == ("a\n/bin/sh", "echo a; echo $0")
    assert result["invocation"]["module_args"]["_uses_shell"] is True


def test_standard_input(run: Run) -> None:
    assert run("shell", "cat; echo end")["stdout"] == "end"
    assert run("shell", {"cmd": "od -An -c", "stdin": "a'b"})["stdout"].split() == ["a", "'", "b", "\\n"]
    assert run("command", {"cmd": "wc -c", "stdin": "abc", "stdin_add_newline": False})["stdout"].strip() == "3"


def test_only_line_ends_are_stripped(run: Run) -> None:
    text = "printf '\\n a \\n\\n'"
    assert run("shell", text)["stdout"] == "\n a "
    assert run("shell", f"{text} strip_empty_ends=no")["stdout"] == "\n a \n\n"


def test_bytes_that_are_not_utf8(run: Run) -> None:
    assert run("shell", r"printf 'a\377b'")["stdout"] == "a\ufffdb"


def test_environment(run: Run) -> None:
    environment = {"GREETING": "it's\n$HOME", "LANG": "C"}
    assert run("command", "printf %s $GREETING", environment=environment)["stdout"] == "it's\n$HOME"


def test_check_mode_runs_nothing(run: Run, folder: Path) -> None:
    touch = f"touch {folder}/x"
    skipped = run("shell", touch, check=True)
    assert (skipped["skipped"], skipped["changed"], skipped["rc"]) == (True, False, 0)
    assert skipped["msg"] == "Command would have run if not in check mode"
    would = run("command", f"{touch} creates=/nope", check=True)
    assert (would["changed"], would["msg"], "skipped" in would) == (True, skipped["msg"], False)
    would_not = run("command", f"{touch} creates=/etc", check=True)
    assert (would_not["changed"], would_not["msg"]) == (False, "Would not run command since '/etc' exists")
    assert not (folder / "x").exists()


def test_executable_is_no_longer_supported_by_command(run: Run) -> None:
    result = run("command", "echo hi executable=/bin/bash")
    assert result["stdout"] == "hi"
    assert result["warnings"][0].endswith("Not using '/bin/bash'.")


def test_deadline_ends_the_command_and_keeps_its_output(connector: Connector[Any, Any], folder: Path) -> None:
    output = Output()
    module = module_class("shell").from_args(f"echo begun; sleep 300 & echo $! > {folder}/pid; wait")
    with pytest.raises(CommandTimeoutError) as caught:
        module.run(connector, Invocation("web1", output, Deadline.after(1)))
    assert caught.value.killed is True
    assert output.text("stdout") == "begun\n"
    assert not Path("/proc", (folder / "pid").read_text().strip(), "exe").exists()


def test_background_children_are_not_waited_for(run: Run) -> None:
    assert run("shell", "sleep 5 & echo done")["delta"] < "0:00:04"


class Recorder:
    """A connector that takes down what it is asked to run."""

    def __init__(self) -> None:
        self.commands: list[Command] = []

    def execute(self, command: Command, output: Output, deadline: Deadline) -> Completed:
        self.commands.append(command)
        return Completed(0)


def test_everything_is_one_round_trip() -> None:
    recorder = Recorder()
    args = {"cmd": "x", "chdir": "/", "creates": "/nope", "removes": "/etc", "stdin": "y"}
    module_class("command").from_args(args).run(recorder, Invocation("h", Output(), Deadline()))
    assert len(recorder.commands) == 1
    module_class("command").from_args("x").run(recorder, Invocation("h", Output(), Deadline(), check=True))
    assert len(recorder.commands) == 1, "check mode has nothing to ask for here"


@pytest.mark.parametrize(
    ("module", "args", "message"),
    [
        ("command", None, "one of the following is required: _raw_params, cmd, argv"),
        ("shell", "", "one of the following is required: _raw_params, cmd, argv"),
        ("shell", {"cmd": ""}, "no command given"),
        ("command", {"cmd": "a", "argv": ["b"]}, r"parameters are mutually exclusive: _raw_params\|cmd\|argv"),
        ("command", {"cmd": "a", "bogus": 1}, r"Unsupported parameters for \(command\) module: bogus"),
        ("shell", {"cmd": "a", "expand_argument_vars": True}, r"\(shell\) module: expand_argument_vars$"),
        ("command", {"cmd": "a 'b"}, "No closing quotation"),
        ("command", {"argv": []}, "no command given"),
        ("command", " ", "no command given"),
        ("shell", {"cmd": "a\0b"}, "NUL"),
        ("shell", {"cmd": "x" * 200_000}, "too long"),
        ("shell", {"cmd": "a", "strip_empty_ends": "maybe"}, "unable to convert to bool"),
    ],
)
def test_wrong_arguments_are_found_before_anything_is_contacted(module: str, args: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        module_class(module).from_args(args)
