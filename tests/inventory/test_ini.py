"""INI inventories; the expectations are what ansible-core 2.19.14 made of the same texts."""

from __future__ import annotations

from typing import Any

import pytest

from sshexec.errors import InventoryError
from sshexec.inventory.ini import literal
from sshexec.inventory.model import Inventory
from tests.inventory.conftest import Write


def load(write: Write, text: str) -> Inventory:
    return Inventory.load(write("hosts.ini", text))


def own(inventory: Inventory) -> dict[str, Any]:
    hostvars: dict[str, Any] = inventory.to_ansible()["_meta"]["hostvars"]
    return hostvars


def test_hosts_carry_literals(write: Write) -> None:
    inventory = load(
        write,
        """
        lone ansible_host=10.0.0.9 # comment
        [web]
        web1 a=1 b='x y' flag=true t=True n=None l=[1,2]
        web2 a=08 o=0777 h=0x1f f=1.50 e=1e3 neg=-5 d={'a':1} q="'08'" tup=(1,2) emp=
        """,
    )
    assert own(inventory) == {
        "lone": {"ansible_host": "10.0.0.9"},
        "web1": {"a": 1, "b": "x y", "flag": "true", "t": True, "n": None, "l": [1, 2]},
        "web2": {
            "a": "08",
            "o": "0777",
            "h": 31,
            "f": 1.5,
            "e": 1000.0,
            "neg": -5,
            "d": "{a:1}",
            "q": "08",
            "tup": [1, 2],
            "emp": "",
        },
    }


def test_variables_of_a_group_are_literals_too(write: Write) -> None:
    inventory = load(
        write,
        """
        [web]
        h
        [web:vars]
        v=23
        s = hello world # c
        z = 1 # c
        q='quoted'
        b==x
        c=
        """,
    )
    assert own(inventory)["h"] == {"v": 23, "s": "hello world # c", "z": 1, "q": "quoted", "b": "=x", "c": ""}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("80", 80),
        ("0", 0),
        ("00", 0),
        ("1_000", 1000),
        ("+5", 5),
        ("1.", 1.0),
        ("true", "true"),
        ("True", True),
        ("None", None),
        ("inf", "inf"),
        ("--5", "--5"),
        ("1+2", "1+2"),
        ("5j", "5j"),
        ("1+2j", "(1+2j)"),
        ("[1j, ..., b'x']", ["1j", "...", "x"]),
        ("...", "..."),
        ("1.2.3.4", "1.2.3.4"),
        ("~/x", "~/x"),
        ("{1,2}", [1, 2]),
        ("[(1, {2}), {'k': (3,)}]", [[1, [2]], {"k": [3]}]),
        ("b'x'", "x"),
        ("b'\\xff'", "b'\\xff'"),
        ("'\\d'", "\\d"),
        ("1or", "1or"),
        ("[" * 5000, "[" * 5000),
        ("9" * 5000, "9" * 5000),
        ("{[]: 1}", "{[]: 1}"),
        ("{(1, 2): 3}", "{(1, 2): 3}"),
    ],
)
def test_a_literal_is_read_and_any_other_text_stands(text: str, value: Any) -> None:
    assert literal(text) == value
    assert type(literal(text)) is type(value)


def test_ports_and_addresses(write: Write) -> None:
    inventory = load(
        write,
        """
        [web]
        web1:2222
        [2001:db8::1]:22
        2001:db8::2
        web2:22 ansible_port=33
        10.0.0.1:44
        r[001:010:3]:2222
        """,
    )
    assert [host.name for host in inventory.select("web")] == [
        *("web1", "2001:db8::1", "2001:db8::2", "web2", "10.0.0.1"),
        *("r001", "r004", "r007", "r010"),
    ]
    assert {name: variables["ansible_port"] for name, variables in own(inventory).items()} == {
        "web1": 2222,
        "2001:db8::1": 22,
        "web2": 33,
        "10.0.0.1": 44,
        **dict.fromkeys(("r001", "r004", "r007", "r010"), 2222),
    }


def test_groups_may_be_named_before_they_are_defined(write: Write) -> None:
    inventory = load(
        write,
        """
        [p:children]
        b
        a  # the first of the two to be defined
        [web:vars]
        x=1
        [a]
        h1
        [b]
        h2
        [web]
        h2
        """,
    )
    assert [host.name for host in inventory.select("p")] == ["h1", "h2"]
    assert list(inventory.groups["p"].children) == ["a", "b"]
    assert own(inventory) == {"h2": {"x": 1}}


