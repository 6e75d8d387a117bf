"""Inventories as files: what is read back is what was written, in content, types and order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sshexec import Inventory, Secret
from sshexec.credentials.vault import VaultPasswords, VaultSecret
from sshexec.errors import InventoryError
from sshexec.inventory.draft import PRIORITY
from sshexec.inventory.writing.content import content
from sshexec.inventory.writing.ini import to_ini
from sshexec.inventory.writing.outline import LOST_ORDER
from sshexec.inventory.writing.yaml import to_yaml
from tests.inventory.conftest import Write
from tests.oracle.inventories import inventories, written

SEARCH = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
WRITERS = {"yml": to_yaml, "ini": to_ini}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    top = tmp_path_factory.mktemp("written")
    return (top / str(number) for number in itertools.count())


def typed(value: Any) -> Any:
    """Return a value so that equal ones of another type differ, and NaN is itself."""
    if isinstance(value, dict):
        return {(type(key).__name__, str(key)): typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return type(value).__name__, repr(value)


def facts(inventory: Inventory) -> dict[str, Any]:
    """Return what an inventory holds, but for where it came from."""
    origin = {"inventory_dir", "inventory_file"}
    return {
        "variables": {
            name: typed({k: v for k, v in inventory.variables(name).items() if k not in origin})
            for name in sorted(inventory.hosts)
        },
        "groups": {
            name: (set(group.hosts), set(group.children), group.priority, group.depth)
            for name, group in inventory.groups.items()
        },
    }


def order(inventory: Inventory) -> tuple[Any, ...]:
    """Return in which order it holds that."""
    members = {name: (list(group.hosts), list(group.children)) for name, group in inventory.groups.items()}
    return list(inventory.hosts), list(inventory.groups), members, inventory.to_ansible().keys()


def back(folder: Path, inventory: Inventory, form: str) -> tuple[Inventory, list[str]]:
    """Write an inventory and read it again."""
    text, warnings = WRITERS[form](inventory, content(inventory))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"hosts.{form}").write_text(text, encoding="utf-8")
    return Inventory.load(folder / f"hosts.{form}"), warnings


@settings(SEARCH, max_examples=60)
@given(files=inventories())
def test_files_are_read_back_to_the_same(folders: Iterator[Path], files: dict[str, str]) -> None:
    try:
        inventory = Inventory.load(written(next(folders), files))
        before = facts(inventory)
    except InventoryError:
        return
    for form in WRITERS:
        again, warnings = back(next(folders), inventory, form)
        assert facts(again) == before
        if not warnings:
            assert order(again) == order(inventory)
        else:
            # Hosts in ``all`` that other sources name between others: a file has one place for them.
            assert warnings == [LOST_ORDER]
            assert len(files) > 1


TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.text("ab \n\t#:'\"\\-|>&*!%@`{}[],=?~<>\r\x85\u2028\ufeff\0", max_size=10),
    st.sampled_from(
        ["yes", "NO", "y", "null", "~", "1", "1.0", "1e3", "0x1", "1_0", "1:30", "2020-01-01", "=", "<<", "---"]
    ),
    st.sampled_from(
        ["True", "None", "{{ 1 }}", "{1, 2}", "b'x'", "1j", "...", "[1, 2", "a\nb\n", "a\n\n", " a\nb", "-1e999"]
    ),
)
NUMBERS = st.one_of(st.integers(), st.integers(10**30, 10**31), st.floats(allow_nan=False))


def values(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.one_of(TEXTS, st.integers(-9, 9), st.just(1.5), st.booleans(), st.none())
    return st.recursive(
        scalars,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
        max_leaves=6,
    )


SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
NAMES = st.text("ab_ -.é1", min_size=1, max_size=6).map(lambda name: f"v{name}v")
VARIABLES = st.dictionaries(NAMES, values(SCALARS), max_size=4)


@settings(SEARCH, max_examples=80)
@given(own=VARIABLES, group=VARIABLES)
@example(own={"v": "a" * 1200, "k" * 1100: {"x" * 1100: [{"y" * 1100: 1}]}}, group={"v": [[[]], [{}], [[1]]]})
@example(own={"v": "line\n  indented\n\nlast # no comment"}, group={"v": ["a\nb\n", {"k": "c\nd"}], "w": math.inf})
@pytest.mark.parametrize("form", WRITERS)
def test_values_keep_their_type(folders: Iterator[Path], form: str, own: dict[str, Any], group: dict[str, Any]) -> None:
    inventory = Inventory.from_hosts(["h1", "h2"], {"g": {"hosts": ["h1"], "vars": group}})
    inventory.hosts["h1"].vars.update(own)
    again, _ = back(next(folders), inventory, form)
    assert typed(again.hosts["h1"].vars) == typed(own)
    assert typed(again.groups["g"].vars) == typed(group)
    assert list(again.hosts["h1"].vars) == list(own)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e16, 1e-7, -0.0, 5e-324])
def test_floats(tmp_path: Path, number: float) -> None:
    inventory = Inventory.from_hosts(["h1"], {"all": {"vars": {"v": number, "w": [number]}}})
    again, _ = back(tmp_path, inventory, "yml")
    assert typed(again.groups["all"].vars) == typed({"v": number, "w": [number]})
    if math.isnan(number):
        with pytest.raises(InventoryError, match="group all: 'v' can't be written as INI: it has no such number; YAML"):
            to_ini(inventory, content(inventory))
    else:
        again, _ = back(tmp_path, inventory, "ini")
        assert typed(again.groups["all"].vars) == typed({"v": number, "w": [number]})


READABLE = """\
all:
  vars:
    ntp: 10.0.0.1
  children:
    web:
      vars:
        motd: |
          Mind the
            gap.
        ansible_group_priority: 5
      hosts:
        web1:
          ansible_port: 2222
          tags: []
          checks:
            - path: /health
              every: 30
            - - nested
              - "08"
        web2:
    db:
      hosts:
        web2:
        db1:
          note: "yes"
