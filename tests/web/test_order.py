"""What a page may ask: hosts that its user may see, modules that stay off the server, plain values."""

from __future__ import annotations

import json

import pytest

from sshexec import Host, Inventory
from sshexec.errors import ArgumentError, InputError, PatternError
from sshexec.web.catalogue import Catalogue
from sshexec.web.choice import choose
from sshexec.web.order import Order

ORDER = {"pattern": "web", "module": "shell"}
INVENTORY = Inventory.from_hosts(
    [Host(name) for name in ("web1", "web2", "db1", "secretdb")], {"web": ["web1", "web2"], "db": ["db1", "secretdb"]}
)


def test_an_order_is_read():
    order = Order.read(
        {**ORDER, "args": {"_raw_params": "id"}, "check": True, "serial": "20%", "timeout": 5, "reason": None}
    )
    assert order == Order("web", "shell", {"_raw_params": "id"}, check=True, serial="20%", timeout=5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pattern": None},
        {"pattern": 7},
        {"pattern": ["web1"]},
        {"pattern": " "},
        {"pattern": "a\nb"},
        {"pattern": "a" * 5000},
        {"module": None},
        {"module": {"name": "shell"}},
        {"args": ["id"]},
        {"args": "x" * 70_000},
        {"args": 5},
        {"args": {"a": json.loads("[" * 150 + "]" * 150)}},
        {"check": "yes"},
        {"become": 1},
        {"become_user": "root\n"},
        {"timeout": True},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": "5"},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"serial": True},
        {"serial": [1]},
        {"serial": "9" * 50},
        {"spill": "/etc"},
        {"output_dir": "/etc"},
        {"variables": {"ansible_host": "evil"}},
        {"environment": {"LD_PRELOAD": "x"}},
        {"limit": "@/etc/passwd"},
        {"actor": "somebody"},
        {"__proto__": 1},
    ],
)
def test_anything_else_is_refused_and_not_quoted_at_length(wrong):
    with pytest.raises(ArgumentError) as refused:
        Order.read({**ORDER, **wrong})
    assert len(str(refused.value)) < 300


def test_arguments_stay_out_of_an_orders_repr():
    assert "hunter2" not in repr(Order.read({**ORDER, "args": "mysql --password=hunter2"}))


# ------------------------------------------------------------------ hosts


def anything(host: str) -> bool:
    return True


def hosts(pattern: str, sees=anything, runs=anything) -> tuple[tuple[str, ...], tuple[str, ...]]:
    choice = choose(INVENTORY, pattern, sees, runs)
    return choice.hosts, choice.locked


def test_a_pattern_means_what_it_means_elsewhere():
    assert hosts("web:db:!secretdb") == (("web1", "web2", "db1"), ())
    assert hosts("all", runs=lambda host: host.startswith("web")) == (("web1", "web2"), ("db1", "secretdb"))


@pytest.mark.parametrize("pattern", ["@/etc/passwd", "web:@/etc/shadow", "&@x", "!@x", "~(a+)+$", "web:!~x", "&~x"])
def test_patterns_that_read_files_or_take_for_ever_are_refused(pattern):
    with pytest.raises(PatternError, match="not taken here"):
        hosts(pattern)


def test_a_pattern_has_only_so_many_globs():
    assert hosts(",".join(["web*"] * 50))[0] == ("web1", "web2")
    assert hosts(",".join(["web1", "db1"] * 400))[0] == ("web1", "db1")
    for pattern in (",".join(["web*"] * 51), "all" + ":&all" * 50, "all" + ":!db" * 50, "web1:" * 1000):
        with pytest.raises(PatternError, match=r"more than 50|longer than"):
            hosts(pattern)


@pytest.mark.parametrize("pattern", ["localhost", "127.0.0.1", "::1", "10.0.0.1", "evil.example", "", ":", "web[0"])
def test_only_hosts_of_the_inventory_are_hosts(pattern):
    with pytest.raises(PatternError):
        hosts(pattern)


@pytest.mark.parametrize(
    "pattern", ["secretdb", "secretd", "secret*", "db:!db1", "all:&secretdb", "secretdb[5]", "db[7]", "secretdx"]
)
def test_a_host_that_one_may_not_see_is_not_there(pattern):
    with pytest.raises(PatternError) as refused:
        hosts(pattern, sees=lambda host: host != "secretdb")
    assert refused.value.message == f"the host pattern {pattern!r} matches nothing"


@pytest.mark.parametrize("other", ["secretdb", "secret*", "secrets", "&secrets", "nosuch", "localhost", "127.0.0.1"])
@pytest.mark.parametrize("pattern", ["web:!{}", "web,{}", "{},web"])
def test_a_pattern_with_a_part_that_one_may_not_see_is_as_one_that_means_nothing(pattern, other):
    inventory = Inventory.from_hosts(["web1", "secretdb"], {"web": ["web1"], "secrets": ["secretdb"]})
    asked = pattern.format(other)
    with pytest.raises(PatternError) as refused:
        choose(inventory, asked, lambda host: host != "secretdb", anything)
    assert refused.value.message == f"the host pattern {asked!r} matches nothing"


