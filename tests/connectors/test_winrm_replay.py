"""The connector against real Windows hosts' recorded answers, request by request.

pywinrm keeps the exchanges beside its own tests (`tests/connectors/winrm_recorded.py` reads them there). They are
repeated by a small HTTP service, so that the connector's own wire, messages, shell and execution are what is tested.
What the connector asks must be what pywinrm asked when it was recorded; `ALLOWED` names every place where it is not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
from winrm.protocol import Protocol

from sshexec.connectors.base import Command, Completed, Deadline, Form, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.winrm.connector import WinrmConnector
from sshexec.errors import ConnectionLostError, HostError
from sshexec.secret import Secret
from tests.connectors.winrm_recorded import (
    Answer,
    Difference,
    Replay,
    differences,
    flat,
    folder,
    streams,
    texts,
    with_stream,
)

pytestmark = pytest.mark.skipif(folder() is None, reason="this packaging of pywinrm leaves its recordings out")

SHELL = "11111111-1111-1111-1111-111111111113"
LIMIT = 20.0


@dataclass(frozen=True)
class Allowed:
    """One place where a message of ours may differ from pywinrm's, and why.

    Args:
        place: as `Difference.place`.
        recorded: a pattern for what pywinrm said; None where it said nothing.
        ours: a pattern for what is said now; None where nothing is.
        reason: for people.
        op: of one kind of message only.
    """

    place: str
    recorded: str | None
    ours: str | None
    reason: str
    op: str = ""

    def covers(self, op: str, seen: Difference) -> bool:
        """Whether it is this difference."""

        def fits(pattern: str | None, text: str | None) -> bool:
            return text is None if pattern is None else text is not None and re.fullmatch(pattern, text) is not None

        where = self.place == seen.place and self.op in ("", op)
        return where and fits(self.recorded, seen.recorded) and fits(self.ours, seen.ours)


ALLOWED = (
    Allowed("env:Header/a:MessageID", "uuid:.*", r"uuid:[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", "anew"),
    Allowed("env:Header/w:OperationTimeout", "PT20S", r"PT\d+(\.\d+)?S", "by the deadline"),
    Allowed("env:Header/w:OptionSet/w:Option[WINRS_CODEPAGE]", "437", "65001", "UTF-8", "Create"),
    Allowed(
        "env:Header/w:OptionSet/w:Option[WINRS_CONSOLEMODE_STDIN]", "TRUE", "FALSE", "a pipe has an end", "Command"
    ),
)


def conversation() -> dict[str, str]:
    """Return the texts of whole conversations."""
    return texts("conftest.py")


def fault(name: str) -> str:
    """Return a recorded fault."""
    return str(texts("test_exceptions.py")[f"test_wsman_fault_{name}.xml_text"])


def with_code(name: str, code: int) -> str:
    """Return a recorded fault with another code, a documented one."""
    changed, count = re.subn(
        r'(Code="|<p:error_Code[^>]*>)\d+', lambda found: f"{found[1]}{code}", fault(name), count=1
    )
    assert count == 1
    return changed


def cmd(**more: list[Answer]) -> dict[str, list[Answer]]:
    """Return the answers of the recorded ``ipconfig /all``, some of them replaced."""
    said = conversation()
    return {
        "Create": [Answer(said["open_shell_response"])],
        "Command": [Answer(said["run_cmd_ps_response"] % "1")],
        "Send": [Answer(said["run_cmd_send_input_response"])],
        "Receive": [Answer(said["get_cmd_output_response"])],
        "Signal": [Answer(said["cleanup_cmd_response"])],
        "Delete": [Answer(said["close_shell_response"])],
        **more,
    }


def ps(**more: list[Answer]) -> dict[str, list[Answer]]:
    """Return the answers of the recorded ``Write-Error "Error"``, some of them replaced."""
    said = conversation()
    first = {
        "Command": [Answer(said["run_cmd_ps_response"] % "2")],
        "Receive": [Answer(said["get_ps_output_response"])],
    }
    return cmd(**{**first, **more})


def stdin(**more: list[Answer]) -> dict[str, list[Answer]]:
    """Return the answers of the recorded ``cmd`` that is fed, some of them replaced."""
    said = conversation()
    first = {
        "Command": [Answer(said["run_cmd_req_input_response"])],
        "Receive": [Answer(said["run_cmd_send_input_get_output_response"])],
        "Signal": [Answer(said["stdin_cmd_cleanup_response"])],
    }
    return cmd(**{**first, **more})


def connector(replay: Replay) -> WinrmConnector:
    """Return a connector to the service."""
    variables = {
        "ansible_host": "127.0.0.1",
        "ansible_port": replay.port,
        "ansible_user": "john.smith",
        "ansible_password": Secret("secret"),
        "ansible_winrm_scheme": "http",
        "ansible_winrm_transport": "basic",
    }
    options = WinrmConnector.Options.from_vars(variables, "windows-host")
    context = WinrmConnector.Context()
    context.check(options)
    return WinrmConnector("windows-host", options, context, Timeouts())


def run(replay: Replay, command: Command) -> tuple[Completed, Output]:
    """Run a command and close."""
    output = Output()
    connection = connector(replay)
    try:
        connection.open(Deadline.after(LIMIT))
        done = connection.execute(command, output, Deadline.after(LIMIT))
    finally:
        connection.close()
        connection.context.close()
    return done, output


def judge(op: str, recorded: str, ours: bytes, *more: Allowed) -> None:
    """Compare a message of ours with the recorded one."""
    allowed = (*ALLOWED, *more)
    left = [seen for seen in differences(recorded, ours) if not any(each.covers(op, seen) for each in allowed)]
    assert left == []


# The judge itself


def pywinrm(replay: Replay) -> Protocol:
    """Return pywinrm's own client of the service."""
    return Protocol(
        f"http://127.0.0.1:{replay.port}/wsman", "basic", "john.smith", "secret", ca_trust_path="none", proxy=None
    )


