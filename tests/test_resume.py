"""Going on with a run: through worker processes, on scripted hosts that tell who was contacted, with real records."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Host, Inventory, RunResult, Secret, continuation, errors
from sshexec.history.history import History
from sshexec.recorder import Resumption
from tests.runtime.conftest import wait_for
from tests.test_authorization import Fleet, calls, fleet

__all__ = ["calls", "fleet"]  # fixtures


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History(f"sqlite:///{tmp_path}/history.db") as history:
        yield history


@pytest.fixture
def local() -> Inventory:
    """Five hosts that are this machine."""
    return Inventory.from_hosts([Host(f"l{n}", {"ansible_connection": "local", "number": n}) for n in range(5)])


def ready(folder: Path, *numbers: int) -> str:
    """Let hosts of these numbers succeed, and return the command that asks for that."""
    for number in numbers:
        (folder / f"ready{number}").touch()
    return f"echo {{{{ number }}}} >> {folder}/ran; test -e {folder}/ready{{{{ number }}}}"


def ran(folder: Path) -> Counter[str]:
    """Return how often the command ran on each host."""
    return Counter((folder / "ran").read_text().split())


def statuses(result: RunResult) -> dict[str, str]:
    return {name: host.status for name, host in result.items()}


def test_only_those_that_did_not_end_well_run_again_until_none_is_left(
    local: Inventory, history: History, tmp_path: Path
) -> None:
    command = ready(tmp_path, 0, 3)
    with Engine(local, history=history) as engine:
        first = engine.run("all", "shell", command)
        assert first.recorded == "database"
        ready(tmp_path, 1)
        second = engine.resume(first.id)
        assert statuses(second) == {"l1": "changed", "l2": "failed", "l4": "failed"}
        ready(tmp_path, 2)
        # By the first run's name, by the latest's, and by what was found before: the chain is the same.
        assert statuses(engine.resume(second.id[:10])) == {"l2": "changed", "l4": "failed"}
        ready(tmp_path, 4)
        assert statuses(engine.resume(engine.resumption(first.id))) == {"l4": "changed"}
        count = len(history.records.runs(None))
        nothing = engine.resume("last")
        assert (dict(nothing), nothing.exit_code) == ({}, 0)
        assert len(history.records.runs(None)) == count, "nothing was run, and there is nothing to record"
    assert ran(tmp_path) == {"0": 1, "3": 1, "1": 2, "2": 3, "4": 4}
    runs = history.records.runs(None)
    assert {run.root for run in runs} == {first.id}
    assert [run.resumes for run in runs] == [first.id, second.id, first.id, None]
    assert {run.pattern for run in runs} == {"all"}


def test_of_those_who_resume_at_the_same_moment_one_does(
    local: Inventory, history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ready(tmp_path)
    with Engine(local, history=history) as engine:
        first = engine.run("all", "shell", command)
        ready(tmp_path, 0, 1, 2, 3, 4)
        together = threading.Barrier(3)
        # All of them have seen by then that nobody else is at it.
        monkeypatch.setattr(continuation, "_check_variables", lambda earlier, given: together.wait(30))

        def resume(number: int) -> RunResult | errors.HistoryError:
            try:
                return engine.resume(first.id)
            except errors.HistoryError as error:
                return error

        with ThreadPoolExecutor(3) as pool:
            outcomes = list(pool.map(resume, range(3)))
    refusals = [each for each in outcomes if isinstance(each, errors.HistoryError)]
    assert len(refusals) == 2
    assert all("has gone on with it since its hosts were chosen" in str(each) for each in refusals)
    assert ran(tmp_path) == dict.fromkeys("01234", 2)


def test_everything_comes_from_the_record(local: Inventory, history: History, tmp_path: Path) -> None:
    seen: list[Any] = []

    def authorize(actor: str | None, host: str, task: Any) -> bool:
        seen.append((actor, task))
        return len(seen) > 1

    with Engine(local, history=history, authorize=authorize) as engine:
        engine.run(
            "l0",
            "shell",
            {"_raw_params": "echo $GREETING {{ inventory_hostname }}; pwd", "chdir": "/"},
            environment={"GREETING": "hello"},
            timeout=7,
            diff=True,
            check=False,
            output_limit=1000,
            serial="50%",
            run_timeout=50,
            become_user="nobody",
            reason="OPS-7",
            labels={"site": "b"},
            actor="alice",
        )
        result = engine.resume("last", actor="bob", timeout=8)
    assert result["l0"].stdout == "hello l0\n/"
    (_, first), (actor, again) = seen
    assert actor == "bob"
    assert (first.timeout, again.timeout) == (7, 8)
    for name in ("module", "args", "check", "diff", "environment", "output_limit", "become", "no_log"):
        assert getattr(again, name) == getattr(first, name)
    second, begun = history.records.runs(None)
    for run in (begun, second):
        assert (run.reason, run.labels, run.task["serial"], run.task["run_timeout"]) == (
            *("OPS-7", {"site": "b"}, "50%"),
            50,
        )


def test_hosts_that_were_refused_or_never_reached_are_run(fleet: Fleet, calls: Path, history: History) -> None:
    answers: list[Any] = ["not now"]
    with Engine(fleet(4), history=history, concurrency=1, authorize=lambda *_: answers[-1]) as engine:
        refused = engine.run("h0,h1", "ping")
        assert refused.counts == {"skipped": 2}
        earlier = engine.resumption(refused.id)
        assert (earlier.never_reached, earlier.done) == (("h0", "h1"), ())
        answers.append(True)
        assert engine.resume(refused.id).counts == {"ok": 2}
        broken = engine.run("all", "command", "false", serial=2, max_fail_percentage=0)
        assert sorted(broken.counts) == ["cancelled", "failed"]
        earlier = engine.resumption("last")
        assert set(earlier.never_reached) == {h for h, r in broken.items() if r.status == "cancelled"} >= {"h2", "h3"}
        assert earlier.hosts() == ["h0", "h1", "h2", "h3"]


def test_a_pattern_picks_among_those_that_are_left(local: Inventory, history: History, tmp_path: Path) -> None:
    command = ready(tmp_path, 0)
    with Engine(local, history=history) as engine:
        first = engine.run("l0,l1,l2", "shell", command)
        picked = engine.run("all:!l2", "shell", command, resume=first.id)
        assert list(picked) == ["l1"]
        assert list(engine.run("all", "shell", command, limit="l2,l3", resume="last")) == ["l2"]
        assert [run.pattern for run in history.records.runs(2)] == ["all:&l2,l3", "all:!l2"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"module": "command"}, r"run {run} is of module ansible\.builtin\.shell, not of command: start a new run"),
        ({"args": "false; true"}, r"run {run} has other arguments: leave them out, or start a new run"),
        ({"check": True}, r"run {run} was no check, and this would be one: start a new run for that"),
    ],
)
def test_another_task_is_no_resumption(local: Inventory, history: History, call: dict[str, Any], message: str) -> None:
    with Engine(local, history=history) as engine:
        run = engine.run("l0", "ansible.builtin.shell", "false")
        given = {"pattern": "all", "module": "shell", "args": "false", "resume": run.id, **call}
        with pytest.raises(errors.ArgumentError, match=message.format(run=run.id[:8])):
            engine.run(**given)


def test_a_host_that_is_gone_is_named(local: Inventory, history: History) -> None:
    with Engine(local, history=history) as engine:
        run = engine.run("all", "shell", "false")
    fewer = Inventory.from_hosts([Host(f"l{n}", {"ansible_connection": "local"}) for n in range(3)])
    with Engine(fewer, history=history) as engine:
        with pytest.raises(errors.InputError, match=r"hosts that the inventory does not have any more: l3, l4; a pat"):
            engine.resume(run.id)
        assert list(engine.run("all", "shell", "false", resume=run.id)) == ["l0", "l1", "l2"]


def test_this_machine_needs_no_inventory_the_second_time_either(history: History) -> None:
    for _ in range(2):
        with Engine(Inventory.from_hosts([]), history=history) as engine:
            again = [run.id for run in history.records.runs(1)]
            result = engine.resume(again[0]) if again else engine.run("localhost", "shell", "false")
            assert statuses(result) == {"localhost": "failed"}


def test_what_the_record_does_not_hold_is_to_be_given_again(local: Inventory, history: History) -> None:
    with Engine(local, history=history) as engine:
        secret = "login --password hunter2; false"
        run = engine.run("l0", "shell", secret, environment={"API_TOKEN": "hunter3"})
        with pytest.raises(errors.HistoryError, match="does not hold its args and environment, since secrets are in"):
            engine.resume(run.id)
        again = engine.resume(run.id, args=secret, environment={"API_TOKEN": "hunter3"})
        assert statuses(again) == {"l0": "failed"}
        run = engine.run("l0", "shell", "exit {{ code }}", variables={"code": 1, "key": Secret("hunter4")})
        with pytest.raises(
            errors.HistoryError, match="was started with values for code, key, which its record does not"
        ):
            engine.resume(run.id)
        assert engine.resume(run.id, variables={"code": 0, "key": None})["l0"].status == "changed"
    assert "hunter" not in Path(history.database.path or "").read_bytes().decode("latin1")


def test_without_a_record_nothing_is_gone_on_with(local: Inventory, history: History) -> None:
    with Engine(local) as engine, pytest.raises(errors.ArgumentError, match="this engine keeps no record of its runs"):
        engine.resume("last")
    with Engine(local, history=history) as engine:
        with pytest.raises(errors.HistoryError, match="no run 'last'"):
            engine.resume("last")
        with pytest.raises(errors.ArgumentError, match="resume: expected a run's identifier, or 'last', got 7"):
            engine.resume(7)  # type: ignore[arg-type]


def test_a_run_that_goes_on_is_left_alone(local: Inventory, history: History, tmp_path: Path) -> None:
    with Engine(local, history=history) as engine:
        run = engine.start("all", "shell", f"touch {tmp_path}/up; sleep 60")
        wait_for((tmp_path / "up").exists)
        wait_for(lambda: history.records.runs(1))
        with pytest.raises(
            errors.HistoryError, match=rf"run {run.id[:8]} is still going on \(on .*, process {os.getpid()}\)"
        ):
            engine.resume(run.id)
        run.cancel()
        assert run.wait(30).recorded == "database"
        assert len(engine.resumption(run.id).hosts()) == 5


def test_two_do_not_go_on_with_one_run_at_the_same_time(local: Inventory, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/history.db"
    command = f"touch {tmp_path}/up; test ! -e {tmp_path}/slow || sleep 60; false"
    with History(url) as one, History(url, patient=True) as other, Engine(local, history=one) as engine:
        first = engine.run("l0,l1", "shell", command)
        stale = engine.resumption(first.id)
        (tmp_path / "slow").touch()
        (tmp_path / "up").unlink()
        with Engine(local, history=other) as second:
            run = second.start("all", "shell", command, resume=first.id)
            for again in (stale, first.id):  # it is not in the database yet
                with pytest.raises(errors.HistoryError, match=rf"{run.id[:8]} (goes on with it|is still going on)"):
                    engine.resume(again)
            wait_for((tmp_path / "up").exists)
            run.cancel()
            run.wait(30)
        (tmp_path / "slow").unlink()
        assert statuses(engine.resume(stale)) == {"l0": "failed", "l1": "failed"}


PROGRAM = """
import sys
from sshexec import Engine, Inventory
from sshexec.history.history import History