def test_a_group_without_hosts_may_be_left_out_by_who_sees_everything():
    inventory = Inventory.from_hosts(["web1", "db1"], {"web": ["web1"], "none": []})
    assert set(choose(inventory, "all:!none", anything, anything).hosts) == {"web1", "db1"}
    assert choose(inventory, "web1,localhost", anything, anything).hosts == ("web1",)
    with pytest.raises(PatternError, match="matches nothing"):
        choose(inventory, "all:!none", lambda host: host == "web1", anything)


def test_who_sees_all_is_told_what_was_meant():
    with pytest.raises(PatternError, match="did you mean 'secretdb'"):
        hosts("secretbd")


# ------------------------------------------------------------------ modules


@pytest.mark.parametrize(
    ("module", "args"),
    [
        ("fetch", {"src": "/tmp/x", "dest": "/root/.ssh/authorized_keys", "flat": True}),
        ("ansible.builtin.fetch", "src=/tmp/x dest=/tmp/y"),
        ("ansible.legacy.script", "/etc/shadow"),
        ("script", "/root/x"),
        ("copy", {"src": "/etc/shadow", "dest": "/tmp/x"}),
        ("copy", "src=/etc/shadow dest=/tmp/x"),
        ("ansible.builtin.copy", {"src": "/etc/shadow", "dest": "/tmp/x", "remote_src": "no"}),
        ("copy", {"src": "/etc/shadow", "dest": "/tmp/x", "remote_src": None}),
        ("win_copy", {"src": "/etc/shadow", "dest": "C:\\x"}),
        ("ansible.windows.win_copy", {"src": "/etc/shadow", "dest": "C:\\x"}),
        ("template", {"src": "/etc/shadow", "dest": "/tmp/x"}),
        ("ansible.builtin.service", "name=x"),
        ("community.general.ldap_entry", ""),
        ("no such module", ""),
        ("../etc", ""),
    ],
)
def test_modules_stay_off_the_servers_files(module, args):
    with pytest.raises(InputError):
        Catalogue().check(module, args)


def test_whether_a_file_is_there_is_not_told_either():
    texts = set()
    for path in ("/etc/passwd", "/no/such/file"):
        with pytest.raises(ArgumentError) as refused:
            Catalogue().check("copy", {"src": path, "dest": "/tmp/x"})
        texts.add(str(refused.value))
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("module", "args"),
    [
        ("copy", {"content": "hello", "dest": "/tmp/x"}),
        ("copy", {"src": "/tmp/a", "dest": "/tmp/x", "remote_src": True}),
        ("copy", "src=/tmp/a dest=/tmp/x remote_src=yes"),
        ("shell", "cat /etc/passwd"),
        ("ansible.builtin.ping", None),
    ],
)
def test_what_concerns_the_hosts_alone_may_be_asked(module, args):
    Catalogue().check(module, args)


@pytest.mark.parametrize(
    "args", ["echo {{ ansible_password }}", {"cmd": "{% if 1 %}x{% endif %}"}, {"argv": ["{{ x }}"]}]
)
def test_expressions_would_show_variables(args):
    with pytest.raises(ArgumentError, match="Jinja2"):
        Catalogue().check("shell", args)
    with pytest.raises(ArgumentError, match="Jinja2"):
        Catalogue().check("shell", "id", become_user="{{ x }}")
    Catalogue(templates=True).check("shell", args)


def test_an_expression_does_not_bring_a_source_in():
    catalogue = Catalogue(templates=True)
    for args in (
        "dest=/tmp/x {{ 'src=/etc/shadow' }}",
        {"src": "{{ x }}", "dest": "/x"},
        {"src": "a", "dest": "b", "remote_src": "{{ x }}"},
    ):
        with pytest.raises(ArgumentError):
            catalogue.check("copy", args)


def test_more_may_be_offered():
    assert {"fetch", "script"} <= set(Catalogue(local_files=True).names())
    Catalogue(local_files=True).check("copy", {"src": "/etc/passwd", "dest": "/tmp/x"})
    Catalogue(["ansible.builtin.service"]).check("ansible.builtin.service", "name=cron")


def test_each_module_is_described_with_its_arguments():
    described = {module["name"]: module for module in Catalogue().described()}
    assert list(described)[:3] == ["shell", "command", "ping"]
    assert {"fetch", "script"}.isdisjoint(described)
    assert (described["shell"]["hosts"], described["win_shell"]["hosts"], described["ping"]["hosts"]) == (
        *("posix", "windows"),
        "any",
    )
    path = next(each for each in described["file"]["parameters"] if each["name"] == "path")
    assert path["required"]
    assert path["aliases"] == ["dest", "name"]
    assert all(module["summary"] for module in described.values())
    json.dumps(described)
