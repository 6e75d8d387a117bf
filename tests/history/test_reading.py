"""What the history answers about runs and hosts, on each kind of database."""

from __future__ import annotations

import json
import os
import socket

import pytest

from sshexec.errors import HistoryError
from sshexec.history.journals import Journals
from sshexec.history.reading import FRESH, Records, alive_by
from tests.history.rows import BEGAN, add_results, add_run, add_starts, file_of, result_row

A, B, C = ("a" * 32, "ab" * 16, "c" * 32)


def test_runs_come_the_latest_first_with_how_their_hosts_came_out(database):
    add_run(database, A, ["h1", "h2", "h3"], started=BEGAN, labels={"change": "Ä-1"}, reason="why not")
    add_run(database, B, ["h1"], started=BEGAN + 100, end="cancelled", resumes=A, root=A)
    add_results(database, [result_row(A, "h1"), result_row(A, "h2", "changed"), result_row(A, "h3", "failed", rc=2)])
    add_results(database, [result_row(B, "h1", "cancelled", rc=None)])
    second, first = Records(database).runs()
    assert (first.id, first.state, first.counts) == (A, "finished", {"ok": 1, "changed": 1, "failed": 1})
    assert (first.actor, first.reason, first.labels, first.args) == ("olga", "why not", {"change": "Ä-1"}, "uptime")
    assert (first.started, first.finished, first.seconds, first.count) == (BEGAN, BEGAN + 10, 10, 3)
    assert (second.id, second.state, second.counts) == (B, "cancelled", {"cancelled": 1})
    assert (second.root, second.resumes, first.root, first.resumes) == (A, A, A, None)
    assert Records(database).runs(1) == [second]


def test_the_hosts_of_several_runs_come_at_once(database):
    add_run(database, A, ["h1", "h2"])
    add_run(database, B, ["h3"])
    assert Records(database).hosts([B, A, C]) == {A: ("h1", "h2"), B: ("h3",)}
    assert Records(database).hosts([]) == {}


def test_runs_are_found_by_what_is_known_of_them(database):
    add_run(database, A, ["web1", "web_1"], labels={"team": "ops", "x": "100%", "ä": "\\ö_"}, started=BEGAN)
    add_run(database, B, ["web2"], actor="ivan", module="copy", labels={"team": "x"}, started=BEGAN + 10)
    add_run(database, C, ["webX1"], end="timeout", labels={"ops": "team"}, started=BEGAN + 20)
    add_results(database, [result_row(A, "web_1"), result_row(B, "web2"), result_row(C, "webX1", "timeout")])

    def found(**conditions):
        return [run.id for run in Records(database).runs(**conditions)]

    assert found(actor="ivan") == [B]
    assert found(module="command") == [C, A]
    assert found(labels={"team": "ops"}) == [A]
    assert found(labels={"x": "100%"}) == [A]
    assert found(labels={"x": "100_"}) == []
    assert found(labels={"ä": "\\ö_"}) == [A]
    assert found(labels={"ä": "\\öx"}) == []
    assert found(host="web_1") == [A]
    assert found(since=BEGAN + 10) == [C, B]
    assert found(until=BEGAN + 10) == [A]
    assert found(state="timeout") == [C]
    assert found(state="running") == []
    assert found(limit=None) == [C, B, A]


def test_a_host_that_was_never_reached_is_one_of_its_run(light):
    add_run(light, A, ["h1", "h_2", "hx2"], end="died")
    add_run(light, B, ["hx2"], end="died")
    add_run(light, C, ["lost"])
    add_starts(light, C, ["lost"])
    add_starts(light, A, ["h1"])
    assert [run.id for run in Records(light).runs(host="lost")] == [C]
    assert [[run.id for run in Records(light).runs(host=host)] for host in ("h1", "h_2", "h")] == [[A], [A], []]


