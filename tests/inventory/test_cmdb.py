"""The CMDB: single changes, what pages show, several writers."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sshexec.credentials.keyring import Keyring, new_key
from sshexec.errors import InventoryError
from sshexec.inventory.cmdb.cmdb import Cmdb
from sshexec.inventory.model import Inventory
from tests.inventory.inventories import told


@pytest.fixture
def cmdb(sqlite_url: str) -> Iterator[Cmdb]:
    with Cmdb(sqlite_url, Keyring([new_key()])) as cmdb:
        yield cmdb


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Cmdb:
    """One for all tests that change nothing."""
    cmdb = Cmdb(f"sqlite:///{tmp_path_factory.mktemp('valid')}/cmdb.db")
    cmdb.put_host("h", groups=["web"], site="fra")
    cmdb.put_host("other")
    cmdb.put_group("top", children=["middle"])
    cmdb.put_group("middle", children=["web"])
    return cmdb


def content(cmdb: Cmdb) -> dict[str, Any]:
    return told(Inventory.load(cmdb.source()))


def tree(cmdb: Cmdb) -> list[str]:
    return [f"{'.' * depth}{member.name}" for depth, member in Inventory.load(cmdb.source()).graph()]


def test_hosts_are_put_changed_and_removed_on_every_database(database_url: str) -> None:
    with Cmdb(database_url) as cmdb:
        cmdb.put_host(
            "w1", variables={"ansible_host": "10.0.0.1", "x": 1}, groups=["web", "eu"], tags=["pci"], site="fra"
        )
        cmdb.put_group("emea", kind="region", children=["fra"], variables={"x": "region", "y": "region"})
        cmdb.put_host("w2", groups=["web"])
        record = cmdb.host("w1")
        assert record.address == "10.0.0.1"
        assert record.variables == {"ansible_host": "10.0.0.1", "x": 1}
        assert (record.groups, record.site, record.region, record.tags) == (("eu", "web"), "fra", "emea", ("pci",))
        assert record.created <= record.updated
        inventory = Inventory.load(database_url)
        assert inventory.kinds == {"fra": "site", "emea": "region", "pci": "tag"}
        assert [host.name for host in inventory.select("emea:&web:&pci")] == ["w1"]
        assert (inventory.variables("w1")["x"], inventory.variables("w1")["y"]) == (1, "region")

        cmdb.put_host("w1", groups=["eu"])
        assert cmdb.host("w1").groups == ("eu",)
        assert (cmdb.host("w1").variables, cmdb.host("w1").tags, cmdb.host("w1").site) == (
            {"ansible_host": "10.0.0.1", "x": 1},
            ("pci",),
            "fra",
        )
        cmdb.put_host("w1", variables={"z": 2}, site="")
        record = cmdb.host("w1")
        assert (record.variables, record.address, record.site, record.region) == ({"z": 2}, None, None, None)
        cmdb.tag("w1", "pci", "blue")
        cmdb.untag("w1", "pci")
        assert cmdb.host("w1").tags == ("blue",)
        cmdb.rename_host("w1", "w9")
        assert [record.name for record in cmdb.hosts()] == ["w9", "w2"]
        cmdb.rename_group("web", "www")
        assert cmdb.host("w2").groups == ("www",)
        cmdb.remove_host("w9")
        cmdb.remove_group("www")
        assert tree_of(database_url) == ["all", ".ungrouped", "..w2", ".eu", ".pci", ".emea", "..fra", ".blue"]


def tree_of(url: str) -> list[str]:
    return [f"{'.' * depth}{member.name}" for depth, member in Inventory.load(url).graph()]


def test_groups_are_put_and_changed(cmdb: Cmdb) -> None:
    for name in ("h1", "h2", "h3"):
        cmdb.put_host(name)
    cmdb.put_group("a", variables={"x": 1, "ansible_group_priority": 3}, hosts=["h3", "h1"], children=["b", "c"])
    record = cmdb.group("a")
    assert (record.kind, record.children, record.parents, record.size) == ("group", ("b", "c"), (), 2)
    assert record.variables == {"x": 1, "ansible_group_priority": 3}
    assert cmdb.group("b").parents == ("a",)
    inventory = Inventory.load(cmdb.source())
    assert (inventory.groups["a"].priority, list(inventory.groups["a"].hosts)) == (3, ["h3", "h1"])
    cmdb.put_group("a", children=["c", "d"], kind="tag")
    record = cmdb.group("a")
    assert (record.kind, record.children, record.size) == ("tag", ("c", "d"), 2)
    assert record.variables["x"] == 1
    assert tree(cmdb) == ["all", ".ungrouped", "..h2", ".a", "..c", "..d", "..h3", "..h1", ".b"]
    assert [record.name for record in cmdb.groups("tag")] == ["a"]
    cmdb.put_group("a", hosts=[])
    assert cmdb.group("a").size == 0
    cmdb.put_group("all", variables={"everywhere": True})
    assert Inventory.load(cmdb.source()).variables("h1")["everywhere"] is True


def test_a_group_below_another_stands_there_only(cmdb: Cmdb) -> None:
    cmdb.add(Inventory.from_hosts(["h1", "h2"], {"b": ["h2"], "a": ["h1"], "all": {"children": ["a", "b"]}}))
    assert tree(cmdb) == ["all", ".ungrouped", ".a", "..h1", ".b", "..h2"]
    cmdb.put_group("top", children=["a"])
    assert tree(cmdb) == ["all", ".ungrouped", ".b", "..h2", ".top", "..a", "...h1"]
    cmdb.remove_group("top")
    assert tree(cmdb) == ["all", ".ungrouped", ".b", "..h2", ".a", "..h1"]


def test_hosts_are_found(cmdb: Cmdb) -> None:
    cmdb.put_host("web1.example.com", variables={"ansible_host": "10.0.0.1"}, site="fra")
    cmdb.put_host("10.0.0.2", groups=["db"])
    cmdb.put_host("Web_2", variables={"ansible_host": "{{ address }}"}, tags=["blue"])
    cmdb.put_group("emea", kind="region", children=["fra"])

    def found(**wanted: Any) -> list[str]:
        return [record.name for record in cmdb.hosts(**wanted)]

    assert found(address="10.0.0.1") == ["web1.example.com"]
    assert found(address="10.0.0.2") == ["10.0.0.2"]
    assert found(address="web1.example.com") == []
    assert found(search="WEB") == ["web1.example.com", "Web_2"]
    assert found(search="0.0.") == ["web1.example.com", "10.0.0.2"]
    assert found(search="b_2") == ["Web_2"]
    assert found(group="emea") == ["web1.example.com"]
    assert found(group="all") == found() == ["web1.example.com", "10.0.0.2", "Web_2"]
    assert found(group="blue", search="db") == []
    assert found(limit=1, offset=1) == ["10.0.0.2"]
    assert found(group="db", limit=0) == []
    with pytest.raises(InventoryError, match="there is no group 'nope'"):
        found(group="nope")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.put_host(""), "a host has an empty name"),
        (lambda c: c.put_host("a\tb"), "the host name 'a\\\\tb' holds a character"),
        (lambda c: c.put_host("h" * 256), "the host name .* has over 255 characters"),
        (lambda c: c.put_host("h", groups=["g" * 256]), "the group name .* has over 255 characters"),
        (lambda c: c.put_host("h", variables={1: 2}), "the variable name 1 of host 'h' is not text"),
        (lambda c: c.put_host("h", variables={"v": object()}), "'v' of host 'h' holds a value of the type object"),
        (lambda c: c.put_host("h", groups=["fra"]), "'fra' is a site, not a group"),
        (lambda c: c.put_host("h", site="web"), "'web' is a group, not a site"),
        (lambda c: c.put_host("h", groups="web"), "groups: expected a list of names, got 'web'"),
        (lambda c: c.put_host("new", tags=[""]), "a group has an empty name"),
        (lambda c: c.put_group("g", kind="planet"), "'planet' is no kind of group"),
        (lambda c: c.put_group("all", kind="site"), "the group 'all' can't be a site"),
        (lambda c: c.put_group("g", hosts=["h", "nope"]), "there is no host 'nope'"),
        (lambda c: c.put_group("g", children=["all"]), "group 'all' can't be a child of 'g'"),
        (lambda c: c.put_group("g", children=["g"]), "group 'g' as a child of 'g' makes a circle"),
        (lambda c: c.put_group("web", children=["top"]), "group 'top' as a child of 'web' makes a circle"),
        (lambda c: c.put_group("g", variables={"ansible_group_priority": "x"}), "must be a whole number"),
        (lambda c: c.rename_host("h", "other"), "there is a host 'other' already"),
        (lambda c: c.rename_host("nope", "x"), "there is no host 'nope'"),
        (lambda c: c.rename_group("web", "x\0"), "holds a character"),
        (lambda c: c.rename_group("web", "all"), "there is a group 'all' already"),
        (lambda c: c.rename_group("all", "x"), "the group 'all' can't be renamed"),
        (lambda c: c.remove_group("ungrouped"), "the group 'ungrouped' can't be removed"),
        (lambda c: c.remove_host("nope"), "there is no host 'nope'"),
        (lambda c: c.remove_group("nope"), "there is no group 'nope'"),
        (lambda c: c.tag("nope", "t"), "there is no host 'nope'"),
        (lambda c: c.tag("h", "t", "web"), "'web' is a group, not a tag"),
        (lambda c: c.untag("h", "web"), "there is no tag 'web'"),
        (lambda c: c.host("nope"), "there is no host 'nope'"),
        (lambda c: c.group("nope"), "there is no group 'nope'"),
    ],
)
def test_what_leaves_no_valid_inventory_is_refused_and_changes_nothing(
    valid: Cmdb, change: Callable[[Cmdb], object], message: str
) -> None:
    before = content(valid)
    with pytest.raises(InventoryError, match=message):
        change(valid)
    assert content(valid) == before


def test_a_link_to_a_host_that_is_gone_is_told(cmdb: Cmdb, sqlite_url: str) -> None:
    cmdb.put_host("h1", groups=["g"])
    with contextlib.closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
        # Its foreign keys are off.
        other.execute("DELETE FROM sshexec_hosts")
        other.commit()
    with pytest.raises(InventoryError, match="group 'g' lists a host or group of the id 1 that is gone"):
        Inventory.load(cmdb.source())


def test_writers_take_turns_on_every_database(database_url: str) -> None:
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            with Cmdb(database_url) as cmdb:
                for step in range(4):
                    cmdb.put_host(f"h{number}-{step}", groups=["web"], tags=[f"t{step}"])
                cmdb.add(Inventory.from_hosts([f"x{number}"], {"web": [f"x{number}"]}))
                # Each of the two alone is fine.
                cmdb.put_group(f"g{number % 2}", children=[f"g{(number + 1) % 2}"])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {str(error).split(":")[0] for error in failures} <= {
        "group 'g0' as a child of 'g1' makes a circle",
        "group 'g1' as a child of 'g0' makes a circle",
    }
    assert len(failures) == 2
    inventory = Inventory.load(database_url)
    assert len(inventory.select("web")) == 20
    assert len(inventory.select("t3")) == 4
    with Cmdb(database_url) as cmdb:
        positions = [record.name for record in cmdb.hosts()]
        assert len(positions) == len(set(positions)) == 20


def test_a_sqlite_inventory_is_called_by_its_file(cmdb: Cmdb, sqlite_url: str) -> None:
    cmdb.put_host("h", variables={"a": 1})
    assert Inventory.load(sqlite_url).origins("h")["a"] == f"{sqlite_url.removeprefix('sqlite:///')} host h"


def test_a_servers_password_is_not_shown(postgresql_url: str) -> None:
    url = postgresql_url.replace("postgres@", "postgres:hunter2@")
    with Cmdb(url) as cmdb:
        cmdb.put_host("h", variables={"a": 1})
        assert "hunter2" not in repr(cmdb)
    assert "hunter2" not in Inventory.load(url).origins("h")["a"]
