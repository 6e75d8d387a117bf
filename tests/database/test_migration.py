"""Schemas that move forward and back, with data in place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from sshexec.database import steps
from sshexec.database.database import Database
from sshexec.database.schema import Schema
from sshexec.database.versions import newest, version_table
from sshexec.errors import DatabaseError, DatabaseUnavailableError
from sshexec.history.tables import SCHEMA as HISTORY
from sshexec.inventory.cmdb.tables import SCHEMA as CMDB

SCHEMAS = pytest.mark.parametrize("schema", [CMDB, HISTORY], ids=lambda schema: schema.name)

OLD: dict[str, dict[str, list[dict[str, object]]]] = {
    "cmdb": {
        "sshexec_hosts": [
            {"id": 1, "name": "web1", "position": 0, "variables": '{"ansible_host": "10.0.0.1", "port": 80}'},
            {"id": 2, "name": "Web1", "position": 1, "variables": '{"ansible_host": "a\\u0000b"}'},
            {"id": 3, "name": "wéb", "position": 2, "variables": "{}"},
        ],
        "sshexec_groups": [
            {"id": 1, "name": "web", "position": 0, "variables": '{"a": [1, null]}'},
            {"id": 2, "name": "prod", "position": 1, "variables": "{}"},
        ],
        "sshexec_group_hosts": [
            {"group_id": 1, "host_id": 1, "position": 0},
            {"group_id": 1, "host_id": 3, "position": 1},
        ],
        "sshexec_group_children": [{"parent_id": 2, "child_id": 1, "position": 0}],
    },
    "history": {
        "sshexec_runs": [
            {
                "id": run,
                "actor": "ann",
                "reason": None,
                "labels": "{}",
                "module": "shell",
                "task": '{"args": "uptime"}',
                "pattern": "all",
                "hosts": '["web1"]',
                "count": 1,
                "runner": "{}",
                "started": started,
            }
            for run, started in (("r1", 1700000000.123456), ("r2", 1700000001.5))
        ],
        "sshexec_run_ends": [{"run": "r1", "state": "finished", "finished": 1700000000.75}],
        "sshexec_results": [
            {
                "run": "r1",
                "host": host,
                "status": "ok",
                "cause": None,
                "phase": None,
                "rc": 3221225786,
                "changed": True,
                "started": 1.5,
                "finished": None,
                "phases": "{}",
                "data": '{"rc": 0}',
                "stdout": '"\\u0000 up"',
                "stderr": '""',
            }
            for host in ("web1", "Web1", "web1 ")
        ],
    },
}
"""Rows as version 1 has them."""


def rows_of(schema: Schema) -> dict[str, list[dict[str, object]]]:
    times = {"created": 1.25, "updated": 2.5}
    named = {"sshexec_hosts", "sshexec_groups"}
    return {
        table: [{**row, **times} if table in named else row for row in rows] for table, rows in OLD[schema.name].items()
    }


def old(url: str, schema: Schema) -> Database:
    """Make a database of version 1, with rows."""
    database = Database(url, schema)
    assert database.migrate(1) == 1
    assert database.version() == 1
    with database._transaction(writes=True) as connection:
        for table, rows in rows_of(schema).items():
            quote = connection.dialect.identifier_preparer.quote
            columns, values = ", ".join(quote(name) for name in rows[0]), ", ".join(f":{name}" for name in rows[0])
            connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({values})"), rows)
    return database


def kept(database: Database, schema: Schema) -> dict[str, list[dict[str, object]]]:
    """Read what version 1 held, whatever the version is."""
    found = {}
    with database._transaction(writes=False) as connection:
        for table, rows in rows_of(schema).items():
            read = [dict(row) for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()]
            assert len(read) == len(rows)
            by_key = sorted(read, key=lambda row: [str(row[name]) for name in list(rows[0])[:2]])
            found[table] = [{name: row[name] for name in rows[0]} for row in by_key]
    return found


def expected(schema: Schema) -> dict[str, list[dict[str, object]]]:
    return {
        table: sorted(rows, key=lambda row: [str(value) for value in list(row.values())[:2]])
        for table, rows in rows_of(schema).items()
    }


def shape(database: Database) -> dict[str, object]:
    """Describe the tables as the database itself does."""
    found: dict[str, object] = {}
    with database._transaction(writes=False) as connection:
        look = inspect(connection)
        for table in sorted(look.get_table_names()):
            columns = {each["name"]: (str(each["type"]), each["nullable"]) for each in look.get_columns(table)}
            keys = sorted(
                (key["constrained_columns"], key["referred_table"], key["options"].get("ondelete"))
                for key in look.get_foreign_keys(table)
            )
            indexes = sorted((each["column_names"], each["unique"]) for each in look.get_indexes(table))
            unique = sorted(each["column_names"] for each in look.get_unique_constraints(table))
            found[table] = (
                columns,
                look.get_pk_constraint(table)["constrained_columns"],
                keys,
                indexes,
                unique,
            )
    return found


def differences(database: Database, schema: Schema) -> list[object]:
    """Compare with the tables of this version, as Alembic does."""

    def ours(_: object, name: str | None, kind: str, *__: object) -> bool:
        return kind != "table" or name in schema.metadata.tables

    options = {"include_object": ours, "version_table": version_table(schema).name}
    with database._transaction(writes=False) as connection:
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, schema.metadata))


@SCHEMAS
def test_two_versions_forward_and_back(database_url, schema):
    database = old(database_url, schema)
    assert kept(database, schema) == expected(schema)
    first = shape(database)
    assert database.migrate() == 3
    assert database.version() == 3
    assert kept(database, schema) == expected(schema)
    assert differences(database, schema) == []
    database.prepare()
    assert database.migrate(1) == 1
    assert kept(database, schema) == expected(schema)
    assert shape(database) == first
    assert database.migrate(2) == 2
    assert database.migrate(3) == 3
    assert kept(database, schema) == expected(schema)
    assert differences(database, schema) == []
    assert database.migrate(0) == 0
    assert shape(database) == {}
    assert database.version() is None
    database.close()


@SCHEMAS
def test_a_new_database_is_as_one_that_was_upgraded(database_url, schema):
    database = Database(database_url, schema)
    database.prepare()
    new = shape(database)
    assert differences(database, schema) == []
    database.migrate(0)
    database.migrate(1)
    database.migrate()
    assert shape(database) == new
    database.close()


def test_what_is_new_is_filled_in(database_url):
    history = old(database_url, HISTORY)
    cmdb = old(database_url, CMDB)
    for database in (history, cmdb):
        database.migrate()
    with history.reading() as connection:
        runs = connection.execute(text("SELECT id, root, resumes FROM sshexec_runs ORDER BY id")).all()
        results = connection.execute(text("SELECT DISTINCT files, size FROM sshexec_results")).all()
    assert [tuple(row) for row in runs] == [("r1", "r1", None), ("r2", "r2", None)]
    assert [tuple(row) for row in results] == [("{}", len('{"rc": 0}' + '"\\u0000 up"' + '""'))]
    with cmdb.reading() as connection:
        addresses = connection.execute(text("SELECT id, address FROM sshexec_hosts ORDER BY id")).all()
        kinds = connection.execute(text("SELECT DISTINCT kind FROM sshexec_groups")).scalars().all()
    assert [tuple(row) for row in addresses] == [(1, "10.0.0.1"), (2, None), (3, None)]
    assert kinds == ["group"]
    for database in (history, cmdb):
        database.close()


def test_both_schemas_share_a_database(database_url):
    history, cmdb = Database(database_url, HISTORY), Database(database_url, CMDB)
    history.prepare()
    cmdb.prepare()
    assert (history.version(), cmdb.version()) == (3, 3)
    history.migrate(0)
    assert (history.version(), cmdb.version()) == (None, 3)
    with cmdb.reading() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM sshexec_hosts")).scalar() == 0
    history.close()
    cmdb.close()


def test_an_old_file_is_upgraded_on_first_use(sqlite_url):
    old(sqlite_url, HISTORY).close()
    database = Database(sqlite_url, HISTORY, create=False)
    with database.reading() as connection:
        assert connection.execute(text("SELECT root FROM sshexec_runs WHERE id = 'r2'")).scalar() == "r2"
    assert kept(database, HISTORY) == expected(HISTORY)
    database.close()


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_an_old_server_is_for_its_administrator(kind, request):
    url = request.getfixturevalue(f"{kind}_url")
    database = old(url, CMDB)
    with pytest.raises(DatabaseError, match=r"schema cmdb is at version 1, this sshexec needs 3: run `sshexec databas"):
        database.prepare()
    assert database.version() == 1
    database.close()


def test_a_newer_database_is_left_alone(database_url):
    database = Database(database_url, HISTORY)
    with database.writing() as connection:
        connection.execute(text("UPDATE sshexec_history_version SET version_num = '7'"))
    database.close()
    for use in (Database(database_url, HISTORY).prepare, database.migrate):
        with pytest.raises(DatabaseError, match="is at version 7, this sshexec knows 3: use a newer one") as caught:
            use()
        assert not isinstance(caught.value, DatabaseUnavailableError)
    assert database.version() == 7
    database.close()


def test_there_is_no_such_version(sqlite_url):
    with pytest.raises(DatabaseError, match="schema cmdb has no version 4; there are 0 to 3"):
        Database(sqlite_url, CMDB).migrate(4)


@SCHEMAS
def test_what_was_broken_off_is_done_the_next_time(database_url, schema, monkeypatch):
    """Whatever step fails, the database is as before or goes on from there."""
    database = old(database_url, schema)
    before = shape(database)
    ways: list[tuple[str, Callable[..., object]]] = [(name, getattr(steps, name)) for name in ("make", "add")]
    failing = 0

    def breaking(step: Callable[..., object]) -> Callable[..., object]:
        def broken(*args: object) -> None:
            nonlocal left
            left -= 1
            step(*args)
            if not left:
                raise DatabaseUnavailableError("the connection broke")

        return broken

    for name, step in ways:
        monkeypatch.setattr(steps, name, breaking(step))
    while True:
        failing += 1
        left = failing
        try:
            database.migrate()
        except DatabaseUnavailableError:
            if database.dialect != "mysql":
                assert shape(database) == before
                assert database.version() == 1
            assert kept(database, schema) == expected(schema)
        else:
            break
    assert failing > 1
    assert database.version() == 3
    assert kept(database, schema) == expected(schema)
    assert differences(database, schema) == []
    database.close()


USE = """
import sys
from sshexec.database.database import Database
from sshexec.{room}.tables import SCHEMA
print(flush=True)
sys.stdin.readline()
Database(sys.argv[1], SCHEMA).{use}
"""


def together(url: str, room: str, use: str) -> None:
    """Have two processes do the same thing at once."""
    words = [sys.executable, "-c", USE.format(room=room, use=use), url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(words, text=True, **pipes) for _ in range(2)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said


def test_several_processes_upgrade_at_once(database_url):
    database = old(database_url, HISTORY)
    together(database_url, "history", "migrate()")
    assert database.version() == 3
    assert kept(database, HISTORY) == expected(HISTORY)
    assert differences(database, HISTORY) == []
    database.close()


def test_several_processes_make_the_tables_at_once(database_url):
    together(database_url, "inventory.cmdb", "prepare()")
    database = Database(database_url, CMDB, create=False)
    database.prepare()
    assert differences(database, CMDB) == []
    database.close()


KILLED = """
import os, signal, sys
from sshexec.database import steps
from sshexec.database.database import Database
from sshexec.history.tables import SCHEMA
step, left = steps.add, int(sys.argv[2])
def add(*args):
    global left
    step(*args)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
