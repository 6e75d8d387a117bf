"""Host patterns, compared with ansible-core 2.19.14 (the expectations are what it answered) and with a naive model."""

from __future__ import annotations

import contextlib
import fnmatch
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshexec.errors import PatternError
from sshexec.inventory.model import Inventory
from sshexec.inventory.patterns import split_pattern
from tests.inventory.conftest import Write

HOSTS = """
lone
[web]
web01
web02
web03
web04
[db]
db1
db2.example.com
web03
[prod:children]
web
db
[east]
web01
db1
10.0.0.1
2001:db8::1
[web2]
x1
[empty]
[same]
same
other
"""
WEB = ["web01", "web02", "web03", "web04"]
DB = ["db1", "db2.example.com", "web03"]
PROD = [*WEB, "db1", "db2.example.com"]
EVERY = ["lone", "10.0.0.1", "2001:db8::1", "x1", "same", "other", *PROD]
EAST = ["web01", "db1", "10.0.0.1", "2001:db8::1"]


@pytest.fixture
def inventory(write: Write) -> Inventory:
    return Inventory.load(write("hosts", HOSTS))


def names(inventory: Inventory, pattern: str) -> list[str]:
    return [host.name for host in inventory.select(pattern)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("web", WEB),
        ("web:db", PROD),
        ("web,db", PROD),
        ("web db", PROD),
        ("db:web", [*DB, "web01", "web02", "web04"]),
        ("web:&east", ["web01"]),
        ("&east:web", ["web01"]),
        ("web:!east", ["web02", "web03", "web04"]),
        ("!east:web", ["web02", "web03", "web04"]),
        ("db:&web", ["web03"]),
        ("prod:!db", ["web01", "web02", "web04"]),
        ("prod:&east:!web01", ["db1"]),
        ("web[0]", ["web01"]),
        ("web[-1]", ["web04"]),
        ("web[0:1]", ["web01", "web02"]),
        ("web[1:]", ["web02", "web03", "web04"]),
        ("web[1-2]", ["web02", "web03"]),
        ("web[0:0]", ["web01"]),
        ("web[2:9]", ["web03", "web04"]),
        ("web[0:1]:&east", ["web01"]),
        ("web:!web[0]", ["web02", "web03", "web04"]),
        ("db[0],web[1]", ["db1", "web02"]),
        ("prod[1:2]", ["web02", "web03"]),
        ("~web0[12]", ["web01", "web02"]),
        ("~db", DB),
        ("~.*[0]1", ["web01", "2001:db8::1"]),
        ("web0*", WEB),
        ("web0?", WEB),
        ("web*", [*WEB, "x1"]),
        ("*.example.com", ["db2.example.com"]),
        ("x?", ["x1"]),
        ("e*", EAST),
        ("lone", ["lone"]),
        ("10.0.0.1", ["10.0.0.1"]),
        ("2001:db8::1", ["2001:db8::1"]),
        ("2001:db8::1,web01", ["2001:db8::1", "web01"]),
        ("east,!2001:db8::1", EAST[:3]),
        ("10.0.0.1:web01", ["10.0.0.1", "web01"]),
        ("web02,web01", ["web02", "web01"]),
        ("web01, db1 ,", ["web01", "db1"]),
        ("same", ["same"]),
        ("ungrouped", ["lone"]),
        ("empty:web", WEB),
        ("localhost", ["localhost"]),
        ("localhost:web01", ["localhost", "web01"]),
    ],
)
def test_a_pattern_means_what_it_means_to_ansible(inventory: Inventory, pattern: str, expected: list[str]) -> None:
    assert names(inventory, pattern) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("all", EVERY),
        ("*", EVERY),
        ("&east", [name for name in EVERY if name in EAST]),
        ("!web", [name for name in EVERY if name not in WEB]),
        ("all:!empty", EVERY),
        ("all:!~web.*", [name for name in EVERY if name not in [*WEB, "x1"]]),
    ],
)
def test_a_pattern_without_a_plain_part_begins_with_all(
    inventory: Inventory, pattern: str, expected: list[str]
) -> None:
    assert sorted(names(inventory, pattern)) == sorted(expected)
    assert names(inventory, pattern) == [name for name in names(inventory, "all") if name in expected]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "is empty"),
        (" , ", "is empty"),
        ("wbe", "no host or group matches 'wbe'; did you mean 'web'"),
        ("web:nomatch", "no host or group matches 'nomatch'"),
        ("web1", "no host or group matches 'web1'; did you mean 'web01'"),
        ("wbe[1:2]", r"no host or group matches 'wbe' (of 'wbe[1:2]'); did you mean 'web'"),
        ("all:!pord", "no host or group matches 'pord'; did you mean 'prod'"),
        ("all:&nix*", "no host or group matches 'nix*'"),
        ("web:&ungrouped", "matches nothing: no host is left"),
        ("empty", "matches nothing"),
        ("web[4]", "'web' has 4 host(s)"),
        ("web[-5]", "'web' has 4 host(s)"),
        ("web[7:9]", "'web' has 4 host(s)"),
        (f"web[{'9' * 18}]", "'web' has 4 host(s)"),
        (f"web[{'9' * 5000}]", "no host or group matches"),
        (f"web[0:{'9' * 5000}]", "no host or group matches"),
        ("~" + "(" * 10_000 + ")" * 10_000, "is no regular expression"),
        ("[" * 10_000, "without its other half"),
        ("!" * 10_000, "nothing behind it"),
        ("~(", "is no regular expression"),
        ("~[[]", "no host or group matches '~[[]'"),
        ("web:!", "nothing behind it"),
        ("&", "nothing behind it"),
        ("web:!&db", "nothing behind it"),
        ("@", "there is no such file"),
        ("@missing", "@missing: there is no such file"),
        ("web[1", "'[' or ']' without its other half"),
        ("web]:db", "'[' or ']' without its other half"),
        ("web[1-3,5]", "no host or group matches"),
        ("~", "no regular expression behind it"),
        ("web:!~", "no regular expression behind it"),
        ("all:!2001:db8::1", "an IPv6 address among other parts needs commas"),
        ("web:&2001:db8::1:db", "an IPv6 address among other parts needs commas"),
        ("web:2001:db8::1", "an IPv6 address among other parts needs commas"),
        ("2001:db8::1:web", "an IPv6 address among other parts needs commas"),
        ("web:80", "no host or group matches 'web:80'"),
    ],
)
def test_a_wrong_pattern_is_refused_with_its_part(inventory: Inventory, pattern: str, reason: str) -> None:
    with pytest.raises(PatternError) as caught:
        inventory.select(pattern)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_holds_patterns_one_a_line(inventory: Inventory, write: Write) -> None:
    write("failed", "# yesterday\nweb02\n\n  web04\n")
    write("not", "web\n!web04\n")
    write("nested", "@failed\n")
    write("blank", "\n# nothing\n")
    assert names(inventory, "@failed") == ["web02", "web04"]
    assert names(inventory, "web:!@failed") == ["web01", "web03"]
    assert names(inventory, "web:&@failed") == ["web02", "web04"]
    assert names(inventory, "@not") == ["web01", "web02", "web03"]
    for name in ("nested", "blank"):
        with pytest.raises(PatternError, match=f"^@{name}: "):
            inventory.select(f"@{name}")


