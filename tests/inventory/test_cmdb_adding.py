"""Whole inventories into the database and out of it again."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from sshexec.credentials.keyring import Keyring, new_key
from sshexec.credentials.vault import VaultPasswords
from sshexec.errors import CredentialError, DatabaseError, InventoryError
from sshexec.inventory.cmdb.cmdb import Added, Cmdb
from sshexec.inventory.draft import Draft
from sshexec.inventory.folded import Folded
from sshexec.inventory.model import Inventory
from sshexec.inventory.source import read_source
from sshexec.secret import Secret
from tests.inventory.conftest import Write
from tests.inventory.inventories import drafts, told


def together(*inventories: Inventory) -> Inventory:
    """Return what comes of inventories that are read one after another."""
    draft = Draft()
    for inventory in inventories:
        read_source(draft, Folded(inventory))
    draft.finish()
    return Inventory(draft)


@pytest.fixture(scope="module")
def cmdb(tmp_path_factory: pytest.TempPathFactory) -> Cmdb:
    return Cmdb(f"sqlite:///{tmp_path_factory.mktemp('cmdb')}/cmdb.db")


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(first=drafts(), second=drafts())
def test_what_comes_out_is_what_went_in(cmdb: Cmdb, first: Draft, second: Draft) -> None:
    one, two = Inventory(first), Inventory(second)
    cmdb.add(Inventory.from_hosts([]), replace=True)
    cmdb.add(one, replace=True)
    assert told(Inventory.load(cmdb.source())) == told(one)
    assert cmdb.add(one) == Added()
    before = told(Inventory.load(cmdb.source()))
    try:
        expected = together(one, two)
    except InventoryError:
        with pytest.raises(InventoryError, match=r"makes a circle|can't be a child"):
            cmdb.add(two)
        assert told(Inventory.load(cmdb.source())) == before
    else:
        cmdb.add(two)
        assert told(Inventory.load(cmdb.source())) == told(expected)
    cmdb.add(two, replace=True)
    again = told(Inventory.load(cmdb.source()))
    assert _without_kinds(again) == _without_kinds(told(two))


def _without_kinds(content: dict[str, object]) -> dict[str, object]:
    """Leave out what groups are: a database does not forget that where an inventory does not say it."""
    groups = content["groups"]
    assert isinstance(groups, list)
    return content | {"groups": [group[:-1] for group in groups]}


@settings(deadline=None, max_examples=4, suppress_health_check=list(HealthCheck))
@given(inventories=st.lists(drafts().map(Inventory), min_size=3, max_size=3))
def test_every_database_holds_the_same(database_url: str, inventories: list[Inventory]) -> None:
    with Cmdb(database_url) as cmdb:
        for inventory in inventories:
            cmdb.add(Inventory.from_hosts([]), replace=True)
            cmdb.add(inventory, replace=True)
            assert told(Inventory.load(database_url)) == told(inventory)


def test_odd_names_and_values_on_every_database(database_url: str) -> None:
    draft = Draft()
    names = ["web", "Web", "wéb", "web ", "日本", "h" * 255, "naïve", "naive", "%", "_", "\N{PILE OF POO}"]
    for name in names:
        draft.assign(draft.host(name, draft.group(f"of {name}"[:255])), {"v": "\0\ud800'\"\\%", "name": name})
    draft.finish()
    with Cmdb(database_url) as cmdb:
        cmdb.add(draft)
        inventory = Inventory.load(database_url)
        assert told(inventory) == told(Inventory(draft))
        assert [cmdb.host(name).variables["name"] for name in names] == names
        assert [record.name for record in cmdb.hosts(search="%")] == ["%"]


def test_files_beside_an_inventory_are_taken_in(write: Write, tmp_path: Path) -> None:
    write("inv/hosts", "h own=inv both=inv\nk\n[a]\nh\nk\n[b]\nk\n[b:vars]\nx=b-inv\ny=b-inv\n[a:vars]\nx=a-inv\n")
    write("inv/group_vars/a.yml", "x: a-file\nansible_group_priority: 7\n")
    write("inv/group_vars/all/main.yml", "x: all-file\ny: all-file\nown: all-file\n")
    write("inv/host_vars/h.yml", "both: host-file\n")
    inventory = Inventory.load("inv")
    url = f"sqlite:///{tmp_path}/cmdb.db"
    with Cmdb(url) as cmdb:
        cmdb.add(inventory)
    assert Inventory.load(url).to_ansible() == inventory.to_ansible()
    # The database is what it is, wherever it lies.
    write("group_vars/all.yml", "x: stranger\n")
    assert Inventory.load(url).to_ansible() == inventory.to_ansible()


def test_counts(sqlite_url: str) -> None:
    def inventory(text: str) -> Inventory:
        draft = Draft()
        from sshexec.inventory.ini import read_ini

        read_ini(draft, text)
        draft.finish()
        return Inventory(draft)

    with Cmdb(sqlite_url) as cmdb:
        assert cmdb.add(inventory("[a]\nh1 x=1\nh2\n[b]\nh3\n")) == Added(new_hosts=3, new_groups=2)
        assert not cmdb.add(inventory("[a]\nh1\n"))
        changed = inventory("[a]\nh1 x=2\n[b]\nh2\n[b:vars]\ny=1\n")
        assert cmdb.add(changed, dry_run=True) == Added(changed_hosts=2, changed_groups=1)
        assert cmdb.add(changed) == Added(changed_hosts=2, changed_groups=1)
        assert not cmdb.add(changed)
        small = inventory("[a]\nh1 x=2\nh4\n[c:children]\na\n")
        expected = Added(new_hosts=1, removed_hosts=2, new_groups=1, removed_groups=1)
        assert cmdb.add(small, replace=True) == expected
        assert list(Inventory.load(sqlite_url).hosts) == ["h1", "h4"]


def test_a_failure_changes_nothing(sqlite_url: str) -> None:
    with Cmdb(sqlite_url) as cmdb:
        cmdb.put_group("a", children=["b"])
        before = told(Inventory.load(sqlite_url))
        circle = Inventory.from_hosts(["new"], {"b": {"children": ["a"], "hosts": ["new"]}})
        with pytest.raises(InventoryError, match=r"^inventory: group 'a' as a child of 'b' makes a circle"):
            cmdb.add(circle)
        with pytest.raises(InventoryError, match=r"^the host name 'n{40}…' has over 255 characters"):
            cmdb.add(Inventory.from_hosts(["first", "n" * 256]))
        late = Draft()
        for number in range(3):
            late.assign(late.host(f"h{number}"), {"v": {1, 2} if number == 2 else 1})
        late.finish()
        with pytest.raises(InventoryError, match="'v' of host 'h2' holds a value of the type set"):
            cmdb.add(late)
        assert told(Inventory.load(sqlite_url)) == before


def test_secrets_are_sealed_on_the_way_in(tmp_path: Path) -> None:
    path = tmp_path / "cmdb.db"
    url = f"sqlite:///{path}"
    keyring = Keyring([new_key()])
    vault = VaultPasswords("open sesame")
    draft = Draft()
    draft.assign(draft.host("h1"), {"ansible_password": "hunter2", "deep": {"api_key": ["hunter2"]}, "plain": 1})
    draft.assign(draft.group("all"), {"typed": Secret("hunter2")})
    draft.finish()
    with Cmdb(url, keyring, vault=vault) as cmdb:
        cmdb.add(draft)
        assert cmdb.add(draft) == Added()
        # Read and written back without the key: what is sealed stays so.
        with Cmdb(url, Keyring.load("file:/nonexistent")) as keyless:
            assert keyless.add(Inventory.load(url)) == Added()
            keyless.put_host("h1", variables=keyless.host("h1").variables)
            with pytest.raises(CredentialError, match="ansible_password of host 'h2': the key for secrets"):
                keyless.put_host("h2", variables={"ansible_password": "hunter2"})
    for file in tmp_path.iterdir():
        assert b"hunter2" not in file.read_bytes()
    inventory = Inventory.load(url, keyring=keyring)
    variables = inventory.variables("h1")
    assert variables["ansible_password"].reveal() == variables["typed"].reveal() == "hunter2"
    assert variables["deep"]["api_key"][0].reveal() == "hunter2"
    assert "hunter2" not in repr(variables)
    with pytest.raises(CredentialError, match="ansible_password of host 'h1': is sealed with the key"):
        Inventory.load(url, keyring=Keyring([new_key()])).variables("h1")["ansible_password"].reveal()


def test_the_number_of_queries_is_fixed(sqlite_url: str) -> None:
    def queries(count: int) -> int:
        draft = Draft()
        for number in range(count):
            draft.assign(draft.host(f"h{number}", draft.group(f"g{number % 50}")), {"n": number})
            draft.adopt(draft.group("top"), draft.group(f"g{number % 50}"))
        draft.finish()
        with Cmdb(sqlite_url) as cmdb:
            cmdb.add(draft)
            seen: list[str] = []
            with cmdb.database.reading() as connection:
                event.listen(connection.engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
            inventory = Inventory.load(cmdb.source())
            assert len(inventory.select("top")) == count
            loaded = len(seen)
            assert len(cmdb.hosts()) == count
            assert len(cmdb.groups()) == min(count, 50) + 3
            return loaded * 100 + len(seen)

    assert queries(5) == queries(400)


def test_a_loaded_inventory_goes_to_another_process(sqlite_url: str) -> None:
    with Cmdb(sqlite_url) as cmdb:
        cmdb.put_host("h", variables={"a": 1}, groups=["g"])
    inventory = Inventory.load(sqlite_url)
    again = pickle.loads(pickle.dumps(inventory))
    assert told(again) == told(inventory)
    assert again.origins("h")["a"].endswith("/test.db host h")


def test_what_is_no_cmdb_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatabaseError, match=r"sqlite:///none\.db: there is no such file"):
        Inventory.load("sqlite:///none.db")
    assert list(tmp_path.iterdir()) == []
    Path("empty.db").touch()
    with pytest.raises(DatabaseError, match=r"sqlite:///empty\.db: holds no inventory"):
        Inventory.load(["h1,", "sqlite:///empty.db"])
