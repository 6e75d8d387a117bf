"""Hosts from a spreadsheet: what Excel and others write, and a report of every wrong line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sshexec import Inventory
from sshexec.errors import InventoryError
from sshexec.inventory.draft import Draft
from sshexec.inventory.source import GroupEntry, HostEntry, Source
from sshexec.inventory.spreadsheet import RejectedLinesError, read_spreadsheet
from sshexec.inventory.writing.content import content
from sshexec.inventory.writing.csv import to_csv

Load = Callable[..., Inventory]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(tmp_path)

    def load_text(text: str, encoding: str = "utf-8") -> Inventory:
        Path("hosts.csv").write_bytes(text.encode(encoding))
        return Inventory.load("hosts.csv")

    return load_text


def own(inventory: Inventory) -> dict[str, dict[str, Any]]:
    return {name: host.vars for name, host in inventory.hosts.items()}


FLEET = """\
Hostname,IP,Port,User,Groups,Site,Region,Tags,rack,serial,monitored
web1,10.0.0.1,2222,deploy,web;prod,fra1,emea,blue; lts,12,0012,TRUE
web2,10.0.0.2,,,web,fra1,emea,,,'7,false
db1,,,,,,emea,,,1E5,
lone,2001:db8::1,,,,,,,-3,,
"""


def test_every_column(load: Load) -> None:
    inventory = load(FLEET)
    assert own(inventory) == {
        "web1": {
            "ansible_host": "10.0.0.1",
            "ansible_port": 2222,
            "ansible_user": "deploy",
            "rack": 12,
            "serial": "0012",
            "monitored": True,
        },
        "web2": {"ansible_host": "10.0.0.2", "serial": "7", "monitored": False},
        "db1": {"serial": "1E5"},
        "lone": {"ansible_host": "2001:db8::1", "rack": -3},
    }
    assert [host.name for host in inventory.select("emea:&web")] == ["web1", "web2"]
    members = "all= ungrouped=lone web=web1,web2 prod=web1 blue=web1 lts=web1 emea=db1 fra1=web1,web2"
    assert " ".join(f"{name}={','.join(group.hosts)}" for name, group in inventory.groups.items()) == members
    assert list(inventory.groups["emea"].children) == ["fra1"]
    assert inventory.kinds == {"fra1": "site", "emea": "region", "blue": "tag", "lts": "tag"}
    assert inventory.origins("web2")["serial"] == "hosts.csv:3"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("first", ["", "sep=?\n", "# our fleet\n\n"])
def test_what_spreadsheets_write(load: Load, delimiter: str, encoding: str, end: str, first: str) -> None:
    text = (
        first
        + 'name?groups?"note, or ;so"?\n"web1"?"a;b"?"two ""quoted"" words\nand, a; line"?\n\n ?? \nweb2? b ; ??\n'
    )
    text = text.replace('"note, or ;so"', "note").replace("?", delimiter).replace("\n", end)
    inventory = load(text, encoding)
    assert own(inventory) == {
        "web1": {"note": f'two "quoted" words{end}and, a; line'},
        "web2": {},
    }
    assert {name: list(inventory.groups[name].hosts) for name in "ab"} == {"a": ["web1"], "b": ["web1", "web2"]}


WRONG = """\
name,address,port,groups,site,region
ok1,10.0.0.1,22,web,fra1,emea
,10.0.0.2,,,,
two words,,,,,
ok1,,,,,
web[1:3],,,,,
web9:2222,,,,,
!h,,,,,
ok2,10.0.0 .9,,,,
ok3,,70000,,,
ok4,,ssh,,,
ok5,,,fra1,,
ok6,,,,web,
ok7,,,,fra1,apac
ok8,,,a:b,,
ok9,,,,all,
ok10,,,,,,more
"multi
line",,,,,
ok11,,,,,
"""


def test_every_wrong_line_is_named_and_nothing_is_taken() -> None:
    draft = Draft()
    draft.path = "hosts.csv"
    with pytest.raises(RejectedLinesError) as caught:
        read_spreadsheet(draft, WRONG)
    assert caught.value.rejected == [
        (3, "it has no host name"),
        (4, "the host name 'two words' holds blanks or characters that can't be printed"),
        (5, "the host 'ok1' stands on line 2 already"),
        (6, "'web[1:3]' stands for several hosts; give each a line"),
        (7, "the host name 'web9:2222' ends in a port, which has a column of its own: port"),
        (8, "the host name '!h' holds a character that means something else in host patterns"),
        (9, "the address holds blanks"),
        (10, "the port is no number between 1 and 65535"),
        (11, "the port is no number between 1 and 65535"),
        (12, "'fra1' is a group here, and a site on line 2"),
        (13, "'web' is a site here, and a group on line 2"),
        (14, "the site 'fra1' is in 'apac' here, and in 'emea' on line 2"),
        (15, "the group name 'a:b' holds a character that means something else in host patterns"),
        (16, "no site can be called 'all'"),
        (17, "it has 7 cells, and there are 6 columns"),
        (18, "the host name 'multi\\nline' holds blanks or characters that can't be printed"),
    ]
    assert str(caught.value) == "hosts.csv:3: it has no host name (16 lines are rejected)"
    assert (draft.hosts, list(draft.groups), draft.kinds) == ({}, ["all", "ungrouped"], {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("address,port\n10.0.0.1,22\n", "1: no column is called 'name'"),
        ("name,hostname\na,b\n", "1: two columns are the 'name' of a host"),
        ("name,ip,address\na,b,c\n", "1: two columns are the 'ansible_host' of a host"),
        (
            "name,adress\na,b\n",
            "1: the column 'adress': did you mean 'address'? A variable of that name is 'vars.adress'",
        ),
        ("name,Asset No.\na,b\n", "1: the column 'Asset No.' can't be a variable's name; call it 'asset_no', say"),
        ("name,\na,b\n", "2: a cell stands in a column without a name"),
        ("name\n", "the spreadsheet names no host"),
        ('name,v\na,b\nc,"open\n', "3: is no CSV: unexpected end of data"),
        ('name,v\na,"b"c\n', "2: is no CSV: ',' expected after '\"'"),
        ("name\na\0b\n", "is a binary file"),
    ],
)
def test_a_mistake_is_one_line(load: Load, text: str, message: str) -> None:
    with pytest.raises(InventoryError) as caught:
        load(text)
    assert str(caught.value).startswith(("hosts.csv:" + message, "hosts.csv: " + message)), str(caught.value)


def test_utf_16_is_named(load: Load) -> None:
    with pytest.raises(InventoryError, match="is UTF-16 text; save it as UTF-8"):
        load(FLEET, "utf-16")


def test_a_variable_may_be_called_like_a_column(load: Load) -> None:
    inventory = load("name,vars.name,vars.groups,vars.adress\nh1,n,g,a\n")
    assert own(inventory) == {"h1": {"name": "n", "groups": "g", "adress": "a"}}


def test_the_writer_is_read_back(load: Load) -> None:
    inventory = load(FLEET)
    text, warnings = to_csv(inventory, content(inventory))
    assert warnings == []
    again = load(text)
    assert own(again) == own(inventory)
    assert again.kinds == inventory.kinds
    assert {name: set(g.hosts) for name, g in again.groups.items()} == {
        name: set(g.hosts) for name, g in inventory.groups.items()
    }


CELLS = st.one_of(
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8),
    st.text("=+-@';,\"\n\tTRUE0", min_size=1, max_size=5),
)


@settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck), max_examples=150)
@given(variables=st.dictionaries(st.sampled_from(["v", "w", "groups", "name", "user"]), CELLS))
def test_values_keep_their_type(load: Load, variables: dict[str, Any]) -> None:
    inventory = Inventory.from_hosts(["h1", "h2"])
    inventory.hosts["h2"].vars.update(variables)
    text, warnings = to_csv(inventory, content(inventory))
    held = {
        name: value for name, value in variables.items() if not isinstance(value, str) or value == value.strip() != ""
    }
    assert len(warnings) == (len(held) < len(variables))
    again = load(text).hosts["h2"].vars
    assert {name: repr(value) for name, value in again.items()} == {name: repr(value) for name, value in held.items()}


def test_no_cell_is_a_formula(load: Load) -> None:
    inventory = Inventory.from_hosts(["h1"])
    inventory.hosts["h1"].vars["note"] = "=HYPERLINK(1)"
    text, _ = to_csv(inventory, content(inventory))
    assert text == "name,note\nh1,'=HYPERLINK(1)\n"
    assert load(text).hosts["h1"].vars == {"note": "=HYPERLINK(1)"}


def test_what_would_not_be_read_back_is_left_out(load: Load) -> None:
    inventory = Inventory.from_hosts(["h1", "h2"])
    odd = {"=HYPERLINK(1)": "x", "a b": 1, "": 2, "nul": "a\0b", "half": "\ud800", "ansible_host": "a b"}
    kept = {"adress": "x", "Port": 5, "name": "n", "vars": 1}
    inventory.hosts["h1"].vars.update(odd | kept | {"ansible_port": "{{ port }}"})
    text, warnings = to_csv(inventory, content(inventory))
    assert text.splitlines()[0] == "name,vars.adress,vars.Port,vars.name,vars"
    assert load(text).hosts["h1"].vars == kept
    assert warnings[0].endswith("7 variables of hosts are left out")


def test_a_host_has_one_site_and_one_region(load: Load) -> None:
    class Twice(Source):
        def groups(self) -> list[GroupEntry]:
            sites = [GroupEntry("s1", kind="site"), GroupEntry("s2", kind="site"), GroupEntry("r2", kind="region")]
            return [*sites, GroupEntry("r1", kind="region", children=["s1"])]

        def hosts(self) -> list[HostEntry]:
            return [HostEntry("h1", groups=["s1", "s2", "r2"])]

    inventory = Inventory.load(Twice())
    text, warnings = to_csv(inventory, content(inventory))
    assert text == "name,site,region\nh1,s1,r1\n"
    assert warnings[0] == "a spreadsheet has one site and one region for a host: 2 others are left out"
    with pytest.raises(InventoryError, match="a host has one site, and 's1;s2' are several"):
        load("name,site\nh1,s1;s2\n")


def test_names_that_can_not_be_read_back_are_told() -> None:
    inventory = Inventory.from_hosts(["a b", "ok"], {"x;y": {"hosts": ["ok"]}})
    _, warnings = to_csv(inventory, content(inventory))
    assert warnings == ["it can't be read back: 2 names of hosts or groups mean something else, such as 'a b'"]


def test_what_a_spreadsheet_has_no_place_for_is_counted() -> None:
    groups: dict[str, Any] = {"g": {"hosts": ["h1"], "vars": {"v": 1}}, "p": {"children": ["g"]}}
    inventory = Inventory.from_hosts(["h1"], groups)
    inventory.hosts["h1"].vars.update(items=[1], ratio=0.5, none=None, huge="x" * 200_000, kept="x")
    text, warnings = to_csv(inventory, content(inventory))
    assert text == "name,groups,kept\nh1,g,x\n"
    assert warnings == [
        "a spreadsheet has no variables of groups: those of 1 are left out",
        "a spreadsheet has no lists, fractions, empty or huge texts, nor odd names of variables: "
        "4 variables of hosts are left out",
        "a spreadsheet has no groups within groups, nor groups without hosts: they are left out",
    ]
