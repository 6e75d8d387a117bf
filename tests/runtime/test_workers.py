"""Worker processes: their death, their parent's death, who goes where."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sshexec import Engine, Host, Inventory
from sshexec.errors import ArgumentError, OptionError, SshexecError, WorkerStartError
from sshexec.events import HostFinished
from tests.runtime.conftest import gone, running, wait_for
from tests.testbed import Sshd


def workers_of(engine: Engine) -> list[int]:
    """Process ids of the engine's workers."""
    executor: Any = engine._executor
    return [worker.process.pid for worker in executor._slots if worker is not None]


def test_a_killed_worker_costs_its_own_hosts_only(fleet: Inventory) -> None:
    with Engine(fleet, processes=2) as engine:
        run = engine.start("all", "shell", "sleep 3")
        running(run, 20)
        victim, survivor = workers_of(engine)
        os.kill(victim, signal.SIGKILL)
        result = run.wait(60)
        lost = {name for name, r in result.items() if r.cause == "worker_lost"}
        assert 0 < len(lost) < 20
        assert set(result.unreachable) == lost
        assert {r.status for name, r in result.items() if name not in lost} == {"changed"}
        assert all(f"worker process {victim} was killed by SIGKILL" in result[name].msg for name in lost)
        assert engine.run("all", "ping").counts == {"ok": 20}
        assert survivor in workers_of(engine)
        assert victim not in workers_of(engine)


def test_a_killed_worker_between_runs_is_replaced(local: Inventory) -> None:
    with Engine(local) as engine:
        engine.run("all", "ping")
        (victim,) = workers_of(engine)
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: gone(victim))
        assert engine.run("all", "ping").counts == {"ok": 6}


PARENT = """
import sys, time
from sshexec import Engine, Host, Inventory
hosts = [Host(f"l{n}", {"ansible_connection": "local"}) for n in range(4)]
engine = Engine(Inventory.from_hosts(hosts), processes=2)
run = engine.start("all", "raw", "exec sleep 3600." + sys.argv[1])
while len([state for state in run.snapshot() if state.phase == "running"]) < 4:
    time.sleep(0.05)
print(*[worker.process.pid for worker in engine._executor._slots], flush=True)
time.sleep(600)
"""


def test_a_parents_death_leaves_no_worker_and_no_command_behind() -> None:
    marker = str(os.getpid())
    parent = subprocess.Popen([sys.executable, "-c", PARENT, marker], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: all(map(gone, pids)))
    left = subprocess.run(["pgrep", "-f", f"sleep 3600.{marker}"], capture_output=True, text=True).stdout
    assert left == ""


def test_close_ends_the_workers_and_what_they_run(local: Inventory) -> None:
    engine = Engine(local)
    run = engine.start("all", "raw", "sleep 600")
    running(run, 6)
    (worker,) = workers_of(engine)
    engine.close()
    assert gone(worker)
    result = run.wait(20)
    assert result.counts == {"cancelled": 6}
    assert all(r.killed for r in result.values())


def test_a_run_that_starts_while_the_engine_is_closed_is_refused(local: Inventory) -> None:
    engine = Engine(local)
    executor: Any = engine._ready()
    engine.close()
    # Another thread may have passed the engine's own check before.
    engine._ready = lambda: executor  # type: ignore[method-assign]
    with pytest.raises(SshexecError, match="the engine is closed"):
        engine.run("all", "ping")
    assert workers_of(SimpleNamespace(_executor=executor)) == []  # type: ignore[arg-type]


def test_an_engine_that_is_closed_while_the_job_is_checked_runs_nothing(local: Inventory, tmp_path: Path) -> None:
    engine = Engine(local)
    executor: Any = engine._ready()
    prepare = executor.prepare

    def then_close(*args: Any) -> None:
        prepare(*args)
        engine.close()

    executor.prepare = then_close
    with pytest.raises(SshexecError, match="the engine is closed"):
        engine.run("all", "raw", f"touch {tmp_path}/{{{{ inventory_hostname }}}}")
    assert os.listdir(tmp_path) == []


