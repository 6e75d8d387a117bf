"""Inventories with ansible-vault in them: closed until a secret is needed, and as Ansible understands them then."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from sshexec import Engine, Inventory
from sshexec.credentials.vault import VaultPassword, VaultPasswords, VaultSecret
from sshexec.errors import CredentialError, InputError, InventoryError
from sshexec.history.history import History
from sshexec.history.reading import Records
from sshexec.secret import Secret, SecretExpression
from tests.inventory.conftest import Write

PASSWORDS = VaultPasswords([VaultPassword("dev", Secret("geheim"))])


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANSIBLE_VAULT_PASSWORD_FILE", "ANSIBLE_VAULT_IDENTITY_LIST"):
        monkeypatch.delenv(name, raising=False)


def inline(text: str) -> str:
    return "!vault |\n" + textwrap.indent(PASSWORDS.encrypt(text), "          ")


def test_a_value_is_decrypted_when_it_is_asked_for(write: Write) -> None:
    write("hosts.yml", f"all:\n  hosts:\n    h:\n      a: 1\n      token: {inline('hunter2')}\n")
    inventory = Inventory.load("hosts.yml", vault=PASSWORDS)
    secret = inventory.variables("h")["token"]
    assert isinstance(secret, VaultSecret)
    assert secret.reveal() == "hunter2"
    assert inventory.origins("h")["token"] == "hosts.yml:5"
    closed = Inventory.load("hosts.yml").variables("h")["token"]
    assert closed == secret
    with pytest.raises(CredentialError, match=r"^hosts.yml:5: is encrypted with ansible-vault \(vault id dev\), and"):
        closed.reveal()


def test_a_password_may_come_from_the_environment(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("hosts.yml", f"all:\n  hosts:\n    h:\n      token: {inline('hunter2')}\n")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(write("pw", "geheim\n").absolute()))
    assert Inventory.load("hosts.yml").variables("h")["token"].reveal() == "hunter2"
    assert Inventory.load("hosts.yml", vault="geheim").variables("h")["token"].reveal() == "hunter2"


def test_a_whole_file_of_variables_holds_secrets(write: Write) -> None:
    write("hosts", "[web]\nh\n")
    plain = "db_url: 'postgres://{{ user }}:x@db'\npin: 1234\nlist: [a, {b: c}]\nflag: true\nnothing:\n"
    write("group_vars/web/vault.yml", PASSWORDS.encrypt(plain))
    write("host_vars/h.json", PASSWORDS.encrypt('{"token": "hunter2"}'))
    variables = Inventory.load("hosts", vault=PASSWORDS).variables("h")
    assert variables["pin"] == Secret("1234")
    assert variables["list"] == [Secret("a"), {"b": Secret("c")}]
    assert variables["flag"] is True
    assert variables["nothing"] is None
    assert variables["token"] == Secret("hunter2")
    assert isinstance(variables["db_url"], SecretExpression)
    inventory = Inventory.load("hosts")
    with pytest.raises(CredentialError, match=r"^group_vars/web/vault.yml: is encrypted with ansible-vault"):
        inventory.variables("h")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hosts.yml", "web:\n  hosts:\n    h: {token: hunter2}\n  vars: {ansible_group_priority: 3}\n"),
        ("hosts", "[web]\nh token=hunter2\n[web:vars]\nansible_group_priority=3\n"),
        ("hosts.json", '{"web": {"hosts": {"h": {"token": "hunter2"}}, "vars": {"ansible_group_priority": 3}}}'),
    ],
)
def test_a_whole_inventory_may_be_encrypted(write: Write, name: str, text: str) -> None:
    write(name, PASSWORDS.encrypt(text))
    inventory = Inventory.load(name, vault=PASSWORDS)
    assert [host.name for host in inventory.select("web")] == ["h"]
    assert inventory.groups["web"].priority == 3
    token = inventory.variables("h")["token"]
    assert isinstance(token, Secret)
    assert token.reveal() == "hunter2"
    with pytest.raises(CredentialError, match=f"^{name}: is encrypted with ansible-vault"):
        Inventory.load(name)
    # A plain source behind it is plain.
    write("more.yml", "web: {hosts: {h: {a: b}}}\n")
    assert Inventory.load([name, "more.yml"], vault=PASSWORDS).variables("h")["a"] == "b"


def test_json_and_scripts_have_ansibles_form_of_it(write: Write) -> None:
    data = {"all": {"hosts": {"h": {"token": {"__ansible_vault": PASSWORDS.encrypt("hunter2")}}}}}
    write("hosts.json", json.dumps(data))
    listing = {"web": ["h"], "_meta": {"hostvars": data["all"]["hosts"]}}
    write("script", f"#!/bin/sh\ncat <<'END'\n{json.dumps(listing)}\nEND\n").chmod(0o755)
    for source in ("hosts.json", "./script"):
        assert Inventory.load(source, vault=PASSWORDS).variables("h")["token"].reveal() == "hunter2"
    write("wrong.json", '{"all": {"vars": {"x": {"__ansible_vault": "hunter2"}}}}')
    with pytest.raises(InventoryError, match="'__ansible_vault' is no ansible-vault text") as caught:
        Inventory.load("wrong.json")
    assert "hunter2" not in str(caught.value)


@pytest.fixture
def local(write: Write) -> Inventory:
    write(
        "hosts.yml",
        f"""
        all:
          hosts: {{h: , g: }}
          vars:
            ansible_connection: local
            app: '{{{{ token }}}}/{{{{ shape }}}}'
            shape: round
            db: {{password: {json.dumps("x")}}}
        """,
    )
    Path("group_vars").mkdir()
    write("group_vars/all.yml", f"token: {inline('hunter{{2')}\nother: {inline('unused')}\n")
    return Inventory.load("hosts.yml", vault=PASSWORDS)


def test_a_secret_is_a_text_in_expressions(local: Inventory) -> None:
    with Engine(local) as engine:
        result = engine.run("all", "command", {"argv": ["echo", "{{ token }}", "{{ app }}", "{{ token | length }}"]})
    assert {host.stdout for host in result.values()} == {"hunter{{2 hunter{{2/round 9"}


def test_what_no_password_opens_is_an_error_once_it_is_used(write: Write, local: Inventory) -> None:
    closed = Inventory.load("hosts.yml")
    with Engine(closed) as engine:
        assert engine.run("all", "command", "true").ok
        with pytest.raises(InputError, match=r"^host h: group_vars/all.yml:1: is encrypted with ansible-vault"):
            engine.run("all", "command", "echo {{ token }}")
        with pytest.raises(CredentialError, match=r"^host h: ansible_user: group_vars/all.yml:1: is encrypted"):
            engine.run("all", "command", "true", variables={"ansible_user": closed.variables("h")["token"]})


def test_a_record_hides_what_was_opened_and_is_no_reason_to_open_anything(local: Inventory, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/history.db"
    with History(url) as history:
        with Engine(local, history=history) as engine:
            first = engine.run("h", "command", "echo {{ token }} here")
        with Engine(Inventory.load("hosts.yml"), history=history) as engine:
            second = engine.run("h", "command", "echo there")
        assert (first["h"].stdout, second["h"].stdout) == ("hunter{{2 here", "there")
        assert Records(history.database).output(first.id, "h").kept == "******** here"
        assert Records(history.database).output(second.id, "h").kept == "there"
    assert b"hunter{{2" not in b"".join(path.read_bytes() for path in tmp_path.glob("history.db*") if path.is_file())


def test_a_secret_is_no_value_for_the_environment(local: Inventory) -> None:
    with Engine(local) as engine, pytest.raises(InputError, match="token is a secret and can't be used here"):
        engine.run("all", "command", "true", environment={"T": "{{ token }}"})


def test_any_connection_variable_may_be_a_secret(write: Write) -> None:
    write("hosts.ini", "h\n")
    names = {
        "ansible_connection": "fake",
        "ansible_port": "2222",
        "ansible_become": "yes",
        "ansible_become_method": "su",
        "ansible_become_user": "nobody",
        "ansible_ssh_common_args": "-o ControlMaster=no",
    }
    text = "".join(f"{name}: {inline(value)}\n" for name, value in names.items())
    write("host_vars/h.yml", text + 'ansible_password: "{{ v.pw }}"\nv:\n  pw: ' + inline("hunter2"))
    inventory = Inventory.load("hosts.ini", vault=PASSWORDS)
    with Engine(inventory) as engine:
        result = engine.run("h", "command", "id")
    assert result["h"].rc == 127, result["h"]  # it went as far as the command, which that connector does not know
    variables = dict(
        inventory.variables("h"), ansible_connection="ssh", ansible_port=VaultSecret(PASSWORDS.encrypt("x"))
    )
    with (
        Engine(Inventory.load("h,")) as engine,
        pytest.raises(CredentialError, match="ansible_port: a variable: is encrypted with ansible-vault"),
    ):
        engine.run("h", "command", "id", variables=variables)
    with (
        Engine(Inventory.load("h,")) as engine,
        pytest.raises(InputError, match=r"ansible_port: expected a whole number from 1 to 65535, got \*{8}$"),
    ):
        engine.run("h", "command", "id", variables={"ansible_port": Secret("hunter2")})
