"""Commands over WinRM: output, input, exit codes, forms; against the endpoint of tests/winrm_server."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from sshexec.connectors.base import Command, Deadline, Form, Timeouts
from sshexec.connectors.output import Output, Stream
from sshexec.connectors.winrm.connector import WinrmConnector
from sshexec.connectors.winrm.messages import MAX_ENVELOPE
from sshexec.errors import HostError
from tests.connectors.winrm_host import SOON, opened, run
from tests.winrm_server import Answer, Call, WinrmServer


@pytest.fixture(scope="module")
def service() -> Iterator[WinrmServer]:
    with WinrmServer({"vagrant": "secret"}) as server:
        yield server


@pytest.fixture
def server(service: WinrmServer) -> WinrmServer:
    service.log.clear()
    service.powershell.clear()
    return service


@pytest.fixture
def win(server: WinrmServer) -> Iterator[WinrmConnector]:
    with opened(server) as connection:
        server.log.clear()
        yield connection


def events(server: WinrmServer, op: str) -> list[dict[str, Any]]:
    return [event.detail for event in server.log if event.op == op]


def operations(server: WinrmServer) -> list[str]:
    """Return what was asked, one Receive after another left out: each returns what is there at its moment."""
    found = server.operations
    return [op for before, op in zip(["", *found], found, strict=False) if (before, op) != ("Receive", "Receive")]


def scripted(server: WinrmServer, script: str, double: Any) -> None:
    server.powershell[script] = Answer(run=double)


# Output and its end


def test_a_command(win: WinrmConnector, server: WinrmServer) -> None:
    done, output = run(win, "echo out; echo err >&2; exit 3")
    assert (done.rc, output.stdout, output.stderr) == (3, b"out\r\n", b"err\r\n")
    assert (done.start, done.end, done.delta, done.note) == (None, None, None, "")
    assert operations(server) == ["Command", "Receive", "Signal"]
    assert [detail["code"] for detail in events(server, "Signal")] == ["terminate"]


@pytest.mark.parametrize(
    ("script", "rc"),
    [
        *((f"exit {code}", code) for code in (0, 255, 259, 9009, -1)),
        ("exit 4294967295", -1),
        ("exit 3221225786", -1073741510),
    ],
)
def test_exit_codes(win: WinrmConnector, script: str, rc: int) -> None:
    assert run(win, script)[0].rc == rc


def test_output_comes_while_the_command_runs(win: WinrmConnector, server: WinrmServer) -> None:
    seen = threading.Event()

    def double(call: Call) -> int:
        call.out("first")
        assert seen.wait(SOON)
        return 0

    scripted(server, "x", double)
    output = Output(tee=lambda stream, data: seen.set())
    assert win.execute(Command("x"), output, Deadline.after(SOON)).rc == 0
    assert output.stdout == b"first"


def test_an_operation_timeout_is_no_end(server: WinrmServer) -> None:
    with opened(server, ansible_winrm_operation_timeout_sec=1, ansible_winrm_read_timeout_sec=10) as win:
        server.log.clear()
        done, output = run(win, "sleep 3.3; echo whole")
    assert (done.rc, output.stdout) == (0, b"whole\r\n")
    assert server.operations.count("Receive") >= 4
    assert {detail["timeout"] for detail in events(server, "Receive")} == {1}


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_characters_are_not_broken_by_pieces(chunk: int) -> None:
    with WinrmServer({"vagrant": "secret"}, chunk=chunk) as server, opened(server) as win:
        text = "ä€\U0001f600" * 3
        done, output = run(win, f"printf '{text}'; printf '{text}' >&2")
        assert done.rc == 0
        assert output.text("stdout") == output.text("stderr") == text


def test_bytes_stay_as_they_are(win: WinrmConnector) -> None:
    _, output = run(win, r"printf '\377\376\000a\303'")
    assert output.stdout == b"\xff\xfe\x00a\xc3"


def test_the_code_page_is_utf_8(server: WinrmServer) -> None:
    with opened(server) as win:
        assert run(win, "echo ä€")[1].text("stdout") == "ä€\r\n"
    (create,) = events(server, "Create")
    assert create["options"] == {"WINRS_NOPROFILE": "FALSE", "WINRS_CODEPAGE": "65001"}


def test_large_output_takes_no_memory(win: WinrmConnector) -> None:
    size = 50 * 2**20
    output = Output(limit=2**20)
    tracemalloc.start()
    try:
        begin = time.monotonic()
        done = win.execute(Command(f"head -c {size} /dev/zero | tr '\\0' x", form=Form.CMD), output, Deadline.after(60))
        taken = time.monotonic() - begin
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert done.rc == 0
    assert output._out.size == size
    # The endpoint is in this process, too.
    assert peak < 12 * 2**20, f"{peak} bytes in {taken:.1f} s"


def test_a_command_is_not_more_than_three_requests(win: WinrmConnector, server: WinrmServer) -> None:
    before, connections = server.requests, server.connections
    for number in range(20):
        assert run(win, f"echo {number}")[1].stdout == b"%d\r\n" % number
    assert server.requests == before + 60
    assert server.connections == connections
    assert server.operations == ["Command", "Receive", "Signal"] * 20
    assert len(server.shells) == 1
    assert all(shell.commands == {} for shell in server.shells.values())


def test_what_a_command_changes_is_gone_with_it(win: WinrmConnector) -> None:
    run(win, "cd Windows; export LEFT=behind")
    _, output = run(win, "echo $LEFT; cd")
    assert b"behind" not in output.stdout


# Environment and directory


def test_environment_and_directory(win: WinrmConnector, server: WinrmServer) -> None:
    (server.drive / "a & b").mkdir(exist_ok=True)
    text = "ä€ <&>\"' \U0001f600"
    done, output = run(win, 'printf "%s" "$MINE"', environment={"MINE": text}, directory="C:\\a & b")
    assert (done.rc, output.text("stdout")) == (0, text)
    assert operations(server) == ["Delete", "Create", "Command", "Receive", "Signal"]
    (create,) = events(server, "Create")
    assert create["environment"] == {"MINE": text}
    assert create["directory"] == "C:\\a & b"
    server.log.clear()
    # The same again is the same shell; another one has nothing of it.
    assert run(win, "echo $MINE", environment={"MINE": text}, directory="C:\\a & b")[0].rc == 0
    assert operations(server) == ["Command", "Receive", "Signal"]
    assert run(win, "echo [$MINE]")[1].stdout == b"[]\r\n"
    assert len(server.shells) == 1


def test_a_directory_that_is_not_there(win: WinrmConnector, server: WinrmServer) -> None:
    with pytest.raises(HostError) as caught:
        run(win, "echo", directory="C:\\none")
    assert "none" in caught.value.message or "directory" in caught.value.message.lower()
    assert run(win, "echo hi")[0].rc == 0


def test_what_cannot_be_sent(win: WinrmConnector, server: WinrmServer) -> None:
    with pytest.raises(HostError, match=r"U\+001B") as caught:
        run(win, "echo \x1b")
    assert (caught.value.host, caught.value.phase) == ("win1", "running")
    with pytest.raises(HostError, match="'MINE'"):
        run(win, "echo", environment={"MINE": "a\x00"})
    assert run(win, "echo hi")[0].rc == 0


# Standard input


@pytest.mark.parametrize("as_file", [False, True])
@pytest.mark.parametrize("size", [1, 110_800, 300_000, 10_000_000])
def test_input_arrives_whole(win: WinrmConnector, server: WinrmServer, size: int, as_file: bool) -> None:
    data = os.urandom(size)
    stdin = io.BytesIO(data) if as_file else data
    done, output = run(win, "sha1sum", stdin)
    assert done.rc == 0
    assert output.stdout.split()[0].decode() == hashlib.sha1(data).hexdigest()
    sends = events(server, "Send")
    assert [detail["end"] for detail in sends] == [False] * (len(sends) - 1) + [True]
    assert sum(detail["size"] for detail in sends) == size
    if not as_file:
        assert len(sends) <= -(-size // 110_800)
    assert max(detail["size"] for detail in sends) * 4 / 3 < MAX_ENVELOPE
    (command,) = events(server, "Command")
    assert command["options"]["WINRS_CONSOLEMODE_STDIN"] == "FALSE"


@pytest.mark.parametrize("stdin", [b"", io.BytesIO(b"")])
def test_empty_input(win: WinrmConnector, server: WinrmServer, stdin: Any) -> None:
    done, output = run(win, "cat; echo end", stdin)
    assert (done.rc, output.stdout) == (0, b"end\r\n")
    assert [(detail["size"], detail["end"]) for detail in events(server, "Send")] == [(0, True)]


def test_no_input_is_an_end_for_those_who_wait_for_it(win: WinrmConnector, server: WinrmServer) -> None:
    done, output = run(win, "cat; echo end")
    assert (done.rc, output.stdout) == (0, b"end\r\n")
    assert operations(server) == ["Command", "Receive", "Send", "Receive", "Signal"]
    (command,) = events(server, "Command")
    assert command["options"]["WINRS_CONSOLEMODE_STDIN"] == "FALSE", "a console never ends"


def test_no_input_is_an_end_for_one_that_has_printed_before(win: WinrmConnector, server: WinrmServer) -> None:
    done, output = run(win, "echo begin; cat; echo end")
    assert (done.rc, output.stdout) == (0, b"begin\r\nend\r\n")
    assert [(detail["size"], detail["end"]) for detail in events(server, "Send")] == [(0, True)]


def test_large_streams_in_all_directions_do_not_deadlock(server: WinrmServer) -> None:
    with opened(server, ansible_winrm_operation_timeout_sec=1, ansible_winrm_read_timeout_sec=10) as win:
        data = b"0123456789abcde\n" * 150_000
        output = Output(limit=2**24)
        done = win.execute(Command("tee /dev/stderr", data, form=Form.CMD), output, Deadline.after(60))
    assert done.rc == 0
    assert output.stdout.replace(b"\r", b"") == data
    assert output.stderr.replace(b"\r", b"") == data


def test_a_command_that_does_not_read_its_input(win: WinrmConnector, server: WinrmServer) -> None:
    done, output = run(win, "exec 0<&-; echo hi", b"x" * 5_000_000)
    assert (done.rc, output.stdout) == (0, b"hi\r\n")


def test_a_busy_service_gets_the_piece_again(win: WinrmConnector, server: WinrmServer) -> None:
    server.misbehave("fault", op="Send", times=2, code=170)
    data = os.urandom(200_000)
    done, output = run(win, "wc -c", data)
    assert (done.rc, output.stdout.split()) == (0, [b"200000"])
    assert [detail["end"] for detail in events(server, "Send")][-1] is True


def test_input_that_is_refused_is_no_failure(win: WinrmConnector, server: WinrmServer) -> None:
    server.misbehave("fault", op="Send", code=2147942509)
    done, output = run(win, "cat >/dev/null; echo early; exit 4", b"x" * 500_000)
    assert (done.rc, output.stdout) == (4, b"early\r\n")
    assert [detail["end"] for detail in events(server, "Send")].count(True) == 1


class Broken(io.RawIOBase):
    """A file that breaks after a while."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.left = 3

    def read(self, size: int = -1, /) -> bytes:
        self.left -= 1
        if self.left:
            return b"x" * 1000
        raise self.error


