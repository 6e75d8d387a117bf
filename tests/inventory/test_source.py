"""Sources of a platform's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sshexec.errors import InventoryError
from sshexec.inventory.model import Inventory
from sshexec.inventory.source import GroupEntry, HostEntry, Source
from tests.inventory.conftest import Write


class Assets(Source):
    """Says what it is given."""

    name = "assets"

    def __init__(self, hosts: list[HostEntry], groups: list[GroupEntry] | None = None) -> None:
        self._hosts = hosts
        self._groups = groups or []

    def groups(self) -> list[GroupEntry]:
        return self._groups

    def hosts(self) -> list[HostEntry]:
        return self._hosts


def test_hosts_alone_are_enough() -> None:
    class Bare(Source):
        def hosts(self) -> Iterator[HostEntry]:
            yield HostEntry("w1", {"ansible_host": "10.0.0.1"}, groups=["web", "eu"])
            yield HostEntry("lone")

    inventory = Inventory.load(Bare())
    assert {name: list(group.hosts) for name, group in inventory.groups.items()} == {
        "all": [],
        "ungrouped": ["lone"],
        "web": ["w1"],
        "eu": ["w1"],
    }
    assert inventory.variables("w1")["ansible_host"] == "10.0.0.1"
    assert inventory.origins("w1")["ansible_host"] == "Bare host w1"


def test_groups_have_variables_children_hosts_and_an_order() -> None:
    source = Assets(
        [HostEntry("h1"), HostEntry("h2", {"x": "host"}), HostEntry("h3")],
        [
            GroupEntry("b", {"ansible_group_priority": 5, "x": "b", "y": "b"}, hosts=["h3", "h1"]),
            GroupEntry("top", {"x": "top", "z": "top"}, children=["b", "new"], kind="region"),
            GroupEntry("new", hosts=["h2"], kind="site"),
        ],
    )
    inventory = Inventory.load(source)
    assert [host.name for host in inventory.select("b")] == ["h3", "h1"]
    assert [host.name for host in inventory.select("all")] == ["h3", "h1", "h2"]
    assert list(inventory.hosts) == ["h1", "h2", "h3"]
    assert list(inventory.groups) == ["all", "ungrouped", "b", "top", "new"]
    assert inventory.groups["b"].priority == 5
    assert inventory.kinds == {"top": "region", "new": "site"}
    variables = inventory.variables("h1")
    assert (variables["x"], variables["y"], variables["z"]) == ("b", "b", "top")
    assert inventory.variables("h2")["x"] == "host"
    assert inventory.origins("h1")["z"] == "assets group top"


def test_sources_are_merged_with_files_in_their_order(write: Write) -> None:
    write("hosts", "[web]\nw1 a=file b=file\n")
    source = Assets([HostEntry("w1", {"b": "assets"}), HostEntry("w2", groups=["web"])])
    inventory = Inventory.load(["hosts", source])
    variables = inventory.variables("w1")
    assert (variables["a"], variables["b"]) == ("file", "assets")
    assert inventory.origins("w1")["a"] == "hosts:2"
    assert inventory.origins("w1")["b"] == "assets host w1"
    assert [host.name for host in inventory.select("web")] == ["w1", "w2"]
    assert Inventory.load([source, "hosts"]).variables("w1")["b"] == "file"
    assert Inventory.load([source, "hosts"]).origins("w1")["b"] == "hosts:2"


def test_both_are_read_within_one_reading() -> None:
    events = []

    class Session(Source):
        name = "session"

        @contextmanager
        def reading(self) -> Iterator[Source]:
            events.append("begin")
            yield Assets([HostEntry("h")])
            events.append("end")

        def hosts(self) -> list[HostEntry]:
            raise AssertionError

    assert list(Inventory.load(Session()).hosts) == ["h"]
    assert events == ["begin", "end"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Assets([HostEntry("h"), HostEntry("h")]), "assets: the host 'h' is given twice"),
        (Assets([HostEntry(5)]), "assets: the host name 5 is not text but int"),  # type: ignore[arg-type]
        (Assets([HostEntry("a\nb")]), r"assets: the host name 'a\\nb' holds a character that can't be printed"),
        (Assets([HostEntry("h", [1])]), "assets: the variables of 'h' must be a mapping, not list"),  # type: ignore[arg-type]
        (Assets([HostEntry("h", {5: 1})]), "assets: the variable name 5 of host 'h' is not text"),  # type: ignore[dict-item]
        (Assets([HostEntry("h", groups="web")]), "assets: the groups of 'h' must be a list of names, not str"),
        (Assets(["h"]), "assets: hosts.. must return HostEntry objects, not str"),  # type: ignore[list-item]
        (Assets([], ["g"]), "assets: groups.. must return GroupEntry objects, not str"),  # type: ignore[list-item]
        (Assets([], [GroupEntry("g", hosts=["h"])]), "assets: group 'g' names the host 'h', which is not among"),
        (Assets([], [GroupEntry("g", children=["g"])]), "assets: group 'g' as a child of 'g' makes a circle"),
        (Assets([], [GroupEntry("g", children=["all"])]), "assets: group 'all' can't be a child of 'g'"),
        (Assets([], [GroupEntry("g", {"ansible_group_priority": "x"})]), "assets: ansible_group_priority of group 'g'"),
        (Assets([], [GroupEntry("g", kind="planet")]), "assets: 'planet' is no kind of group"),
    ],
)
def test_what_no_inventory_holds_is_refused(source: Source, message: str) -> None:
    with pytest.raises(InventoryError, match=f"^{message}"):
        Inventory.load(source)


def test_a_source_that_fails_is_named() -> None:
    class Down(Source):
        def hosts(self) -> Iterator[HostEntry]:
            yield HostEntry("h")
            raise OSError("the asset service does not answer")

    with pytest.raises(InventoryError, match=r"^Down: can't be read: the asset service does not answer$"):
        Inventory.load(["a,", Down()])

    class Wrong(Source):
        def hosts(self) -> list[HostEntry]:
            row = {"name": "h"}
            return [HostEntry(row["name"], {"ansible_host": row["address"]})]

    with pytest.raises(InventoryError, match=r"^Wrong: can't be read: KeyError: 'address'$"):
        Inventory.load(Wrong())


CODE = """
from sshexec.inventory.source import HostEntry, Source

class Assets(Source):
    def __init__(self, source):
        self.asked = source
    def hosts(self):
        yield HostEntry("w1", {"asked": self.asked}, ["web"])
        if "broken" in self.asked:
            raise RuntimeError("no such table")
"""


def test_an_entry_point_may_return_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme_assets.py").write_text(CODE)
    info = tmp_path / "acme_assets-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-assets\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sshexec.inventories]\nassets = acme_assets:Assets\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acme_assets", raising=False)
    inventory = Inventory.load("assets://prod")
    assert inventory.variables("w1")["asked"] == "assets://prod"
    assert inventory.origins("w1")["asked"] == "plugin 'assets' of acme-assets host w1"
    with pytest.raises(InventoryError, match=r"^plugin 'assets' of acme-assets: can't be read: no such table$"):
        Inventory.load("assets://broken")