with History(sys.argv[2]) as history, Engine(Inventory.load(sys.argv[1]), history=history, concurrency=4) as engine:
    engine.run("all", "shell", sys.argv[3])
"""


def test_hosts_that_were_at_work_when_the_runner_died_are_run_only_when_told_so(
    local: Inventory, tmp_path: Path
) -> None:
    waits = f"touch {tmp_path}/waits{{{{ number }}}}; while test ! -e {tmp_path}/go; do sleep 0.1; done"
    command = f"echo {{{{ number }}}} >> {tmp_path}/ran; test {{{{ number }}}} = 0 || {{ {waits}; }}"
    hosts = Inventory.from_hosts([local.hosts[name] for name in ("l1", "l2", "l3", "l0")])
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": {n: h.vars for n, h in hosts.hosts.items()}}}))
    url = f"sqlite:///{tmp_path}/history.db"
    runner = subprocess.Popen([sys.executable, "-c", PROGRAM, tmp_path / "hosts.json", url, command])
    with History(url) as history, Engine(hosts, history=history) as engine:
        try:
            wait_for(lambda: len(list(tmp_path.glob("waits*"))) == 3)
            # It is recorded at the latest a moment after it has come.
            wait_for(lambda: [run for run in history.records.runs(1) if run.counts.get("changed") == 1])
        finally:
            runner.kill()
            runner.wait()
        (tmp_path / "go").touch()
        earlier = wait_for(lambda: resumption(engine))
        assert (earlier.done, earlier.unknown) == (("l0",), ("l1", "l2", "l3"))
        assert (earlier.failed, earlier.never_reached) == ((), ())
        assert dict(engine.resume(earlier)) == {}
        before = ran(tmp_path)
        assert statuses(engine.resume("last", unknown=True)) == dict.fromkeys(["l1", "l2", "l3"], "changed")
        assert ran(tmp_path) - before == Counter("123")
        assert engine.resumption("last").hosts(unknown=True) == []


def resumption(engine: Engine) -> Resumption | None:
    """Return the last run once its worker has noticed that its parent is gone."""
    try:
        return engine.resumption("last")
    except errors.HistoryError:
        return None


def test_a_worker_that_dies_leaves_its_hosts_unknown(local: Inventory, history: History, tmp_path: Path) -> None:
    others = set(children(os.getpid()))  # of engines that the session's tests share
    with Engine(local, history=history, concurrency=2) as engine:
        waits = f"touch {tmp_path}/waits{{{{ number }}}}; while test ! -e {tmp_path}/go; do sleep 0.1; done"
        run = engine.start("all", "shell", waits)
        wait_for(lambda: len(list(tmp_path.glob("waits*"))) == 2)
        (worker,) = set(children(os.getpid())) - others
        os.kill(worker, signal.SIGKILL)
        result = run.wait(30)
        (tmp_path / "go").touch()  # else its commands stay behind
        assert result.counts == {"unreachable": 5}
        earlier = engine.resumption(run.id)
    begun = tuple(sorted(f"l{path.name[-1]}" for path in tmp_path.glob("waits*")))
    assert earlier.unknown == begun
    assert sorted(earlier.never_reached) == sorted(set(local.hosts) - set(begun))


def children(pid: int) -> list[int]:
    """Return the worker processes of a process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
            command = (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == pid and b"sshexec.runtime.worker" in command:
            found.append(int(path.parent.name))
    return found