def test_pywinrm_itself_differs_in_its_message_ids_alone():
    said = conversation()
    ids = [Allowed("env:Header/a:MessageID", "uuid:.*", "uuid:.*", "anew")]
    with Replay(**stdin()) as replay:
        client = pywinrm(replay)
        shell = client.open_shell()
        command = client.run_command(shell, "cmd")
        client.send_command_input(shell, command, b'echo "hello world" && exit\r\n')
        out, _, rc = client.get_command_output(shell, command)
        client.cleanup_command(shell, command)
        client.close_shell(shell)
    assert (shell, rc, out) == (SHELL, 0, streams(said["run_cmd_send_input_get_output_response"], "stdout"))
    asked = ("open_shell_request", "run_cmd_req_input", "run_cmd_send_input", "run_cmd_send_input_get_output")
    for name, exchange in zip((*asked, "stdin_cmd_cleanup", "close_shell_request"), replay.exchanges, strict=True):
        left = [seen for seen in differences(said[name], exchange.body) if not ids[0].covers(exchange.op, seen)]
        assert left == []


def test_a_difference_is_seen_wherever_it_is():
    recorded = conversation()["run_cmd_with_args_request"]
    for there, instead in (
        ("ipconfig", "ipconfig2"),
        ("</rsp:Arguments>", "</rsp:Arguments><rsp:Arguments>/renew</rsp:Arguments>"),
        ('mustUnderstand="false"', 'mustUnderstand="true"'),
        ("WINRS_SKIP_CMD_SHELL", "WINRS_SKIP"),
        ("windows/shell/Command<", "windows/shell/Signal<"),
        ('xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell"', 'xmlns:rsp="http://other"'),
    ):
        changed = recorded.replace(there, instead)
        assert changed != recorded
        if "other" in instead:
            with pytest.raises(KeyError):
                differences(recorded, changed.encode())
        else:
            assert differences(recorded, changed.encode())


# What is asked, and what comes of the answers


def test_a_command_of_cmd():
    said = conversation()
    with Replay(**cmd()) as replay:
        done, output = run(replay, Command("ipconfig /all", form=Form.CMD))
    assert replay.ops == ["Create", "Command", "Receive", "Signal", "Delete"]
    assert replay.connections == 1
    create, command, receive, signal, delete = (each.body for each in replay.exchanges)
    judge("Create", said["open_shell_request"], create)
    assert flat(create)["env:Envelope/env:Header/w:OptionSet/w:Option[WINRS_CODEPAGE]"] == "65001"
    judge("Command", said["run_cmd_with_args_request"], command, *LINE)
    judge("Receive", said["get_cmd_ps_output_request"] % "1", receive)
    judge("Signal", said["cleanup_cmd_request"] % "1", signal)
    judge("Delete", said["close_shell_request"], delete)
    assert done == Completed(0)
    assert output.stdout == streams(said["get_cmd_output_response"], "stdout")
    assert b"WINDOWS-HOST" in output.stdout
    assert output.stderr == b""
    for each in replay.exchanges:
        assert each.headers["Content-Type"].replace(" ", "") == "application/soap+xml;charset=UTF-8"
        assert each.headers["Authorization"] == "Basic am9obi5zbWl0aDpzZWNyZXQ="