def test_a_source_that_breaks_ends_the_command(win: WinrmConnector, server: WinrmServer) -> None:
    with pytest.raises(OSError, match="no more"):
        run(win, "cat; echo done", Broken(OSError("no more")))
    assert server.shells == {}
    assert not any(detail["end"] for detail in events(server, "Send"))
    assert run(win, "echo hi")[1].stdout == b"hi\r\n"


def test_an_output_that_breaks_ends_the_command(win: WinrmConnector, server: WinrmServer) -> None:
    def tee(stream: Stream, data: bytes) -> None:
        raise RuntimeError("full")

    with pytest.raises(RuntimeError, match="full"):
        win.execute(Command("echo a; sleep 60", form=Form.CMD), Output(tee=tee), Deadline.after(SOON))
    assert server.shells == {}
    assert run(win, "echo hi")[1].stdout == b"hi\r\n"


# Forms


def test_powershell(win: WinrmConnector, server: WinrmServer) -> None:
    server.powershell["Write-Output ä"] = Answer("ä\r\n", "bad_ : x\r\n", 1)
    done, output = run(win, "Write-Output ä", form=Form.SHELL)
    assert (done.rc, output.text("stdout"), output.stderr) == (1, "ä\r\n", b"bad_ : x\r\n")
    (command,) = events(server, "Command")
    assert command["line"].startswith("PowerShell -NoProfile -NonInteractive -ExecutionPolicy Unrestricted -Enc")
    assert command["powershell"] == "Write-Output ä"


