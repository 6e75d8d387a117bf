"""YAML inventories; the expectations are what ansible-core 2.19.14 made of the same texts."""

from __future__ import annotations

import pytest

from sshexec.errors import InventoryError
from sshexec.inventory.model import Inventory
from tests.inventory.conftest import Write


def test_a_tree_of_groups(write: Write) -> None:
    path = write(
        "hosts.yml",
        """
        all:
          hosts:
            h1: {a: 1}
            h2:
          vars: {x: 1, t: yes, f: 1.5, n: ~, d: 2024-01-02, s: '08', o: 010, h: 0x1f, sx: 1:30}
          children:
            web:
              hosts:
                w[1:3]: {p: 1}
                w2: {p: 2}
              children:
                sub:
                  hosts: {h1: {a: 2}}
                  vars: {x: 2}
            db:
              hosts: lonely
        """,
    )
    inventory = Inventory.load(path)
    every = {"x": 1, "t": True, "f": 1.5, "n": None, "d": "2024-01-02", "s": "08", "o": 8, "h": 31, "sx": 90}
    assert inventory.to_ansible() == {
        "_meta": {
            "hostvars": {
                "h1": {**every, "x": 2, "a": 2},
                "h2": every,
                "w1": {**every, "p": 1},
                "w2": {**every, "p": 2},
                "w3": {**every, "p": 1},
                "lonely": every,
            }
        },
        "all": {"children": ["ungrouped", "web", "db"]},
        "ungrouped": {"hosts": ["h2"]},
        "web": {"hosts": ["w1", "w2", "w3"], "children": ["sub"]},
        "sub": {"hosts": ["h1"]},
        "db": {"hosts": ["lonely"]},
    }


def test_groups_at_the_top_need_no_all(write: Write) -> None:
    path = write(
        "hosts.yml",
        """
        web:
          hosts:
            a:
            b:2222:
            '[::1]:22':
        db:
          children:
            web:
          vars:
            v: db
        empty:
        """,
    )
    inventory = Inventory.load(path)
    assert [host.name for host in inventory.select("db")] == ["a", "b", "::1"]
    assert inventory.to_ansible()["_meta"]["hostvars"] == {
        "a": {"v": "db"},
        "b": {"v": "db", "ansible_port": 2222},
        "::1": {"v": "db", "ansible_port": 22},
    }
    assert inventory.groups["empty"].depth == 1


def test_merge_keys_and_unsafe_texts(write: Write) -> None:
    path = write(
        "hosts.yml",
        """
        all:
          vars:
            base: &b {a: 1, b: 2}
            m: {<<: *b, b: 3}
            l: {<<: [{a: 5}, *b]}
          hosts:
            h:
              <<: *b
              c: !unsafe '{{ x }}'
        """,
    )
    variables = Inventory.load(path).variables("h")
    assert variables["m"] == {"a": 1, "b": 3}
    assert variables["l"] == {"a": 5, "b": 2}
    assert (variables["a"], variables["b"], variables["c"]) == (1, 2, "{{ x }}")


def test_what_no_group_may_hold_is_left_out_with_a_warning(write: Write) -> None:
    inventory = Inventory.load(write("hosts.yml", "web:\n  hosts: {a: }\n  host: {b: }\n"))
    assert list(inventory.hosts) == ["a"]
    assert inventory.warnings == [
        "hosts.yml:3: unknown key 'host' in group 'web' is left out; it may hold vars, children, hosts"
    ]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("- a\n- b\n", None, "must hold a mapping of groups, not a list"),
        ("just text\n", None, "must hold a mapping of groups, not a text"),
        ("---\n", None, "must hold a mapping of groups, not nothing"),
        ("plugin: aws_ec2\n", 1, "configures an Ansible inventory plugin"),
        ("web:\n  - a\n", 1, "group 'web' must be a mapping, not a list"),
        ("web: 5\n", 1, "group 'web' must be a mapping, not a number"),
        ("web:\n  hosts:\n    - a\n", 2, "'hosts' of group 'web' must be a mapping, not a list; write each entry"),
        ("web:\n  children: 5\n", 2, "'children' of group 'web' must be a mapping"),
        ("web:\n  hosts:\n    a: 5\n", 3, "host 'a' must be a mapping, not a number"),
        ("web:\n  hosts:\n    10: {}\n", 3, "the host name 10 in group 'web' is not text"),
        ("10: {}\n", 1, "the group name 10 is not text"),
        ("web:\n  vars:\n    a: 1\n    8080: x\n", 4, "the variable name 8080 of group 'web' is not text"),
        ("web:\n  hosts:\n    a: {}\n    w[3:1]: {}\n", 4, "counts backwards"),
        ("web:\n  hosts:\n    a:99999: {}\n", 3, "not between 1 and 65535"),
        ("web:\n  hosts:\n    '': {}\n", 3, "a host has an empty name"),
        ("a:\n  children:\n    b:\n      children:\n        a:\n", 5, "makes a circle: 'a' is above 'b'"),
        ("a:\n  children:\n    all:\n", 3, "'all' can't be a child of 'a'"),
        ("a:\n  vars:\n    ansible_group_priority: [1]\n", 3, "must be a whole number, not [1]"),
    ],
)
def test_a_wrong_shape_is_named_with_its_line(write: Write, text: str, line: int | None, reason: str) -> None:
    with pytest.raises(InventoryError) as caught:
        Inventory.load(write("hosts.yml", text))
    where = f"hosts.yml:{line}: " if line else "hosts.yml: "
    assert str(caught.value).startswith(where)
    assert reason in caught.value.message
    assert "\n" not in str(caught.value)