def test_capital_letters_of_a_host_count(database):
    add_run(database, "f" * 32, ["web1"], end="died")
    records = Records(database, lambda run, runner: False)
    assert len(records.runs(host="web1")) == 1
    assert records.runs(host="WEB1") == []


def test_a_run_is_found_by_its_beginning(database):
    add_run(database, A, ["h1"], started=BEGAN)
    add_run(database, B, ["h1", "h2"], started=BEGAN + 1)
    records = Records(database)
    assert records.run("aa").id == records.run(A).id == A
    assert records.run("last").hosts == ("h1", "h2")
    assert records.run("last~1").id == A
    with pytest.raises(HistoryError, match="more than one run begins with 'a': "):
        records.run("a")
    for wrong in ("f", "last~2", "", "a%", "a/../b"):
        with pytest.raises(HistoryError):
            records.run(wrong)


def test_an_identifier_that_begins_another_one_is_itself(light):
    add_run(light, "a", ["h1"])
    add_run(light, "ab", ["h1"])
    assert Records(light).run("a").id == "a"


def test_results_come_in_the_order_of_the_run(database):
    hosts = [f"h{number}" for number in range(450, 0, -1)]
    add_run(database, A, hosts)
    add_results(database, [result_row(A, host, stdout=f"out of {host}\n", stderr="é\0") for host in sorted(hosts)])
    records = Records(database)
    plain = list(records.results(A))
    assert [one.host for one in plain] == hosts
    assert {one.stream(name) for one in plain for name in ("stdout", "stderr")} == {None}
    full = list(records.results(A, streams=True))
    assert [(one.host, one.stream("stdout"), one.stream("stderr")) for one in full] == [
        (host, f"out of {host}\n", "é\0") for host in hosts
    ]
    most = hosts[:-1]
    assert [one.host for one in records.results(A, hosts=most)] == most
    some = list(records.results("last", hosts=["h7", "h9"], streams=True))
    assert [one.host for one in some] == ["h9", "h7"]
    with pytest.raises(HistoryError, match="had no host 'other'"):
        list(records.results(A, hosts=["other"]))


def test_a_result_is_what_the_run_had(database):
    data = {
        "result": {"changed": True, "rc": 3, "msg": "no"},
        "notices": [{"notice": "x", "message": "y"}],
        "lines": ["stdout"],
    }
    add_run(database, A, ["h1"])
    more = {"cause": "exit", "phase": "running", "rc": 3, "data": data, "stdout": "a\nb", "stderr": "c"}
    add_results(database, [result_row(A, "h1", "failed", changed=True, **more)])
    result = next(Records(database).results(A, streams=True)).result
    assert (result.host, result.status, result.rc, result.changed) == ("h1", "failed", 3, True)
    assert (result.cause, result.phase, result.seconds) == ("exit", "running", 2)
    assert (result.stdout, result.stderr, result.data["stdout_lines"]) == ("a\nb", "c", ["a", "b"])
    assert result.notices == ({"notice": "x", "message": "y"},)
    assert result.phases == {"connecting": 0.5, "running": 1.5}


@pytest.mark.parametrize(
    "text", ["shortest of all " * 10, "x" * 5000 + '\nwhy: not "so"\n', '\\"\n😀' * 900 + " end", "y" * 4000]
)
def test_why_a_command_failed_is_there_without_all_it_printed(database, text):
    add_run(database, A, ["bad", "good"])
    add_results(database, [result_row(A, "bad", "failed", rc=1, stderr=text), result_row(A, "good", stderr=text)])
    bad, good = Records(database).results(A, reasons=True)
    assert good.stream("stderr") is None
    why = bad.stream("stderr")
    assert text.endswith(why)
    assert len(json.dumps(why)) <= 2003
    assert len(why) > 150
    assert why[-20:] == text[-20:]


