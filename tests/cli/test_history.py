"""``sshexec history``."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time

import pytest

from sshexec.cli.main import cli
from sshexec.database.database import Database
from sshexec.engine import Engine
from sshexec.errors import HistoryError, InputError
from sshexec.history.history import History, Recovery
from sshexec.history.journals import Journals
from sshexec.history.reading import Records
from sshexec.history.tables import SCHEMA
from sshexec.inventory.model import Inventory
from tests.cli.command import PATIENCE, Terminal, finish, sshexec, start, wait_for
from tests.history.rows import BEGAN, add_results, add_run, add_starts, file_of, result_row

A, B, C = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A state directory of this test's own, and a time zone that everybody has."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    for name in ("SSHEXEC_HISTORY", "SSHEXEC_HISTORY_KEEP"):
        monkeypatch.delenv(name, raising=False)
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/history.db"


@pytest.fixture
def database(url):
    database = Database(url, SCHEMA)
    yield database
    database.close()


@pytest.fixture
def call(capfd, url):
    """Return a function that runs a command and returns what it printed."""

    def call(*words, history=url, code=0):
        given = [] if history is None else ["--history", history]
        assert cli.main(["history", words[0], *given, *words[1:]], standalone_mode=False) == code
        return capfd.readouterr().out

    return call


@pytest.fixture
def two(database):
    """Two runs on many hosts."""
    hosts = [f"web{number}" for number in range(1, 7)]
    add_run(database, A, hosts, labels={"team": "ops"}, reason="CHG-1", task={"args": "cat /etc/release"})
    add_run(database, B, [*hosts[1:], "new"], started=BEGAN + 3600, module="copy", task={"args": {"src": "x"}})
    rows = [result_row(A, host, "changed", stdout="release 7") for host in hosts]
    rows[5] = result_row(A, "web6", "failed", rc=3, stdout="part", stderr="one\nweb6 is broken")
    rows += [result_row(B, host, "changed", stdout="release 8") for host in hosts[2:]]
    rows.append(result_row(B, "web2", "unreachable", rc=None, cause="refused", data={"result": {"msg": "web2: no"}}))
    add_results(database, [*rows, result_row(B, "new", "changed")])


def test_the_list(two, call):
    lines = [line.split("  ") for line in call("list").splitlines()]
    cells = [[cell.strip() for cell in line if cell] for line in lines]
    assert cells == [
        ["RUN", "BEGAN", "TOOK", "ACTOR", "TASK", "HOSTS", "OUTCOME", "WHY"],
        ["bbbbbbbb", "2027-01-15 09:00:00", "10.0 s", "olga", 'copy {"src": "x"}', "6", "5 changed, 1 unreachable"],
        [
            *("aaaaaaaa", "2027-01-15 08:00:00", "10.0 s", "olga", "command cat /etc/release", "6"),
            *("5 changed, 1 failed", "CHG-1 team=ops"),
        ],
    ]
    assert [run["id"] for run in json.loads(call("list", "--json"))["runs"]] == [B, A]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--limit", "1"], [B]),
        (["--all"], [B, A]),
        (["--label", "team=ops"], [A]),
        (["--host", "new"], [B]),
        (["-m", "copy"], [B]),
        (["--since", "2027-01-15 08:30"], [B]),
        (["--until", "2027-01-15T08:30"], [A]),
        (["--until", "1h"], []),
        (["--actor", "ivan"], []),
        (["--state", "finished"], [B, A]),
    ],
)
def test_the_list_of_some(two, call, words, found):
    assert [run["id"] for run in json.loads(call("list", "--json", *words))["runs"]] == found


@pytest.mark.parametrize("words", [["--label", "team"], ["--since", "yesterday"], ["--limit", "0"], ["--state", "x"]])
def test_what_the_list_does_not_understand(words):
    assert sshexec("history", "list", *words).returncode == 5


def test_a_run(two, call):
    text = call("show", "aaa")
    assert text.splitlines() == [
        f"run       {A}",
        "task      command cat /etc/release",
        "hosts     all (6)",
        "actor     olga (process 1 on here)",
        "reason    CHG-1",
        "labels    team=ops",
        "began     2027-01-15 08:00:00",
        "ended     2027-01-15 08:00:10",
        "",
        "6 hosts in 10.0 s: 5 changed, 1 failed",
        "  failed, rc=3: web6: web6 is broken",
    ]
    assert "unreachable, refused: web2: no" in call("show", "last")


def test_a_run_whose_runner_died(database, call):
    add_run(database, A, [f"h{n}" for n in range(9)], end="died")
    add_results(database, [result_row(A, "h0")])
    add_starts(database, A, ["h0", "h1", "h2"])
    text = call("show", "last")
    assert "9 hosts in 10.0 s: died: 1 ok, 2 unknown, 6 pending" in text
    assert "  unknown: h[1-2] (2): may have been run" in text
    assert "  pending: h[3-8] (6): never contacted" in text
    assert "h[3-8]" in call("show", "last", "--fold")
    found = json.loads(call("show", "last", "--json", "--state", "unknown"))
    assert [(host["host"], host["state"]) for host in found["hosts"]] == [("h1", "unknown"), ("h2", "unknown")]


def test_a_run_s_hosts_as_a_table(two, call):
    lines = call("show", "b", "--hosts").splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["HOST", "STATE", "RC", "TOOK", "CAUSE", "WHY"],
        ["web2", "unreachable", "2.0", "s", "refused", "no"],
        ["web3", "changed", "0", "2.0", "s"],
    ]
    assert [line.split()[0] for line in call("show", "b", "--hosts", "--state", "unreachable").splitlines()[1:]] == [
        "web2"
    ]


def test_answers_as_the_run_printed_them(two, call):
    assert call("show", "a", "--fold").startswith("web[1-5] (5) | CHANGED | rc=0 >>\nrelease 7\n")
    assert call("show", "a", "--host", "web6") == (
        "web6 | FAILED | rc=3 >>\npart\none\nweb6 is broken\nnon-zero return code\n"
    )


def test_a_run_as_json(two, call):
    plain = json.loads(call("show", "a", "--json"))
    assert list(plain) == ["version", "run", "hosts"]
    assert (plain["version"], plain["run"]["id"], plain["run"]["counts"]) == (1, A, {"changed": 5, "failed": 1})
    assert plain["hosts"][0]["result"] == {"changed": True, "rc": 0}
    assert plain["hosts"][5]["result"] == {"changed": False, "rc": 3, "msg": "non-zero return code"}
    with_output = json.loads(call("show", "a", "--json", "--output", "--host", "web1"))
    assert [host["result"]["stdout"] for host in with_output["hosts"]] == ["release 7"]


def test_what_is_different(two, call):
    assert call("diff", "a", "b").splitlines() == [
        "- aaaaaaaa  2027-01-15 08:00:00  command cat /etc/release  (6 hosts)",
        '+ bbbbbbbb  2027-01-15 09:00:00  copy {"src": "x"}  (6 hosts)',
        "0 hosts came out the same",
        "  stdout: web[3-5] (3)",
        "  changed -> unreachable, refused: web2",
        "  failed, rc=3 -> changed; stdout and stderr: web6",
        "  only in aaaaaaaa: web1",
        "  only in bbbbbbbb: new",
        "",
        "stdout of web[3-5] (3):",
        "--- before: aaaaaaaa",
        "+++ after: bbbbbbbb",
        "@@ -1 +1 @@",
        "-release 7",
        "+release 8",
        "",
        "stdout of web6:",
        "--- before: aaaaaaaa",
        "+++ after: bbbbbbbb",
        "@@ -1 +1 @@",
        "-part",
        "+release 8",
        "",
        "stderr of web6:",
        "--- before: aaaaaaaa",
        "+++ after: bbbbbbbb",
        "@@ -1,2 +0,0 @@",
        "-one",
        "-web6 is broken",
    ]
    assert "+++" not in call("diff", "a", "b", "--brief")
    assert "... and 2 other differences" in call("diff", "a", "b", "-n", "1")
    plain = json.loads(call("diff", "a", "b", "--json", "-n", "1"))
    assert (plain["same"], plain["gone"], plain["new"], plain["others"]) == (0, ["web1"], ["new"], 2)
    assert plain["differences"][0]["hosts"] == ["web3", "web4", "web5"]
    assert [change["host"] for change in plain["changes"]] == ["web2", "web3", "web4", "web5", "web6"]


def test_an_output(database, call, tmp_path, capfd):
    whole = "line\n" * 50_000
    add_run(database, A, ["h1", "h2"])
    file = file_of(tmp_path / "h1" / "stdout", whole)
    more = {"stdout": "head tail", "stderr": "no end", "files": {"stdout": file}}
    add_results(database, [result_row(A, "h1", **more), result_row(A, "h2")])
    assert call("output", "last", "h1") == whole
    assert call("output", "last", "h1", "--stderr") == "no end\n"
    assert call("output", "last", "h2") == ""
    assert json.loads(call("output", "last", "h1", "--result")) == {"changed": False, "rc": 0}
    assert json.loads(call("output", "last", "h1", "--json"))["text"] == whole
    os.unlink(file["path"])
    assert cli.main(["history", "output", "--history", _url(database), "last", "h1"], standalone_mode=False) == 2
    out, err = capfd.readouterr()
    assert out == "head tail\n"
    assert "not the whole output of h1" in err
    assert file["path"] in err


def _url(database):
    return f"sqlite:///{database.path}"


def test_bytes_that_are_no_text_come_out_as_they_were(database, url, tmp_path):
    path = tmp_path / "stdout"
    path.write_bytes(b"\xff\x00\n")
    file = {**file_of(tmp_path / "other", "x"), "path": str(path), "bytes": 3, "sha256": None}
    add_run(database, A, ["h1"])
    add_results(database, [result_row(A, "h1", files={"stdout": file})])
    assert sshexec("history", "output", "--history", url, A, "h1", encoding="latin-1").stdout == "\xff\0\n"


def test_old_runs_go(two, call):
    assert call("prune", "--keep-runs", "1", "--dry-run") == "1 run would be removed, 1 kept\n"
    assert call("prune", "--keep-size", "1", "--dry-run") == "1 run (3.0 KiB) would be removed, 1 kept\n"
    plain = json.loads(call("prune", "--keep-runs", "1", "--json"))
    assert (plain["runs"], plain["kept"], plain["dry"]) == ([A], 1, False)
    text = call("prune", "--keep-runs", "1", "--compact")
    assert text.startswith("0 runs removed, 1 kept\n")


def test_what_is_kept_is_in_the_environment(two, call, monkeypatch):
    monkeypatch.setenv("SSHEXEC_HISTORY_KEEP", "1 run")
    assert call("prune") == "1 run removed, 1 kept\n"
    monkeypatch.setenv("SSHEXEC_HISTORY_KEEP", "a while")
    with pytest.raises(HistoryError, match=r"\$SSHEXEC_HISTORY_KEEP: .* 90d,2G"):
        call("prune")


def test_your_own_history_forgets_by_itself_once_a_day(call, tmp_path, monkeypatch):
    own = tmp_path / "state" / "sshexec"
    own.mkdir(parents=True)
    database = Database(f"sqlite:///{own}/history.db", SCHEMA)
    for days, run in ((100, A), (95, B), (1, C)):
        add_run(database, run, ["h1"], started=time.time() - days * 86400)

    def runs(**options):
        return [run["id"] for run in json.loads(call("list", "--json", **options))["runs"]]

    everything = [C, B, A]
    assert runs(history=None) == everything
    marker = own / "history.db-pruned"
    os.utime(marker, (0, 0))
    assert runs(history=f"sqlite:///{own}/history.db") == everything
    assert runs(history=f"sqlite:///{own}/history.db") == everything
    assert runs(history=None) == everything
    assert runs(history=None) == [C]
    add_run(database, A, ["h1"], started=time.time() - 100 * 86400)
    assert runs(history=None) == runs(history=None) == [C, A]
    monkeypatch.setenv("SSHEXEC_HISTORY_KEEP", "all")
    os.utime(marker, (0, 0))
    assert runs(history=None) == runs(history=None) == [C, A]
    database.close()


def test_a_run_lets_go_of_what_is_old(tmp_path):
    own = tmp_path / "state" / "sshexec"
    own.mkdir(parents=True, mode=0o700)
    database = Database(f"sqlite:///{own}/history.db", SCHEMA)
    add_run(database, A, ["h1"], started=time.time() - 100 * 86400)
    database.close()
    (own / "history.db-pruned").touch()
    os.utime(own / "history.db-pruned", (0, 0))
    for keep, there in (("all", True), ("", False)):
        os.utime(own / "history.db-pruned", (0, 0))
        env = {"SSHEXEC_HISTORY": "", "SSHEXEC_HISTORY_KEEP": keep}
        assert sshexec("run", "all", "-i", "h1,", "-c", "local", "-a", "true", "-q", env=env).returncode == 0
        with contextlib.closing(Database(f"sqlite:///{own}/history.db", SCHEMA)) as database:
            assert [run.id for run in Records(database).runs()] == ([A] if there else [])


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_history_on_a_server(request, kind):
    address = request.getfixturevalue(f"{kind}_url")
    with contextlib.closing(Database(address, SCHEMA)) as database:
        for run in (A, B):
            add_run(database, run, ["h1"])
            add_results(database, [result_row(run, "h1", stdout=run)])
    done = sshexec("history", "diff", "--history", address, "a", "b")
    assert (done.returncode, done.stderr) == (0, "")
    assert "  stdout: h1\n" in done.stdout


def test_where_nothing_is_recorded_nothing_is_made(call, url, tmp_path, capfd):
    assert cli.main(["history", "list"], standalone_mode=False) == 0
    out, err = capfd.readouterr()
    assert (out, err.startswith("sshexec: nothing is recorded in sqlite:///")) == ("", True)
    assert json.loads(call("list", "--json", history=None))["runs"] == []
    assert call("prune", history=None) == "0 runs removed, 0 kept\n"
    for words in (["list"], ["show", "last"], ["prune"]):
        with pytest.raises(InputError, match="nothing is recorded in sqlite:///"):
            call(*words)
    assert list(tmp_path.iterdir()) == []


def test_a_database_without_a_history_stays_without_one(call, postgresql_url):
    for _ in range(2):
        with pytest.raises(InputError, match="holds no history"):
            call("list", history=postgresql_url)


@pytest.mark.parametrize("words", [["show", "a", "--hosts", "--fold"], ["show", "a", "--output"], ["shew"], ["a"]])
def test_words_that_do_not_go_together(words):
    done = sshexec("history", *words)
    assert done.returncode == 5
    assert len(done.stderr.splitlines()) == 1


def test_a_run_that_is_not_there(two, url):
    done = sshexec("history", "show", "--history", url, "f")
    assert done.returncode == 5
    assert done.stderr.startswith("sshexec: error: there is no run 'f' in sqlite:///")
    assert len(done.stderr.splitlines()) == 1


def test_a_real_run_from_its_journal_on(tmp_path, call, url, monkeypatch):
    monkeypatch.setattr("sshexec.history.courier.PATIENCE", 600.0)  # however slow this machine is
    inventory = tmp_path / "hosts.json"
    hosts = {name: {"ansible_connection": "local", "marker": name} for name in ("h1", "h2", "h3")}
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
    history = History(url, patient=True)
    with Engine(Inventory.load(str(inventory)), history=history, actor="olga", keep=0) as engine:
        script = "echo {{ marker }}; seq 40000; [ {{ marker }} != h3 ] || { echo no >&2; exit 4; }"
        result = engine.run("all", "shell", script, labels={"n": "1"})
    # Nobody has delivered anything: a short run leaves that to whoever reads.
    assert not os.path.exists(f"{tmp_path}/history.db")
    history.close()
    (run,) = json.loads(call("list", "--json"))["runs"]
    assert (run["id"], run["actor"], run["labels"], run["counts"]) == (
        result.id,
        "olga",
        {"n": "1"},
        {"changed": 2, "failed": 1},
    )
    assert "failed, rc=4: h3: no" in call("show", "last")
    assert call("output", "last", "h2") == "h2\n" + "".join(f"{n}\n" for n in range(1, 40001))
    assert call("show", "last", "--host", "h1").endswith(
        f"(stdout is longer: sshexec history output {result.id[:8]} h1)\n"
    )


def test_journals_that_can_not_be_delivered_are_told(two, url, tmp_path, capfd, monkeypatch):
    journal = Journals(f"{tmp_path}/history.db-journals").create(C, b"")
    monkeypatch.setattr(History, "recover", lambda history: Recovery(0, 2, "the disk is\x1b full"))
    assert cli.main(["history", "list", "--history", url], standalone_mode=False) == 0
    out, err = capfd.readouterr()
    assert len(out.splitlines()) == 3
    told = "sshexec: warning: the records of 2 runs wait in {}/history.db-journals: the disk is\\x1b full\n"
    assert err == told.format(tmp_path)
    journal.release()


def test_a_list_without_a_run_says_so(two, url, capfd):
    assert cli.main(["history", "list", "--history", url, "--host", "nobody"], standalone_mode=False) == 0
    assert capfd.readouterr() == ("", "sshexec: no such run is recorded\n")


def test_names_and_times_stay_whole_on_a_narrow_terminal(two, url):
    for term in ("xterm", "dumb"):
        terminal = Terminal("history", "list", "--history", url, env={"COLUMNS": "40", "TERM": term})
        assert terminal.end() == 0
        assert re.search(rf"{A[:8]}  \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  ", terminal.seen)


def test_on_a_terminal_nothing_that_a_host_said_is_obeyed(database, url):
    add_run(database, A, ["h1"], reason="\x1b[2Jwhy", task={"args": "echo \x1b]0;title\x07"})
    add_results(database, [result_row(A, "h1", "failed", rc=1, stdout="\x1b[31mred\n", stderr="\x1b[2Jgone")])
    for words in (["list"], ["show", "last"], ["output", "last", "h1"]):
        terminal = Terminal("history", words[0], "--history", url, *words[1:])
        assert terminal.end() == 0
        assert "\x1b[2J" not in terminal.seen
        assert "\x1b]0" not in terminal.seen
        assert "\x1b[31mred" not in terminal.seen
        assert "\\x1b" in terminal.seen


def test_a_run_that_goes_on_and_one_whose_runner_was_killed(call, tmp_path, url):
    hosts = {name: {"ansible_connection": "local", "file": str(tmp_path / name)} for name in ("h1", "h2", "h3")}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    # The first one ends, the second one is at work, the third one waits for it.
    stop = tmp_path / "stop"
    wait = f"for n in $(seq 600); do [ -e {stop} ] && exit; sleep 0.1; done"
    script = f"echo begun > {{{{ file }}}}; [ {{{{ inventory_hostname }}}} = h1 ] || {wait}"
    words = ("all", "-i", tmp_path / "hosts.json", "-m", "shell", "-a", script, "--serial", "1", "--history", url)
    process = start("run", *words)
    try:
        wait_for(tmp_path / "h2")
        deadline = time.monotonic() + PATIENCE
        while not os.path.exists(tmp_path / "history.db") or not json.loads(call("list", "--json"))["runs"]:
            assert time.monotonic() < deadline  # a record is in the database after a second
            time.sleep(0.05)
        found: dict[str, str] = {}
        while found != {"h1": "changed", "h2": "running", "h3": "pending"}:
            assert time.monotonic() < deadline, found
            found = {host["host"]: host["state"] for host in json.loads(call("show", "last", "--json"))["hosts"]}
        assert json.loads(call("list", "--json"))["runs"][0]["state"] == "running"
        assert call("prune", "--keep-days", "0") == "0 runs removed, 1 kept\n"
    finally:
        process.kill()
        finish(process)
        stop.touch()
    text = call("show", "last")
    assert "died: 1 changed, 1 unknown, 1 pending" in text
    assert "  unknown: h2: " in text
    assert "  pending: h3: " in text
    assert call("prune", "--keep-days", "0") == "1 run removed, 0 kept\n"
    assert list((tmp_path / "history.db-journals").iterdir()) == []