LINE = (
    Allowed(
        "env:Body/rsp:CommandLine/rsp:Command",
        "ipconfig",
        "ipconfig /all",
        "a line is sent as it is written",
        "Command",
    ),
    Allowed("env:Body/rsp:CommandLine/rsp:Arguments", "/all", None, "it is in the line", "Command"),
)
POWERSHELL = (
    Allowed(
        "env:Body/rsp:CommandLine/rsp:Command",
        "powershell -encodedcommand .*",
        r"(?i)powershell(\.exe)? -NoProfile -NonInteractive -ExecutionPolicy Unrestricted -EncodedCommand [\w+/=]+",
        "as Ansible starts it",
        "Command",
    ),
)


def test_powershell_and_its_errors_in_clixml():
    said = conversation()
    with Replay(**ps()) as replay:
        done, output = run(replay, Command('Write-Error "Error"'))
    assert replay.ops == ["Create", "Command", "Receive", "Signal", "Delete"]
    (asked,) = replay.asked("Command")
    judge("Command", said["run_ps_request"], asked, *POWERSHELL)
    (received,), (signalled,) = replay.asked("Receive"), replay.asked("Signal")
    judge("Receive", said["get_cmd_ps_output_request"] % "2", received)
    judge("Signal", said["cleanup_cmd_request"] % "2", signalled)
    assert done.rc == 1
    assert output.stdout == b""
    assert output.text("stderr").replace("\r\n", "\n").strip() == (
        'Write-Error "Error" : Error\n'
        "    + CategoryInfo          : NotSpecified: (:) [Write-Error], WriteErrorExcep \n"
        "   tion\n"
        "    + FullyQualifiedErrorId : Microsoft.PowerShell.Commands.WriteErrorExceptio \n"
        "   n"
    )


def test_standard_input():
    said = conversation()
    with Replay(**stdin()) as replay:
        done, output = run(replay, Command("cmd", b'echo "hello world" && exit\r\n', form=Form.CMD))
    assert replay.ops == ["Create", "Command", "Send", "Receive", "Signal", "Delete"]
    _, command, send, receive, signal, _ = (each.body for each in replay.exchanges)
    judge("Command", said["run_cmd_req_input"], command, *FED)
    judge("Send", said["run_cmd_send_input"], send, *FED)
    judge("Receive", said["run_cmd_send_input_get_output"], receive)
    judge("Signal", said["stdin_cmd_cleanup"], signal)
    assert done.rc == 0
    assert output.stdout.endswith(b"hello world \r\n")
    assert output.stdout == streams(said["run_cmd_send_input_get_output_response"], "stdout")


FED = (Allowed("env:Body/rsp:Send/rsp:Stream[stdin]@End", "false", "true", "it is all there is", "Send"),)


def test_a_second_command_takes_the_same_shell():
    with Replay(**cmd()) as replay:
        connection = connector(replay)
        connection.open(Deadline.after(LIMIT))
        for _ in range(2):
            assert connection.execute(Command("ipconfig /all", form=Form.CMD), Output(), Deadline.after(LIMIT)).rc == 0
        connection.close()
    assert replay.ops == ["Create", *["Command", "Receive", "Signal"] * 2, "Delete"]
    assert replay.connections == 1


def test_a_program_is_not_asked_for_by_an_option():
    """Windows since 2012 R2 takes no notice of WINRS_SKIP_CMD_SHELL, and those before want a full path (pypsrp)."""
    said = conversation()
    by_powershell = (Allowed(each.place, "hostname", each.ours, "PowerShell starts it", each.op) for each in POWERSHELL)
    with Replay(**cmd()) as replay:
        run(replay, Command("hostname", form=Form.PROGRAM))
    (asked,) = replay.asked("Command")
    judge("Command", said["run_cmd_wo_args_request"], asked, *by_powershell, *FED)


# Faults