"""


def test_yaml_reads_like_written_by_hand(write: Write) -> None:
    path = write("hosts.yml", READABLE)
    inventory = Inventory.load(path)
    assert to_yaml(inventory, content(inventory)) == (READABLE, [])


def test_ini_reads_like_written_by_hand(write: Write) -> None:
    text = (
        "lone\n\n[web]\nweb1 ansible_port=2222 note=\"'8'\" words='\"two words\"'\nweb2\n\n[prod]\n\n"
        "[prod:children]\nweb\n\n[all:vars]\nntp=10.0.0.1\nitems=['a', 1]\nwords=two words\n"
    )
    inventory = Inventory.load(write("hosts.ini", text))
    written_text, warnings = to_ini(inventory, content(inventory))
    assert warnings == []
    assert written_text == text.replace("words='\"two words\"'", "'words=two words'")


def test_group_vars_keep_what_they_win(write: Write) -> None:
    write("hosts.yml", "top: {children: {low: {hosts: {h1: , h2: }, vars: {v: low, w: low}}}}\nside: {hosts: {h2: }}\n")
    write("group_vars/top.yml", "v: file of top\n")
    write("group_vars/side.yml", f"w: file of side\nx: [1]\n{PRIORITY}: 7\n")
    write("group_vars/all.yml", "y: file of all\n")
    write("host_vars/h1.yml", "w: file of h1\n")
    inventory = Inventory.load("hosts.yml")
    before = facts(inventory)
    assert inventory.variables("h1")["v"] == "file of top"
    for form in WRITERS:
        again, warnings = back(Path(form), inventory, form)
        assert (facts(again), warnings) == (before, [])
        # As few as possible stand with the hosts: what the file of ``side`` wins over a deeper group, its priority.
        assert set(again.hosts["h2"].vars) == {"w", PRIORITY}
        assert again.groups["low"].vars == {"w": "low"}
        assert again.groups["all"].vars == {"y": "file of all"}


def test_a_chain_of_groups_too_long_to_be_nested(folders: Iterator[Path]) -> None:
    groups: dict[str, Any] = {f"g{n}": {"children": [f"g{n + 1}"], "vars": {"v": n}} for n in range(150)}
    inventory = Inventory.from_hosts(["h1"], groups | {"g150": ["h1"]})
    for form in WRITERS:
        again, warnings = back(next(folders), inventory, form)
        assert (facts(again), order(again), warnings) == (facts(inventory), order(inventory), [])


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("name", ["web[1:3]", "web:22", "[fe80::1]:22", "a[b"])
def test_a_host_name_that_a_file_reads_otherwise_is_refused(form: str, name: str) -> None:
    inventory = Inventory.from_hosts([name])
    with pytest.raises(InventoryError, match="can't be written: in a file it means a range of names, or a port"):
        WRITERS[form](inventory, content(inventory))


@pytest.mark.parametrize(
    ("hosts", "groups", "named"),
    [
        (["#h"], {}, "'#h'"),
        (["h1"], {"two words": ["h1"]}, "'two words'"),
        (["h1"], {"g:vars": ["h1"]}, "'g:vars'"),
        (["h1"], {"g": {"vars": {"a=b": 1}}}, "group g: the variable name 'a=b'"),
        (["h1"], {"g": {"vars": {"#v": 1}}}, "group g: the variable name '#v'"),
        (["h1"], {"g": {"vars": {"[v": 1}}}, r"group g: the variable name '\[v'"),
    ],
)
def test_ini_names_what_it_cannot_hold(
    folders: Iterator[Path], hosts: list[str], groups: dict[str, Any], named: str
) -> None:
    inventory = Inventory.from_hosts(hosts, groups)
    with pytest.raises(InventoryError, match=f"{named} can't be written as INI; YAML holds it"):
        to_ini(inventory, content(inventory))
    again, _ = back(next(folders), inventory, "yml")
    assert facts(again) == facts(inventory)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("half \ud800", "'v' can't be written: it holds a lone surrogate"),
        (object(), "v is of type object, which no file holds"),
        ({"k": {1, 2}}, "v.k is of type set"),
        ({(1, 2): 3}, "v has a key of type tuple"),
    ],
)
def test_yaml_names_what_it_cannot_hold(value: Any, reason: str) -> None:
    inventory = Inventory.from_hosts(["h1"])
    inventory.hosts["h1"].vars["v"] = value
    with pytest.raises(InventoryError, match=f"host h1: {reason}"):
        to_yaml(inventory, content(inventory))


def test_values_as_deep_as_a_file_may_have_them(folders: Iterator[Path]) -> None:
    deep: Any = "bottom"
    for _ in range(96):
        deep = [deep]
    inventory = Inventory.from_hosts(["h1"], {"g": {"hosts": ["h1"], "vars": {"v": deep}}})
    again, _ = back(next(folders), inventory, "yml")
    assert again.groups["g"].vars == {"v": deep}
    inventory.groups["g"].vars["v"] = [deep]
    with pytest.raises(InventoryError, match="group g: 'v' can't be written: it is nested too deeply"):
        to_yaml(inventory, content(inventory))


VAULT = VaultPasswords("open sesame")


def with_secrets() -> Inventory:
    inventory = Inventory.from_hosts(["h1", "h2"], {"all": {"vars": {"ansible_password": "canary one"}}})
    inventory.hosts["h1"].vars.update(
        api={"url": "https://x", "token": "canary two", "pin_secret": 4711, "no_password": None},
        nested=[Secret("canary three"), "shown"],
        vaulted=VaultSecret(VAULT.encrypt("canary four"), VAULT),
        ansible_become_password="{{ ansible_password }}",
    )
    return inventory


def test_secrets_are_never_written_as_plain_text() -> None:
    with pytest.raises(InventoryError) as caught:
        content(with_secrets())
    assert "group all: ansible_password is a secret" in str(caught.value)
    assert "--vault-password-file" in str(caught.value)
    assert "--without-secrets" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_secrets_are_encrypted(tmp_path: Path) -> None:
    inventory = with_secrets()
    ciphertext = inventory.hosts["h1"].vars["vaulted"].ciphertext
    text, _ = to_yaml(inventory, content(inventory, encrypt=VAULT.encrypt))
    assert "canary" not in text
    assert "4711" not in text
    lines = [line.strip() for line in text.splitlines()]
    assert [line for line in ciphertext.splitlines() if line not in lines] == []
    assert text.count("!vault |\n") == 5
    with pytest.raises(InventoryError, match="INI has no encrypted values"):
        to_ini(inventory, content(inventory, encrypt=VAULT.encrypt))
    (tmp_path / "hosts.yml").write_text(text)
    again = Inventory.load(tmp_path / "hosts.yml", vault=VAULT)
    own = again.hosts["h1"].vars
    assert again.groups["all"].vars["ansible_password"].reveal() == "canary one"
    assert own["api"]["token"].reveal() == "canary two"
    assert (own["api"]["pin_secret"].reveal(), own["api"]["no_password"]) == ("4711", None)
    assert (own["nested"][0].reveal(), own["nested"][1]) == ("canary three", "shown")
    assert own["vaulted"] == inventory.hosts["h1"].vars["vaulted"]
    assert own["ansible_become_password"] == "{{ ansible_password }}"


def test_secrets_may_be_left_out() -> None:
    inventory = with_secrets()
    held = content(inventory, without_secrets=True)
    assert held.left_out == [
        "group all: ansible_password",
        "host h1: api.token",
        "host h1: api.pin_secret",
        "host h1: nested[0]",
        "host h1: vaulted",
    ]
    assert held.groups["all"] == {}
    assert held.hosts["h1"] == {
        "api": {"url": "https://x", "no_password": None},
        "nested": ["shown"],
        "ansible_become_password": "{{ ansible_password }}",
    }
    for writer in WRITERS.values():
        assert "canary" not in writer(inventory, held)[0]


def test_what_ansible_and_sshexec_hold_equal_values_of_is_encrypted_once() -> None:
    asked = []

    def encrypt(text: str) -> str:
        asked.append(text)
        return VAULT.encrypt(text)

    inventory = Inventory.from_hosts(["h1", "h2"])
    for host in inventory.hosts.values():
        host.vars["ansible_password"] = "one for all"
    content(inventory, encrypt=encrypt)
    assert asked == ["one for all"]
