"""Which hosts have their turn again: the decision alone, and what a database says."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sshexec.database.database import Database
from sshexec.errors import HistoryError
from sshexec.history.reading import Records
from sshexec.history.resumption import Pass, Seen, fates, resumption
from sshexec.history.tables import SCHEMA
from tests.history.rows import BEGAN, add_results, add_run, add_starts, result_row

OK = Seen("changed", None, 1.0)
FAILED = Seen("failed", "nonzero", 1.0)
UNREACHABLE = Seen("unreachable", "refused", 1.0)
BEGUN = Seen(None, None, 1.0)
NOT_STARTED = Seen("cancelled", "max_fail_percentage")
REFUSED = Seen("skipped", "unauthorized")


@pytest.mark.parametrize(
    ("seen", "fate"),
    [
        (OK, "done"),
        (Seen("ok", None, 1.0), "done"),
        (Seen("skipped", None, 1.0), "done"),
        (FAILED, "failed"),
        (UNREACHABLE, "failed"),
        (Seen("timeout", "timeout", 1.0), "failed"),
        (Seen("cancelled", "cancelled", 1.0), "failed"),
        (NOT_STARTED, "never_reached"),
        (REFUSED, "never_reached"),
        (BEGUN, "unknown"),
        # Its worker died under it; or before its turn came.
        (Seen("unreachable", "worker_lost", 1.0), "unknown"),
        (Seen("unreachable", "worker_lost"), "never_reached"),
    ],
)
def test_what_one_run_says(seen: Seen, fate: str) -> None:
    assert fates([Pass("finished", ["h1"], {"h1": seen})]) == {"h1": fate}


def test_who_has_no_record_was_never_reached_unless_the_record_lacks_him() -> None:
    assert fates([Pass("died", ["h1"], {})]) == {"h1": "never_reached"}
    assert fates([Pass("finished", ["h1"], {})]) == {"h1": "unknown"}


@pytest.mark.parametrize(
    ("first", "second", "fate"),
    [
        (FAILED, OK, "done"),
        (UNREACHABLE, FAILED, "failed"),
        (FAILED, BEGUN, "unknown"),
        (BEGUN, OK, "done"),  # it was included on purpose
        (BEGUN, FAILED, "failed"),
        (FAILED, NOT_STARTED, "failed"),
        (REFUSED, OK, "done"),
        (None, OK, "done"),
        # Whoever went on with it did not get to the host: that tells nothing of what happened before.
        (BEGUN, None, "unknown"),
        (BEGUN, NOT_STARTED, "unknown"),
        (BEGUN, REFUSED, "unknown"),
        (FAILED, None, "failed"),
        (None, None, "never_reached"),
    ],
)
def test_the_latest_that_happened_counts(first: Seen | None, second: Seen | None, fate: str) -> None:
    passes = [Pass("died", ["h0", "h1"], {"h0": OK, **({"h1": first} if first else {})})]
    passes.append(Pass("died", ["h1"], {"h1": second} if second else {}))
    assert fates(passes) == {"h0": "done", "h1": fate}


def test_a_pass_over_some_hosts_says_nothing_of_the_others() -> None:
    everywhere: dict[str, Any] = dict.fromkeys(["h1", "h2", "h3"], FAILED)
    passes = [Pass("finished", ["h3", "h1", "h2"], everywhere), Pass("finished", ["h2"], {"h2": OK})]
    assert list(fates(passes).items()) == [("h3", "failed"), ("h1", "failed"), ("h2", "done")]


def test_a_chain_in_the_database(database_url: str) -> None:
    database = Database(database_url, SCHEMA)
    first, second, other = "a" * 32, "b" * 32, "c" * 32
    hosts = ["h1", "h2", "h3", "h4", "h5", "h6"]
    task = {
        "module": "shell",
        "args": "x",
        "check": True,
        "timeout": 5.0,
        "serial": ["1", "50%"],
        "no_log": False,
        "environment": {"A": "b", "TOKEN": "********"},
        "hidden": ["args", "environment.TOKEN"],
        "extra": ["x"],
    }
    add_run(database, first, hosts, end="died", module="shell", task=task, reason="OPS-7", labels={"a": "b"})
    add_starts(database, first, ["h1", "h2", "h3", "h5"])
    add_results(
        database,
        [
            result_row(first, "h1", "changed"),
            result_row(first, "h2", "failed", cause="nonzero", rc=1),
            # The mark tells that it was begun: whoever made the result did not know.
            result_row(first, "h5", "unreachable", cause="worker_lost", started=None),
            result_row(first, "h6", "unreachable", cause="worker_lost", started=None),
        ],
    )
    add_run(database, second, ["h2", "h4"], root=first, resumes=first, task=task, started=BEGAN + 100)
    add_results(database, [result_row(second, "h2", "ok"), result_row(second, "h4", "cancelled", started=None)])
    add_run(database, other, hosts, started=BEGAN + 200)
    records = Records(database)
    for name in (first[:9], second):
        found = resumption(database, records, name)
        assert found.root == first
        assert (found.done, found.failed) == (("h1", "h2"), ())
        assert (found.unknown, found.never_reached) == (("h3", "h5"), ("h4", "h6"))
        assert found.hosts() == ["h4", "h6"]
        assert found.hosts(unknown=True) == ["h3", "h4", "h5", "h6"]
    found = resumption(database, records, first)
    assert (found.run, found.module, found.pattern) == (first, "shell", "all")
    assert (found.withheld, found.extra) == (("args", "environment"), ("x",))
    assert found.options == {
        "check": True,
        "timeout": 5.0,
        "serial": ["1", "50%"],
        "no_log": False,
        "reason": "OPS-7",
        "labels": {"a": "b"},
    }
    with pytest.raises(HistoryError, match=r"run bbbbbbbb is not in the database as a whole yet"):
        resumption(database, records, first, undelivered=[second])
    assert resumption(database, records, other, undelivered=[second]).unknown == tuple(hosts)
    add_run(database, "d" * 32, ["h4"], root=first, resumes=first, end=None, started=time.time())
    with pytest.raises(HistoryError, match=r"run dddddddd is still going on \(on here, process"):
        resumption(database, records, first)
    database.close()