def test_what_is_xml_in_a_line_of_cmd_stays(win: WinrmConnector) -> None:
    _, output = run(win, "printf '#< CLIXML\\r\\n<Objs></Objs>' >&2")
    assert output.stderr == b"#< CLIXML\r\n<Objs></Objs>"


def test_errors_of_powershell_come_while_it_runs(win: WinrmConnector, server: WinrmServer) -> None:
    seen = threading.Event()

    def double(call: Call) -> int:
        call.err(b'#< CLIXML\r\n<Objs Version="1.1.0.1"><S S="Error">first_x000D__x000A_</S>')
        assert seen.wait(SOON)
        call.err(b'<S S="warning">no</S><S S="Error">second</S></Objs>')
        return 0

    def take(stream: Stream, data: bytes) -> None:
        if data == b"first\r\n":
            seen.set()

    scripted(server, "x", double)
    output = Output(tee=take)
    assert win.execute(Command("x"), output, Deadline.after(SOON)).rc == 0
    assert output.stderr == b"first\r\nsecond"


def test_a_script_with_input(win: WinrmConnector, server: WinrmServer) -> None:
    def double(call: Call) -> int:
        for line in call.stdin:
            call.out(f"<{line}>\r\n")
        return 5

    scripted(server, "$input", double)
    done, output = run(win, "$input", "a\r\nä\r\n".encode(), form=Form.SHELL)
    assert (done.rc, output.text("stdout")) == (5, "<a>\r\n<ä>\r\n")


