"""`sshexec database`: versions that are shown, and that move forward and back."""

from __future__ import annotations

import json

import pytest

from sshexec.database.database import Database
from sshexec.history.tables import SCHEMA as HISTORY
from sshexec.inventory.cmdb.tables import SCHEMA as CMDB
from tests.cli.command import sshexec
from tests.database.test_migration import expected, kept, old


def test_forward_and_back(database_url):
    old(database_url, HISTORY).close()
    done = sshexec("database", "show", database_url)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "cmdb: not there\n"
        "history: version 1, older than this sshexec's 3\n"
        "  sshexec_results  3\n  sshexec_run_ends  1\n  sshexec_runs  2\n"
    )
    done = sshexec("database", "upgrade", database_url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "history: version 1 -> 3\n", "")
    database = Database(database_url, HISTORY, create=False)
    database.prepare()
    assert kept(database, HISTORY) == expected(HISTORY)
    done = sshexec("database", "downgrade", database_url, "--to", "1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "history: version 3 -> 1\n", "")
    assert kept(database, HISTORY) == expected(HISTORY)
    database.close()


def test_what_is_shown_for_programs(sqlite_url):
    Database(sqlite_url, CMDB).prepare()
    old(sqlite_url, HISTORY)
    shown = json.loads(sshexec("database", "show", sqlite_url, "--json").stdout)
    history = {"sshexec_results": 3, "sshexec_run_ends": 1, "sshexec_runs": 2}
    assert shown["schemas"]["history"] == {"version": 1, "newest": 3, "rows": history}
    assert shown["schemas"]["cmdb"]["version"] == 3
    assert set(shown["schemas"]["cmdb"]["rows"]) == set(CMDB.metadata.tables)
    assert shown["url"] == sqlite_url


def test_tables_are_made_where_that_is_asked_for(sqlite_url):
    done = sshexec("database", "upgrade", sqlite_url, "--schema", "cmdb")
    assert (done.returncode, done.stdout) == (0, "cmdb: version 0 -> 3\n")
    done = sshexec("database", "upgrade", sqlite_url)
    assert (done.returncode, done.stdout) == (0, "cmdb: version 3 already\n")
    done = sshexec("database", "downgrade", sqlite_url, "--to", "0", "--yes")
    assert (done.returncode, done.stdout) == (0, "cmdb: version 3 -> 0\n")
    assert sshexec("database", "show", sqlite_url).stdout == "cmdb: not there\nhistory: not there\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("upgrade", "{url}", "--to", "2"), "it holds two schemas: say whose version, by --schema"),
        (("upgrade", "{url}", "--to", "2", "--schema", "cmdb"), "cmdb is at version 3: `downgrade` leads to 2"),
        (("upgrade", "{url}", "--to", "9", "--schema", "cmdb"), "schema cmdb has no version 9; there are 0 to 3"),
        (("downgrade", "{url}", "--to", "2", "--schema", "history"), "history is at version 1: `upgrade` leads to 2"),
        (("downgrade", "{url}", "--to", "0"), "--to 0 deletes the tables and all they hold; add --yes"),
        (("show", "hosts.db"), "hosts.db: no address of a database, such as sqlite:///hosts.db"),
        (("show", "sqlite:////nowhere/x.db"), "there is no such file"),
        (("upgrade", "sqlite:////nowhere/x.db"), "holds no tables of sshexec's; say which to make by --schema"),
        (
            ("upgrade", "mysql://u:geheim@127.0.0.1:1/n"),
            "mysql://u:********@127.0.0.1:1/n: Can't connect to MySQL server",
        ),
    ],
)
def test_what_is_refused_is_one_line(words, message, sqlite_url):
    Database(sqlite_url, CMDB).prepare()
    old(sqlite_url, HISTORY)
    done = sshexec("database", *(word.format(url=sqlite_url) for word in words))
    assert (done.returncode, done.stdout) == (5, "")
    assert message in done.stderr
    assert done.stderr.startswith("sshexec: error: ")
    assert done.stderr.count("\n") == 1
    assert "geheim" not in done.stderr


def test_it_is_among_the_commands():
    assert "database  show, upgrade and downgrade" in " ".join(sshexec("--help").stdout.split(" "))
