from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from sshexec import Engine, History, Host, Inventory, Secret
from sshexec.database.database import Database
from sshexec.errors import DatabaseError, HistoryError
from sshexec.history import tables
from sshexec.history.courier import FEW
from sshexec.history.hiding import Hiding
from sshexec.history.journals import Journals
from sshexec.history.rows import Results, run_row, text_of
from sshexec.history.tables import SCHEMA
from sshexec.journal import Marks, line
from sshexec.recorder import Course
from sshexec.results import HostResult
from sshexec.task import Occasion
from tests.history.records import finish, ok, opening, record, rows, run_of, wait_until


def warnings_of(caplog):
    """What a user is told."""
    return [each.getMessage() for each in caplog.records if each.name == "sshexec.history" and each.levelno >= 30]


@pytest.fixture
def history(sqlite_url):
    with History(sqlite_url) as history:
        yield history


def test_a_run_is_in_the_database_once_it_is_said_to_be(database_url, tmp_path):
    with History(database_url, state=str(tmp_path / "state")) as history:
        given = opening(occasion=Occasion("ann", "ticket 7", {"team": "web"}), course=Course("20%", 10, 60))
        told = record(history, given, [ok("a", "up\n"), HostResult("b", "unreachable", {"msg": "no"}, cause="refused")])
        assert told.recorded == "database"
        (run,) = rows(history, "runs")
        assert (run["id"], run["root"], run["resumes"]) == (given.run, given.run, None)
        assert (run["actor"], run["reason"], json.loads(run["labels"])) == ("ann", "ticket 7", {"team": "web"})
        assert (run["module"], run["pattern"], json.loads(run["hosts"]), run["count"]) == (
            "shell",
            "all",
            ["a", "b"],
            2,
        )
        task = json.loads(run["task"])
        assert (task["args"], task["serial"], task["max_fail_percentage"], task["run_timeout"]) == (
            "uptime",
            "20%",
            10,
            60,
        )
        assert task["hidden"] == []
        (end,) = rows(history, "ends")
        assert (end["state"], end["finished"]) == ("finished", told.finished)
        a, b = sorted(rows(history, "results"), key=lambda row: row["host"])
        assert (a["status"], a["rc"], a["changed"], json.loads(a["stdout"])) == ("changed", 0, True, "up\n")
        assert json.loads(a["phases"]) == {"running": 0.5}
        assert (b["status"], b["cause"], b["rc"]) == ("unreachable", "refused", None)
        assert b["started"] is not None  # by its mark
        assert rows(history, "starts") in ([], [row for row in rows(history, "starts") if row["host"] in ("a", "b")])
        assert history.journals.all() == []