def test_another_python_is_never_taken(local: Inventory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Engine(local) as engine:
        monkeypatch.setattr(sys, "executable", "/usr/bin/uwsgi")
        assert engine.run("l0", "ping").counts == {"ok": 1}
    with Engine(local) as engine:
        monkeypatch.setattr(sys, "exec_prefix", str(tmp_path))
        with pytest.raises(WorkerStartError, match="no Python to start a worker process with"):
            engine.run("l0", "ping")


FEW_FILES = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
from sshexec import Engine, Inventory
with Engine(Inventory.load(sys.argv[1]), concurrency=300) as engine:
    for _ in range(2):
        print(engine.run("all", "raw", "sleep 0.2").counts)
"""


def test_few_open_files_mean_fewer_hosts_at_once(sshd: Sshd, tmp_path: Path) -> None:
    path = tmp_path / "hosts.json"
    path.write_text(json.dumps({"all": {"hosts": sshd.hosts(150)}}))
    done = subprocess.run([sys.executable, "-c", FEW_FILES, str(path)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "{'changed': 150}\n" * 2, done.stderr


def test_a_worker_replaced_meanwhile_costs_a_serial_run_its_own_hosts_only(local: Inventory) -> None:
    with Engine(local, processes=2) as engine:
        slow = engine.start("l0,l1,l2", "raw", "sleep 1.5", serial=1)
        executor: Any = engine._executor
        home = executor._slot("l1")
        running(slow, 1)
        victim = executor._slots[home].process.pid
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: gone(victim))
        assert engine.run("l1", "ping", timeout=20)["l1"].status == "ok"
        result = slow.wait(30)
        assert {name: r.status for name, r in result.items()} == {
            "l0": "changed",
            "l1": "unreachable",
            "l2": "changed",
        }


def test_many_batches_may_end_at_once() -> None:
    hosts = [Host(f"l{n}", {"ansible_connection": "local"}) for n in range(1500)]
    with Engine(Inventory.from_hosts(hosts)) as engine:
        run = engine.start("all", "raw", "sleep 0.2", serial=1)
        wait_for(lambda: any(state.host != "l0" for state in run.snapshot()))
        (victim,) = workers_of(engine)
        os.kill(victim, signal.SIGKILL)
        result = run.wait(30)
    assert result["l0"].status == "changed"
    assert result["l1499"].cause == "worker_lost"


def test_workers_share_the_memory_for_output(local: Inventory) -> None:
    with Engine(local, processes=2) as engine:
        start = engine._ready

        def with_less() -> Any:
            executor: Any = start()
            prepare = executor.prepare
            executor.prepare = lambda job, emit: prepare(
                replace(job, task=replace(job.task, run_output_limit=600_000)), emit
            )
            return executor

        engine._ready = with_less  # type: ignore[method-assign]
        result = engine.run("l0,l1,l2", "raw", "head -c 500000 /dev/zero | tr '\\0' x")
    # Two hosts have one worker, and the third has the other: 400 kB and 200 kB.
    assert sum(len(r.stdout) for r in result.values()) < 650_000
    assert any(r.truncated for r in result.values())


class Odd:
    def __reduce__(self) -> Any:
        raise ValueError("hunter2")


def test_what_cannot_be_sent_to_a_worker_is_named(local: Inventory) -> None:
    with Engine(local) as engine:
        with pytest.raises(ArgumentError, match=r"host l0: variable handle: lock can't be sent"):
            engine.run("all", "ping", variables={"handle": threading.Lock()})
        with pytest.raises(ArgumentError, match=r"host l0: variable odd: Odd can't be sent"):
            engine.run("all", "ping", variables={"odd": Odd()})
        with pytest.raises(ArgumentError, match=r"args: dict can't be sent"):
            engine.run("all", "ping", {"data": threading.Lock()})
        assert engine.run("all", "ping").counts == {"ok": 6}


MINE = """
from sshexec import Engine, Host, Inventory, errors
class Mine: pass
class Quit:
    def __reduce__(self): return (exit, ("no luck",))
with Engine(Inventory.from_hosts([Host("h", {"ansible_connection": "local"})])) as engine:
    going_on = engine.start("h", "raw", "sleep 1; echo unharmed")
    for odd in (Mine(), Quit()):
        try:
            engine.run("h", "ping", variables={"odd": odd})
        except errors.ArgumentError as error:
            print(error)
    print(going_on.wait(30)["h"].stdout)
"""


def test_a_class_that_a_worker_cannot_load_harms_no_other_run() -> None:
    done = subprocess.run([sys.executable, "-c", MINE], capture_output=True, text=True, timeout=60)
    first, second, output, *_ = done.stdout.split("\n")
    assert first.startswith("a value of the task or of a variable can't be loaded by a worker process: Can't get")
    assert second.endswith("can't be loaded by a worker process: no luck")
    assert output == "unharmed"


def test_a_refused_job_leaves_nothing_behind(local: Inventory) -> None:
    with Engine(local, processes=2) as engine:
        for _ in range(3):
            with pytest.raises(OptionError):
                engine.run("all", "ping", variables={"ansible_connection": "{{ 'local' if number % 2 else 'telnet' }}"})
        engine.run("all", "ping")
        executor: Any = engine._executor
        left = [(worker._answers, worker._outstanding) for worker in executor._slots]
        wait_for(lambda: left == [({}, {})] * 2)


def test_a_worker_that_never_starts_is_told_as_such(local: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sshexec.runtime.workers._START", "import sys; sys.exit('no such thing')  # {path}")
    with Engine(local) as engine, pytest.raises(WorkerStartError, match="exit status 1: no such thing") as error:
        engine.run("all", "ping")
    assert type(error.value) is WorkerStartError


def test_a_workers_log_is_the_parents(local: Inventory, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="sshexec"), Engine(local, concurrency=1_000_000) as engine:
        engine.run("all", "ping")
        wait_for(lambda: caplog.records)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("sshexec.runtime.pool", "WARNING")
    assert "hosts at once instead of 1000000: this process may have" in record.getMessage()


def test_a_logging_handler_that_fails_costs_no_worker(local: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(record: logging.LogRecord) -> None:
        raise RuntimeError("a fault of the platform's")

    handler = logging.Handler()
    monkeypatch.setattr(handler, "handle", fail)
    logging.getLogger("sshexec").addHandler(handler)
    try:
        with Engine(local, concurrency=1_000_000) as engine:
            assert engine.run("all", "ping").counts == {"ok": 6}
    finally:
        logging.getLogger("sshexec").removeHandler(handler)


def test_workers_share_the_concurrency(local: Inventory) -> None:
    with Engine(local, concurrency=1, processes=4) as engine:
        result = engine.run("all", "shell", "sleep 0.2")
    spans = sorted((r.data["start"], r.data["end"]) for r in result.values())
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_hosts_stick_to_their_worker_and_keep_their_connection(fleet: Inventory) -> None:
    with Engine(fleet, processes=2) as engine:
        parents = [engine.run("all", "raw", "echo $PPID") for _ in range(3)]
        first = {name: r.stdout for name, r in parents[0].items()}
        # The same sshd session process answers each time: the connection was reused.
        assert all({name: r.stdout for name, r in again.items()} == first for again in parents[1:])
        assert len(set(first.values())) == 20


def test_keep_0_closes_connections_with_the_turn(fleet: Inventory) -> None:
    with Engine(fleet, keep=0) as engine:
        first, second = (engine.run("h001", "raw", "echo $PPID")["h001"].stdout for _ in range(2))
        assert first != second


def test_files_in_the_current_folder_are_not_imported(tmp_path: Path) -> None:
    for name in ("gevent", "paramiko", "logging", "inventory", "connectors", "runpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    script = (
        "from sshexec import Engine, Host, Inventory\n"
        "import os; os.chdir(os.environ['FOREIGN'])\n"
        "inventory = Inventory.from_hosts([Host('here', {'ansible_connection': 'local'})])\n"
        "with Engine(inventory) as engine: print(engine.run('all', 'ping').counts)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "FOREIGN": str(tmp_path)},
    )
    assert done.stdout == "{'ok': 1}\n", done.stderr


def test_two_runs_at_once_on_one_engine(local: Inventory) -> None:
    with Engine(local) as engine:
        slow = engine.start("all", "raw", "sleep 2; echo slow")
        quick = engine.run("l1", "raw", "echo quick")
        assert not slow.done
        assert quick["l1"].stdout == "quick\n"
        assert {r.stdout for r in slow.wait(30).values()} == {"slow\n"}


def test_a_reader_that_stops_reading_slows_only_its_own_run() -> None:
    inventory = Inventory.from_hosts([Host(f"l{n}", {"ansible_connection": "local"}) for n in range(2)])
    with Engine(inventory) as engine:
        flood = engine.start("all", "raw", "yes | head -c 400000000", output_limit=1000)
        events = flood.events()
        next(events)
        assert engine.run("l0", "ping", timeout=30)["l0"].status == "ok"
        flood.cancel()
        assert sum(isinstance(event, HostFinished) for event in events) == 2