@pytest.mark.parametrize(
    ("end", "alive", "state", "hosts"),
    [
        (None, True, "running", {"done": "ok", "begun": "running", "not": "pending"}),
        (None, False, "died", {"done": "ok", "begun": "unknown", "not": "pending"}),
        ("died", None, "died", {"done": "ok", "begun": "unknown", "not": "pending"}),
        ("finished", None, "finished", {"done": "ok", "begun": "unknown", "not": "unknown"}),
    ],
)
def test_a_host_without_a_result_is_in_the_state_that_is_true(light, end, alive, state, hosts):
    add_run(light, A, ["done", "begun", "not"], end=end)
    add_starts(light, A, ["done", "begun"])
    add_results(light, [result_row(A, "done")])
    records = Records(light, lambda run, runner: alive)
    assert records.run(A).state == state
    assert records.states(A) == hosts == {one.host: one.state for one in records.results(A)}
    counts: dict[str, int] = {}
    for each in hosts.values():
        counts[each] = counts.get(each, 0) + 1
    assert records.run(A).counts == records.runs()[0].counts == counts
    assert [run.id for run in records.runs(state=state)] == [A]
    assert next(records.results(A, hosts=["begun"])).started == BEGAN + 1
    assert next(records.results(A, hosts=["begun"])).result is None


def test_a_run_elsewhere_goes_on_while_it_gives_signs_of_life(light, monkeypatch):
    add_run(light, A, ["h1", "h2", "h3"], end=None)
    add_results(light, [result_row(A, "h1", finished=BEGAN + 50)])
    add_starts(light, A, ["h2"], started=BEGAN + 70)
    for after, state in ((69, "running"), (71, "died")):
        monkeypatch.setattr("sshexec.history.reading.time.time", lambda after=after: BEGAN + FRESH + after)
        assert Records(light).run(A).state == state


def test_the_question_whether_a_run_goes_on_comes_with_its_runner(light):
    add_run(light, A, ["h1"], end=None, runner={"machine": "m1", "process": 7})
    asked = []
    assert Records(light, lambda run, runner: asked.append((run, runner)) or False).run(A).state == "died"
    assert asked == [(A, {"machine": "m1", "process": 7})]


def test_output_that_the_row_holds(light):
    add_run(light, A, ["h1", "h2"], end="died")
    add_results(light, [result_row(A, "h1", stdout="out", stderr="err")])
    records = Records(light)
    assert records.output(A, "h1").text == "out"
    assert records.output(A, "h1", "stderr").to_dict()["text"] == "err"
    assert records.output(A, "h1").whole
    with pytest.raises(HistoryError, match="there is no result of h2: pending"):
        records.output(A, "h2")
    with pytest.raises(HistoryError, match="had no host 'h9'"):
        records.output(A, "h9")
    with pytest.raises(HistoryError, match="stdout, stderr or data"):
        records.output(A, "h1", "stdin")


def test_output_from_its_file(light, tmp_path):
    whole = "ü" * 200_000
    file = file_of(tmp_path / "o" / "stdout", whole)
    add_run(light, A, ["h1"])
    add_results(light, [result_row(A, "h1", stdout="head tail", files={"stdout": file})])
    output = Records(light).output(A, "h1")
    assert output.whole
    assert output.text == whole
    assert b"".join(output.pieces()) == whole.encode()


@pytest.mark.parametrize("how", ["altered", "longer", "gone", "pipe"])
def test_a_file_that_is_not_what_the_run_wrote(light, tmp_path, how):
    path = tmp_path / "stdout"
    file = file_of(path, "all of it")
    if how == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif how == "gone":
        path.unlink()
    else:
        path.write_text("all of It" if how == "altered" else "all of it, and more")
    add_run(light, A, ["h1"], runner={"machine": "other.example"})
    add_results(light, [result_row(A, "h1", stdout="head tail", files={"stdout": file})])
    output = Records(light).output(A, "h1")
    assert not output.whole
    assert output.text == "head tail"
    assert str(path) in output.problem
    assert ("written on other.example" if how == "gone" else "was altered") in output.problem


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ({"path": None, "bytes": 9, "sha256": None, "kept": False}, "could not be written"),
        ({"path": "/nowhere/x", "bytes": None, "sha256": None, "kept": False}, "can't be read here"),
    ],
)
def test_a_file_that_was_never_there(light, file, problem):
    add_run(light, A, ["h1"])
    add_results(light, [result_row(A, "h1", stdout="head tail", files={"stdout": file})])
    output = Records(light).output(A, "h1")
    assert problem in output.problem
    assert output.text == "head tail"


