"""A database that threads, greenlets, processes and forked children use at the same time."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, text

from sshexec.database import database as database_module
from sshexec.database.database import Database
from sshexec.errors import DatabaseUnavailableError
from sshexec.history.tables import SCHEMA, starts


def count(database: Database) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(starts)).scalar_one()


def add(database: Database, *hosts: str, alone: bool = False) -> None:
    with database.writing(alone=alone) as connection:
        database.insert_new(connection, starts, [{"run": "r1", "host": host, "started": 1.0} for host in hosts])


def test_threads_share_one(database_url):
    database = Database(database_url, SCHEMA)

    def work(thread: int) -> None:
        for turn in range(10):
            add(database, f"{thread}-{turn}", f"{thread}-{turn}+")
            assert count(database) >= 2 * turn

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert count(database) == 160
    database.close()


def test_who_reads_sees_one_moment(database_url):
    database, other = Database(database_url, SCHEMA), Database(database_url, SCHEMA)
    add(database, "a")
    with database.reading() as connection:
        asked = select(func.count()).select_from(starts)
        if database.dialect == "sqlite":
            # Its snapshot is taken before anything is asked.
            add(other, "b")
        before = connection.execute(asked).scalar()
        add(other, "c")
        assert connection.execute(asked).scalar() == before == 1
    assert count(database) == (3 if database.dialect == "sqlite" else 2)
    database.close()
    other.close()


def test_what_was_taken_back_holds_up_nobody(database_url, monkeypatch):
    """MariaDB's lock stays with a connection, and that goes back to the pool."""
    database, other = Database(database_url, SCHEMA), Database(database_url, SCHEMA)
    with pytest.raises(ZeroDivisionError), database.writing(alone=True):
        raise ZeroDivisionError
    monkeypatch.setattr(database_module, "LOCKED", 0.5)
    add(other, "a", alone=True)
    assert count(database) == 1
    database.close()
    other.close()


def test_who_writes_alone_waits_for_others_who_do(database_url):
    """Without the lock, each would read the same number, and rows would be missing."""
    databases = [Database(database_url, SCHEMA) for _ in range(4)]
    databases[0].prepare()
    start = threading.Barrier(len(databases))

    def work(database: Database) -> None:
        start.wait(20)
        for _ in range(5):
            with database.writing(alone=True) as connection:
                number = connection.execute(select(func.count()).select_from(starts)).scalar_one()
                row = {"run": "r1", "host": str(number), "started": 1.0}
                database.insert_new(connection, starts, [row])

    with ThreadPoolExecutor(len(databases)) as pool:
        list(pool.map(work, databases))
    assert count(databases[0]) == 20
    for database in databases:
        database.close()


def test_who_writes_alone_and_fails_holds_up_nobody(database_url, monkeypatch):
    for module in ("database", "engines"):
        monkeypatch.setattr(f"sshexec.database.{module}.LOCKED", 2)
    database, other = Database(database_url, SCHEMA), Database(database_url, SCHEMA)
    with pytest.raises(KeyError), database.writing(alone=True):
        raise KeyError
    add(other, "a", alone=True)
    assert count(database) == 1
    database.close()
    other.close()


def test_no_statement_stays_prepared_on_a_server(postgresql_url):
    """PgBouncer gives each transaction another connection to the server, which knows nothing of it."""
    for more, prepared in (("", 0), ("&prepare_threshold=0", 1)):
        database = Database(postgresql_url + more, SCHEMA)
        for turn in range(8):
            add(database, f"a{turn}", "b")
            count(database)
        with database.reading() as connection:
            held = connection.execute(text("SELECT COUNT(*) FROM pg_prepared_statements")).scalar_one()
        assert bool(held) is bool(prepared)
        database.close()


def test_nobody_waits_for_ever(database_url, monkeypatch):
    for module in ("database", "engines"):
        monkeypatch.setattr(f"sshexec.database.{module}.LOCKED", 0.3)
    database, other = Database(database_url, SCHEMA), Database(database_url, SCHEMA)
    database.prepare()
    other.prepare()
    # As if the other one was another process.
    monkeypatch.setattr(database_module, "_writers", Forgetful())
    with (
        database.writing(alone=True),
        pytest.raises(DatabaseUnavailableError, match="lock"),
        other.writing(alone=True),
    ):
        pass
    add(other, "a", alone=True)
    assert count(database) == 1
    database.close()
    other.close()


class Forgetful(dict[str, threading.Lock]):
    """Gives everybody a lock of their own."""

    def setdefault(self, key: str, default: threading.Lock | None = None) -> threading.Lock:
        return default or threading.Lock()


