"""Merged variables, origins, and what an inventory shows of itself."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshexec.errors import InventoryError
from sshexec.inventory.model import Group, Host, Inventory
from tests.inventory.conftest import Write

MAGIC = {"inventory_hostname", "inventory_hostname_short", "group_names", "inventory_dir", "inventory_file"}


def plain(inventory: Inventory, host: str) -> dict[str, object]:
    return {name: value for name, value in inventory.variables(host).items() if name not in MAGIC}


def test_deeper_groups_then_priority_then_name_then_the_host(write: Write) -> None:
    # As ansible-core 2.19.14 merges the same text.
    path = write(
        "hosts",
        """
        [all:vars]
        x=all
        y=all
        [b]
        h x=host
        h2
        [a]
        h
        h2
        [a:vars]
        x=a
        w=a
        [b:vars]
        x=b
        w=b
        [c:children]
        a
        [c:vars]
        w=c
        k=c
        [d]
        h2
        [d:vars]
        w=d
        ansible_group_priority=10
        """,
    )
    inventory = Inventory.load(path)
    assert plain(inventory, "h") == {"x": "host", "y": "all", "w": "a", "k": "c"}
    assert plain(inventory, "h2") == {"x": "a", "y": "all", "w": "a", "k": "c"}
    assert inventory.variables("h2")["group_names"] == ["a", "b", "c", "d"]
    assert [(group.name, group.depth) for group in inventory.groups.values()] == [
        ("all", 0),
        ("ungrouped", 1),
        ("b", 1),
        ("a", 2),
        ("c", 1),
        ("d", 1),
    ]


@pytest.mark.parametrize(("priority", "winner"), [("", "b"), ("ansible_group_priority=5", "a")])
def test_priority_decides_between_groups_of_one_depth(write: Write, priority: str, winner: str) -> None:
    text = f"[a]\nh\n[b]\nh\n[a:vars]\nv=a\n{priority}\n[b:vars]\nv=b\n"
    assert plain(Inventory.load(write("hosts", text)), "h") == {"v": winner}


def test_variable_files_win_over_their_like_in_the_inventory(write: Write) -> None:
    # As ansible-core 2.19.14 merges the same files.
    write("inv/hosts", "h own=inv both=inv\n[web]\nh\n[web:vars]\nv=inv-web\na=inv-web\n[all:vars]\nv=inv-all\n")
    write("inv/group_vars/all.yml", "a: all-file\nonly_all: 1\nown: all-file\n")
    write("inv/group_vars/web/10.yml", "v: web-10\nw: web-10\n")
    write("inv/group_vars/web/20.yaml", "w: web-20\n")
    write("inv/group_vars/web/sub/x.json", '{"deep": true}')
    write("inv/group_vars/web/.hidden.yml", "hidden: 1\n")
    write("inv/group_vars/web/notes.txt", "not: read\n")
    write("inv/group_vars/other.yml", "broken: [\n")
    write("inv/host_vars/h", "both: host-file\n")
    write("inv/host_vars/h.yml", "both: second\n")
    inventory = Inventory.load("inv/hosts")
    assert plain(inventory, "h") == {
        "a": "all-file",
        "only_all": 1,
        "own": "inv",
        "both": "host-file",
        "v": "web-10",
        "w": "web-20",
        "deep": True,
    }
    assert {name: origin for name, origin in inventory.origins("h").items() if name not in MAGIC} == {
        "a": "inv/group_vars/all.yml:1",
        "only_all": "inv/group_vars/all.yml:2",
        "own": "inv/hosts:1",
        "both": "inv/host_vars/h:1",
        "v": "inv/group_vars/web/10.yml:1",
        "w": "inv/group_vars/web/20.yaml:1",
        "deep": "inv/group_vars/web/sub/x.json",
    }


def test_a_directory_has_its_variable_files_inside(write: Write) -> None:
    write("inv/10-hosts.yml", "web: {hosts: {h: {a: 1}}}\n")
    write("inv/20-more.ini", "[web]\nh b=2\nk\n")
    write("inv/group_vars/web.yml", "c: 3\n")
    inventory = Inventory.load("inv")
    assert plain(inventory, "h") == {"a": 1, "b": 2, "c": 3}
    assert plain(inventory, "k") == {"c": 3}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("group_vars/all.yml", "a: 1\na: 2\n", "group_vars/all.yml:2: the key 'a' stands twice"),
        ("group_vars/all.yml", "- a\n", "group_vars/all.yml: must hold a mapping of variables, not list"),
        ("host_vars/h.yml", "1: a\n", "host_vars/h.yml:1: the variable name 1 is not text"),
        ("host_vars/h.json", '{"a": }', "host_vars/h.json:1: is not valid JSON"),
    ],
)
def test_a_wrong_variable_file_is_named(write: Write, name: str, text: str, message: str) -> None:
    inventory = Inventory.load(write("hosts", "h\n"))
    write(name, text)
    with pytest.raises(InventoryError) as caught:
        inventory.variables("h")
    assert message in str(caught.value)


def test_empty_variable_files_and_odd_host_names_are_harmless(write: Write) -> None:
    write("group_vars/all.yml", "---\n# nothing\n")
    write("secret.yml", "stolen: yes\n")
    write("hosts.yml", "all: {hosts: {'../secret': {}}}\n")
    assert plain(Inventory.load("hosts.yml"), "../secret") == {}


def test_magic_variables_tell_a_host_who_it_is(write: Write) -> None:
    path = write("inv/hosts", "[web]\nweb1.example.com\n10.0.0.1\n2001:db8::1\n")
    inventory = Inventory.load(path)
    assert inventory.variables("web1.example.com") == {
        "inventory_hostname": "web1.example.com",
        "inventory_hostname_short": "web1",
        "group_names": ["web"],
        "inventory_dir": str(Path("inv").absolute()),
        "inventory_file": str(path.absolute()),
    }
    for address in ("10.0.0.1", "2001:db8::1"):
        assert inventory.variables(address)["inventory_hostname_short"] == address
    assert Inventory.load("a,").variables("a")["inventory_file"] is None


def test_variables_are_the_callers_to_change() -> None:
    inventory = Inventory.from_hosts(["a", "b"], groups={"g": {"hosts": ["a", "b"], "vars": {"x": 1}}})
    first = inventory.variables("a")
    first["x"] = 2
    first["group_names"].append("z")
    assert plain(inventory, "b") == {"x": 1}
    assert inventory.variables("a")["group_names"] == ["g"]


def test_origins_name_the_line_or_the_member(write: Write) -> None:
    write("hosts.yml", "web:\n  hosts:\n    h:\n      a: 1\n  vars:\n    b: 1\n    c: 1\n")
    write("hosts.ini", "[web:vars]\nc=2\n[web]\nh d=1\n")
    write("extra.json", '{"web": {"vars": {"e": 1}, "hosts": {"h": {"f": 1}}}}')
    inventory = Inventory.load(["hosts.yml", "hosts.ini", "extra.json"])
    origins = inventory.origins("h")
    assert origins.keys() == inventory.variables("h").keys()
    assert {name: origins[name] for name in "abcdef"} == {
        "a": "hosts.yml:4",
        "b": "hosts.yml:6",
        "c": "hosts.ini:2",
        "d": "hosts.ini:4",
        "e": "extra.json group web",
        "f": "extra.json host h",
    }
    assert Inventory.from_hosts([Host("h", {"a": 1})]).origins("h")["a"] == "host h"


def test_platform_code_needs_no_file() -> None:
    given_host = Host("web1", {"ansible_host": "10.0.0.1"})
    inventory = Inventory.from_hosts(
        [given_host, "web2", "db1"],
        groups={"web": ["web1", "web2"], "prod": {"children": ["web"], "hosts": ["db1"], "vars": {"env": "prod"}}},
    )
    assert [host.name for host in inventory.select("prod:!web2")] == ["db1", "web1"]
    assert plain(inventory, "web1") == {"ansible_host": "10.0.0.1", "env": "prod"}
    assert not given_host.groups
    assert [host.name for host in Inventory.from_hosts(["b", "a"]).select("all")] == ["b", "a"]


@pytest.mark.parametrize(
    ("hosts", "groups", "reason"),
    [
        (["a", "a"], None, "the host 'a' is given twice"),
        (["a"], {"web": ["b"]}, "a group names the host 'b', which is not among the hosts"),
        (["a"], {"web": {"hosts": "a"}}, "'hosts' of group 'web' must be a list"),
        (["a"], {"web": {"vars": []}, "x": {"vars": [1]}}, "'vars' of group 'x' must be an object"),
        (["a"], {"web": {"children": ["web"]}}, "a group can't hold itself"),
        ([5], None, "the host name 5 is not text"),
        ([""], None, "a host has an empty name"),
    ],
)
def test_wrong_hosts_are_refused(hosts: list[str], groups: dict[str, list[str]] | None, reason: str) -> None:
    with pytest.raises(InventoryError) as caught:
        Inventory.from_hosts(hosts, groups=groups)
    assert reason in str(caught.value)


def test_an_unknown_member_is_refused() -> None:
    inventory = Inventory.from_hosts(["a"])
    with pytest.raises(InventoryError, match="there is no host 'b'"):
        inventory.variables("b")
    with pytest.raises(InventoryError, match="there is no group 'b'"):
        list(inventory.graph("b"))


def test_the_graph_is_that_of_ansible_inventory(write: Write) -> None:
    text = "lone\n[prod:children]\nweb\ndb\n[web]\nw1\nw2\n[db]\nw1\n[empty]\n[all]\nstray\n"
    lines = [
        f"{'  |' * depth}{'--' if depth else ''}{f'@{member.name}:' if isinstance(member, Group) else member.name}"
        for depth, member in Inventory.load(write("hosts", text)).graph()
    ]
    assert lines == [
        "@all:",
        "  |--@ungrouped:",
        "  |  |--lone",
        "  |  |--stray",
        "  |--@prod:",
        "  |  |--@web:",
        "  |  |  |--w1",
        "  |  |  |--w2",
        "  |  |--@db:",
        "  |  |  |--w1",
        "  |--@empty:",
    ]


_names = st.sampled_from(["a", "b", "c", "d"])
_trees = st.dictionaries(
    _names,
    st.fixed_dictionaries(
        {},
        optional={
            "hosts": st.lists(st.sampled_from(["h1", "h2", "h3"]), max_size=3),
            "vars": st.dictionaries(st.sampled_from(["x", "y"]), st.integers() | st.text(max_size=3), max_size=2),
            "children": st.lists(_names, max_size=2),
        },
    ),
    max_size=4,
)


@given(_trees)
def test_an_ansible_listing_loads_as_the_same_hosts(tmp_path_factory: pytest.TempPathFactory, groups: dict) -> None:
    try:
        inventory = Inventory.from_hosts(["h1", "h2", "h3"], groups=groups)
    except InventoryError:
        return  # The generator makes circles, too.
    path = tmp_path_factory.getbasetemp() / "listing.json"
    path.write_text(json.dumps(inventory.to_ansible()))
    again = Inventory.load(path)
    for name in inventory.hosts:
        assert plain(again, name) == plain(inventory, name)
    for name, group in inventory.groups.items():
        hosts = [host.name for host in group.all_hosts()]
        assert (
            {host.name for host in again.groups[name].all_hosts()} == set(hosts) if name in again.groups else not hosts
        )


def test_an_inventory_and_its_members_show_no_variables() -> None:
    groups = {"web": {"hosts": ["web1"], "vars": {"ansible_password": "hunter2"}}}
    inventory = Inventory.from_hosts([Host("web1", {"ansible_password": "hunter2"})], groups)
    assert repr(inventory) == "<Inventory 1 host, 3 groups>"
    assert repr(inventory.hosts["web1"]) == "Host('web1')"
    assert repr(inventory.groups["web"]) == "Group('web')"
    assert repr(Inventory.load("h[1:300],")) == "<Inventory 300 hosts, 2 groups>"


def test_a_host_named_like_a_group_is_warned_of() -> None:
    inventory = Inventory.from_hosts(["web", "a"], groups={"web": ["a"]})
    assert inventory.warnings == [
        "'web' is both a host and a group; as a pattern it means the host, behind '&' and '!' the group"
    ]
    # As ansible-core 2.19.14 answers.
    assert [host.name for host in inventory.select("web")] == ["web"]
    assert [host.name for host in inventory.select("all:!web")] == ["web"]
    assert [host.name for host in inventory.select("all:&web")] == ["a"]


def test_errors_survive_a_pipe(write: Write) -> None:
    with pytest.raises(InventoryError) as caught:
        Inventory.load(write("hosts", "[web]\nh a\n"))
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


COPIES: dict[str, Callable[[Inventory], Inventory]] = {
    "pickle": lambda inventory: pickle.loads(pickle.dumps(inventory)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
def test_a_copy_says_what_the_inventory_says(write: Write, duplicate: Callable[[Inventory], Inventory]) -> None:
    write("inv/10.yml", "web: {hosts: {b: {x: 1}, a: {}}, children: {sub: {hosts: {a: {}}, vars: {w: [1]}}}}\n")
    write("inv/20.ini", "lone\n[last]\na\n[last:vars]\nansible_group_priority=7\nw=2\n[odd:children]\nsub\n")
    write("inv/group_vars/web.yml", "v: 1\n")
    write("inv/z.yml", "web: {wrong: 1}\n")
    inventory = Inventory.load("inv")
    again = duplicate(inventory)
    assert again.to_ansible() == inventory.to_ansible()
    assert again.warnings == inventory.warnings != []
    assert list(again.graph()) != []
    for each in ("web", "sub", "last", "odd", "all"):
        assert [host.name for host in again.select(each)] == [host.name for host in inventory.select(each)]
        ours, theirs = again.groups[each], inventory.groups[each]
        assert (ours.depth, ours.priority, list(ours.parents)) == (theirs.depth, theirs.priority, list(theirs.parents))
    for name, host in inventory.hosts.items():
        assert again.variables(name) == inventory.variables(name)
        assert again.origins(name) == inventory.origins(name)
        assert list(again.hosts[name].groups) == list(host.groups)
        assert all(again.groups[group.name] is group for group in again.hosts[name].groups.values())


def test_a_deep_copy_has_variables_of_its_own() -> None:
    inventory = Inventory.from_hosts([Host("a", {"x": [1]})])
    copy.deepcopy(inventory).hosts["a"].vars["x"].append(2)
    assert inventory.variables("a")["x"] == [1]


@pytest.fixture(scope="module")
def chain() -> Inventory:
    """Return an inventory of 10,000 groups, each the child of the one before, and a host in the last."""
    groups: dict[str, dict[str, object]] = {f"g{n}": {"children": [f"g{n + 1}"]} for n in range(9999)}
    groups["g0"]["vars"] = {"top": 1}
    return Inventory.from_hosts(["h"], groups | {"g9999": {"hosts": ["h"], "vars": {"low": 1}}})


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
def test_a_long_chain_of_groups_can_be_copied(chain: Inventory, duplicate: Callable[[Inventory], Inventory]) -> None:
    again = duplicate(chain)
    assert again.groups["g9999"].depth == 10_000
    assert plain(again, "h") == {"top": 1, "low": 1}


def test_a_long_chain_of_groups_can_be_walked(chain: Inventory) -> None:
    assert len(chain.groups["g0"].descendants()) == len(chain.groups["g9999"].ancestors()) - 1 == 10_000
    assert max(depth for depth, _ in chain.graph()) == 10_001
    assert len(chain.variables("h")["group_names"]) == 10_000
    assert chain.origins("h")["top"] == "group g0"
    assert len(chain.to_ansible()) == 10_002


@pytest.mark.parametrize("pattern", ["g*", "*", "~g.*", "all:&g*"])
def test_a_pattern_walks_what_its_groups_have_in_common_once(
    chain: Inventory, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    seen: list[str] = []

    class Counted(dict[str, Group]):
        def items(self):
            seen.extend(self)
            return super().items()

    for group in chain.groups.values():
        monkeypatch.setattr(group, "children", Counted(group.children))
    assert [host.name for host in chain.select(pattern)] == ["h"]
    assert 9_999 <= len(seen) <= 30_010


def test_an_inventory_can_be_handed_to_another_process() -> None:
    hosts = [Host(f"h{n}", {"n": n}) for n in range(5000)]
    groups = {f"g{n}": [f"h{m}" for m in range(n, 5000, 50)] for n in range(50)}
    again = pickle.loads(pickle.dumps(Inventory.from_hosts(hosts, groups)))
    assert [host.name for host in again.select("g3[0:1]")] == ["h3", "h53"]
    assert again.variables("h53")["n"] == 53
    assert again.variables("h53")["group_names"] == ["g3"]
