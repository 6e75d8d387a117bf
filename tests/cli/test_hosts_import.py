"""`sshexec hosts import` and `sshexec hosts export`: files into a database, and any inventory out as a file."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from sshexec import Inventory
from sshexec.cli import main
from sshexec.credentials.vault import VaultPasswords
from sshexec.inventory.cmdb.cmdb import Cmdb
from tests.cli.command import sshexec

HOSTS = """\
all:
  vars:
    ntp: 10.0.0.1
  children:
    web:
      hosts:
        web1:
          ansible_port: 2222
        web2:
    db:
      hosts:
        db1:
"""
SHEET = "name;address;groups;site\nweb1;10.0.0.1;web;fra1\nweb3;10.0.0.3;web;fra1\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files, without keys of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    Path("hosts.yml").write_text(HOSTS)
    Path("hosts.csv").write_text(SHEET)
    return tmp_path


URL = "sqlite:///cmdb.db"


def test_there_and_back(place: Path) -> None:
    done = sshexec("hosts", "import", "hosts.yml", "--into", URL)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(f"sshexec: imported into {URL}: 3 new hosts, ")
    done = sshexec("hosts", "export", URL)
    assert (done.returncode, done.stdout, done.stderr) == (0, HOSTS, "")
    again = sshexec("hosts", "import", "hosts.yml", "--into", URL)
    assert again.stderr == f"sshexec: imported into {URL}: nothing new\n"
    done = sshexec("hosts", "export", "-i", URL, "--output", "out.ini")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "sshexec: 3 hosts and 2 groups written to out.ini\n"
    assert Path("out.ini").stat().st_mode & 0o777 == 0o600
    assert Inventory.load("out.ini").to_ansible() == Inventory.load("hosts.yml").to_ansible()
    assert sorted(path.name for path in place.iterdir() if path.name.startswith(".")) == []


def test_a_dry_run_makes_no_database(place: Path) -> None:
    done = sshexec("hosts", "import", "hosts.csv", "--into", "sqlite:///new.db", "--dry-run")
    assert done.stderr == "sshexec: would be imported into sqlite:///new.db: 2 new hosts, 2 new groups\n"
    assert not Path("new.db").exists()


def test_what_is_there_stays_unless_it_is_replaced(place: Path) -> None:
    with Cmdb(URL) as cmdb:
        cmdb.add(Inventory.load("hosts.yml"))
    done = sshexec("hosts", "import", "hosts.csv", "--into", URL, "--dry-run")
    assert done.stderr == f"sshexec: would be imported into {URL}: 1 new host, 1 changed host, 1 new group\n"
    assert list(Inventory.load(URL).hosts) == ["web1", "web2", "db1"]
    with Cmdb(URL) as cmdb:
        cmdb.add(Inventory.load("hosts.csv"))
    inventory = Inventory.load(URL)
    assert list(inventory.hosts) == ["web1", "web2", "db1", "web3"]
    assert inventory.hosts["web1"].vars == {"ansible_port": 2222, "ansible_host": "10.0.0.1"}
    assert inventory.variables("web1")["ntp"] == "10.0.0.1"
    done = sshexec("hosts", "import", "hosts.csv", "--into", URL, "--replace")
    assert "2 removed hosts" in done.stderr
    assert list(Inventory.load(URL).hosts) == ["web1", "web3"]
    export = sshexec("hosts", "export", URL, "--format", "csv")
    assert export.stdout == "name,address,groups,site\nweb1,10.0.0.1,web,fra1\nweb3,10.0.0.3,web,fra1\n"


def test_wrong_lines_are_all_told_and_nothing_is_imported(place: Path) -> None:
    Path("list.txt").write_text("host,port\nok,22\ntwo words,22\nok,1\nbad,0\n\x1b[2Jx,\n")
    done = sshexec("hosts", "import", "list.txt", "--csv", "--into", URL)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.splitlines() == [
        "list.txt:3: the host name 'two words' holds blanks or characters that can't be printed",
        "list.txt:4: the host 'ok' stands on line 2 already",
        "list.txt:5: the port is no number between 1 and 65535",
        "list.txt:6: '\\x1b[2Jx' stands for several hosts; give each a line",
        "sshexec: error: 4 lines are rejected, nothing is imported",
    ]
    assert not Path("cmdb.db").exists()
    Path("more.csv").write_text(SHEET.replace("web3", "w b"))
    done = sshexec("hosts", "import", "hosts.csv", "list.txt", "more.csv", "--csv", "--into", URL)
    assert (done.returncode, Path("cmdb.db").exists()) == (5, False)
    assert "more.csv:3: the host name 'w b' holds blanks" in done.stderr
    assert "5 lines are rejected" in done.stderr
    Path("folder").mkdir()
    Path("folder/wrong.csv").write_text("name\nw b\n")
    done = sshexec("hosts", "import", "folder", "--into", URL)
    assert done.stderr.startswith("folder/wrong.csv:2: the host name 'w b' holds blanks")
    assert "1 line is rejected" in done.stderr


def test_nothing_is_imported_where_one_of_several_files_is_wrong(place: Path) -> None:
    Path("wrong.yml").write_text("web: {children: {web: }}\n")
    done = sshexec("hosts", "import", "hosts.yml", "wrong.yml", "--into", URL)
    assert (done.returncode, done.stdout) == (5, "")
    assert "wrong.yml:1: " in done.stderr
    assert not Path("cmdb.db").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["import", "hosts.yml", "--into", "cmdb.db"],
            "--into: 'cmdb.db' is no URL of a database; a file is written sqlite:",
        ),
        (["import", "hosts.yml"], "Missing option '--into'"),
        (["import", "--into", URL], "Missing argument 'FILE...'"),
        (["import", "nowhere.yml", "--into", URL], "nowhere.yml: there is no such file"),
        (["export", URL], "no"),
        (["export", "hosts.yml", "-i", "hosts.yml"], "name the inventory once"),
        (
            ["export", "hosts.yml", "--output", "missing/x.yml"],
            "missing/x.yml: can't be written: No such file or directory",
        ),
        (["export", "hosts.yml", "--output", "."], ".: is no regular file"),
        (["export", "hosts.yml", "--format", "toml"], "'toml' is not one of 'yaml', 'ini', 'csv'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_5(
    place: Path, args: list[str], message: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("sshexec"), "handlers", [])  # the command adds one
    assert main.run(["hosts", *args]) == 5
    told = capfd.readouterr()
    assert told.out == ""
    assert message in told.err
    assert told.err.count("\n") == 1
    assert not Path("cmdb.db").exists()


def test_secrets_are_encrypted_or_left_out(place: Path) -> None:
    Path("hosts.yml").write_text(f"{HOSTS}          ansible_password: canary\n")
    done = sshexec("hosts", "export", "hosts.yml", "-o", "out.yml")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith(
        "sshexec: error: host db1: ansible_password is a secret, which is never written as plain"
    )
    assert not Path("out.yml").exists()
    done = sshexec("hosts", "export", "hosts.yml", "--without-secrets")
    assert (done.returncode, done.stdout) == (0, HOSTS)
    assert done.stderr == "sshexec: warning: 1 secret left out, the first of them host db1: ansible_password\n"
    Path("pass.txt").write_text("open sesame\n")
    done = sshexec("hosts", "export", "hosts.yml", "--vault-password-file", "pass.txt")
    assert (done.returncode, done.stderr) == (0, "")
    assert "canary" not in done.stdout
    assert "ansible_password: !vault |\n" in done.stdout
    Path("again.yml").write_text(done.stdout)
    again = Inventory.load("again.yml", vault="open sesame")
    assert again.variables("db1")["ansible_password"].reveal() == "canary"


def test_secrets_are_sealed_in_the_database(place: Path) -> None:
    Path("hosts.yml").write_text(f"{HOSTS}          ansible_password: canary\n")
    done = sshexec("hosts", "import", "hosts.yml", "--into", URL)
    assert (done.returncode, done.stdout) == (5, "")
    assert "ansible_password" in done.stderr
    assert "canary" not in done.stderr
    Path("key").write_text("A" * 43 + "=\n")
    Path("key").chmod(0o600)
    done = sshexec("hosts", "import", "hosts.yml", "--into", URL, "--key-file", "key")
    assert done.returncode == 0, done.stderr
    assert b"canary" not in b"".join(path.read_bytes() for path in place.glob("cmdb.db*"))
    Path("pass.txt").write_text("open sesame\n")
    done = sshexec("hosts", "export", URL, "--key-file", "key", "--vault-password-file", "pass.txt")
    assert (done.returncode, done.stderr) == (0, "")
    Path("again.yml").write_text(done.stdout)
    assert Inventory.load("again.yml", vault="open sesame").variables("db1")["ansible_password"].reveal() == "canary"
    lost = sshexec("hosts", "export", URL, "--vault-password-file", "pass.txt")
    assert (lost.returncode, lost.stdout) == (5, "")
    listed = json.loads(sshexec("hosts", "-i", URL, "--list").stdout)
    assert listed["_meta"]["hostvars"]["db1"]["ansible_password"] == "********"


def test_a_spreadsheet_that_is_encrypted_as_a_whole(place: Path) -> None:
    Path("pass.txt").write_text("open sesame\n")
    Path("hosts.csv").write_text(VaultPasswords("open sesame").encrypt("name,note\nweb1,canary\n"))
    Path("hosts.list").write_text(Path("hosts.csv").read_text())
    for files in (["hosts.csv"], ["hosts.list", "--csv"]):
        done = sshexec("hosts", "import", *files, "--into", URL, "--vault-password-file", "pass.txt")
        # What comes out of it is a secret, and there is no key.
        assert (done.returncode, done.stdout) == (5, "")
        assert "note of host 'web1'" in done.stderr, done.stderr
        assert "canary" not in done.stderr


def test_a_file_that_was_there_stays_when_writing_fails(place: Path) -> None:
    Path("out.yml").write_text("precious\n")
    Path("hosts.yml").write_text(f"{HOSTS}          ansible_password: canary\n")
    assert sshexec("hosts", "export", "hosts.yml", "-o", "out.yml").returncode == 5
    assert Path("out.yml").read_text() == "precious\n"
    Path("link.yml").symlink_to("out.yml")
    assert sshexec("hosts", "export", "hosts.yml", "--without-secrets", "-o", "link.yml").returncode == 0
    assert (Path("out.yml").read_text(), Path("link.yml").is_symlink()) == (HOSTS, True)
    assert Path("out.yml").stat().st_mode & 0o777 == 0o600
