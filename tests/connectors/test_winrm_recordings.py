"""The connector against more recorded answers of real Windows hosts: 2008 R2 to 2016, by pypsrp (`recorded/README.md`).

pypsrp writes its requests in another way than pywinrm, so that here the Body and the shell are compared, and the
answers count: streams in pieces, an operation that timed out in between, code page, environment, faults with a
provider's words.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sshexec.connectors.base import Command, Completed, Form
from sshexec.errors import ConnectionLostError, HostError
from tests.connectors.test_winrm_replay import run
from tests.connectors.winrm_recorded import ACTION, Answer, Difference, Replay, flat, texts

PLACE = Path(__file__).with_name("recorded")
BODY = "env:Envelope/env:Body"
SELECTOR = "env:Envelope/env:Header/w:SelectorSet/w:Selector[ShellId]"


def recording(name: str) -> list[dict[str, Any]]:
    """Return a recording's exchanges; of requests that went wrong on purpose the test's own words come with it."""
    exchanges: list[dict[str, Any]] = yaml.safe_load((PLACE / f"{name}.yml").read_text("utf-8"))["messages"]
    return exchanges


def op(request: str) -> str:
    """Return what a request asks for."""
    return flat(request)[ACTION].rpartition("/")[2]


def answers(exchanges: list[dict[str, Any]]) -> dict[str, list[Answer]]:
    """Return what is answered to each kind of request, in turn."""
    found: dict[str, list[Answer]] = {}
    for each in exchanges:
        status = each.get("transport_error", {}).get("code", 200)
        found.setdefault(op(each["request"]), []).append(Answer(each["response"], status))
    return found


def said(request: str | bytes) -> dict[str, str]:
    """Return what a request says of its shell and in its Body."""
    return {place: text for place, text in flat(request).items() if place == SELECTOR or place.startswith(BODY)}


def judge(recorded: str, ours: bytes, *allowed: Difference) -> None:
    """Compare what is said, but for what is allowed to differ."""
    then, now = said(recorded), said(ours)
    places = [*then, *(place for place in now if place not in then)]
    seen = [
        Difference(place.removeprefix("env:Envelope/env:Body/"), then.get(place), now.get(place))
        for place in places
        if then.get(place) != now.get(place)
    ]
    assert [each for each in seen if each not in allowed] == []


def as_line(command: str, arguments: list[str], line: str) -> tuple[Difference, ...]:
    """Return how a line of ours differs from program and arguments apart; Windows puts a blank between those."""
    assert " ".join([command, *arguments]) == line
    place = "rsp:CommandLine/rsp:Arguments"
    apart = (
        Difference(place + (f"#{number}" if number > 1 else ""), argument, None)
        for number, argument in enumerate(arguments, 1)
    )
    return (Difference("rsp:CommandLine/rsp:Command", command, line), *apart)


SIGNAL = Difference(
    "rsp:Signal/rsp:Code",
    "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/signal/ctrl_c",
    "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/signal/terminate",
)
"""pypsrp's tests interrupt what has ended; pywinrm and this connector terminate it, which frees its slot."""


@pytest.mark.parametrize(
    ("name", "command", "arguments", "rc", "stdout", "stderr"),
    [
        ("standard", "cmd.exe", ["/c", "echo", "hi"], 0, b"hi\r\n", b""),
        ("stderr_rc", "cmd.exe", ["/c echo out && echo err>&2 && exit 1"], 1, b"out \r\n", b"err \r\n"),
        ("unicode", "powershell.exe", ["Write-Host こんにちは"], 0, "こんにちは\n".encode(), b""),
        (
            "operation_timeout",
            "powershell.exe",
            ["Write-Host hi; Start-Sleep 30; Write-Host hi again"],
            0,
            b"hi\nhi again\n",
            b"",
        ),
    ],
)
def test_a_conversation(name, command, arguments, rc, stdout, stderr):
    exchanges = recording(name)
    line = " ".join([command, *arguments])
    with Replay(Send=[Answer(texts("conftest.py")["run_cmd_send_input_response"])], **answers(exchanges)) as replay:
        done, output = run(replay, Command(line, form=Form.CMD))
    assert (done, output.stdout, output.stderr) == (Completed(rc), stdout, stderr)
    # One that is silent is told once that it has nothing to read; pypsrp leaves it waiting.
    sent = [flat(told)["env:Envelope/env:Body/rsp:Send/rsp:Stream[stdin]@End"] for told in replay.asked("Send")]
    assert sent == ["true"] * (name == "operation_timeout")
    asked = [each for each in replay.exchanges if each.op != "Send"]
    for recorded, ours in zip(exchanges, asked, strict=True):
        assert ours.op == op(recorded["request"])
        judge(recorded["request"], ours.body, *as_line(command, arguments, line), SIGNAL)


def test_environment_of_a_shell():
    """Names and values with every sign there is; 2016 prints them as they were given."""
    exchanges = recording("environment")
    odd = '_-(){}[]<>*+-/\\?"!@#$^&|;:i,.`~0'
    environment = {"env1": "var1", "1234": "5678", odd: odd}
    with Replay(**answers(exchanges)) as replay:
        _, output = run(replay, Command("cmd.exe /c set", form=Form.CMD, environment=environment))
    # The shell with an environment is a shell of its own; one may have been made before.
    ours = [each for each in replay.exchanges if each.op == "Create"][-1]
    judge(exchanges[0]["request"], ours.body)
    lines = output.text("stdout").splitlines()
    assert "env1=var1" in lines
    assert f"{odd}={odd}" in lines
    assert "1234=5678" in lines


def test_a_shell_in_a_directory():
    exchanges = recording("extra_opts")
    with Replay(**answers(exchanges)) as replay:
        _, output = run(replay, Command("powershell.exe (pwd).Path", form=Form.CMD, directory="C:\\Windows"))
    ours = [each for each in replay.exchanges if each.op == "Create"][-1]
    # What pypsrp's test asks for besides.
    more = (("rsp:IdleTimeOut", "PT60S"), ("rsp:Lifetime", "PT60S"), ("rsp:Name", "shell 1"))
    judge(exchanges[0]["request"], ours.body, *(Difference(f"rsp:Shell/{name}", text, None) for name, text in more))
    assert output.stdout == b"C:\\Windows\r\n"


def test_standard_input():
    exchanges = recording("send")
    fed = b'Write-Host "output 1";Write-Host "output 2";'
    with Replay(**answers(exchanges)) as replay:
        done, output = run(replay, Command("powershell.exe -", fed, form=Form.CMD))
    assert replay.ops == ["Create", "Command", "Send", "Receive", "Signal", "Delete"]
    assert (done.rc, output.stdout) == (0, b"output 1\noutput 2\n")


def test_a_command_that_the_host_does_not_know():
    """The host says so by the code of a shell that it does not know: its work is lost likewise."""
    exchanges = recording("bad_cmd_id")
    with Replay(**answers(exchanges)) as replay, pytest.raises(ConnectionLostError) as caught:
        run(replay, Command("cmd.exe /c echo hi", form=Form.CMD))
    assert caught.value.started
    assert "\n" not in caught.value.message


def test_a_program_that_is_not_there():
    """Of 2008 R2, which takes a program without a shell by its full path only; the provider's words are handed on."""
    refused = Answer(recording("no_cmd_shell")[1]["response"], 500)
    given = {**answers(recording("standard")), "Command": [refused]}
    with Replay(**given) as replay, pytest.raises(HostError) as caught:
        run(replay, Command("nosuch.exe hi", form=Form.CMD))
    assert "cannot find the file" in caught.value.message
    assert replay.ops[-1] == "Delete"