def test_a_group_has_its_place_where_its_variables_stand_first(write: Write) -> None:
    inventory = load(write, "[b:vars]\nx=1\n[p:children]\nc\nb\n[c]\nh1\n[b]\nh2\n[b:vars]\ny=2\n")
    assert list(inventory.groups) == ["all", "ungrouped", "b", "p", "c"]
    assert [host.name for host in inventory.select("p")] == ["h2", "h1"]
    assert own(inventory) == {"h2": {"x": 1, "y": 2}}
    assert inventory.origins("h2")["x"] == "hosts.ini:2"


def test_hosts_keep_their_order_and_leave_ungrouped_for_a_group(write: Write) -> None:
    inventory = load(write, "[z]\nh3\nh1\n[a]\nh2\nh1\n[all]\nh9\n[ungrouped]\nh0\nh1\n")
    assert [host.name for host in inventory.select("z")] == ["h3", "h1"]
    assert [host.name for host in inventory.select("all")] == ["h9", "h0", "h3", "h1", "h2"]
    assert list(inventory.groups["ungrouped"].hosts) == ["h0", "h9"]


def test_comments_and_quotes(write: Write) -> None:
    inventory = load(
        write,
        """
        ; c
        # c
        [web] # x
        web1 a=1 # y
        web2 a='#x' b="two words"
        \tweb3\ta=1
        """,
    )
    assert own(inventory) == {"web1": {"a": 1}, "web2": {"a": "#x", "b": "two words"}, "web3": {"a": 1}}


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("[web]\nh x=1 a\n", 2, "word 3, behind host 'h', is no key=value"),
        ("[web]\nh =a\n", 2, "word 2, behind host 'h'"),
        ("[web]\nh a='x\n", 2, "No closing quotation"),
        ("[web]\nh[1:2\n", 2, "without its partner"),
        ("[web]\nh:99999\n", 2, "not between 1 and 65535"),
        ("[web]\nh: x=1\n", 2, "ends in a colon"),
        ("# c\n[web:wars]\n", 2, "of an unknown kind"),
        ("[we b]\n", 1, "is no section"),
        ("[a:b:c]\n", 1, "is no section"),
        ("[web]\nh\n[nope:vars]\na=1\n", 3, "about the undefined group 'nope'"),
        ("[nope:vars]\na=1\n[p:children]\nnope\n", 1, "about the undefined group 'nope'"),
        ("[p:children]\nnope\n[nope:vars]\na=1\n", 2, "names the undefined group 'nope'"),
        ("[p:children]\nweb\nc\n[web]\n", 3, "names the undefined group 'c'"),
        ("[web]\n[web:vars]\nfoo\n", 3, "no key=value, which section [web:vars] wants"),
        ("[p:children]\na b\n", 2, "expected a group's name"),
        ("[a]\n[b]\n[a:children]\nb\n[b:children]\na\n", 6, "makes a circle: 'a' is above 'b'"),
        ("[a:children]\na\n", 2, "a group can't hold itself"),
        ("[a]\n[a:children]\nall\n", 3, "'all' can't be a child of 'a'"),
        ("[a]\n[a:vars]\nansible_group_priority=high\n", 3, "must be a whole number, not 'high'"),
        ("[a]\n[a:vars]\nansible_group_priority=1.5\n", 3, "must be a whole number, not 1.5"),
        ("[a]\n[a:vars]\nansible_group_priority=1e999\n", 3, "must be a whole number, not inf"),
        ("web\x07\n", 1, "can't be printed"),
    ],
)
def test_a_wrong_line_is_named(write: Write, text: str, line: int, reason: str) -> None:
    path = write("hosts.ini", text)
    with pytest.raises(InventoryError) as caught:
        Inventory.load(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"hosts.ini:{line}: ")
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hosts.ini", "h ansible_password=correct hunter2\n"),
        ("hosts.ini", "h ansible_password='hunter2\n"),
        ("hosts.ini", "[web]\nh\n[web:vars]\nhunter2\n"),
        ("hosts.yml", "all:\n  vars:\n    ansible_password: !hunter2\n"),
        ("hosts.yml", "all:\n  vars:\n    ansible_password: *hunter2\n"),
        ("hosts.yml", "all:\n  vars:\n    ansible_password: @hunter2\n"),
        ("hosts.yml", "all:\n  vars:\n    ansible_password: [hunter2\n"),
        ("hosts.yml", "all:\n  hosts:\n    h: hunter2\n"),
    ],
)
def test_no_error_shows_a_value(write: Write, name: str, text: str) -> None:
    with pytest.raises(InventoryError) as caught:
        Inventory.load(write(name, text))
    assert "hunter2" not in str(caught.value)
