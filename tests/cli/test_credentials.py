"""`sshexec credentials`, and the options that name keys and vault passwords."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sshexec import Inventory
from sshexec.cli import main
from sshexec.credentials.vault import VaultPassword, VaultPasswords
from sshexec.inventory.cmdb.cmdb import Cmdb
from sshexec.secret import Secret
from tests.cli.command import SSHEXEC, Terminal, environment, sshexec

Run = subprocess.CompletedProcess[str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without a key."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("SSHEXEC_KEY_FILE", "SSHEXEC_INVENTORY", "ANSIBLE_VAULT_PASSWORD_FILE", "ANSIBLE_VAULT_IDENTITY_LIST"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An inventory of two hosts on this machine."""
    found = f"sqlite:///{tmp_path}/cmdb.db"
    with Cmdb(found) as cmdb:
        cmdb.add(Inventory.from_hosts(["h1", "h2"], {"web": ["h1"]}))
        cmdb.put_group("all", variables={"ansible_connection": "local"})
    return found


class Command:
    """Calls the command in this process."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd

    def __call__(self, *args: str, code: int = 0) -> str:
        done = main.run(list(args))
        out, err = self._capfd.readouterr()
        assert done == code, err
        return out if code == 0 else out + err


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Command:
    """A function that runs the command and returns what it says."""
    return Command(capfd)


def test_from_a_key_to_a_rotation(call: Command, url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", "hunter2")
    where = ("credentials", "set", url, "deploy", "--user", "deploy", "--password-from", "env:PW", "--group", "web")
    assert "there is no key for secrets: make one with `sshexec credentials keygen`" in call(*where, code=5)
    first = call("credentials", "keygen").split()[1]
    assert (home / "config/sshexec/key").stat().st_mode & 0o777 == 0o600
    assert "there is such a file already" in call("credentials", "keygen", code=5)
    call(*where)
    call("credentials", "set", url, "root", "--become", "--become-password-ref", "env:PW", "--group", "web")
    assert call("credentials", "list", url) == (
        "NAME    FIELDS                             FOR\n"
        "deploy  user=deploy password=********      @web\n"
        "root    become=yes become_password=env:PW  @web\n"
    )
    [deploy, _] = json.loads(call("credentials", "list", url, "--json"))
    assert deploy["fields"] == {"user": "deploy", "password": {"sealed": first}}
    assert call("credentials", "check", url) == f"2 secrets open, 0 do not; sealed: 1 with the key {first}\n"
    second = call("credentials", "keygen", "--add").split()[1]
    assert call("credentials", "rotate", url) == f"1 secret is sealed with the key {second}, 1 of them anew\n"
    key = home / "config/sshexec/key"
    key.write_text("".join(key.read_text().splitlines(keepends=True)[:2]))
    assert call("credentials", "check", url).endswith(f"1 with the key {second}\n")
    assert Inventory.load(url).variables("h1")["ansible_password"].reveal() == "hunter2"


def test_what_does_not_open_is_named(call: Command, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call("credentials", "keygen")
    monkeypatch.setenv("PW", "hunter2")
    call("credentials", "set", url, "a", "--password-ref", "env:PW", "--host", "h2")
    monkeypatch.delenv("PW")
    said = call("credentials", "check", url, code=2)
    assert said == (
        "0 secrets open, 1 does not\nsshexec: password of credential 'a': the environment variable PW is not set\n"
    )
    wrong = call("run", "h2", "-i", url, "-a", "true", code=5)
    assert "host h2: ansible_password: password of credential 'a': the environment variable PW is not set" in wrong


def test_changes_one_at_a_time(call: Command, url: str) -> None:
    call("credentials", "set", url, "a", "--user", "x", "--become-user", "root", "--host", "h1")
    call("credentials", "set", url, "a", "--unset", "become-user", "--group", "web", "--description", "an account")
    call("credentials", "unassign", url, "a", "--host", "h1")
    call("credentials", "rename", url, "a", "b")
    [found] = json.loads(call("credentials", "list", url, "--json"))
    assert {key: found[key] for key in ("name", "description", "fields", "hosts", "groups")} == {
        "name": "b",
        "description": "an account",
        "fields": {"user": "x"},
        "hosts": [],
        "groups": ["web"],
    }
    call("credentials", "remove", url, "b")
    assert "there is no credential 'b'" in call("credentials", "remove", url, "b", code=5)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "error: Missing command (see sshexec credentials --help)"),
        (("set", "URL", "a"), "credential 'a' would say nothing"),
        (("set", "URL", "a", "--password-from", "hunter2"), "--password-from: is no reference: expected NAME"),
        (("set", "URL", "a", "--password-from", "env:PW", "--password-ref", "env:PW"), "exclude each other"),
        (("set", "URL", "a", "--password-ref", "nope:x"), "there is no provider 'nope'"),
        (("set", "URL", "a", "--user", "x", "--host", "h9"), "there is no host 'h9'"),
        (("set", "URL", "a", "--user", "x", "--unset", "usr"), "has no field 'usr'"),
        (("unassign", "URL", "a"), "name a --host or a --group"),
        (("list", "sqlite:////no/such.db"), "no such"),
        (("keygen", "/proc/key"), "/proc/key: can't be written"),
        (("keygen", "/no/such/key", "--add"), "/no/such/key: can't be read: there is no such file"),
    ],
)
def test_bad_input_is_one_line(call: Command, url: str, args: tuple[str, ...], words: str) -> None:
    said = call("credentials", *[url if arg == "URL" else arg for arg in args], code=5)
    assert words in said
    assert said.count("\n") == 1
    assert "hunter2" not in said


def test_a_secret_is_read_from_standard_input_or_asked_for(url: str, home: Path) -> None:
    key = home / "key"
    assert sshexec("credentials", "keygen", key).returncode == 0
    command = ["credentials", "set", url, "a", "--key-file", str(key)]
    done = subprocess.run(
        [*SSHEXEC, *command, "--passphrase-from", "-"],
        input="hunter 2\n",
        text=True,
        capture_output=True,
        env=environment(),
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    terminal = Terminal(*command, "--password-from", "-")
    terminal.until("Password: ")
    terminal.type("hunter3\n")
    assert terminal.end() == 0, terminal.seen
    assert "hunter3" not in terminal.seen
    with Cmdb(url) as cmdb:
        cmdb.credentials.assign("a", hosts=["h1"])
    variables = Inventory.load(url, keyring=str(key)).variables("h1")
    assert variables["ansible_private_key_passphrase"] == Secret("hunter 2")
    assert variables["ansible_password"] == Secret("hunter3")


@pytest.fixture
def vaulted(tmp_path: Path) -> Path:
    """An inventory with a value that ansible-vault has encrypted."""
    passwords = VaultPasswords([VaultPassword("dev", Secret("geheim"))])
    cipher = textwrap.indent(passwords.encrypt("hunter2"), " " * 10)
    path = tmp_path / "hosts.yml"
    path.write_text(
        "all:\n  hosts:\n    h:\n      ansible_connection: local\n      ansible_password: '{{ pw }}'\n"
        f"      pw: !vault |\n{cipher}"
    )
    (tmp_path / "extra.yml").write_text(passwords.encrypt("more: of it\n"))
    (tmp_path / "pw").write_text("geheim\n")
    return path


def test_showing_hosts_needs_no_password(call: Command, vaulted: Path) -> None:
    source = ("-i", str(vaulted))
    shown = [
        call("hosts", *source, "--list"),
        call("hosts", *source, "--host", "h"),
        call("hosts", "h", *source, "--vars"),
        call("hosts", "h", *source, "--explain", "-c", "ssh"),
        call("hosts", "h", *source, "--explain", "-c", "ssh", "--json"),
    ]
    assert all("********" in text and "hunter2" not in text for text in shown)


@pytest.mark.parametrize(
    "options",
    [("--vault-password-file", "PW"), ("--vault-id", "dev@PW"), ("--vault-id", "PW"), ("--vault-pass-file", "PW")],
)
def test_a_run_takes_vault_passwords_as_ansible_does(call: Command, vaulted: Path, options: tuple[str, str]) -> None:
    given = [word.replace("PW", str(vaulted.parent / "pw")) for word in options]
    extra = f"@{vaulted.parent / 'extra.yml'}"
    said = call(
        "run", "h", "-i", str(vaulted), "-e", extra, "-a", "echo {{ pw }} {{ more }}", "--one-line", "-q", *given
    )
    assert "hunter2 of it" in said


def test_without_a_password_nothing_is_contacted(call: Command, vaulted: Path) -> None:
    said = call("run", "h", "-i", str(vaulted), "-a", "true", code=5)
    assert f"{vaulted}:6: is encrypted with ansible-vault (vault id dev), and there is no password for it" in said
    said = call("run", "h", "-i", str(vaulted), "-a", "true", "--vault-id", f"dev@{vaulted}", code=5)
    assert "none of the vault passwords opens it (vault id dev; tried: dev)" in said


def test_a_vault_password_is_asked_for_once(vaulted: Path) -> None:
    extra = f"@{vaulted.parent / 'extra.yml'}"
    terminal = Terminal("run", "h", "-i", vaulted, "-e", extra, "-J", "-a", "echo {{ pw }} {{ more }}", "-o", "-q")
    terminal.until("Vault password: ")
    terminal.type("geheim\n")
    assert terminal.end() == 0, terminal.seen
    assert terminal.seen.count("Vault password") == 1
    assert "hunter2 of it" in terminal.seen
    assert "geheim" not in terminal.seen


def test_no_secret_is_in_the_arguments_of_a_process(call: Command, url: str, home: Path) -> None:
    """What a command prints is sealed; the program sees its own arguments only."""
    call("credentials", "keygen")
    script = home / "ask.py"
    script.write_text("import sys\nprint('hunter' + str(len(sys.argv)))\n")
    call("credentials", "set", url, "a", "--password-from", f"command:{sys.executable} '{script}' x", "--host", "h1")
    assert Inventory.load(url).variables("h1")["ansible_password"].reveal() == "hunter2"
