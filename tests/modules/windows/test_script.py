"""script on Windows: one PowerShell, nothing left behind."""

from __future__ import annotations

import threading
import zlib
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Connector, Deadline
from sshexec.connectors.output import Output
from sshexec.connectors.registry import connector_class
from sshexec.errors import ArgumentError, CancelledError, CommandTimeoutError, ConnectionLostError
from sshexec.modules.base import Invocation
from sshexec.modules.registry import module_on
from tests.modules.windows.conftest import Run
from tests.winrm_server.server import WinrmServer


def write(folder: Path, text: str | bytes, name: str = "go.ps1") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def leftovers(home: Path) -> list[Path]:
    return list((home / "AppData" / "Local" / "Temp").glob("sshexec-*"))


def names(endpoint: WinrmServer) -> list[str]:
    return [event.detail["script"] for event in endpoint.log if event.op == "Command"]


def script(args: Any) -> Any:
    return module_on("script", connector_class("winrm").capabilities).from_args(args)


def test_a_script_with_its_arguments(run: Run, folder: Path, home: Path, endpoint: WinrmServer) -> None:
    write(folder, "Write-Output $args\n[Console]::Error.WriteLine('careful')\nexit 3\n")
    assert run("script", "go.ps1 'a  b'  -Flag x=1") == {
        "changed": True,
        "rc": 3,
        "stdout": "a  b\r\n-Flag\r\nx=1\r\n",
        "stdout_lines": ["a  b", "-Flag", "x=1"],
        "stderr": "careful\r\n",
        "stderr_lines": ["careful"],
        "failed": True,
        "msg": "non-zero return code",
    }
    assert leftovers(home) == []
    assert names(endpoint) == ["script"]


def test_what_goes_to_powershell(run: Run, folder: Path, endpoint: WinrmServer) -> None:
    write(folder, "exit 0\n", "we'ird $(x) n\u00e4me.ps1")
    run("script", {"cmd": "\"we'ird $(x) n\u00e4me.ps1\" -Path $env:TEMP 'a;b'", "chdir": "C:\\Windows"})
    (event,) = (event for event in endpoint.log if event.op == "Command")
    told = event.detail["arguments"]
    assert told["name"] == "we_ird___x__n_me.ps1"
    assert (told["before"], told["behind"], told["chdir"]) == ("", "-Path $env:TEMP 'a;b'", "C:\\Windows")


@pytest.mark.parametrize("name", ["CON.ps1", "nul.ps1", "com1.x.ps1"])
def test_a_name_that_is_a_device(name: str, run: Run, folder: Path, endpoint: WinrmServer) -> None:
    write(folder, "exit 0\n", name)
    assert run("script", name)["rc"] == 0
    (event,) = (event for event in endpoint.log if event.op == "Command")
    assert event.detail["arguments"]["name"] == f"_{name}"


@pytest.mark.parametrize("name", ["go.bat", "go.CMD"])
def test_a_batch_file(name: str, run: Run, folder: Path, home: Path) -> None:
    write(folder, "@echo off\r\necho %USERNAME%\r\necho %*\r\necho oops 1>&2\r\nexit /b 9\r\n", name)
    result = run("script", f"{name} one two")
    assert (result["rc"], result["stdout_lines"], result["stderr"]) == (9, ["vagrant", "one", "two"], "oops\r\n")
    assert leftovers(home) == []


@pytest.mark.parametrize("size", [9_000, 1_500_000])
def test_a_large_script(size: int, run: Run, folder: Path, home: Path, endpoint: WinrmServer) -> None:
    write(folder, "# " + "x" * size + "\nWrite-Output 'end'\n")
    assert run("script", "go.ps1")["stdout"] == "end\r\n"
    assert leftovers(home) == []


def test_an_empty_script_and_one_that_is_no_text(run: Run, folder: Path) -> None:
    write(folder, b"")
    assert run("script", "go.ps1")["rc"] == 0
    content = bytes(range(256)) * 1000
    write(folder, content, "data.bin")
    check = "print(__import__('zlib').crc32(open(__import__('sys').argv[1],'rb').read()))"
    result = run("script", {"cmd": "data.bin", "executable": f"python -c {check}"})
    assert result["stdout"] == f"{zlib.crc32(content)}\r\n"


def test_long_arguments_are_not_cut(run: Run, folder: Path) -> None:
    write(folder, "Write-Output $args\n")
    assert run("script", f"go.ps1 {'y' * 9000}")["stdout"] == "y" * 9000 + "\r\n"


def test_executable(run: Run, folder: Path, home: Path) -> None:
    write(folder, "import sys\nprint(sys.argv[1:])\nsys.exit(4)\n", "go.py")
    result = run("script", {"cmd": "go.py a 'b c'", "executable": "python -u"})
    assert (result["rc"], result["stdout"]) == (4, "['a', 'b c']\r\n")
    result = run("script", {"cmd": "go.py", "executable": "nosuch"})
    assert (result["failed"], result["rc"]) == (True, 1)
    assert "'nosuch' is not recognized" in result["stderr"]
    assert leftovers(home) == []