def test_a_large_file_without_a_hash_is_believed_for_its_size(light, tmp_path):
    file = {**file_of(tmp_path / "stdout", "whole"), "sha256": None}
    add_run(light, A, ["h1"])
    add_results(light, [result_row(A, "h1", stdout="w", files={"stdout": file})])
    assert Records(light).output(A, "h1").text == "whole"


@pytest.mark.parametrize("in_file", [True, False])
def test_what_the_run_itself_left_out_is_told(light, tmp_path, in_file):
    text = "head\n[... 100 bytes left out ...]\ntail"
    files = {"stdout": file_of(tmp_path / "stdout", text)} if in_file else {}
    data = {"result": {"rc": 0}, "truncated": True}
    add_run(light, A, ["h1"])
    add_results(light, [result_row(A, "h1", stdout=text, stderr="all", data=data, files=files)])
    assert "--output-limit" in Records(light).output(A, "h1").problem
    assert Records(light).output(A, "h1").text == text
    assert Records(light).output(A, "h1", "stderr").whole


def test_data_that_is_too_large_for_the_record(light, tmp_path):
    whole = json.dumps({"facts": "x" * 1000, "changed": False})
    files = {"data": file_of(tmp_path / "data", whole)}
    data = {"result": {"changed": False}, "left_out": ["facts"]}
    add_run(light, A, ["h1"])
    add_results(light, [result_row(A, "h1", rc=None, data=data, files=files)])
    assert next(Records(light).results(A)).left_out == ("facts",)
    assert json.loads(Records(light).output(A, "h1", "data").text) == json.loads(whole)


def test_everything_as_plain_data(light, tmp_path):
    add_run(light, A, ["h1", "h2"], end="died")
    files = {"stdout": file_of(tmp_path / "stdout", "x")}
    add_results(light, [result_row(A, "h1", stdout="x", files=files)])
    records = Records(light)
    first, second = (json.loads(json.dumps(one.to_dict())) for one in records.results(A, streams=True))
    assert (
        list(first)
        == list(second)
        == [
            *("host", "state", "cause", "phase", "started", "finished", "truncated", "spilled", "killed", "notices"),
            *("phases", "result", "rc", "changed", "files", "left_out"),
        ]
    )
    assert (first["state"], first["rc"], first["result"]["stdout"]) == ("ok", 0, "x")
    assert (second["state"], second["rc"], second["result"]) == ("pending", None, {})
    assert list(json.loads(json.dumps(records.run(A).to_dict()))) == [
        *("id", "state", "module", "task", "pattern", "count", "counts", "started", "finished", "actor", "reason"),
        *("labels", "root", "resumes", "runner"),
    ]


def test_a_run_of_this_machine_goes_on_while_its_journal_is_locked(light, tmp_path):
    journals = Journals(str(tmp_path / "journals"))
    there, gone, elsewhere = (
        {"machine": socket.gethostname(), "journal": str(tmp_path / name / run)}
        for name, run in (("journals", A), ("journals", B), ("others", C))
    )
    journal = journals.create(A, b"\n{}\n")
    alive = alive_by(journals)
    assert (alive(A, there), alive(B, gone), alive(C, elsewhere)) == (True, False, None)
    assert alive(B, {**gone, "machine": "other"}) is None
    journal.release()
    assert alive(A, there) is False
