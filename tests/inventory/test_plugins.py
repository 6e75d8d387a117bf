"""Sources that other distributions bring."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sshexec.errors import InventoryError
from sshexec.inventory.model import Inventory

CODE = """
from sshexec.errors import InventoryError

def listing(source):
    return {"web": {"hosts": ["w1"], "vars": {"source": source}}, "_meta": {"hostvars": {"w1": {"a": 1}}}}

def broken(source):
    raise RuntimeError("the CMDB is down")

def wrong(source):
    raise InventoryError("no such table", path=source)

def shapeless(source):
    return 5
"""
POINTS = """[sshexec.inventories]
cmdb = fake_cmdb:listing
down = fake_cmdb:broken
wrong = fake_cmdb:wrong
odd = fake_cmdb:shapeless
gone = no_such_module:listing
"""


@pytest.fixture(autouse=True)
def _distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution for the length of a test."""
    (tmp_path / "fake_cmdb.py").write_text(CODE)
    info = tmp_path / "acme_cmdb-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-cmdb\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "fake_cmdb", raising=False)


@pytest.mark.parametrize("source", ["cmdb://prod/web", "cmdb:prod"])
def test_a_plugin_lists_hosts(source: str) -> None:
    inventory = Inventory.load(source)
    variables = inventory.variables("w1")
    assert (variables["a"], variables["source"]) == (1, source)
    assert inventory.origins("w1")["source"] == "plugin 'cmdb' of acme-cmdb group web"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("down://x", "inventory plugin 'down' of acme-cmdb failed: the CMDB is down"),
        ("gone://x", "inventory plugin 'gone' of acme-cmdb failed: No module named 'no_such_module'"),
        ("odd://x", "plugin 'odd' of acme-cmdb: must be an object of groups, not int"),
        ("wrong://x", "wrong://x: no such table"),
        ("nope://x", "no inventory plugin is named 'nope' (there are: cmdb, down, gone, odd, wrong"),
    ],
)
def test_a_broken_plugin_names_its_distribution(source: str, message: str) -> None:
    with pytest.raises(InventoryError) as caught:
        Inventory.load(source)
    assert str(caught.value).startswith(message)


def test_a_broken_plugin_breaks_nobody_else() -> None:
    assert list(Inventory.load(["cmdb://x", "web1:22,"]).hosts) == ["w1", "web1"]
