"""Programs that are started without a shell, over the endpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest

from sshexec.connectors.base import Command, Completed, Deadline, Form, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.winrm.connector import WinrmConnector
from sshexec.connectors.winrm.context import WinrmContext
from sshexec.connectors.winrm.options import WinrmOptions
from sshexec.connectors.winrm.program import LIMIT, Program
from sshexec.errors import CommandTimeoutError, HostError, NotStartedError
from tests.winrm_server.powershell import ours
from tests.winrm_server.process import running
from tests.winrm_server.server import WinrmServer

Run = Callable[..., tuple[Completed, Output]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WinrmServer]:
    with WinrmServer(users={"vagrant": "secret"}, drive=tmp_path) as server:
        yield server


@pytest.fixture
def connector(server: WinrmServer) -> Iterator[WinrmConnector]:
    context = WinrmContext()
    connector = WinrmConnector("win1", WinrmOptions.from_vars(server.variables(), "win1"), context, Timeouts())
    try:
        connector.open(Deadline.after(30))
        yield connector
    finally:
        connector.close()
        context.close()
    assert not server.shells


@pytest.fixture
def run(connector: WinrmConnector) -> Run:
    def call(text: str, stdin: object = None, seconds: float = 30, **more: object) -> tuple[Completed, Output]:
        output = Output()
        command = Command(text, stdin, form=Form.PROGRAM, **more)
        return connector.execute(command, output, Deadline.after(seconds)), output

    return call


def test_words_arrive_as_they_are_and_no_shell_reads_them(run: Run) -> None:
    text = 'printf "%s|" "a b" %PATH% $HOME & >x "^<" *'
    completed, output = run(text)
    assert completed.rc == 0
    assert output.stdout == b"a b|%PATH%|$HOME|&|>x|^<|*|"


def test_output_and_exit_code(run: Run) -> None:
    completed, output = run('"sh" -c "echo out; echo err >&2; exit 7"')
    assert (completed.rc, output.stdout, output.stderr) == (7, b"out\r\n", b"err\r\n")


def test_no_such_program(run: Run) -> None:
    with pytest.raises(NotStartedError, match="can't start nosuch: The system cannot find the file") as caught:
        run("nosuch /x")
    assert caught.value.code == 2
    assert caught.value.host == "win1"


@pytest.mark.parametrize("whole", [True, False])
def test_output_that_looks_like_the_word_of_the_script(run: Run, whole: bool) -> None:
    said = "sshexec:eyJ0b2tlbiI6ICIxIn0=" if whole else "sshexec"
    completed, output = run(f'printf "{said}"')
    assert completed.rc == 0
    assert output.stdout == said.encode()


@pytest.mark.parametrize("size", [0, 1, 48 * 1024, 300_000])
@pytest.mark.parametrize("file", [False, True])
def test_standard_input(run: Run, size: int, file: bool) -> None:
    data = (bytes(range(256)).replace(b"\r", b"").replace(b"\n", b"") * 1300)[:size]
    completed, output = run("cat", BytesIO(data) if file else data)
    assert completed.rc == 0
    assert output.stdout == data


def test_one_that_reads_nothing_of_its_input(run: Run) -> None:
    assert run("true", b"x" * 500_000)[0].rc == 0


def test_one_that_reads_though_it_was_given_nothing(run: Run, server: WinrmServer) -> None:
    assert run("cat")[0].rc == 0
    assert "Send" not in [event.op for event in server.log], "the script itself tells it that there is nothing"


@pytest.mark.parametrize("stdin", [None, b"x" * 200_000])
def test_a_line_that_cmd_would_cut(run: Run, stdin: bytes | None) -> None:
    completed, output = run('sh -c "cat; echo $#" ' + "x " * 10_000, stdin)
    assert completed.rc == 0
    assert output.stdout == (stdin or b"") + b"9999\r\n"


@pytest.mark.parametrize(
    ("line", "program", "arguments"),
    [
        ("hostname", "hostname", ""),
        ("  prog  a  b ", "prog", "a  b"),
        ('"C:\\Program Files\\x.exe" "a b" c', "C:\\Program Files\\x.exe", '"a b" c'),
        ('C:\\"Program Files"\\x.exe /a', "C:\\Program Files\\x.exe", "/a"),
        ('"never ends a', "never ends a", ""),
        ("prog\ta", "prog", "a"),
        ('prog "a \\"b\\"" %X% & | ^', "prog", '"a \\"b\\"" %X% & | ^'),
    ],
)
def test_the_first_word_is_the_program(line: str, program: str, arguments: str) -> None:
    found = ours(Program(Command(line, form=Form.PROGRAM)).command.script)
    assert found is not None
    assert found[0] == "program"
    assert (found[1]["program"], found[1]["arguments"]) == (program, arguments)


def test_a_line_that_is_too_long_or_empty() -> None:
    with pytest.raises(HostError, match="Windows takes 32767"):
        Program(Command("x" * (LIMIT + 1), form=Form.PROGRAM))
    for text in ("", "  ", '""'):
        with pytest.raises(HostError, match="no program to start"):
            Program(Command(text, form=Form.PROGRAM))


@pytest.mark.parametrize("stdin", [None, b"x"])
def test_a_deadline_ends_it(run: Run, server: WinrmServer, tmp_path: Path, stdin: bytes | None) -> None:
    with pytest.raises(CommandTimeoutError) as caught:
        run('sh -c "echo $$ >pid; sleep 60"', stdin, seconds=1.5)
    assert caught.value.killed
    pid = int(next(tmp_path.rglob("pid")).read_text())
    until = time.monotonic() + 5
    while running(pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not running(pid)


def test_what_looked_like_the_word_of_the_script_is_not_lost_at_the_deadline(connector: WinrmConnector) -> None:
    output = Output()
    with pytest.raises(CommandTimeoutError):
        connector.execute(Command('sh -c "printf sshexec; sleep 60"', form=Form.PROGRAM), output, Deadline.after(1))
    assert output.stdout == b"sshexec"


def test_directory_and_environment(run: Run) -> None:
    _, output = run('sh -c "echo $GREETING; pwd"', environment={"GREETING": "grüß"}, directory="C:\\Windows")
    greeting, folder = output.text("stdout").split()
    assert greeting == "grüß"
    assert folder.endswith("Windows")