@pytest.mark.parametrize("name", ["$input", "${Input}"])
def test_a_script_that_reads_gets_its_end_at_once(win: WinrmConnector, server: WinrmServer, name: str) -> None:
    scripted(server, name, lambda call: len(list(call.stdin)))
    assert run(win, name, form=Form.SHELL)[0].rc == 0
    assert operations(server) == ["Command", "Send", "Receive", "Signal"]


@pytest.mark.parametrize("stdin", [None, b"a\r\nb\r\n"])
def test_a_long_script(win: WinrmConnector, server: WinrmServer, stdin: bytes | None) -> None:
    def double(call: Call) -> int:
        lines = list(call.stdin)
        call.out(f"{len(call.script)} {lines}\r\n")
        return 7

    script = "# ä\n" * 60_000 + "$input"
    scripted(server, script, double)
    done, output = run(win, script, stdin, form=Form.SHELL)
    assert done.rc == 7
    assert output.text("stdout") == f"{len(script)} {['a', 'b'] if stdin else []}\r\n"
    sends = events(server, "Send")
    assert [detail["end"] for detail in sends] == [False] * (len(sends) - 1) + [True]


def test_verbatim_changes_nothing(win: WinrmConnector) -> None:
    done, output = run(win, "echo hi", verbatim=True)
    assert (done.rc, output.stdout) == (0, b"hi\r\n")


def test_secrets_are_in_no_log(
    server: WinrmServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    with opened(server, Timeouts()) as win:
        run(win, "echo canary-1", b"canary-2", environment={"A": "canary-3"})
    assert "canary" not in caplog.text
    assert "secret" not in caplog.text
    shown = capfd.readouterr()
    assert "canary" not in shown.out + shown.err
