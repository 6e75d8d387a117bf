"""What users are told about databases that don't do what is wanted: one line, without secrets."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import exc, insert, make_url, select, text

from sshexec.database import engines
from sshexec.database.database import Database
from sshexec.database.failures import translated
from sshexec.errors import DatabaseError, DatabaseUnavailableError, ValueRefusedError
from sshexec.history.tables import SCHEMA, results, runs, starts
from tests.databases import MYSQL, POSTGRESQL

ROW = {"run": "r1", "host": "geheim", "started": 1.0}


def refusal(url: str, kind: type[DatabaseError] = DatabaseError) -> str:
    """Return what one is told who uses a database."""
    database = Database(url, SCHEMA)
    with pytest.raises(DatabaseError) as caught:
        database.prepare()
    database.close()
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite://", "sqlite://: names no file; write sqlite:///hosts.db or sqlite:////srv/hosts.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:: names no file; "),
        ("sqlite:///a.db?mode=ro", "sqlite:///a.db?mode=ro: an address of SQLite takes no settings behind a '?'"),
        ("oracle://u:geheim@h/n", "oracle://u:********@h/n: no such kind of database; there are "),
        ("postgresql+asyncpg://h/n", "postgresql+asyncpg://h/n: no such kind of database; there are "),
        ("hosts.db", "hosts.db: no address of a database, such as sqlite:///hosts.db"),
        ("mysql+pymysql://u:geheim@h:port/n", "mysql+pymysql://u:********@h:port/n: no address of a database"),
    ],
)
def test_an_address_that_is_wrong(url, reason):
    with pytest.raises(DatabaseError) as caught:
        Database(url, SCHEMA)
    assert str(caught.value).startswith(reason)
    assert "geheim" not in repr(caught.value)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("colour=blue", "unexpected keyword argument 'colour'"),
        ("ssl_ca=/nowhere.pem", "No such file"),
        ("charset=klingon", "no such value of a setting"),
        ("connect_timeout=soon", "soon"),
    ],
)
def test_a_setting_that_the_driver_of_mariadb_does_not_take(setting, reason, mysql_url):
    said = refusal(f"{mysql_url.partition('?')[0]}?{setting}")
    assert "this address can't be used" in said
    assert reason in said


def test_an_address_without_a_database(mysql_url):
    url = make_url(mysql_url).set(database="").render_as_string(hide_password=False)
    assert "names no database" in refusal(url)


def test_a_text_that_no_database_holds(database_url):
    database = Database(database_url, SCHEMA)
    with pytest.raises(DatabaseError, match="can hold no such text"), database.reading() as connection:
        connection.execute(select(starts).where(starts.c.host == "\ud800"))
    database.close()


def test_a_row_that_is_larger_than_the_server_takes(mysql_url):
    database = Database(mysql_url, SCHEMA)
    with database.reading() as connection:
        limit = connection.execute(text("SELECT @@max_allowed_packet")).scalar_one()

    def add(size: int) -> None:
        row = {"host": str(size), "status": "ok", "changed": False, "phases": "{}", "data": "{}", "stderr": ""}
        with database.writing() as connection:
            row |= {"run": "r1", "stdout": "\\" * size, "files": "{}", "size": 0}
            database.insert_new(connection, results, [row])

    add(limit // 2 - 2000)
    with pytest.raises(DatabaseError, match="max_allowed_packet") as caught:
        add(limit // 2)
    assert type(caught.value) is DatabaseError
    database.close()


@pytest.mark.parametrize(
    ("kind", "module", "extra"), [("postgresql", "psycopg", "postgresql"), ("mysql", "pymysql", "mysql")]
)
def test_a_driver_that_is_missing(kind, module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    said = refusal(f"{kind}://u:geheim@127.0.0.1/n")
    assert said.endswith(f"://u:********@127.0.0.1/n: its driver is not installed: pip install 'sshexec[{extra}]'")


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_nothing_listens(kind):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"{kind}://ann:geheim@127.0.0.1:{unused.getsockname()[1]}/n"
        said = refusal(url, DatabaseUnavailableError)
    assert "Connection refused" in said or "Can't connect" in said
    assert "geheim" not in said


def test_nobody_speaks(monkeypatch):
    monkeypatch.setattr(engines, "CONNECT", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor() as pool:
        urls = [f"{kind}://ann:geheim@127.0.0.1:{silent.getsockname()[1]}/n" for kind in ("postgresql", "mysql")]
        assert len(list(pool.map(refusal, urls, [DatabaseUnavailableError] * 2))) == 2


def test_a_login_that_is_refused(mysql_url):
    url = make_url(mysql_url).set(password="geheim").render_as_string(hide_password=False)
    assert "Access denied for user" in refusal(url)
    assert "geheim" not in refusal(url)


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_database_that_is_not_there(kind, request):
    server = {"postgresql": POSTGRESQL, "mysql": MYSQL}[kind]
    request.getfixturevalue(f"{kind}_url")
    said = refusal(make_url(server).set(database="sshexec_nowhere").render_as_string(hide_password=False))
    assert "does not exist" in said or "Unknown database" in said


def test_tables_that_are_not_there(database_url):
    database = Database(database_url, SCHEMA, create=False)
    said = r"holds no history \(no such tables\)$" if database.path is None else "there is no such file$"
    with pytest.raises(DatabaseError, match=said):
        database.prepare()
    database.close()
    if database.path is not None:
        assert not os.path.exists(database.path)


def test_a_folder_that_is_not_there(tmp_path):
    assert refusal(f"sqlite:///{tmp_path}/no/x.db").endswith(f"there is no folder {tmp_path}/no")


def test_our_own_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    database = Database(f"sqlite:///{tmp_path}/state/sshexec/history.db", SCHEMA)
    database.prepare()
    database.close()
    assert os.stat(tmp_path / "state" / "sshexec").st_mode & 0o777 == 0o700


def test_a_file_that_is_something_else(tmp_path):
    (tmp_path / "x.db").write_text("web1\nweb2\n" * 1000)
    said = refusal(f"sqlite:///{tmp_path}/x.db")
    assert said.endswith("file is not a database: name another file, or restore this one from a backup")


def test_a_disk_that_is_full(small_disk):
    database = Database(f"sqlite:///{small_disk}/x.db", SCHEMA)
    database.prepare()
    usage = shutil.disk_usage(small_disk)
    rows = [{**ROW, "host": f"{number:0200}"} for number in range(usage.free // 300)]

    def fill() -> None:
        with database.writing() as connection:
            database.insert_new(connection, starts, rows)

    with pytest.raises(DatabaseUnavailableError, match="database or disk is full"):
        fill()
    with database.reading() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM sshexec_starts")).scalar() == 0
        assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
    database.close()


def test_no_value_of_a_row_is_told(database_url):
    database = Database(database_url, SCHEMA)

    def twice() -> None:
        with database.writing() as connection:
            connection.execute(insert(starts), [ROW])
            connection.execute(insert(starts), [ROW])

    def too_long() -> None:
        with database.writing() as connection:
            database.insert_new(connection, starts, [{**ROW, "host": "geheim" * 100}])

    def no_number() -> None:
        with database.writing() as connection:
            connection.execute(text("INSERT INTO sshexec_starts VALUES ('a', 'b', :given)"), {"given": "geheim"})

    def empty() -> None:
        with database.writing() as connection:
            connection.execute(insert(runs), [{"id": "geheim"}])

    def no_sql() -> None:
        with database.writing() as connection:
            connection.execute(text("SELECTED 'geheim'"))

    # SQLite takes texts of any length, and wherever they are put.
    lenient = [] if database.dialect == "sqlite" else [too_long, no_number]
    for act in (twice, empty, no_sql, *lenient):
        with pytest.raises(DatabaseError) as caught:
            act()
        assert type(caught.value) is (DatabaseError if act is no_sql else ValueRefusedError)
        assert "geheim" not in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.__suppress_context__
    database.close()


@contextlib.contextmanager
def holding(port: int) -> Iterator[tuple[int, threading.Event]]:
    """A way to a server that leads nowhere once it is told to."""
    hold, done = threading.Event(), threading.Event()
    sockets: list[socket.socket] = []

    def carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if hold.is_set():
                    done.wait(60)
                target.sendall(data)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                near = listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", port))
                sockets.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=carry, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], hold
        finally:
            done.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in sockets:
                # Only this ends what another thread waits for.
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()


@pytest.mark.parametrize(
    ("kind", "reason", "advice"),
    [
        ("postgresql", "permission denied for schema s", "sshexec database upgrade"),
        ("postgresql", "must be owner of table sshexec_runs", "sshexec database upgrade"),
        ("mysql", "CREATE command denied to user 'a'@'b' for table `c`.`d`", "sshexec database upgrade"),
        ("postgresql", "no schema has been selected to create in", "search_path"),
        ("mysql", "SELECT command denied to user 'a'@'b' for table `c`.`d`", ""),
    ],
)
def test_who_may_not_make_tables_is_told_who_does(kind, reason, advice):
    said = str(translated(exc.ProgrammingError("", {}, Exception(reason)), f"{kind}://h/n"))
    assert said.startswith(f"{kind}://h/n: {reason}")
    assert advice in said
    assert advice or said.endswith(reason)


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_an_answer_that_does_not_come(kind, request, monkeypatch):
    monkeypatch.setattr(engines, "ANSWER", 0.3)
    server = make_url(request.getfixturevalue(f"{kind}_url"))
    with holding(server.port or 0) as (port, hold):
        database = Database(server.set(port=port).render_as_string(hide_password=False), SCHEMA)
        database.prepare()

        def ask() -> None:
            with database.writing() as connection:
                hold.set()
                database.insert_new(connection, starts, [ROW])

        with pytest.raises(DatabaseUnavailableError):
            ask()
        hold.clear()
        # The broken connection is not used again.
        with database.reading() as connection:
            assert connection.execute(text("SELECT COUNT(*) FROM sshexec_starts")).scalar() == 0
        database.close()
