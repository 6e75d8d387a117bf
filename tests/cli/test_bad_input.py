"""Bad input: one clear line, exit code 5, nothing contacted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshexec.cli import main
from tests.cli.command import sshexec
from tests.testbed import keygen

HOST = ("-i", "h1,", "-c", "local")
WINDOWS = ("-i", "h1,", "-c", "winrm", "-u", "deploy", "-e", "ansible_winrm_transport=ntlm")


def assert_one_line(done: Any, *parts: str) -> None:
    assert done.returncode == 5, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("sshexec: error: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        ((), ("Missing argument 'PATTERN'", "sshexec run --help")),
        (("all", "--nope"), ("--nope",)),
        (("all", "-a", "true"), ("no inventory", "-i")),
        (("all", *HOST, "-m", "nope"), ("'nope'", "command")),
        (("all", *HOST, "-m", "copy", "-a", "src=x dest=y nope=1"), ("nope", "copy")),
        (("all", *HOST, "-m", "copy", "-a", "src=/etc/hostname"), ("dest",)),
        (("all", *HOST), ("command: one of the following is required: a free text, cmd, argv (give it with -a)",)),
        (("all", *HOST, "-m", "raw"), ("raw: ", "(give it with -a)")),
        (("all", *HOST, "-a", "chdir=/"), ("required: a free text, cmd, argv\n",)),
        (
            ("all", *HOST, "--serial", "0"),
            ("serial: expected a number of hosts or a percentage such as '20%', got 0\n",),
        ),
        (
            ("all", *HOST, "-a", "true", "-b", "--become-method=runas"),
            ("become_method: expected one of sudo, su, doas",),
        ),
        (("all", *HOST, "-a", "true", "-b", "--become-user=-x"), ("become_user: looks like an option",)),
        (
            ("all", *HOST, "-a", "true", "-t", "out"),
            ("-t/--tree: not available; --json and --artifacts hold every result",),
        ),
        (("all", *HOST, "-a", "true", "-B", "10", "-P", "2"), ("-B/--background: not available; --task-timeout",)),
        (("all", *HOST, "-a", "true", "--retry-file", "/no/such/file"), ("--retry-file: /no/such/file can't be",)),
        (("all", *HOST, "-a", "true", "--spill", "/proc/nope"), ("--spill: /proc/nope: No such file",)),
        (("all", *WINDOWS, "-m", "ping"), ("host h1: ansible_password is not set, and ntlm needs one; set it, ",)),
        (("all", *WINDOWS, "-m", "win_service"), ("'win_service'", "win_shell and script run PowerShell")),
        (
            ("all", *WINDOWS, "-e", "ansible_password=x", "-m", "win_stat", "-a", r"path=C:\new"),
            ("win_stat: no path of Windows", r"'C:\new'"),
        ),
        (("nope", *HOST, "-a", "true"), ("'nope'",)),
        (("all", *HOST, "-l", "nope", "-a", "true"), ("'nope'",)),
        (("all", "-i", "/nonexistent/hosts.yml", "-a", "true"), ("/nonexistent/hosts.yml",)),
        (("all", "-i", "h1,", "-c", "nope", "-a", "true"), ("ansible_connection", "'nope'")),
        (("all", "-i", "h1,", "-e", "ansible_port=70000", "-a", "true"), ("ansible_port", "65535", "'70000'")),
        (("all", "-i", "h1,", "--private-key", "/nonexistent/key", "-a", "true"), ("/nonexistent/key",)),
        (("all", *HOST, "-e", "nonsense", "-a", "true"), ("-e", "name=value")),
        (("all", *HOST, "-e", "@/nonexistent/vars", "-a", "true"), ("/nonexistent/vars",)),
        (("all", *HOST, "-e", "[1, 2]", "-a", "true"), ("mapping",)),
        (("all", *HOST, "-e", "@/dev/zero", "-a", "true"), ("-e @/dev/zero: is not a regular file",)),
        (("all", *HOST, "-e", "[" * 50_000, "-a", "true"), ("-e", "nest")),
        (("all", *HOST, "-e", "{a: " + "9" * 5000 + "}", "-a", "true"), ("-e",)),
        (("all", *HOST, "-a", '{"a":' * 20_000), ("-a", "nested too deeply")),
        (("all", *HOST, "-e", "{a: b: c}", "-a", "true"), ("-e:1: is not valid YAML",)),
        (("all", *HOST, "-e", "{bad", "-a", "true"), ("-e:1: is not valid YAML",)),
        (("all", *HOST, "--serial", "x", "-a", "true"), ("--serial", "'x'")),
        (("all", *HOST, "--serial", "0", "-a", "true"), ("serial",)),
        (("all", *HOST, "--output-limit", "lots", "-a", "true"), ("--output-limit", "'lots'")),
        (("all", *HOST, "-f", "0", "-a", "true"), ("--forks", "expected a whole number above 0, got '0'")),
        (("all", *HOST, "-f", "x", "-a", "true"), ("--forks", "expected a whole number above 0, got 'x'")),
        (("all", *HOST, "-T", "nan", "-a", "true"), ("--timeout", "expected a number of seconds above 0, got 'nan'")),
        (("all", *HOST, "--task-timeout", "0", "-a", "true"), ("expected a number of seconds above 0, got '0'",)),
        (("all", *HOST, "--max-fail-percentage", "101", "-a", "true"), ("expected a number from 0 to 100, got '101'",)),
        (("all", *HOST, "-o", "--json", "-a", "true"), ("-o and --json",)),
        (("all", *HOST, "-a", "{{ undefined_thing }}"), ("undefined_thing",)),
    ],
)
def test_one_line(args: tuple[str, ...], parts: tuple[str, ...]) -> None:
    assert_one_line(sshexec("run", *args), *parts)


def test_broken_inventory_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text("all:\n  hosts:\n    h1: [\n")
    assert_one_line(sshexec("run", "all", "-i", path, "-a", "true"), f"{path}:")


def test_encrypted_key_without_passphrase(tmp_path: Path) -> None:
    key = keygen(tmp_path / "key", "-t", "ed25519", "-N", "secret")
    assert_one_line(
        sshexec("run", "all", "-i", "127.0.0.1,", "--private-key", key, "-a", "true"), str(key), "passphrase"
    )


def test_file_that_is_no_key(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("not a key\n")
    assert_one_line(sshexec("run", "all", "-i", "127.0.0.1,", "--private-key", key, "-a", "true"), str(key))


def test_passwords_are_not_repeated_in_messages() -> None:
    done = sshexec("run", "all", "-i", "h1,", "-e", "ansible_password=hunter2 hunter3", "-a", "true")
    assert done.returncode == 5
    assert "hunter" not in done.stderr


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (("all", "-m", "ping"), "No such command 'all': did you mean `sshexec run all ...`?"),
        (("web:!db", "-a", "true"), "did you mean `sshexec run 'web:!db' ...`?"),
        (("host", "-i", "h1,"), "did you mean `sshexec hosts`?"),
        (("-i", "h1,", "all", "-m", "ping"), "No such option '-i' here: options stand behind the command"),
        (("demo", "--hosts", "100"), "expected a whole number from 1 to 99, got '100'"),
    ],
)
def test_ansibles_order_of_words_and_other_slips(args: tuple[str, ...], hint: str) -> None:
    assert_one_line(sshexec(*args), hint)


def test_without_a_command_the_help_is_shown() -> None:
    done = sshexec()
    assert (done.returncode, done.stdout) == (5, "")
    assert "Commands:" in done.stderr


@pytest.mark.parametrize("command", [(), ("run",), ("hosts",), ("demo",)])
def test_help_teaches_on_stdout(command: tuple[str, ...]) -> None:
    done = sshexec(*command, "--help")
    assert done.returncode == 0
    assert "Usage: sshexec" in done.stdout
    assert done.stderr == ""
    if command in ((), ("run",)):
        assert "Windows" in done.stdout  # that there are such hosts, and how one reaches them


def raising(error: BaseException) -> Callable[..., Any]:
    def load(sources: Any, **options: Any) -> Any:
        raise error

    return load


def test_a_defect_is_one_line_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sshexec.cli.hosts.load_inventory", raising(RuntimeError("two\nlines")))
    monkeypatch.delenv("SSHEXEC_TRACEBACK", raising=False)
    assert main.run(["hosts", "-i", "h1,"]) == 1
    hint = "run with SSHEXEC_TRACEBACK=1 to see where"
    assert capsys.readouterr() == ("", f"sshexec: error: RuntimeError: two lines ({hint})\n")


def test_a_defect_shows_its_traceback_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sshexec.cli.hosts.load_inventory", raising(RuntimeError("defect")))
    monkeypatch.setenv("SSHEXEC_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="defect"):
        main.run(["hosts", "-i", "h1,"])


def test_interrupt_before_anything_ran(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sshexec.cli.hosts.load_inventory", raising(KeyboardInterrupt()))
    assert main.run(["hosts", "-i", "h1,"]) == 130
    assert capsys.readouterr().err.strip() == "sshexec: error: interrupted"