def test_chdir_and_environment(run: Run, folder: Path, home: Path) -> None:
    write(folder, "Write-Output (Get-Location).Path\nWrite-Output $env:GREETING\n")
    result = run("script", {"cmd": "go.ps1", "chdir": "C:\\Windows"}, environment={"GREETING": "hi"})
    assert result["stdout_lines"] == ["C:\\Windows", "hi"]
    result = run("script", {"cmd": "go.ps1", "chdir": "C:\\Nope"})
    assert (result["failed"], result["rc"]) == (True, 1)
    assert "Cannot find path 'C:\\Nope'" in result["stderr"]
    assert leftovers(home) == []


def test_an_error_that_ends_it(run: Run, folder: Path, home: Path) -> None:
    write(folder, "throw 'no more'\n")
    result = run("script", "go.ps1")
    assert (result["rc"], result["stderr"]) == (1, "no more\r\n")
    assert leftovers(home) == []


@pytest.mark.parametrize("name", ["go.sh", "go", "go.py"])
def test_what_nothing_on_windows_runs(name: str, run: Run, folder: Path, endpoint: WinrmServer) -> None:
    write(folder, "#!/bin/sh\n", name)
    result = run("script", name)
    assert (result["failed"], result["changed"]) == (True, False)
    assert result["msg"] == (
        f"{name} can't be run on a Windows host: its name ends in none of .ps1, .bat, .cmd, .exe; "
        "with executable=... another program runs it"
    )
    assert script(name).opens is False
    assert "Command" not in endpoint.operations


def test_creates_and_removes_skip(run: Run, folder: Path, endpoint: WinrmServer) -> None:
    write(folder, "exit 0\n")
    expected = {"changed": False, "skipped": True, "msg": "C:\\Windows exists, matching creates option"}
    assert run("script", {"cmd": "go.ps1", "creates": "C:\\Windows"}) == expected
    result = run("script", {"cmd": "go.ps1", "removes": "%OS%"})
    assert result["msg"] == "%OS% does not exist, matching removes option"
    assert names(endpoint) == ["guards", "guards"]
    assert run("script", {"cmd": "go.ps1", "creates": "C:\\Nope"})["rc"] == 0


def test_check_mode(run: Run, folder: Path, endpoint: WinrmServer) -> None:
    write(folder, "exit 0\n")
    assert run("script", "go.ps1", check=True)["msg"] == "Check mode is not supported for this task."
    assert run("script", {"cmd": "go.ps1", "creates": "C:\\Nope"}, check=True) == {"changed": True}
    assert run("script", {"cmd": "go.ps1", "creates": "C:\\Windows"}, check=True)["skipped"] is True
    assert "script" not in names(endpoint)


def test_missing_local_file_fails(run: Run, folder: Path) -> None:
    result = run("script", "nope.ps1 a")
    assert result["failed"] is True
    assert result["msg"].startswith("Could not find or access 'nope.ps1'")
    assert run("script", {"cmd": "nope.ps1", "creates": "C:\\Windows"})["skipped"] is True
    assert run("script", {"cmd": "nope.ps1", "creates": "C:\\Nope"})["failed"] is True


def test_vault_files_are_refused(run: Run, folder: Path) -> None:
    write(folder, "$ANSIBLE_VAULT;1.1;AES256\n00\n")
    assert run("script", "go.ps1")["msg"].startswith("A vault password or secret must be specified to decrypt ")


def test_the_deadline_removes_the_script(
    connector: Connector[Any, Any], folder: Path, home: Path, endpoint: WinrmServer
) -> None:
    write(folder, "Write-Output 'begun'\nStart-Sleep 300\n")
    output = Output()
    with pytest.raises(CommandTimeoutError) as caught:
        script("go.ps1").run(connector, Invocation("win1", output, Deadline.after(1.5)))
    assert caught.value.killed is True
    assert output.text("stdout") == "begun\r\n"
    # The process was ended by force and left it; a script of ours came after it.
    assert names(endpoint) == ["script", "sweep"]
    assert leftovers(home) == []


def test_cancelling_removes_the_script(
    connector: Connector[Any, Any], folder: Path, home: Path, endpoint: WinrmServer
) -> None:
    write(folder, "Write-Output 'begun'\nStart-Sleep 300\n")
    output = Output(tee=lambda stream, data: threading.Thread(target=connector.cancel).start())
    with pytest.raises(CancelledError):
        script("go.ps1").run(connector, Invocation("win1", output, Deadline.after(30)))
    assert names(endpoint) == ["script", "sweep"]
    assert leftovers(home) == []


def test_a_lost_connection_stays_one(connector: Connector[Any, Any], folder: Path, endpoint: WinrmServer) -> None:
    write(folder, "Write-Output 'begun'\nStart-Sleep 300\n")
    output = Output(tee=lambda stream, data: endpoint.stop())
    with pytest.raises(ConnectionLostError):
        script("go.ps1").run(connector, Invocation("win1", output, Deadline.after(30)))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("", "one of the following is required: _raw_params, cmd"),
        ("x.ps1 chdir=etc", "chdir etc must be an absolute path for a Windows remote node"),
        ({"cmd": "x", "bogus": 1}, "Unsupported parameters"),
        ({"cmd": "'x"}, "No closing quotation"),
    ],
)
def test_wrong_arguments(args: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        script(args)
