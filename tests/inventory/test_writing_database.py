"""From files into a database and out as files again: what is read at the end is what was read at the beginning."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from sshexec import Inventory
from sshexec.errors import InventoryError
from sshexec.inventory.cmdb.cmdb import Cmdb
from sshexec.inventory.writing.content import content
from sshexec.inventory.writing.csv import to_csv
from tests.inventory.test_writing import WRITERS, back, facts, folders, order
from tests.oracle.inventories import inventories, written

__all__ = ["folders"]  # a fixture

SEARCH = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


@settings(SEARCH, max_examples=25)
@given(files=inventories())
def test_files_through_a_database(folders: Iterator[Path], files: dict[str, str]) -> None:
    folder = next(folders)
    try:
        inventory = Inventory.load(written(folder, files))
        before = facts(inventory)
    except InventoryError:
        return
    url = f"sqlite:///{folder}/cmdb.db"
    with Cmdb(url) as cmdb:
        cmdb.add(inventory)
    stored = Inventory.load(url)
    assert (facts(stored), order(stored)) == (before, order(inventory))
    for form in WRITERS:
        again, warnings = back(next(folders), stored, form)
        assert facts(again) == before
        assert warnings or order(again) == order(inventory)


FLEET = """\
name,address,groups,site,region,tags
web1,10.0.0.1,web,fra1,emea,blue
db1,10.0.0.2,db,fra1,emea,
web2,10.0.0.3,web,sfo1,us,blue
"""


def test_a_spreadsheet_keeps_its_sites_regions_and_tags(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "fleet.csv").write_text(FLEET)
    with Cmdb(database_url) as cmdb:
        cmdb.add(Inventory.load(tmp_path / "fleet.csv"))
        assert [group.name for group in cmdb.groups("site")] == ["fra1", "sfo1"]
        assert [group.name for group in cmdb.groups("region")] == ["emea", "us"]
        assert [group.name for group in cmdb.groups("tag")] == ["blue"]
        cmdb.put_group("web", variables={"role": "front"})
    inventory = Inventory.load(database_url)
    assert [host.name for host in inventory.select("emea")] == ["web1", "db1"]
    text, warnings = to_csv(inventory, content(inventory))
    assert text == FLEET
    assert warnings == ["a spreadsheet has no variables of groups: those of 1 are left out"]


@pytest.mark.parametrize("form", WRITERS)
def test_a_database_in_which_every_group_is_mixed(tmp_path: Path, form: str) -> None:
    url = f"sqlite:///{tmp_path}/cmdb.db"
    with Cmdb(url) as cmdb:
        for number in range(6):
            cmdb.put_host(f"h{number}", groups=[f"g{number % 2}", f"g{number % 3 + 2}"], variables={"n": number})
        cmdb.put_group("g1", hosts=["h5", "h3", "h1"])
    inventory = Inventory.load(url)
    again, warnings = back(tmp_path, inventory, form)
    assert (facts(again), order(again), warnings) == (facts(inventory), order(inventory), [])
    assert (tmp_path / f"hosts.{form}").read_text().startswith("# All hosts in their order; ")
