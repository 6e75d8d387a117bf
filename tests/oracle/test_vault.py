"""ansible-vault's texts: what real Ansible encrypts is read, and it reads what is encrypted here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from sshexec import Engine, Inventory
from sshexec.credentials.vault import VaultPassword, VaultPasswords
from sshexec.secret import Secret

TEXT = "sécret: \u2028 {{ 1+1 }}\n\n  x "


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ANSIBLE_VAULT_PASSWORD_FILE", "ANSIBLE_VAULT_IDENTITY_LIST"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pw").write_text(" geheim \n")
    return tmp_path


def ansible(python: str, folder: Path, program: str, *args: str, stdin: str = "") -> str:
    """Run one of Ansible's programs."""
    command = [python, "-W", "ignore", str(Path(python).with_name(program)), *args]
    env = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "ANSIBLE_LOCALHOST_WARNING": "0"}
    done = subprocess.run(
        command, cwd=folder, env=env, input=stdin, text=True, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("label", ["default", "dev"])
def test_both_read_what_the_other_encrypts(oracle_python: str, folder: Path, label: str) -> None:
    (folder / "theirs").write_text(TEXT)
    ansible(oracle_python, folder, "ansible-vault", "encrypt", "--vault-id", f"{label}@pw", "theirs")
    theirs = (folder / "theirs").read_text()
    ours = VaultPasswords([VaultPassword(label, Secret("geheim"))])
    assert ours.decrypt(theirs, "x") == TEXT
    written = ours.encrypt(TEXT)
    assert written.splitlines()[0] == theirs.splitlines()[0]
    (folder / "ours").write_text(written)
    ansible(oracle_python, folder, "ansible-vault", "decrypt", "--vault-id", f"{label}@pw", "ours")
    assert (folder / "ours").read_text() == TEXT


def test_secrets_have_the_same_values_in_expressions(oracle_python: str, folder: Path) -> None:
    """A value is no expression, one in an encrypted file may be; what is not used needs no password."""
    ours = VaultPasswords("geheim")
    inline = VaultPasswords([VaultPassword("other", Secret("nobody knows"))]).encrypt("x")
    (folder / "hosts.yml").write_text("all: {hosts: {h: {ansible_connection: local, n: 7, pair: '{{ a }}/{{ b }}'}}}\n")
    listed = {"a": {"__ansible_vault": ours.encrypt("{{ n }}")}, "closed": {"__ansible_vault": inline}}
    (folder / "host_vars").mkdir()
    (folder / "host_vars/h.json").write_text(json.dumps(listed))
    (folder / "group_vars").mkdir()
    (folder / "group_vars/all.yml").write_text(ours.encrypt("b: '<{{ n }}>'\n"))
    said = ansible(
        *(oracle_python, folder, "ansible", "h", "-i", "hosts.yml", "--vault-password-file", "pw"),
        *("-m", "command", "-a", "echo '{{ pair }}'", "-o"),
    )
    assert said.rstrip().endswith("(stdout) {{ n }}/<7>")
    inventory = Inventory.load(folder / "hosts.yml", vault="geheim")
    with Engine(inventory) as engine:
        assert engine.run("h", "command", "echo '{{ pair }}'")["h"].stdout == "{{ n }}/<7>"
