"""`sshexec hosts`: lists, trees, JSON, and where variables come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import sshexec

INVENTORY = """\
all:
  vars:
    ansible_password: hunter2
  children:
    web:
      hosts:
        web[1:2]:
      vars:
        role: front
    db:
      hosts:
        db1:
          ansible_port: 2222
"""


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    path = tmp_path / "hosts.yml"
    path.write_text(INVENTORY)
    return path


@pytest.mark.parametrize(
    ("args", "names"),
    [
        ((), ["web1", "web2", "db1"]),
        (("web",), ["web1", "web2"]),
        (("all:!web1", "-l", "web*"), ["web2"]),
    ],
)
def test_one_name_a_line(hosts: Path, args: tuple[str, ...], names: list[str]) -> None:
    done = sshexec("hosts", *args, "-i", hosts)
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, names, "")


def test_graph(hosts: Path) -> None:
    expected = "@all:\n  |--@ungrouped:\n  |--@web:\n  |  |--web1\n  |  |--web2\n  |--@db:\n  |  |--db1\n"
    assert sshexec("hosts", "-i", hosts, "--graph").stdout == expected
    assert sshexec("hosts", "db", "-i", hosts, "--graph").stdout == "@all:\n  |--@db:\n  |  |--db1\n"


def test_list_is_ansible_inventory_s_json(hosts: Path) -> None:
    listing = json.loads(sshexec("hosts", "-i", hosts, "--list").stdout)
    assert listing["web"] == {"hosts": ["web1", "web2"]}
    assert listing["_meta"]["hostvars"]["db1"] == {"ansible_password": "********", "ansible_port": 2222}


def test_variables_of_one_host(hosts: Path) -> None:
    variables = json.loads(sshexec("hosts", "-i", hosts, "--host", "web1").stdout)
    assert variables["role"] == "front"
    assert variables["ansible_password"] == "********"


def test_variables_and_where_each_was_set(hosts: Path) -> None:
    done = sshexec("hosts", "db1", "-i", hosts, "--vars")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["db1"]
    assert ["ansible_port", "=", "2222", "#", f"{hosts}:13"] in lines
    assert ["ansible_password", "=", '"********"', "#", f"{hosts}:3"] in lines
    assert "hunter2" not in done.stdout


def test_views_exclude_each_other(hosts: Path) -> None:
    done = sshexec("hosts", "-i", hosts, "--graph", "--list")
    assert done.returncode == 5
    assert "--graph and --list exclude each other" in done.stderr


def test_limit_that_leaves_nothing(hosts: Path) -> None:
    done = sshexec("hosts", "web", "-i", hosts, "-l", "db")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == "sshexec: error: no host of 'web' is within the limit 'db'\n"


def test_warnings_go_to_stderr(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text("web:\n  hosts: {web1: }\n  hsots: {web2: }\n")
    done = sshexec("hosts", "-i", path)
    assert done.stdout == "web1\n"
    assert done.stderr.startswith("sshexec: warning: ")
    assert "'hsots'" in done.stderr


@pytest.mark.parametrize("view", [["--list"], ["--host", "web1"]])
def test_views_without_a_pattern_refuse_one(view: list[str]) -> None:
    done = sshexec("hosts", "web1", "-i", "web1,web2", *view)
    assert done.returncode == 5
    assert done.stdout == ""
    assert f"{view[0]} takes no pattern" in done.stderr
