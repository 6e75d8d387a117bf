"""Two runs beside each other."""

from __future__ import annotations

import json

from sshexec.history.comparison import Outcome
from sshexec.history.reading import Records
from tests.history.rows import add_results, add_run, add_starts, file_of, result_row

A, B = "a" * 32, "b" * 32


def compared(database):
    return Records(database).diff(A, B)


def test_hosts_that_came_out_otherwise(database):
    add_run(database, A, ["same", "gone", "worse", "text", "lost", "rc", "never"])
    add_run(database, B, ["new", "rc", "lost", "text", "worse", "same", "never"], end="died")
    rows = [result_row(A, host, stdout=host) for host in ("same", "gone", "worse", "text", "lost")]
    add_results(database, [*rows, result_row(A, "rc", "failed", rc=1), result_row(A, "never")])
    rows = [
        result_row(B, "same", stdout="same", finished=5.0, size=1),
        result_row(B, "worse", "unreachable", rc=None, cause="refused"),
        result_row(B, "text", stdout="other", stderr="x"),
        result_row(B, "rc", "failed", rc=2),
        result_row(B, "new"),
    ]
    add_results(database, rows)
    add_starts(database, B, ["lost"])
    comparison = compared(database)
    assert {change.host: (change.before, change.after, change.streams) for change in comparison.changes} == {
        "rc": (Outcome("failed", 1), Outcome("failed", 2), ()),
        "lost": (Outcome("ok", 0), Outcome("unknown"), ()),
        "text": (Outcome("ok", 0), Outcome("ok", 0), ("stdout", "stderr")),
        "worse": (Outcome("ok", 0), Outcome("unreachable", None, "refused"), ()),
        "never": (Outcome("ok", 0), Outcome("pending"), ()),
    }
    assert [change.host for change in comparison.changes] == ["rc", "lost", "text", "worse", "never"]
    assert (comparison.same, comparison.gone, comparison.new) == (1, ("gone",), ("new",))
    plain = json.loads(json.dumps(comparison.to_dict()))
    assert plain["changes"][0] == {
        "host": "rc",
        "before": {"state": "failed", "rc": 1, "cause": None},
        "after": {"state": "failed", "rc": 2, "cause": None},
        "streams": [],
    }


def test_what_is_in_files_is_compared_by_its_hash(light, tmp_path):
    hosts = ["same", "other"]
    for run in (A, B):
        add_run(light, run, hosts)
        texts = {"same": "x" * 50, "other": "x" * 20 + run + "x" * 20}
        files = {host: {"stdout": file_of(tmp_path / run / host, text)} for host, text in texts.items()}
        add_results(light, [result_row(run, host, stdout="x...x", files=files[host]) for host in hosts])
    assert [(change.host, change.streams) for change in compared(light).changes] == [("other", ("stdout",))]


def test_equal_differences_are_one(database):
    hosts = [f"h{number}" for number in range(500)]
    for run in (A, B):
        add_run(database, run, hosts)
        release = "7" if run == A else "8"
        rows = [result_row(run, host, stdout=f"{host}\nrelease {release}\nend\n") for host in hosts[:-3]]
        rows.append(result_row(run, "h497", stdout="three\nfour\n" if run == A else "four\nthree\n"))
        rows.append(result_row(run, "h498", stdout="one\ntwo\n" if run == A else "two\none\n"))
        add_results(database, [*rows, result_row(run, "h499", stdout="", stderr=run)])
    found, others = Records(database).differences(compared(database), 2)
    assert others == 2
    assert found[0].hosts == tuple(hosts[:-3])
    assert (found[0].before, found[0].after) == ("h0\nrelease 7\nend\n", "h0\nrelease 8\nend\n")
    assert (found[1].stream, found[1].hosts) == ("stdout", ("h497",))