def test_an_operation_that_timed_out_is_asked_again():
    late = Answer(fault("known_fault"), 500)
    whole = Answer(conversation()["get_cmd_output_response"])
    with Replay(**cmd(Receive=[late, late, late, whole])) as replay:
        done, output = run(replay, Command("ipconfig /all", form=Form.CMD))
    # A command that is still silent is told that it has nothing to read.
    assert replay.ops == ["Create", "Command", "Receive", "Send", *["Receive"] * 3, "Signal", "Delete"]
    (told,) = replay.asked("Send")
    stream = "env:Envelope/env:Body/rsp:Send/rsp:Stream[stdin]"
    assert (flat(told)[stream], flat(told)[f"{stream}@End"]) == ("", "true")
    assert done.rc == 0
    assert output.stdout == streams(whole.text, "stdout")


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("must_understand", 500, "Test reason."),
        ("with_wsmanfault", 500, "Reason text."),
        ("wmi_error_detail", 500, "Reason text."),
        ("no_reason", 500, "no reason given"),
        ("no_reason", 501, "HTTP 501"),
    ],
)
@pytest.mark.parametrize("op", ["Create", "Command", "Receive"])
def test_a_fault_ends_as_an_error_of_ours_with_its_words(op, name, status, words):
    # What is no answer of the service itself comes once: a proxy's, say.
    answers = [Answer(fault(name), status), *(cmd()[op] if status == 501 else [])]
    with Replay(**cmd(**{op: answers})) as replay, pytest.raises(HostError) as caught:
        run(replay, Command("ipconfig /all", form=Form.CMD))
    error = caught.value
    assert type(error).__module__ == "sshexec.errors"
    assert words in error.message
    assert "\n" not in error.message
    assert error.host == "windows-host"
    # No shell is left, whatever failed.
    assert replay.ops.count("Delete") == (replay.ops.count("Create") if op != "Create" else 0)


def test_operations_over_the_quota_get_a_new_shell_once():
    full = Answer(fault("wmi_error_detail"), 500)
    good = Answer(conversation()["run_cmd_ps_response"] % "1")
    with Replay(**cmd(Command=[full, good])) as replay:
        done, output = run(replay, Command("ipconfig /all", form=Form.CMD))
    assert replay.ops == ["Create", "Command", "Delete", "Create", "Command", "Receive", "Signal", "Delete"]
    assert done.rc == 0
    assert b"WINDOWS-HOST" in output.stdout


def test_operations_over_the_quota_are_not_tried_for_ever():
    full = Answer(fault("wmi_error_detail"), 500)
    with Replay(**cmd(Command=[full])) as replay, pytest.raises(HostError) as caught:
        run(replay, Command("ipconfig /all", form=Form.CMD))
    assert "Reason text." in caught.value.message
    assert replay.ops == ["Create", "Command", "Delete"] * 2


@pytest.mark.parametrize("ops", [("Receive",), ("Send", "Receive")])
def test_a_shell_that_is_gone_is_a_lost_connection(ops):
    # The code is Microsoft's, the fault around it is recorded.
    gone = Answer(
        with_code("with_wsmanfault", 2150858843).replace("w:SchemaValidationError", "w:InvalidSelectors"), 500
    )
    with Replay(**stdin(**{op: [gone] for op in ops})) as replay, pytest.raises(ConnectionLostError) as caught:
        run(replay, Command("cmd", b"exit\r\n", form=Form.CMD))
    assert caught.value.started


@pytest.mark.parametrize("answer", [Answer("", 500), Answer("", 400), "fault"])
@pytest.mark.parametrize("op", ["Signal", "Delete"])
def test_a_result_outlives_what_fails_behind_it(op, answer):
    """Ansible ignores an error of the clean-up likewise (its winrm connection plugin, `_winrm_exec`)."""
    given = Answer(fault("with_wsmanfault"), 500) if answer == "fault" else answer
    with Replay(**cmd(**{op: [given]})) as replay:
        done, output = run(replay, Command("ipconfig /all", form=Form.CMD))
    assert done.rc == 0
    assert b"WINDOWS-HOST" in output.stdout
    assert replay.ops.count("Delete") >= 1


# Recorded CLIXML, by way of a recorded answer


def printed(*pieces: bytes) -> str:
    """Run something that prints these pieces to its standard error; return what is told of it."""
    answer = with_stream(conversation()["get_ps_output_response"], "stderr", *pieces)
    with Replay(**ps(Receive=[Answer(answer)])) as replay:
        _, output = run(replay, Command("fake cmdlet"))
    return output.text("stderr").replace("\r\n", "\n")


def clixml(name: str) -> bytes:
    """Return a recorded error stream of PowerShell."""
    return bytes(texts("test_session.py")[f"test_decode_clixml_{name}.msg"])


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_recorded_errors_are_told_as_pywinrm_tells_them(size):
    whole = clixml("error")
    told = printed(*(whole[at : at + size] for at in range(0, len(whole), size)))
    assert told.strip() == texts("test_session.py")["test_decode_clixml_error.expected"].decode()
    assert "progress" not in told
    assert "Preparing modules" not in told


def test_recorded_progress_alone_says_nothing():
    """pywinrm hands the XML over as it is (pywinrm#166)."""
    assert printed(clixml("no_errors")) == ""


def test_plain_text_stays():
    assert printed(clixml("no_clixml")) == "stderr line"


def test_what_is_no_xml_is_handed_over_as_it_is():
    assert "<in >dasf<?dsfij>" in printed(clixml("invalid_xml"))
