"""A few lines run by wine's cmd.exe behind the endpoint, asked for by the connector."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sshexec.connectors.base import Command, Completed, Deadline, Form, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.winrm.connector import WinrmConnector
from tests.winrm_server import WinrmServer
from tests.winrm_server.interpreter import VERSION
from tests.winrm_server.powershell import Answers
from tests.winrm_server.wine import LOADER, SERVER, Wine, WineInterpreter

pytestmark = pytest.mark.skipif(LOADER is None or SERVER is None, reason="wine is not installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WinrmServer]:
    with Wine(tmp_path_factory.mktemp("wine")) as wine:
        interpreter = WineInterpreter(wine, Answers(), [])
        with WinrmServer({"vagrant": "secret"}, interpreter=interpreter) as made:
            yield made


@pytest.fixture(scope="module")
def connector(server: WinrmServer) -> Iterator[WinrmConnector]:
    options = WinrmConnector.Options.from_vars(server.variables(), "win1")
    context = WinrmConnector.Context()
    made = WinrmConnector("win1", options, context, Timeouts())
    made.open(Deadline.after(30))
    yield made
    made.close()
    context.close()


def run(connector: WinrmConnector, line: str, stdin: bytes | None = None, **variables: str) -> tuple[Completed, Output]:
    output = Output()
    done = connector.execute(Command(line, stdin, variables, form=Form.CMD), output, Deadline.after(60))
    return done, output


def test_what_cmd_prints(connector):
    done, output = run(connector, "ver")
    assert done.rc == 0
    assert b"Microsoft Windows" in output.stdout
    assert VERSION.encode() not in output.stdout, "that was the double's"
    assert output.stdout.endswith(b"\r\n")


def test_quotes_and_variables_stay_as_they_are_written(connector):
    _, output = run(connector, 'echo "a  b" %GIVEN% & echo ^& second', GIVEN="it is")
    assert [line.rstrip() for line in output.text("stdout").splitlines()] == ['"a  b" it is', "& second"]


@pytest.mark.parametrize("rc", [0, 1, 7, 255])
def test_exit_codes(connector, rc):
    assert run(connector, f"exit {rc}")[0].rc == rc


def test_both_streams(connector):
    done, output = run(connector, "echo out& echo err>&2& exit 3")
    assert (done.rc, output.stdout, output.stderr) == (3, b"out\r\n", b"err\r\n")


def test_standard_input(connector):
    _, output = run(connector, "set /p LINE=& call echo got %%LINE%%", b"what it is told\r\n")
    assert "got what it is told" in output.text("stdout")


def test_builtins_and_files(connector, server):
    (server.drive / "Users" / "vagrant" / "here.txt").write_text("content\r\n", newline="")
    _, output = run(connector, "if exist here.txt (type here.txt) else (echo none)")
    assert output.stdout == b"content\r\n"
    _, output = run(connector, "for /L %%i in (1,1,3) do @echo %%i")
    assert output.text("stdout").split() == ["1", "2", "3"]
