"""`sshexec database`: versions that are shown, and that move forward and back."""

from __future__ import annotations

import json
import re

import click
import pytest

from sshexec.cli.database import command
from sshexec.database.database import Database
from sshexec.errors import InputError
from sshexec.history.tables import SCHEMA as HISTORY
from sshexec.inventory.cmdb.tables import SCHEMA as CMDB
from tests.cli.command import sshexec
from tests.database.test_migration import expected, kept, old


def database(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    """Run the command in this process, and return what it prints."""
    assert command.main(words, standalone_mode=False) == 0
    printed = capfd.readouterr()
    assert printed.err == ""
    return printed.out


def test_forward_and_back(database_url, capfd):
    old(database_url, HISTORY).close()
    assert database(capfd, "show", database_url) == (
        "cmdb: not there\n"
        "history: version 1, older than this sshexec's 3\n"
        "  sshexec_results  3\n  sshexec_run_ends  1\n  sshexec_runs  2\n"
    )
    assert database(capfd, "upgrade", database_url) == "history: version 1 -> 3\n"
    held = Database(database_url, HISTORY, create=False)
    held.prepare()
    assert kept(held, HISTORY) == expected(HISTORY)
    assert database(capfd, "downgrade", database_url, "--to", "1") == "history: version 3 -> 1\n"
    assert kept(held, HISTORY) == expected(HISTORY)
    held.close()


def test_what_is_shown_for_programs(sqlite_url, capfd):
    Database(sqlite_url, CMDB).prepare()
    old(sqlite_url, HISTORY)
    shown = json.loads(database(capfd, "show", sqlite_url, "--json"))
    history = {"sshexec_results": 3, "sshexec_run_ends": 1, "sshexec_runs": 2}
    assert shown["schemas"]["history"] == {"version": 1, "newest": 3, "rows": history}
    assert shown["schemas"]["cmdb"]["version"] == 3
    assert set(shown["schemas"]["cmdb"]["rows"]) == set(CMDB.metadata.tables)
    assert shown["url"] == sqlite_url


def test_tables_are_made_where_that_is_asked_for(sqlite_url, capfd):
    assert database(capfd, "upgrade", sqlite_url, "--schema", "cmdb") == "cmdb: version 0 -> 3\n"
    assert database(capfd, "upgrade", sqlite_url) == "cmdb: version 3 already\n"
    assert database(capfd, "downgrade", sqlite_url, "--to", "0", "--yes") == "cmdb: version 3 -> 0\n"
    assert database(capfd, "show", sqlite_url) == "cmdb: not there\nhistory: not there\n"


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
def test_what_is_refused(words, message, sqlite_url):
    Database(sqlite_url, CMDB).prepare()
    old(sqlite_url, HISTORY)
    with pytest.raises((InputError, click.UsageError)) as caught:
        command.main([word.format(url=sqlite_url) for word in words], standalone_mode=False)
    assert message in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_as_an_operator_has_it(sqlite_url):
    done = sshexec("database", "upgrade", sqlite_url, "--schema", "cmdb")
    assert (done.returncode, done.stdout, done.stderr) == (0, "cmdb: version 0 -> 3\n", "")
    done = sshexec("database", "upgrade", sqlite_url, "--to", "9")
    refusal = "sshexec: error: schema cmdb has no version 9; there are 0 to 3\n"
    assert (done.returncode, done.stdout, done.stderr) == (5, "", refusal)
    assert re.search(r"^  database +show, upgrade and downgrade", sshexec("--help").stdout, re.M)