@pytest.mark.parametrize("program", ["plain", "gevent"])
def test_an_engine_records_its_runs(sqlite_url, program):
    patch = "from sshexec.runtime.patched import patch; patch()\n" if program == "gevent" else ""
    text = (
        f"{patch}from sshexec import Engine, History, Host, Inventory\n"
        "hosts = [Host(f'l{n}', {'ansible_connection': 'local'}) for n in range(4)]\n"
        f"with History({sqlite_url!r}) as history, Engine(Inventory.from_hosts(hosts), history=history) as engine:\n"
        "    print(engine.run('all', 'shell', 'echo $$; test {{ inventory_hostname }} != l2').recorded)\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("database\n", "")
    with History(sqlite_url) as history:
        found = {row["host"]: row["status"] for row in rows(history, "results")}
        assert found == {"l0": "changed", "l1": "changed", "l2": "failed", "l3": "changed"}
        assert all(json.loads(row["phases"])["running"] > 0 for row in rows(history, "results"))
        assert [row["state"] for row in rows(history, "ends")] == ["finished"]
        assert history.journals.all() == []


def test_hosts_are_in_the_database_while_they_are_at_work(history):
    given = opening(["a", "b", "c"])
    recorder = history.begin(given)
    marks = Marks(recorder.journal)
    marks.mark("a")
    marks.mark("b")
    recorder.take(ok("b"))
    wait_until(lambda: rows(history, "starts") and rows(history, "results"))
    assert "a" in [row["host"] for row in rows(history, "starts")]
    assert [row["host"] for row in rows(history, "results")] == ["b"]
    assert rows(history, "ends") == []
    assert history.journals.alive(given.run)
    recorder.take(ok("a"))
    assert finish(recorder, run_of(given, [])).recorded == "database"


def test_a_host_without_its_mark_makes_the_record_incomplete(history):
    given = opening(["a"])
    recorder = history.begin(given)
    recorder.take(ok("a"))
    assert finish(recorder, run_of(given, [])).recorded == "incomplete"
    assert [row["host"] for row in rows(history, "results")] == ["a"]


def test_nothing_is_kept_of_a_run_that_is_not_begun(history):
    inventory = Inventory.from_hosts([Host("a", {"ansible_connection": "local"})])
    with Engine(inventory, history=history) as engine:
        with pytest.raises(Exception, match="no module named"):
            engine.run("all", "nonsense")
        with pytest.raises(Exception, match="is required"):
            engine.run("all", "command", {"chdir": "/", "argvv": ["true"]})
    recorder = history.begin(opening())
    recorder.discard()
    assert history.journals.all() == []
    assert rows(history, "runs") == []


RUNNER = """
import os, signal, sys
from sshexec import History
from sshexec.journal import Marks
from tests.history.records import ok, opening
history = History(sys.argv[1], patient=True)
given = opening(["done", "begun", "never"])
recorder = history.begin(given)
marks = Marks(recorder.journal)
marks.mark("done")
recorder.take(ok("done", "text"))
marks.mark("begun")
print(given.run, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_journal_of_a_runner_that_was_killed_is_delivered_by_the_next(database_url, tmp_path):
    state = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", RUNNER, database_url], capture_output=True, text=True, env=state)
    assert done.returncode == -9, done.stderr
    run = done.stdout.strip()
    with History(database_url, state=str(tmp_path / "sshexec")) as history:
        assert history.journals.waiting() == [run]
        assert history.recover().delivered == 1
        assert [row["state"] for row in rows(history, "ends")] == ["died"]
        assert [row["host"] for row in rows(history, "starts")] == ["begun"]
        assert [(row["host"], row["stdout"]) for row in rows(history, "results")] == [("done", '"text"')]
        assert history.journals.all() == []
        assert history.recover().delivered == 0


def test_a_history_delivers_what_others_left_without_being_asked(sqlite_url):
    subprocess.run([sys.executable, "-c", RUNNER, sqlite_url], capture_output=True, text=True)
    with History(sqlite_url) as history:
        record(history, opening(), [ok("a"), ok("b")])
        wait_until(lambda: not history.journals.all())
        assert sorted(row["state"] for row in rows(history, "ends")) == ["died", "finished"]


def test_delivering_twice_adds_nothing(sqlite_url):
    run = subprocess.run([sys.executable, "-c", RUNNER, sqlite_url], capture_output=True, text=True).stdout.strip()
    with History(sqlite_url) as history:
        path = Path(history.journals.folder) / run / "records"
        kept = path.read_bytes()
        history.recover()
        before = {name: rows(history, name) for name in ("runs", "ends", "starts", "results")}
        path.parent.mkdir()
        (path.parent / "lock").touch()
        path.write_bytes(kept)
        assert history.recover().delivered == 1
        assert {name: rows(history, name) for name in before} == before


def test_a_journal_that_makes_no_sense_is_kept_aside(history):
    folder = Path(history.journals.folder) / ("0" * 32)
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    (folder / "records").write_bytes(b"\0" * 100)
    history.recover()
    assert os.listdir(history.journals.folder) == ["0" * 32 + ".damaged"]
    assert history.journals.waiting() == []


def test_a_patient_history_loads_no_library_for_a_short_run(sqlite_url):
    text = (
        f"import sys\n{SHORT}\nhistory = History({sqlite_url!r}, patient=True)\n"
        "given = opening(['a'])\n"
        "recorder = history.begin(given)\n"
        "recorder.take(ok('a'))\n"
        "recorder.end(run_of(given, []), lambda result: print(result.recorded))\n"
        "history.close()\n"
        "print('sqlalchemy' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("journal\nFalse\n", "")
    with History(sqlite_url) as history:
        assert history.recover().delivered == 1
        assert [row["state"] for row in rows(history, "ends")] == ["finished"]


SHORT = """
import time, uuid
from sshexec import History
from sshexec.recorder import Course, Opening
from sshexec.results import HostResult, RunResult
from sshexec.task import Occasion, Target, Task
def opening(hosts):
    return Opening(uuid.uuid4().hex, Occasion(), Task("shell"), [Target(h, {}) for h in hosts], "all", Course())
def ok(host):
    return HostResult(host, "ok", {})
def run_of(given, results):
    return RunResult(given.run, "shell", {}, time.time(), time.time())
"""


def test_a_patient_history_delivers_once_many_wait(sqlite_url):
    with History(sqlite_url, patient=True) as history:
        told = [record(history, opening(["a"]), [ok("a")]).recorded for _ in range(FEW + 1)]
        assert told == ["journal"] * FEW + ["database"]
        history.close()
        assert history.journals.all() == []
        assert len(rows(history, "runs")) == FEW + 1


def test_where_the_records_are(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("SSHEXEC_HISTORY", raising=False)
    with History() as history:
        assert history.url == f"sqlite:///{tmp_path}/sshexec/history.db"
        record(history, opening(["a"]), [ok("a")])
    folder = tmp_path / "sshexec"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "history.db").stat().st_mode) == 0o600
    monkeypatch.setenv("SSHEXEC_HISTORY", "postgresql+psycopg://me:pw@db.example/x")
    server = History()
    assert "pw@" not in server.url
    assert server.journals.folder.startswith(f"{folder}/journals/")
    assert server.journals.folder != History("postgresql+psycopg://me@db.example/y").journals.folder
    assert History("sqlite:///some.db").journals.folder == os.path.abspath("some.db-journals")


def test_the_folder_of_a_server_history_is_closed_to_others_whatever_the_umask(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    before = os.umask(0)
    try:
        with History("postgresql+psycopg://me@127.0.0.1:1/x") as history:
            history.begin(opening(["a"])).discard()
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {0o700}


@pytest.mark.parametrize("url", ["history.db", "sqlite://", "sqlite:///:memory:", "oracle://x/y"])
def test_a_wrong_address_is_told_at_once(url):
    with pytest.raises(DatabaseError, match=r"sqlite:///history\.db"):
        History(url)


def test_a_run_goes_on_where_nothing_can_be_kept(tmp_path, caplog):
    (tmp_path / "file").touch()
    history = History(f"sqlite:///{tmp_path}/file/history.db")
    for _ in range(2):
        given = opening(["a"])
        recorder = history.begin(given)
        assert recorder.journal is None
        recorder.take(ok("a"))
        assert finish(recorder, run_of(given, [])).recorded == "incomplete"
    (warning,) = warnings_of(caplog)
    assert "runs are not recorded" in warning


def test_a_database_that_does_not_answer_is_told_once_and_gets_everything_later(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("sshexec.history.courier.GRACE", 0.5)
    folder = tmp_path / "later"
    url = f"sqlite:///{folder}/history.db"
    history = History(url)
    monkeypatch.setattr(history, "journals", Journals(str(tmp_path / "journals")))
    monkeypatch.setattr(history._courier, "_journals", history.journals)
    given = [opening(["a"]), opening(["b"])]
    assert record(history, given[0], [ok("a")]).recorded == "journal"
    assert record(history, given[1], [ok("b")]).recorded == "journal"
    warnings = warnings_of(caplog)
    assert len(warnings) == 1
    assert str(folder) in warnings[0]
    assert "delivered" in warnings[0]
    folder.mkdir()
    wait_until(lambda: not history.journals.all())
    assert sorted(row["id"] for row in rows(history, "runs")) == sorted(each.run for each in given)
    history.close()


def test_a_forked_child_leaves_its_parents_run_alone_and_records_its_own(sqlite_url):
    with History(sqlite_url) as history:
        given = opening(["a", "b"])
        recorder = history.begin(given)
        marks = Marks(recorder.journal)
        marks.mark("a")
        child = os.fork()
        if child == 0:
            recorder.take(ok("a", "of the child"))
            recorder.discard()
            own = record(history, opening(["c"]), [ok("c")])
            os._exit(0 if own.recorded == "database" else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        recorder.take(ok("a", "of the parent"))
        assert finish(recorder, run_of(given, [])).recorded == "database"
        assert {row["host"]: row["stdout"] for row in rows(history, "results")} == {"a": '"of the parent"', "c": '""'}


def test_what_one_row_can_not_hold_does_not_stop_the_others(postgresql_url, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("sshexec.history.rows.clean", lambda text, length=None: text)
    with History(postgresql_url, state=str(tmp_path)) as history:
        bad = HostResult("b", "failed", {}, cause="x" * 99)
        told = record(history, opening(["a", "b", "c"]), [ok("a"), bad, ok("c")])
        assert told.recorded == "incomplete"
        assert [row["host"] for row in rows(history, "results")] == ["a", "c"]
        assert history.journals.all() == []
    (warning,) = warnings_of(caplog)
    assert "host b" in warning


def test_tables_of_another_version_lose_nothing(database_url, tmp_path):
    """Whoever takes them to another version beside a run: that one takes some rows, and not others."""
    with History(database_url, state=str(tmp_path)) as history:
        assert record(history, opening(["a"]), [ok("a")]).recorded == "database"
        other = Database(database_url, SCHEMA)
        other.migrate(2)
        told = record(history, opening(["b"]), [ok("b")])
        # A file is upgraded again at once.
        assert told.recorded == ("database" if other.dialect == "sqlite" else "journal")
        other.migrate()
        other.close()
        wait_until(lambda: not history.journals.all())
        assert sorted(row["host"] for row in rows(history, "results")) == ["a", "b"]


def test_what_a_table_takes_nothing_of_stays_in_the_journal(database_url, tmp_path, caplog):
    with History(database_url, state=str(tmp_path)) as history:
        with history.database.writing() as connection:
            connection.execute(text("DROP TABLE sshexec_results"))
        hosts = [f"h{n}" for n in range(3)]
        given = opening(hosts)
        assert record(history, given, [ok(host) for host in hosts]).recorded == "journal"
        assert history.journals.all() == [given.run]
        with history.database.writing() as connection:
            tables.results.create(connection)
        history.recover()
        wait_until(lambda: not history.journals.all())
        assert sorted(row["host"] for row in rows(history, "results")) == hosts
    (warning,) = warnings_of(caplog)
    assert "records of runs are kept in" in warning


NONSENSE = [
    b'{"start":"b"}',
    b'{"start":["b"],"time":1.0}',
    b'{"result":7}',
    b'{"result":{"host":"b"}}',
    b'{"end":null}',
    b'{"opening":3}',
    b"[" * 100000,
]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda each: each[:30].decode())
def test_a_line_that_makes_no_sense_holds_up_neither_the_others_nor_other_journals(history, nonsense, caplog):
    damaged, sound = opening(["a", "b"]), opening(["a", "b"])
    for given in (damaged, sound):
        hiding = Hiding(given)
        journal = history.journals.create(given.run, line("opening", text_of(run_row(given, hiding, given.run, None))))
        journal.append(b'\n{"start":"a","time":1.0}\n')
        if given is damaged:
            journal.append(b"\n" + nonsense + b"\n")
        journal.append(line("result", text_of(Results(given.run, hiding, history.outputs, 1000).row(ok("a")))))
        journal.release()
    assert history.recover().left == 0
    assert history.journals.all() == []
    assert {(row["run"], row["host"]) for row in rows(history, "results")} == {(damaged.run, "a"), (sound.run, "a")}
    assert {row["state"] for row in rows(history, "ends")} == {"died"}
    told = [each for each in warnings_of(caplog) if damaged.run in each]
    assert len(told) == (0 if nonsense.startswith(b"[") else 1)  # what is no JSON at all may have been torn by a crash


def test_a_run_is_gone_on_with_once(history):
    first = opening(["a"])
    record(history, first, [ok("a")])
    later = [replace(opening(["a"]), resumes=first.run, root=first.run, passes=(first.run,)) for _ in range(3)]
    recorder = history.begin(later[0])
    with pytest.raises(HistoryError, match=f"run {later[0].run[:8]} has gone on with it"):
        history.begin(later[1])
    recorder.take(ok("a"))
    finish(recorder, run_of(later[0], []))
    with pytest.raises(HistoryError, match=f"run {later[0].run[:8]} has gone on with it"):
        history.begin(later[1])
    history.begin(replace(later[2], passes=(first.run, later[0].run))).discard()


def test_the_passes_of_a_chain_stay_in_order_where_the_clock_is_set_back(history, monkeypatch):
    now = time.time()
    passes = []
    for ahead in (7200, 0, 3600):
        monkeypatch.setattr("sshexec.history.rows.time.time", lambda ahead=ahead: now + ahead)
        given = opening(["a"])
        if passes:
            given = replace(given, resumes=passes[0], root=passes[0], passes=tuple(passes))
        record(history, given, [ok("a")])
        passes.append(given.run)
    monkeypatch.undo()
    assert history.resumption(passes[0]).passes == tuple(passes)
    assert [run.id for run in history.records.runs()] == passes[::-1]


def test_a_name_that_databases_refuse_is_told(history, caplog):
    told = record(history, opening(["a\0b", "c"]), [ok("a\0b"), ok("x" * 256), ok("c")])
    assert told.recorded == "incomplete"
    assert [row["host"] for row in rows(history, "results")] == ["c"]
    assert len(warnings_of(caplog)) == 1


def test_secrets_of_hosts_are_in_no_record(history, tmp_path):
    secret, key = "pa'ss\nword \u00fc", "-----BEGIN KEY-----\nabcdefghijkl\nmnopqrstuvwx\n-----END KEY-----\n"
    variables = {
        "ansible_password": "hunter2",
        "note": Secret(secret),
        "deep": {"api_token": "t0k3n"},
        "the_key": Secret(key),
    }
    given = opening(
        ["a"],
        args="echo {{ x }} token=shown-by-name",
        variables=variables,
        environment={"DB_PASSWORD": "envpw", "N": "hunter2"},
    )
    text = f"hunter2 {secret} t0k3n shown-by-name envpw\n  mnopqrstuvwx"
    told = record(
        history, given, [ok("a", text, extra={"k hunter2": [text, repr(secret), json.dumps(secret)]}, diff=key)]
    )
    assert told.recorded == "database"
    dump = json.dumps([rows(history, name) for name in ("runs", "results", "starts", "ends")])
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for word in ("hunter2", "pa'ss", "word \u00fc", "t0k3n", "shown-by-name", "envpw", "abcdefghijkl", "mnopqrst"):
        assert json.dumps(word)[1:-1] not in dump.replace("\\\\", "\\")
        assert word.encode() not in kept
    task = json.loads(rows(history, "runs")[0]["task"])
    assert task["args"] == "********"
    assert sorted(task["hidden"]) == ["args", "environment.DB_PASSWORD", "environment.N"]
    assert "********" in rows(history, "results")[0]["stdout"]


def test_no_log_keeps_no_arguments(history):
    record(
        history,
        opening(["a"], args="echo hello", no_log=True, environment={"A": "b"}),
        [HostResult("a", "ok", {"censored": "x"})],
    )
    task = json.loads(rows(history, "runs")[0]["task"])
    assert task["args"] is None
    assert task["environment"] == {"A": "********"}
    assert task["hidden"] == ["args", "environment.A"]
