"""`sshexec hosts`: lists, trees, JSON, and where variables come from."""

from __future__ import annotations

import json
import subprocess
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


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a user with an ssh_config of his own."""
    (tmp_path / ".ssh").mkdir()
    config = tmp_path / ".ssh" / "config"
    config.write_text(
        "Host web1\n  User conf\n  ProxyJump bastion\n  ForwardAgent yes\n  IdentityFile ~/web_key\n"
        "Host bastion\n  HostName bastion.example.com\n  Port 2222\n  IdentityFile ~/jump_key\n"
        "Match exec true host db1\n  User matched\n  MACs hmac-sha2-512\n"
    )
    config.chmod(0o600)
    (tmp_path / "jump_key").write_text("")
    return {"HOME": str(tmp_path)}


def explained(done: subprocess.CompletedProcess[str]) -> list[list[str]]:
    """Return name, value and source of each setting."""
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if "#" in line]
    return [[*line.split("#")[0].split(None, 1), line.split("#", 1)[1].strip()] for line in lines]


def stripped(rows: list[list[str]]) -> list[tuple[str, ...]]:
    return [tuple(part.strip() for part in row) for row in rows]


def test_explain_shows_every_setting_and_what_set_it(hosts: Path, home: dict[str, str]) -> None:
    done = sshexec(
        "hosts", "web1", "-i", hosts, "--explain", "--ssh-common-args", "-o HostKeyAlias=fleet", "-e", "ansible_host=w",
        "-e", "sshexec_jump_password=hunter2", "-T", "7", env=home
    )  # fmt: skip
    rows = stripped(explained(done))
    for row in (
        ("connection", "ssh", "default"),
        ("HostName", "w", "ansible_host (command line -e)"),
        ("HostKeyAlias", "fleet", "ansible_ssh_common_args (command line --ssh-common-args)"),
        ("ConnectTimeout", "7", "ansible_timeout (command line -T)"),
        ("password", "********", f"ansible_password ({hosts}:3)"),
        ("Port", "22", "default"),
        ("IdentityAgent", "SSH_AUTH_SOCK", "default"),
        ("jump_password", "********", "sshexec_jump_password (command line -e)"),
    ):
        assert row in rows
    assert "hunter2" not in done.stdout


def test_explain_shows_ssh_config_and_jump_hosts(hosts: Path, home: dict[str, str]) -> None:
    rows = stripped(explained(sshexec("hosts", "web1", "-i", hosts, "--explain", env=home)))
    begin = rows.index(("HostName", "bastion.example.com", "~/.ssh/config:7"))
    host, jump = rows[:begin], rows[begin:]
    for row in (
        ("HostName", "web1", "inventory name"),
        ("User", "conf", "~/.ssh/config:2"),
        ("ProxyJump", "bastion", "~/.ssh/config:3"),
        ("IdentityFile", f"{home['HOME']}/web_key", "~/.ssh/config:5; missing"),
        ("ForwardAgent", "yes", "~/.ssh/config:4; not used: the agent is not forwarded"),
    ):
        assert row in host
    for row in (
        ("Port", "2222", "~/.ssh/config:8"),
        ("IdentityFile", f"{home['HOME']}/jump_key", "~/.ssh/config:9"),
        ("StrictHostKeyChecking", "ask", "default"),
    ):
        assert row in jump
    assert "password" not in {row[0] for row in jump}


@pytest.mark.parametrize("said", ["ask", "yes", "accept-new", "no"])
def test_explain_tells_what_is_asked_about_from_what_is_not(said: str, hosts: Path, home: dict[str, str]) -> None:
    """Of an unknown key `ask` lets people be asked, where there are any, and `yes` does not (as `ssh -G` has it)."""
    config = Path(home["HOME"], ".ssh/config")
    config.write_text(f"Host *\nStrictHostKeyChecking {said}\n{config.read_text()}")
    rows = stripped(explained(sshexec("hosts", "web1", "-i", hosts, "--explain", env=home)))
    shown = [row for row in rows if row[0] == "StrictHostKeyChecking"]
    assert shown == [("StrictHostKeyChecking", said, "~/.ssh/config:2")] * 2, "the host and its jump host"


def test_explain_shows_what_a_jump_host_has_of_its_destination(hosts: Path, home: dict[str, str]) -> None:
    options = ["--ssh-common-args", "-o StrictHostKeyChecking=yes"]
    rows = stripped(explained(sshexec("hosts", "web1", "-i", hosts, "--explain", *options, env=home)))
    assert [row[1:] for row in rows if row[0] == "StrictHostKeyChecking"] == [
        ("yes", "ansible_ssh_common_args (command line --ssh-common-args)"),
        ("yes", "as for the destination"),
    ]


def test_explain_as_json(hosts: Path, home: dict[str, str]) -> None:
    done = sshexec("hosts", "-i", hosts, "--explain", "--json", "-u", "me", env=home)
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert list(answer) == ["web1", "web2", "db1"]
    rows = {row["name"]: row for row in answer["db1"] if "jump" not in row}
    assert rows["Port"] == {"name": "Port", "value": 2222, "source": f"ansible_port ({hosts}:13)", "note": ""}
    assert rows["User"]["source"] == "ansible_user (command line -u)"
    assert (rows["MACs"]["value"], rows["MACs"]["source"]) == (["hmac-sha2-512"], "~/.ssh/config:12")
    assert {row["jump"] for row in answer["web1"] if "jump" in row} == {"jump host 1 of 1: bastion"}
    assert "hunter2" not in done.stdout


def test_explain_shows_privilege_escalation(tmp_path: Path, home: dict[str, str]) -> None:
    path = tmp_path / "become.yml"
    path.write_text(
        "all:\n  vars: {ansible_become_user: app, ansible_sudo_flags: -H, pw: canary, ansible_become_pass: '{{pw}}'}\n"
        "  hosts:\n    h1: {ansible_become: true}\n    h2: {ansible_become_method: su, ansible_su_user: other}\n"
    )
    done = sshexec("hosts", "h1", "-i", path, "--explain", env=home)
    rows = stripped(explained(done))
    begin = rows.index(("become", "yes", f"ansible_become ({path}:4)"))
    assert rows[begin + 1 :] == [
        ("become_method", "sudo", "default"),
        ("become_user", "app", f"ansible_become_user ({path}:2)"),
        ("become_flags", "-H", f"ansible_sudo_flags ({path}:2)"),
        ("become_exe", "sudo", "default"),
        ("become_password", "********", f"ansible_become_pass ({path}:2)"),
    ]
    assert "canary" not in done.stdout
    rows = stripped(explained(sshexec("hosts", "h2", "-i", path, "--explain", env=home)))
    assert ("become", "no", "default") in rows
    more = ("-b", "--become-user", "me", "--become-method", "doas", "-e", "ansible_become_pass=")
    rows = stripped(explained(sshexec("hosts", "h2", "-i", path, "--explain", *more, env=home)))
    for row in (
        ("become", "yes", "command line -b"),
        ("become_method", "su", f"ansible_become_method ({path}:5)"),
        ("become_user", "other", f"ansible_su_user ({path}:5)"),
        ("become_exe", "su", "default"),
        ("become_password", "not set", "ansible_become_pass (command line -e)"),
    ):
        assert row in rows
    rows = stripped(explained(sshexec("hosts", "-i", "h1,", "--explain", *more, env=home)))
    for row in (
        ("become_method", "doas", "command line --become-method"),
        ("become_user", "me", "command line --become-user"),
        ("become_exe", "doas", "default"),
    ):
        assert row in rows
    assert "become" not in sshexec("hosts", "-i", "h1,", "--explain", env=home).stdout
    wrong = sshexec("hosts", "-i", "h1,", "--explain", "--become-method", "runas", env=home)
    assert wrong.returncode == 5
    assert "become_method: expected one of sudo, su, doas, got 'runas'" in wrong.stderr


def test_explain_of_other_connections(home: dict[str, str]) -> None:
    done = sshexec("hosts", "-i", "web1,", "--explain", "-c", "local", env=home)
    rows = stripped(explained(done))
    assert ("connection", "local", "ansible_connection (command line -c)") in rows


@pytest.mark.parametrize("args", [["--json"], ["-u", "me"], ["-b"], ["--vars", "-e", "a=b"]])
def test_connection_options_go_with_explain(args: list[str]) -> None:
    done = sshexec("hosts", "-i", "web1,", *args)
    assert (done.returncode, done.stdout) == (5, "")
    assert "go with --explain" in done.stderr


def test_a_mistake_in_ssh_config_is_one_line(home: dict[str, str]) -> None:
    (Path(home["HOME"]) / ".ssh" / "config").write_text("Port 0\n")
    for command in (["hosts", "-i", "web1,", "--explain"], ["run", "web1", "-i", "web1,", "-a", "true"]):
        done = sshexec(*command, env=home)
        assert (done.returncode, done.stdout) == (5, "")
        assert done.stderr.startswith("sshexec: error: ~/.ssh/config:1: Port: expected a whole number")
        assert done.stderr.count("\n") == 1


def test_what_ssh_config_asks_for_in_vain_is_named_once_a_run(home: dict[str, str]) -> None:
    path = Path(home["HOME"]) / ".ssh" / "config"
    path.write_text('Match exec "exit 0"\n  ForwardAgent yes\n  ConnectTimeout 1\nHost 127.*\n  Port 1\n')
    for more in ([], ["--processes", "2"]):
        done = sshexec("run", "all", "-i", "127.0.0.1,127.0.0.2,", "-a", "true", *more, env=home)
        assert done.returncode == 4
        assert done.stderr.count("ForwardAgent") == 1
        warning = "sshexec: warning: ssh_config: ForwardAgent (~/.ssh/config:2): the agent is not forwarded\n"
        assert done.stderr.startswith(warning)
