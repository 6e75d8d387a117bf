"""Credentials in the CMDB: sealed at rest, variables of the hosts and groups that they are for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from sshexec import Engine, Host, Inventory
from sshexec.credentials.keyring import Keyring, SealedSecret, fingerprint, key_of, new_key
from sshexec.credentials.providers import Reference
from sshexec.credentials.vault import VaultPasswords, VaultSecret
from sshexec.errors import CredentialError, InventoryError
from sshexec.inventory.cmdb.cmdb import Cmdb
from sshexec.inventory.cmdb.fields import FIELDS
from sshexec.secret import Secret, is_secret_name
from tests.testbed import Sshd

KEY, OTHER = new_key(), new_key()


@pytest.fixture(autouse=True)
def _no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SSHEXEC_KEY_FILE", raising=False)


@pytest.fixture
def cmdb(database_url: str) -> Iterator[Cmdb]:
    """Three hosts, two of them in a group, on each kind of database."""
    with Cmdb(database_url, Keyring([KEY]), vault=VaultPasswords("geheim")) as made:
        made.add(Inventory.from_hosts(["h1", "h2", "h3"], {"web": ["h1", "h2"]}))
        yield made


@pytest.fixture
def lite(sqlite_url: str) -> Iterator[Cmdb]:
    """The same in a file."""
    with Cmdb(sqlite_url, Keyring([KEY]), vault=VaultPasswords("geheim")) as made:
        made.add(Inventory.from_hosts(["h1", "h2", "h3"], {"web": ["h1", "h2"]}))
        yield made


def own(inventory: Inventory, host: str) -> dict[str, Any]:
    return {name: value for name, value in inventory.variables(host).items() if name.startswith(("ansible", "sshexec"))}


def raw(cmdb: Cmdb) -> str:
    """All that the tables hold, as text."""
    from sshexec.inventory.cmdb.tables import metadata

    with cmdb.database.reading() as connection:
        return repr([tuple(row) for table in metadata.tables.values() for row in connection.execute(table.select())])


def test_they_are_variables_of_those_whom_they_are_for(cmdb: Cmdb) -> None:
    cmdb.credentials.put(
        "deploy",
        {"user": "deploy", "password": "hunter2", "become": True, "become_password": Secret("hunter3")},
        description="for the web",
        groups=["web"],
    )
    cmdb.credentials.put("key", {"private_key": "-----BEGIN\nké\n", "passphrase": "hunter4"}, hosts=["h3", "h1"])
    inventory = Inventory.load(cmdb.source())
    assert own(inventory, "h2") == {
        "ansible_user": "deploy",
        "ansible_password": Secret("hunter2"),
        "ansible_become": "yes",
        "ansible_become_password": Secret("hunter3"),
    }
    assert own(inventory, "h3") == {
        "ansible_private_key": Secret("-----BEGIN\nké\n"),
        "ansible_private_key_passphrase": Secret("hunter4"),
    }
    assert own(inventory, "h1") == own(inventory, "h2") | own(inventory, "h3")
    assert own(inventory, "h1")["ansible_password"] is own(inventory, "h2")["ansible_password"]
    record = cmdb.credentials.get("deploy")
    assert (record.description, record.groups, record.hosts) == ("for the web", ("web",), ())
    assert record.fields["user"] == "deploy"
    assert [each.name for each in cmdb.credentials.all()] == ["deploy", "key"]
    assert "hunter" not in raw(cmdb)
    assert "hunter" not in repr(record)


def test_what_a_host_or_group_sets_itself_wins(lite: Cmdb) -> None:
    lite.credentials.put("deploy", {"user": "deploy", "password": "hunter2"}, groups=["web"], hosts=["h3"])
    lite.put_group("web", variables={"ansible_user": "own"})
    lite.put_host("h3", variables={"ansible_ssh_pass": "mine"})
    inventory = Inventory.load(lite.source())
    assert own(inventory, "h1")["ansible_user"] == "own"
    assert own(inventory, "h1")["ansible_password"] == Secret("hunter2")
    assert "ansible_password" not in own(inventory, "h3")
    assert own(inventory, "h3")["ansible_user"] == "deploy"
    # A host's credential is stronger than a group's variable, as a host's variables are.
    lite.credentials.put("mine", {"user": "hosts"}, hosts=["h1"])
    assert own(Inventory.load(lite.source()), "h1")["ansible_user"] == "hosts"


def test_without_the_key_they_are_listed_and_not_opened(lite: Cmdb, sqlite_url: str) -> None:
    lite.credentials.put("deploy", {"user": "deploy", "password": "hunter2"}, groups=["web"])
    inventory = Inventory.load(sqlite_url)
    assert own(inventory, "h1")["ansible_user"] == "deploy"
    with Engine(inventory) as engine:
        assert engine.run("h3", "command", "true", variables={"ansible_connection": "local"}).ok
        with pytest.raises(
            CredentialError, match=r"^host h1: ansible_password: password of credential 'deploy': there"
        ):
            engine.run("h1", "command", "true")
    with Cmdb(sqlite_url, Keyring([OTHER])) as other:
        assert other.credentials.get("deploy").fields.keys() == {"user", "password"}
        with pytest.raises(CredentialError, match=f"sealed with the key {fingerprint(KEY)}"):
            own(Inventory.load(other.source()), "h1")["ansible_password"].reveal()
    with Cmdb(sqlite_url) as keyless:
        with pytest.raises(CredentialError, match="password of credential 'x': there is no key for secrets"):
            keyless.credentials.put("x", {"password": "hunter2"})
        keyless.credentials.put("x", {"user": "x"})
        keyless.credentials.rename("deploy", "renamed")
        assert own(Inventory.load(sqlite_url, keyring=Keyring([KEY])), "h1")["ansible_password"] == Secret("hunter2")


def test_fields_are_changed_one_by_one(lite: Cmdb) -> None:
    lite.credentials.put("deploy", {"user": "deploy", "password": "hunter2"}, groups=["web"])
    created = lite.credentials.get("deploy").created
    lite.credentials.put("deploy", {"user": "other", "become_user": "root"}, hosts=["h3"])
    record = lite.credentials.get("deploy")
    assert dict(record.fields) == {"user": "other", "password": Secret("hunter2"), "become_user": "root"}
    assert (record.groups, record.hosts, record.created) == (("web",), ("h3",), created)
    lite.credentials.put("deploy", {"become_user": None}, description="new")
    assert lite.credentials.get("deploy").fields.keys() == {"user", "password"}
    lite.credentials.unassign("deploy", groups=["web"])
    assert lite.credentials.get("deploy").groups == ()
    lite.credentials.remove("deploy")
    assert lite.credentials.all() == []
    assert own(Inventory.load(lite.source()), "h3") == {}


def test_two_that_say_the_same_of_one_host_are_refused(cmdb: Cmdb) -> None:
    cmdb.credentials.put("a", {"user": "a"}, hosts=["h1"], groups=["web"])
    cmdb.credentials.put("b", {"password": "b"}, hosts=["h1"], groups=["web"])
    with pytest.raises(CredentialError, match="'c' and 'a' would both set user of host 'h1'"):
        cmdb.credentials.put("c", {"user": "c"}, hosts=["h2", "h1"])
    with pytest.raises(CredentialError, match="there is no credential 'c'"):
        cmdb.credentials.get("c")
    with pytest.raises(CredentialError, match="'b' and 'a' would both set user of host 'h1'"):
        cmdb.credentials.put("b", {"user": "b"})
    assert cmdb.credentials.get("b").fields.keys() == {"password"}
    cmdb.credentials.put("c", {"user": "c"}, hosts=["h2"])
    with pytest.raises(CredentialError, match="'c' and 'a' would both set user of group 'web'"):
        cmdb.credentials.assign("c", groups=["web"])


@pytest.mark.parametrize(
    ("name", "fields", "more", "words"),
    [
        ("x", {"usr": "a"}, {}, "has no field 'usr' .there are: user, password"),
        ("x", {"user": 7}, {}, "user of credential 'x': expected a text, got int"),
        ("x", {"password": ""}, {}, "password of credential 'x': is empty"),
        ("x", {}, {}, "would say nothing"),
        ("x", {"user": Reference("env:X")}, {}, "only a secret can be fetched"),
        ("x", {"password": Reference("hunter2")}, {}, "password of credential 'x': is no reference"),
        ("x", {"password": Reference("nope:x")}, {}, "no provider 'nope'"),
        ("", {"user": "a"}, {}, "can't be the name"),
        ("a\nb", {"user": "a"}, {}, "can't be the name"),
        ("n" * 256, {"user": "a"}, {}, "at most 255"),
        ("x", {"user": "a"}, {"hosts": "h1"}, "lists of names"),
        ("x", {"user": "a"}, {"hosts": ["h9"]}, "there is no host 'h9'"),
        ("x", {"user": "a"}, {"groups": ["nope"]}, "there is no group 'nope'"),
    ],
)
def test_what_is_wrong_changes_nothing(
    lite: Cmdb, name: str, fields: dict[str, Any], more: dict[str, Any], words: str
) -> None:
    with pytest.raises((CredentialError, InventoryError), match=words) as caught:
        lite.credentials.put(name, fields, **more)
    assert "hunter2" not in str(caught.value)
    assert lite.credentials.all() == []


def test_a_reference_is_asked_once_a_run(lite: Cmdb, sqlite_url: str) -> None:
    asked: list[str] = []

    def vault(path: str) -> dict[str, str]:
        asked.append(path)
        return {"password": "hunter2"}

    with Cmdb(sqlite_url, Keyring([KEY]), providers={"vault": vault}) as other:
        other.credentials.put("deploy", {"password": Reference("vault:kv/web#password")}, groups=["web"], hosts=["h3"])
    inventory = Inventory.load(sqlite_url, providers={"vault": vault})
    assert asked == []
    with Engine(inventory, variables={"ansible_connection": "local"}) as engine:
        for count in (1, 2):
            assert engine.run("all", "command", "true").ok
            assert asked == ["kv/web#password"] * count


def test_rotation_reseals_credentials_and_variables(cmdb: Cmdb) -> None:
    cmdb.credentials.put("deploy", {"user": "deploy", "password": "hunter2", "passphrase": Reference("env:X")})
    cmdb.put_host("h1", variables={"db": {"password": "hunter3", "a": ["x"]}, "plain": "x"})
    cmdb.put_group(
        "web", variables={"token": Secret("hunter4"), "v": VaultSecret(VaultPasswords("geheim").encrypt("x"))}
    )
    before = raw(cmdb)
    with pytest.raises(CredentialError, match=f"sealed with the key {fingerprint(KEY)}"):
        cmdb.credentials.rotate(Keyring([OTHER]))
    assert raw(cmdb) == before
    both = Keyring([OTHER, KEY])
    done = cmdb.credentials.rotate(both)
    assert (done.sealed, done.changed) == (3, 3)
    assert fingerprint(KEY) not in raw(cmdb)
    assert cmdb.credentials.rotate(both).changed == 0
    cmdb.secrets.keyring = Keyring([OTHER])
    checked = cmdb.credentials.check()
    assert checked.keys == {fingerprint(OTHER): 3}
    assert cmdb.host("h1").variables == {"db": {"password": Secret("hunter3"), "a": ["x"]}, "plain": "x"}
    assert cmdb.group("web").variables["token"] == Secret("hunter4")
    assert cmdb.group("web").variables["v"].reveal() == "x"
    assert cmdb.credentials.get("deploy").fields["password"] == Secret("hunter2")


def test_a_check_opens_everything_and_names_what_does_not_open(lite: Cmdb, sqlite_url: str) -> None:
    lite.credentials.put("deploy", {"password": "hunter2", "passphrase": Reference("env:SSHEXEC_NOT_SET")})
    lite.put_host("h1", variables={"token": "hunter3"})
    found = lite.credentials.check()
    assert found.opened == 2
    assert found.problems == ("passphrase of credential 'deploy': the environment variable SSHEXEC_NOT_SET is not set",)
    assert found.keys == {fingerprint(KEY): 2}
    with Cmdb(sqlite_url, Keyring([OTHER])) as other:
        problems = other.credentials.check().problems
    assert len(problems) == 3
    assert all("hunter" not in problem for problem in problems)


def test_an_import_seals_with_the_first_of_two_keys(sqlite_url: str) -> None:
    with Cmdb(sqlite_url, Keyring([OTHER, KEY])) as cmdb:
        cmdb.add(Inventory.from_hosts([Host("h", {"ansible_password": "hunter2"})]))
        secret = cmdb.host("h").variables["ansible_password"]
    assert isinstance(secret, SealedSecret)
    assert key_of(secret.token) == fingerprint(OTHER)


def test_they_are_read_in_a_fixed_number_of_queries(lite: Cmdb) -> None:
    for number in range(20):
        lite.put_host(f"n{number}")
        lite.credentials.put(f"c{number}", {"user": f"u{number}", "password": "x"}, hosts=[f"n{number}"])
    statements: list[str] = []
    with lite.database.reading() as connection:
        engine = connection.engine
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    inventory = Inventory.load(lite.source())
    assert own(inventory, "n7")["ansible_user"] == "u7"
    assert len([text for text in statements if text.lstrip().upper().startswith("SELECT")]) <= 8


def test_every_secret_field_hides_by_its_name_or_its_type() -> None:
    for name, field in FIELDS.items():
        assert field.secret == is_secret_name(field.variable), name


def test_a_login_with_them_works(lite: Cmdb, sshd: Sshd) -> None:
    variables = sshd.variables()
    key = Path(variables.pop("ansible_private_key_file")).read_text()
    user = variables.pop("ansible_user", None)
    lite.put_host("h3", variables=variables | {"ansible_host": "127.0.0.1"})
    lite.credentials.put("login", {"private_key": key, **({"user": user} if user else {})}, hosts=["h3"])
    with Engine(Inventory.load(lite.source())) as engine:
        result = engine.run("h3", "command", "echo in")
    assert result["h3"].stdout == "in", result["h3"]
