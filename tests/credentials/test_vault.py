"""ansible-vault's format. `tests/oracle/test_vault.py` has real Ansible read and write it."""

from __future__ import annotations

import stat
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sshexec.credentials.passwords import vault_passwords
from sshexec.credentials.vault import VaultPassword, VaultPasswords, VaultSecret, is_vault
from sshexec.errors import CredentialError
from sshexec.secret import Secret

# Made by ansible-vault of ansible-core 2.19.14: the password is "geheim", the text "{{ 1+1 }}".
MADE = """$ANSIBLE_VAULT;1.2;AES256;dev
31343930326566383962386132343336303530623233663733616136333731623139626563653839
3737303330616336326535646331613933353836636135630a623266343665396136373863323337
32643165666535616561613634383839303562666532323630313166616130363334633361396532
3430356162333730620a306334616165326564393362653833396438316232653737366233383565
3361
"""


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANSIBLE_VAULT_PASSWORD_FILE", "ANSIBLE_VAULT_IDENTITY_LIST"):
        monkeypatch.delenv(name, raising=False)


@settings(max_examples=20)
@given(st.text(st.characters()))
def test_what_is_encrypted_is_decrypted_to_the_very_text(text: str) -> None:
    passwords = VaultPasswords("geheim")
    assert passwords.decrypt(passwords.encrypt(text), "x") == text


def test_what_ansible_has_encrypted_is_read() -> None:
    assert VaultSecret(MADE, VaultPasswords("geheim")).reveal() == "{{ 1+1 }}"


def test_only_a_label_of_its_own_takes_the_newer_format() -> None:
    passwords = VaultPasswords([VaultPassword("dev", Secret("a")), VaultPassword("default", Secret("b"))])
    assert passwords.encrypt("x").startswith("$ANSIBLE_VAULT;1.2;AES256;dev\n")
    assert passwords.encrypt("x", "default").startswith("$ANSIBLE_VAULT;1.1;AES256\n")
    assert all(len(line) <= 80 for line in passwords.encrypt("x" * 1000).splitlines())
    with pytest.raises(CredentialError, match=r"no vault password prod .*there are: dev, default"):
        passwords.encrypt("x", "prod")


def test_the_password_of_the_label_is_tried_first_and_then_the_others() -> None:
    read: list[str] = []

    def source(label: str, password: str) -> VaultPassword:
        def ask() -> Secret:
            read.append(label)
            return Secret(password)

        return VaultPassword(label, ask)

    passwords = VaultPasswords([source("prod", "nope"), source("dev", "geheim"), source("test", "nope")])
    assert passwords.decrypt(MADE, "x") == "{{ 1+1 }}"
    assert read == ["dev"]
    other = VaultPasswords([source("prod", "nope"), source("mine", "geheim")])
    assert other.decrypt(MADE, "x") == "{{ 1+1 }}"
    assert other.decrypt(MADE, "x") == "{{ 1+1 }}"
    assert read == ["dev", "prod", "mine"]


def test_a_password_is_asked_for_once_whoever_needs_it() -> None:
    asked: list[str] = []

    def ask() -> Secret:
        asked.append("dev")
        time.sleep(0.05)
        return Secret("geheim")

    passwords = VaultPasswords([VaultPassword("dev", ask)])
    threads = [threading.Thread(target=passwords.decrypt, args=(MADE, "x")) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == ["dev"]


def test_a_wrong_or_missing_password_is_said() -> None:
    with pytest.raises(CredentialError, match=r"^hosts.yml:3: none of the vault passwords opens it \(vault id dev"):
        VaultSecret(MADE, VaultPasswords("nope"), what="hosts.yml:3").reveal()
    with pytest.raises(CredentialError, match=r"^hosts.yml:3: is encrypted .*vault id dev.*--vault-password-file"):
        VaultSecret(MADE, what="hosts.yml:3").reveal()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("$ANSIBLE_VAULT;1.0;AES\n6162\n", "no ansible-vault text of format 1.1 or 1.2"),
        ("$ANSIBLE_VAULT;1.1;AES256\n6162\n", "damaged"),
        ("$ANSIBLE_VAULT;1.1;AES256\nxyz\n", "damaged"),
        (MADE[:-4], "damaged"),
        (MADE.replace("31343930", "31343935"), "none of the vault passwords"),
        ("", "no ansible-vault text"),
    ],
)
def test_a_damaged_text_is_refused(text: str, reason: str) -> None:
    with pytest.raises(CredentialError, match=reason):
        VaultPasswords("geheim").decrypt(text, "x")


def test_secrets_are_compared_by_their_ciphertext() -> None:
    indented = MADE.replace("\n", "\n      ")
    assert VaultSecret(MADE) == VaultSecret(indented)
    assert VaultSecret(MADE)
    assert VaultSecret(MADE).ciphertext == MADE
    assert is_vault(MADE)
    assert not is_vault("a: 1")
    assert repr(VaultSecret(MADE)) == "Secret('********')"
    assert "geheim" not in repr(VaultPasswords("geheim"))
    assert "geheim" not in repr(VaultPassword("x", Secret("geheim")))


def test_passwords_are_named_as_on_ansibles_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = tmp_path / "plain"
    plain.write_text(" geheim \n")
    script = tmp_path / "ask.sh"
    script.write_text("#!/bin/sh\necho geheim\n")
    client = tmp_path / "vault-client"
    client.write_text('#!/bin/sh\n[ "$1" = --vault-id ] && [ "$2" = dev ] && echo geheim\n')
    for each in (script, client):
        each.chmod(each.stat().st_mode | stat.S_IXUSR)
    asked: list[str] = []

    def ask(label: str) -> Secret:
        asked.append(label)
        return Secret("geheim")

    ways = (
        vault_passwords(files=[str(plain)]),
        vault_passwords([f"dev@{plain}"]),
        vault_passwords([str(script)]),
        vault_passwords([f"dev@{client}"]),
        vault_passwords(["dev@prompt"], ask=ask),
        vault_passwords(asked=True, ask=ask),
    )
    for passwords in ways:
        assert passwords.decrypt(MADE, "x") == "{{ 1+1 }}"
    assert asked == ["dev", "default"]
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(plain))
    assert vault_passwords().decrypt(MADE, "x") == "{{ 1+1 }}"
    monkeypatch.setenv("ANSIBLE_VAULT_IDENTITY_LIST", f"prod@{script}, dev@{client}")
    assert repr(vault_passwords(["mine@x"])) == "<VaultPasswords prod, dev, mine, default>"


def test_a_wrong_source_of_a_password_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    failing = tmp_path / "failing"
    failing.write_text("#!/bin/sh\necho no token >&2\nexit 3\n")
    failing.chmod(0o755)
    for source, words in (
        (f"dev@{tmp_path}/none", "there is no such file"),
        (f"dev@{empty}", "the vault password dev is empty"),
        (f"dev@{failing}", "failing' ended with exit code 3: no token"),
    ):
        with pytest.raises(CredentialError, match=words):
            vault_passwords([source]).decrypt(MADE, "x")
