"""Which kind of source a text or file is, and what is said of those that are none."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sshexec.errors import InventoryError
from sshexec.inventory import files
from sshexec.inventory.model import Host, Inventory
from tests.inventory.conftest import Write


def refused(source: object) -> str:
    with pytest.raises(InventoryError) as caught:
        Inventory.load(source)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "hosts"),
    [
        ("web1,", ["web1"]),
        ("web1,web2", ["web1", "web2"]),
        (" web1 , web2 ,", ["web1", "web2"]),
        ("web[1:3],db1", ["web1", "web2", "web3", "db1"]),
        ("10.0.0.1,2001:db8::1", ["10.0.0.1", "2001:db8::1"]),
        ("web1:2222,[::1]:22", ["web1", "::1"]),
        (["web1,", "db1,web1"], ["web1", "db1"]),
    ],
)
def test_a_list_of_hosts(source: str | list[str], hosts: list[str]) -> None:
    assert [host.name for host in Inventory.load(source).select("all")] == hosts


def test_a_list_may_give_ports() -> None:
    inventory = Inventory.load("web1:2222,web2")
    assert inventory.variables("web1")["ansible_port"] == 2222
    assert "ansible_port" not in inventory.variables("web2")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("hosts.yml", "web: {hosts: {h: {}}}\n"),
        ("hosts.yaml", "web:\n  hosts: h\n"),
        ("hosts.json", '{"web": {"hosts": {"h": {}}}}'),
        ("hosts.json", '{"web": {"hosts": ["h"]}, "_meta": {"hostvars": {"h": {}}}}'),
        ("hosts.ini", "[web]\nh\n"),
        ("hosts", "---\nweb:\n  hosts: {h: }\n"),
        ("hosts", "# c\nweb:\n  hosts: {h: }\n"),
        ("hosts", '"web" :\n  hosts: {h: }\n'),
        ("hosts", '{"web": {"hosts": {"h": {}}}}'),
        ("hosts", "[web]\nh\n"),
        ("hosts", "; c\n\n[web]\nh x='a: b'\n"),
        ("hosts.prod", "[web]\r\nh\r\n"),
        ("hosts", "\ufeff[web]\nh\n"),
        ("hosts,with,commas", "[web]\nh\n"),
    ],
)
def test_the_kind_of_a_file_shows_in_its_name_or_first_line(write: Write, name: str, text: str) -> None:
    inventory = Inventory.load(write(name, text))
    assert [host.name for host in inventory.select("web")] == ["h"]


def test_a_first_line_with_a_colon_in_a_value_is_ini(write: Write) -> None:
    assert Inventory.load(write("hosts", "h x='a: b'\n")).variables("h")["x"] == "a: b"


def test_a_data_file_with_the_executable_bit_is_read(write: Write) -> None:
    path = write("hosts", "[web]\nh\n")
    path.chmod(0o755)
    assert list(Inventory.load(path).hosts) == ["h"]


def test_a_directory_is_read_in_the_order_of_names(write: Write) -> None:
    write("inv/b.yml", "all: {hosts: {h: {x: b, y: b}}}\n")
    write("inv/a", "h x=a z=a\n")
    write("inv/sub/c.ini", "k\n")
    for ignored in (".hidden", "README.md", "old.bak", "hosts~", "ansible.cfg", "failed.retry", "group_vars/all.yml"):
        write(f"inv/{ignored}", "[broken\n" if "group_vars" not in ignored else "g: 1\n")
    write("inv/empty", "\n# nothing yet\n")
    inventory = Inventory.load("inv")
    assert list(inventory.hosts) == ["h", "k"]
    variables = inventory.variables("h")
    assert (variables["x"], variables["y"], variables["z"], variables["g"]) == ("b", "b", "a", 1)
    assert inventory.warnings == ["inv/empty: is empty"]
    assert inventory.variables("k")["inventory_file"] == str(Path("inv/sub/c.ini").absolute())


def test_later_sources_win(write: Write) -> None:
    write("a/hosts", "[web]\nh x=1 y=1\n")
    write("a/group_vars/web.yml", "g: a\n")
    write("b/hosts", "[web]\nh x=2\n[old:children]\nweb\n")
    write("b/group_vars/web.yml", "g: b\n")
    inventory = Inventory.load([Path("a/hosts"), "b/hosts", "k,"])
    variables = inventory.variables("h")
    assert (variables["x"], variables["y"], variables["g"]) == (2, 1, "b")
    assert variables["group_names"] == ["old", "web"]
    assert list(inventory.groups["ungrouped"].hosts) == ["k"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.yml", "missing.yml: there is no such file; a single host is written 'missing.yml,'"),
        ("", "'' is no inventory source"),
        ("a\0b", "is no inventory source"),
        ([], "no inventory source is given"),
        (",", "names no host"),
        ("web1 web2,", "'web1 web2' in the host list"),
        ("web1:99999,", "not between 1 and 65535"),
        ("web[3:1],", "counts backwards"),
        ("nope://x", "no inventory plugin is named 'nope'"),
        ("x" * 300, "there is no such file"),
    ],
)
def test_what_is_no_source(write: Write, source: object, message: str) -> None:
    assert message in refused(source)


def test_broken_files_answer_in_one_line(write: Write, tmp_path: Path) -> None:
    Path("link").symlink_to("nowhere")
    Path("loop").symlink_to("loop")
    Path("binary").write_bytes(b"MZ\0\0\x01")
    Path("wide").write_bytes("[web]\nh\n".encode("utf-16"))
    Path("latin").write_bytes("[web]\nh x=\xe9\n".encode("latin-1"))
    Path("void").mkdir()
    os.mkfifo("pipe")
    write("empty", "")
    write("comments.yml", "# nothing\n\n")
    write("hosts.toml", "[web]\n")
    write("script.py", "#!/usr/bin/env python3\nimport json\n")
    assert refused("link") == "link: is a broken link to 'nowhere'"
    assert refused("loop").startswith("loop: can't be read: ")
    assert refused("binary") == "binary: is a binary file"
    Path("cmdb.db").write_bytes(b"SQLite format 3\0\1")
    assert refused("cmdb.db") == "cmdb.db: is a database of SQLite; it is written sqlite:///cmdb.db"
    assert refused("wide") == "wide: is UTF-16 text; save it as UTF-8"
    assert refused("latin") == "latin:2: is not UTF-8 text (byte 0xe9); save it as UTF-8"
    assert refused("void") == "void: the directory holds no inventory source"
    assert refused("pipe") == "pipe: is not a regular file"
    assert refused("empty") == "empty: is empty: it names no host and no group"
    assert refused("comments.yml") == "comments.yml: is empty: it names no host and no group"
    assert refused("script.py").endswith("(a script? It is not executable)")
    assert "TOML" in refused("hosts.toml")


def test_an_unreadable_file_or_directory_is_named(write: Write) -> None:
    write("secret", "h\n").chmod(0)
    write("closed/hosts", "h\n").parent.chmod(0)
    Path.cwd().chmod(0o755)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # Root may read everything.
    try:
        assert refused("secret") == "secret: can't be read: permission denied"
        assert refused("closed").startswith("closed: can't be read: ")
    finally:
        os.seteuid(user)
        Path("closed").chmod(0o755)


def test_a_huge_file_is_refused_before_it_is_parsed(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("huge.yml")
    with path.open("wb") as file:
        file.truncate(files.MAX_BYTES + 1)
    assert refused(path) == "huge.yml: is larger than 32 MiB"


def test_one_wrong_source_among_several_stops_the_load(write: Write) -> None:
    write("good", "h\n")
    write("bad", "[web]\nh a\n")
    assert refused(["good", "bad"]).startswith("bad:2: ")
    write("inv/a", "h\n")
    write("inv/b.yml", "a: [\n")
    assert refused("inv").startswith("inv/b.yml:")


@pytest.mark.parametrize(("depth", "fine"), [(300, True), (20_000, False)])
def test_groups_nested_beyond_measure_are_refused(write: Write, depth: int, fine: bool) -> None:
    text = "{" + "".join(f'"g{n}": {{"children": {{' for n in range(depth)) + "}}" * depth + "}"
    path = write("deep.json", text)
    if fine:
        assert Inventory.load(path).groups[f"g{depth - 1}"].depth == depth
    else:
        assert refused(path) == "deep.json: is nested too deeply"


DEEP = {depth: "[" * depth + "]" * depth for depth in (100, 101, 900)}
ALIASED = "x0: &x0 [1]\n" + "".join(f"x{n}: &x{n} [*x{n - 1}]\n" for n in range(1, 101))


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("h.json", f'{{"all": {{"hosts": {{"h": {{"v": {DEEP[101]}}}}}}}}}', "h.json: 'v' of host 'h'"),
        (
            "h.json",
            f'{{"_meta": {{"hostvars": {{"h": {{"v": {DEEP[900]}}}}}}}, "g": ["h"]}}',
            "h.json: 'v' of host 'h'",
        ),
        ("h.yml", "all:\n  vars:\n" + textwrap.indent(ALIASED, "    "), "h.yml:103: 'x100' of group 'all'"),
    ],
)
def test_variables_nested_beyond_measure_are_refused(write: Write, name: str, text: str, place: str) -> None:
    assert refused(write(name, text)) == f"{place} is nested deeper than 100 levels"


def test_variables_may_be_nested(write: Write) -> None:
    path = write("h.json", f'{{"all": {{"hosts": {{"h": {{"v": {DEEP[100]}}}}}}}}}')
    assert Inventory.load(path).variables("h")["v"] == json.loads(DEEP[100])
    value: list[object] = []
    value.append(value)
    with pytest.raises(InventoryError, match=r"^'v' of host 'h' is nested deeper"):
        Inventory.from_hosts([Host("h", {"v": value})])


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [("h.json", f'{{"v": {DEEP[900]}}}', "h.json: 'v'"), ("h.yml", ALIASED, "h.yml:101: 'x100'")],
)
def test_variable_files_nested_beyond_measure_are_refused(write: Write, name: str, text: str, place: str) -> None:
    inventory = Inventory.load(write("hosts", "h\n"))
    write(f"host_vars/{name}", text)
    with pytest.raises(InventoryError) as caught:
        inventory.variables("h")
    assert str(caught.value) == f"host_vars/{place} is nested deeper than 100 levels"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("h.yml", "".join(f"{' ' * n}a:\n" for n in range(2000))),
        ("h.yml", "- " * 10_000 + "x"),
        ("h.yml", "all: {hosts: {h: {v: " + "{a: " * 10_000 + "1" + "}" * 10_003),
        ("h.json", '{"a": ' * 10_000 + "1" + "}" * 10_000),
        ("h.ini", "[g]\nh" + "[" * 10_000),
    ],
)
def test_documents_nested_beyond_measure_are_refused(write: Write, name: str, text: str) -> None:
    assert refused(write(name, text)).startswith(name)


def test_a_list_of_hosts_loads_no_library() -> None:
    code = (
        "import sys; from sshexec.inventory.model import Inventory; Inventory.load('a,b').select('all'); "
        "print(*{'yaml', 'jinja2', 'sqlalchemy', 'paramiko', 'gevent'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("name", "text", "port"),
    [
        ("hosts", "[a]\nh:1000\n[b]\nh:2000\n", 1000),
        ("hosts", "[a]\nh\n[b]\nh:2000\n", None),
        ("hosts", "[a]\nh ansible_port=5\n[b]\nh:2000\n", 5),
        ("hosts", "[a]\nh:1000 ansible_port=5\n", 5),
        ("hosts.yml", "a: {hosts: {'h:1000': }}\nb: {hosts: {'h:2000': }}\n", 1000),
        ("hosts.yml", "a: {hosts: {h: {ansible_port: 5}}}\nb: {hosts: {'h:2000': }}\n", 5),
        ("hosts.yml", "a: {hosts: {'h:1000': }}\nb: {hosts: {h: {ansible_port: 5}}}\n", 5),
    ],
)
def test_a_port_behind_a_name_counts_where_the_host_is_named_first(
    write: Write, name: str, text: str, port: int | None
) -> None:
    assert Inventory.load(write(name, text)).variables("h").get("ansible_port") == port


def test_the_collector_of_garbage_is_left_as_it_was(write: Write) -> None:
    write("hosts", "h\n")
    write("broken.yml", "[\n")
    assert gc.isenabled()
    Inventory.load("hosts")
    with pytest.raises(InventoryError):
        Inventory.load("broken.yml")
    assert gc.isenabled()
    gc.disable()
    try:
        Inventory.load("hosts")
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_can_be_no_source_is_refused() -> None:
    with pytest.raises(InventoryError, match="5 is no inventory source"):
        Inventory.load(5)  # type: ignore[arg-type]


def test_sqlalchemy_is_loaded_for_databases_only(write: Write) -> None:
    write("hosts.yml", "web: {hosts: {h: }}\n")
    code = "import sys; from sshexec import Inventory; Inventory.load('hosts.yml'); print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