@pytest.mark.parametrize(
    ("kind", "own", "kill"),
    [
        ("postgresql", "SELECT pg_backend_pid()", "SELECT pg_terminate_backend({})"),
        ("mysql", "SELECT CONNECTION_ID()", "KILL {}"),
    ],
)
def test_a_transaction_whose_connection_breaks_is_undone(kind, own, kill, request):
    url = request.getfixturevalue(f"{kind}_url")
    database, other = Database(url, SCHEMA), Database(url, SCHEMA)

    def write() -> None:
        with database.writing(alone=True) as connection:
            database.insert_new(connection, starts, [{"run": "r1", "host": "a", "started": 1.0}])
            number = connection.execute(text(own)).scalar()
            with other.reading() as killing:
                killing.execute(text(kill.format(number)))
            database.insert_new(connection, starts, [{"run": "r1", "host": "b", "started": 1.0}])

    database.prepare()
    other.prepare()
    with pytest.raises(DatabaseUnavailableError):
        write()
    add(database, "c", alone=True)
    assert count(database) == 1
    database.close()
    other.close()


def test_a_connection_that_broke_is_replaced(postgresql_url):
    database = Database(postgresql_url, SCHEMA)
    add(database, "a")
    other = Database(postgresql_url, SCHEMA)
    with database.reading() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
    with other.writing() as connection:
        assert connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid}).scalar()
    assert count(database) == 1
    database.close()
    other.close()


GREENLETS = """
import gevent.monkey
gevent.monkey.patch_all()
import sys, time, gevent
from sqlalchemy import text
from sshexec.database.database import Database
from sshexec.history.tables import SCHEMA, starts

database = Database(sys.argv[1], SCHEMA)
slow = {"sqlite": None, "postgresql": "SELECT pg_sleep(0.2)", "mysql": "SELECT SLEEP(0.2)"}[database.dialect]
ticks = 0

def tick():
    global ticks
    while True:
        time.sleep(0.01)
        ticks += 1

def work(name):
    with database.writing() as connection:
        database.insert_new(connection, starts, [{"run": "r", "host": str(name), "started": 1.0}])
        time.sleep(0.05)
        if slow and not name:
            connection.execute(text(slow))

database.prepare()
ticking = gevent.spawn(tick)
workers = [gevent.spawn(work, name) for name in range(5)]
gevent.joinall(workers, raise_error=True, timeout=20)
assert ticks >= 10, ticks
ticking.kill()
with database.reading() as connection:
    print(connection.execute(text("SELECT COUNT(*) FROM sshexec_starts")).scalar())
"""


def run(program: str, *args: str) -> str:
    done = subprocess.run([sys.executable, "-c", program, *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_greenlets_do_not_wait_for_each_other_in_vain(database_url):
    """One that waited for another's transaction inside of SQLite would stop both, and all others."""
    assert run(GREENLETS, database_url) == "5\n"


FORKS = """
import os, sys, threading, time
from sqlalchemy import text
from sshexec.database.database import Database
from sshexec.history.tables import SCHEMA, starts

database = Database(sys.argv[1], SCHEMA)

def add(name):
    with database.writing() as connection:
        database.insert_new(connection, starts, [{"run": "r", "host": name, "started": 1.0}])

def count():
    with database.reading() as connection:
        return connection.execute(text("SELECT COUNT(*) FROM sshexec_starts")).scalar()

stop, written = threading.Event(), []

def busy():
    while not stop.is_set():
        add(f"thread-{len(written)}")
        written.append(1)

add("parent")
thread = threading.Thread(target=busy)
thread.start()
children = []
for child in range(5):
    pid = os.fork()
    if not pid:
        try:
            before = count()
            for turn in range(5):
                add(f"child-{child}-{turn}")
            os._exit(0 if count() >= before + 5 else 3)
        except BaseException as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(2)
    children.append(pid)
    database.close()
ends = [os.waitpid(pid, 0)[1] for pid in children]
stop.set()
thread.join()
assert ends == [0] * 5, ends
database.close()
assert count() == 1 + len(written) + 25, (count(), len(written))
with database.reading() as connection:
    if database.dialect == "sqlite":
        assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
"""


def test_a_forked_child_has_connections_of_its_own(database_url):
    run(FORKS, database_url)


FORK_INSIDE = """
import os, sys
from sqlalchemy import text
from sshexec.database.database import Database
from sshexec.history.tables import SCHEMA

database = Database(sys.argv[1], SCHEMA)
with database.writing() as connection:
    if not os.fork():
        try:
            with Database(sys.argv[1], SCHEMA).reading():
                pass
        except Exception as error:
            print(error, flush=True)
        os._exit(0)
    os.wait()
    connection.execute(text("INSERT INTO sshexec_starts VALUES ('r', 'h', 1)"))
with database.reading() as connection:
    print(connection.execute(text("SELECT COUNT(*) FROM sshexec_starts")).scalar())
"""


def test_a_child_forked_inside_of_a_transaction_keeps_off_the_file(sqlite_url):
    told = f"{sqlite_url}: can't be used here, since this process was forked in the middle of a transaction"
    assert run(FORK_INSIDE, sqlite_url) == f"{told}\n1\n"