def test_localhost_that_no_source_names_is_this_machine(inventory: Inventory) -> None:
    (host,) = inventory.select("127.0.0.1")
    assert host.implicit
    variables = inventory.variables(host)
    assert variables["ansible_connection"] == "local"
    assert variables["group_names"] == []
    assert "127.0.0.1" not in inventory.hosts
    assert names(inventory, "localhost:127.0.0.1") == ["localhost", "127.0.0.1"]
    assert "127.0.0.1" not in names(inventory, "all")


def test_localhost_of_a_source_answers_for_every_name_of_it() -> None:
    inventory = Inventory.load("127.0.0.1,web1")
    (host,) = inventory.select("localhost")
    assert host is inventory.hosts["127.0.0.1"]
    assert not host.implicit


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a:b:!c:&d", ["a", "b", "!c", "&d"]),
        ("a,b:c", ["a", "b:c"]),
        ("web[0:2]:db", ["web[0:2]", "db"]),
        ("web[0:2]", ["web[0:2]"]),
        ("www[01:20].example.com", ["www[01:20].example.com"]),
        ("fe80::1", ["fe80::1"]),
        ("fe80::1,::1", ["fe80::1", "::1"]),
        ("[fe80::1]:22", ["[fe80::1]:22"]),
        ("2001:db8::[0:9]", ["2001:db8::[0:9]"]),
        ("~a.*:b", ["~a.*", "b"]),
    ],
)
def test_colons_of_addresses_and_ranges_split_nothing(text: str, parts: list[str]) -> None:
    assert split_pattern(text) == parts


_GROUPS = {"a": ["h1", "h2", "h3"], "b": ["h2", "h4"], "c": ["h5"], "ab": ["h1", "h5"]}
_INVENTORY = Inventory.from_hosts([f"h{n}" for n in range(1, 7)], groups=_GROUPS)
_part = st.sampled_from([*_GROUPS, "all", "h1", "h4", "h6", "a*", "h[12]x", "h?", "*b"])


def _meaning(part: str) -> set[str]:
    hosts = set(_INVENTORY.hosts)
    groups = {**_GROUPS, "all": hosts, "ungrouped": {"h6"}}
    matching = [name for name in groups if fnmatch.fnmatchcase(name, part)]
    return {host for name in matching for host in groups[name]} | {
        host for host in hosts if fnmatch.fnmatchcase(host, part)
    }


@given(st.lists(st.tuples(st.sampled_from(["", "&", "!"]), _part), min_size=1, max_size=5), st.sampled_from(":,"))
def test_parts_are_joined_then_cut_down_then_taken_away(parts: list[tuple[str, str]], separator: str) -> None:
    plain = [_meaning(part) for sign, part in parts if not sign] or [set(_INVENTORY.hosts)]
    expected = set().union(*plain)
    for sign, part in parts:
        if sign == "&":
            expected &= _meaning(part)
    for sign, part in parts:
        if sign == "!":
            expected -= _meaning(part)
    if not all(_meaning(part) for _, part in parts):
        expected = set()
    pattern = separator.join(sign + part for sign, part in parts)
    try:
        found = [host.name for host in _INVENTORY.select(pattern)]
    except PatternError:
        found = []
    assert set(found) == expected
    assert len(found) == len(set(found))


@given(st.text(alphabet="ab[]:,!&~*?@(-01h", max_size=10))
def test_any_pattern_selects_hosts_or_is_refused(pattern: str) -> None:
    with contextlib.suppress(PatternError):
        assert _INVENTORY.select(pattern)


def test_a_pattern_needs_no_file_of_its_own(tmp_path: Path) -> None:
    assert names(Inventory.load("b,a"), "all") == ["b", "a"]