steps.add = add
Database(sys.argv[1], SCHEMA).migrate()
"""


def test_a_killed_upgrade_leaves_no_trace_in_a_file(sqlite_url):
    database = old(sqlite_url, HISTORY)
    before = shape(database)
    for step in (1, 4):
        done = subprocess.run([sys.executable, "-c", KILLED, sqlite_url, str(step)], check=False, timeout=60)
        assert done.returncode == -signal.SIGKILL
        assert database.version() == 1
        assert shape(database) == before
    database.prepare()
    assert database.version() == 3
    assert kept(database, HISTORY) == expected(HISTORY)
    database.close()


def test_the_leftovers_of_a_killed_creation_are_no_obstacle(mysql_url):
    database = Database(mysql_url, CMDB)
    database.prepare()
    with database.writing() as connection:
        connection.execute(text("DROP TABLE sshexec_cmdb_version"))
        connection.execute(text("DROP TABLE sshexec_group_credentials"))
    again = Database(mysql_url, CMDB)
    again.prepare()
    assert differences(again, CMDB) == []
    with again.writing() as connection:
        connection.execute(text("INSERT INTO sshexec_hosts VALUES (1, 'a', 0, NULL, '{}', 0, 0)"))
        connection.execute(text("DELETE FROM sshexec_cmdb_version"))
    with pytest.raises(
        DatabaseError, match="holds a table sshexec_hosts with rows in it, and sshexec_cmdb_version nam"
    ):
        Database(mysql_url, CMDB).prepare()
    database.close()
    again.close()


@SCHEMAS
def test_revisions_are_a_line_of_numbers(schema):
    import importlib

    (folder,) = importlib.import_module(schema.migrations).__path__
    files = sorted(name[:-3] for name in os.listdir(folder) if name.startswith("v"))
    modules = [importlib.import_module(f"{schema.migrations}.{name}") for name in files]
    assert [module.revision for module in modules] == [str(number + 1) for number in range(newest(schema))]
    assert [module.down_revision for module in modules] == [None, *(module.revision for module in modules[:-1])]
    assert [name.split("_")[0] for name in files] == [f"v{module.revision}" for module in modules]


def test_alembic_is_loaded_for_a_move_only(sqlite_url):
    look = (
        "import json, sys\nfrom sshexec.database.database import Database\nfrom sshexec.history.tables import SCHEMA\n"
        "Database(sys.argv[1], SCHEMA).prepare()\n"
        "print(json.dumps([name for name in sys.modules if name == 'alembic']))"
    )
    done = subprocess.run([sys.executable, "-c", look, sqlite_url], capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout) == []
