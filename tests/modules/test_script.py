"""The script module: one round trip, nothing left behind."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Connector, Deadline
from sshexec.connectors.output import Output
from sshexec.errors import ArgumentError, CommandTimeoutError
from sshexec.modules.base import Invocation
from sshexec.modules.registry import module_class

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def home(folder: Path) -> Path:
    """A home directory of this test's own, for the environment: others may run scripts in the real one."""
    (folder / "home").mkdir()
    return folder / "home"


def write(folder: Path, text: str | bytes, name: str = "go.sh") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def leftovers(home: Path) -> set[Path]:
    return set(home.glob(".sshexec-*"))


def test_script_runs_with_its_arguments_as_they_are(run: Run, folder: Path, home: Path) -> None:
    write(folder, '#!/bin/sh\nprintf "%s|" "$@"; echo err >&2; cat; exit 3\n')
    environment = {"HOME": str(home)}
    result = run("script", "go.sh 'a  b'  $HOME x=1; echo more", environment=environment)
    assert result["stdout"] == f"a  b|{home}|x=1|more\n"
    result = run("script", "go.sh 'a  b'", environment=environment)
    assert set(result) == {"changed", "rc", "stdout", "stdout_lines", "stderr", "stderr_lines", "failed", "msg"}
    assert (result["rc"], result["stderr"], result["msg"]) == (3, "err\n", "non-zero return code")
    assert leftovers(home) == set()


def test_a_name_with_hostile_characters_and_binary_content(run: Run, folder: Path) -> None:
    content = b'#!/bin/sh\ntail -c 4 "$0" | od -An -tx1; exit 0\n' + bytes(range(256)) * 2000
    write(folder, content, "we'ird $(x) n\nme.sh")
    result = run("script", {"cmd": '"we\'ird $(x) n\nme.sh"'})
    assert result["stdout"].split() == ["fc", "fd", "fe", "ff"]


def test_executable_and_chdir(run: Run, folder: Path) -> None:
    write(folder, "pwd; echo $BASH_VERSION\n")
    result = run("script", f"go.sh chdir={folder} executable=/bin/bash")
    assert result["stdout_lines"][0] == str(folder)
    assert result["stdout_lines"][1]


def test_of_a_missing_directory_or_interpreter_the_shell_tells(run: Run, folder: Path, home: Path) -> None:
    write(folder, "#!/bin/sh\necho ran\n")
    write(folder, "#! \t/nope/perl -w\n", "go.pl")
    for args, named in (
        ("go.sh chdir=/nope", "/nope"),
        (f"go.sh chdir={folder}/go.sh", "go.sh"),
        ("go.sh executable=/nope/sh", "/nope/sh"),
        (f"go.sh executable={folder}/f.txt", "f.txt"),
        ("go.pl", "go.pl"),
    ):
        result = run("script", args, environment={"HOME": str(home)})
        assert (result["failed"], result["changed"], result["msg"]) == (True, True, "non-zero return code")
        assert result["rc"] in (1, 2, 126, 127)
        assert named in result["stderr"]
        assert result["stdout"] == ""
    assert leftovers(home) == set()


@pytest.mark.parametrize(
    "executable", ["sh", "/bin/sh -e", "env sh", "exec sh", ".", "A=b sh", '"/bin/sh"', " ", "~/x"]
)
def test_executable_is_the_shell_s_to_read(connector: Connector[Any, Any], folder: Path, executable: str) -> None:
    write(folder, "#!/bin/sh\necho ran $#\n")
    (folder / "x").symlink_to("/bin/sh")
    module = module_class("script").from_args({"cmd": "go.sh a b", "executable": executable})
    environment = {"HOME": str(folder)}
    output = Output()
    module.run(connector, Invocation("web1", output, Deadline.after(60), environment=environment))
    # What a sourced script gets as its arguments is the shell's own business.
    assert output.text("stdout").startswith("ran ")
    assert output.text("stderr") == ""


def test_environment(run: Run, folder: Path) -> None:
    write(folder, "#!/bin/sh\necho $GREETING\n")
    assert run("script", "go.sh", environment={"GREETING": "hi  there"})["stdout"] == "hi there\n"


def test_creates_and_removes_skip(run: Run, folder: Path) -> None:
    write(folder, "#!/bin/sh\ntouch x\n")
    expected = {"changed": False, "skipped": True, "msg": "/etc exists, matching creates option"}
    assert run("script", "go.sh creates=/etc") == expected
    assert run("script", "go.sh removes=/nope")["msg"] == "/nope does not exist, matching removes option"


def test_check_mode(run: Run, folder: Path) -> None:
    write(folder, f"#!/bin/sh\ntouch {folder}/x\n")
    assert run("script", "go.sh", check=True)["msg"] == "Check mode is not supported for this task."
    assert run("script", f"go.sh creates={folder}/x", check=True) == {"changed": True}
    assert run("script", "go.sh creates=/etc", check=True)["skipped"] is True
    assert not (folder / "x").exists()


def test_missing_local_file_fails(run: Run, folder: Path) -> None:
    result = run("script", "nope.sh a")
    assert result["failed"] is True
    assert result["msg"].startswith(
        f"Could not find or access 'nope.sh'\nSearched in:\n\t{folder}/files/nope.sh\n\t{folder}/nope.sh on the"
    )
    assert run("script", f"nope.sh creates={folder}/f.txt")["skipped"] is True
    assert run("script", f"nope.sh creates={folder}/x")["failed"] is True
    assert run("script", "nope.sh", check=True)["failed"] is True


def test_a_script_below_files_is_found_first(run: Run, folder: Path) -> None:
    (folder / "files").mkdir()
    write(folder, "#!/bin/sh\necho right here\n")
    write(folder / "files", "#!/bin/sh\necho below files\n")
    assert run("script", "go.sh")["stdout"] == "below files\n"
    assert run("script", "./go.sh")["stdout"] == "below files\n"


def test_a_directory_is_no_script(run: Run, folder: Path) -> None:
    (folder / "d").mkdir()
    assert run("script", "d")["msg"].startswith(f"Could not find or access '{folder}/d' on the")


def test_vault_files_are_refused(run: Run, folder: Path) -> None:
    write(folder, "$ANSIBLE_VAULT;1.1;AES256\n00\n")
    said = f"A vault password or secret must be specified to decrypt {folder}/go.sh"
    assert run("script", "go.sh")["msg"] == said


def test_deadline_removes_the_script(connector: Connector[Any, Any], folder: Path, home: Path) -> None:
    write(folder, "#!/bin/sh\necho begun; sleep 300\n")
    output = Output()
    with pytest.raises(CommandTimeoutError) as caught:
        module_class("script").from_args("go.sh").run(
            connector, Invocation("web1", output, Deadline.after(1), environment={"HOME": str(home)})
        )
    assert caught.value.killed is True
    assert output.text("stdout") == "begun\n"
    until = time.monotonic() + 10
    while leftovers(home) != set() and time.monotonic() < until:
        time.sleep(0.05)
    assert leftovers(home) == set()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("", "one of the following is required: _raw_params, cmd"),
        ("x.sh chdir=etc", "chdir etc must be an absolute path"),
        ({"cmd": "x", "bogus": 1}, "Unsupported parameters"),
        ({"cmd": "'x"}, "No closing quotation"),
        ({"cmd": "x", "decrypt": False}, r"Unsupported parameters for \(script\) module: decrypt\."),
    ],
)
def test_wrong_arguments(args: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        module_class("script").from_args(args)
