"""A run's course: deadlines, batches, cancellation, streaming; through worker processes and real commands."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Host, Inventory, Secret, Timeouts, errors
from sshexec.events import HostFinished, HostPhase, HostStarted, Output, RunFinished
from sshexec.runtime.job import Job
from sshexec.task import Target, Task
from tests.runtime.conftest import gone, wait_for
from tests.testbed import Sshd


@pytest.fixture
def engine(local: Inventory) -> Iterator[Engine]:
    with Engine(local) as engine:
        yield engine


def test_results_come_as_hosts_finish_not_in_order(engine: Engine) -> None:
    order = [
        event.host
        for event in engine.stream("l0,l1,l2", "raw", "sleep {{ 1.2 - number * 0.5 }}")
        if isinstance(event, HostFinished)
    ]
    assert order == ["l2", "l1", "l0"]


def test_one_stuck_host_holds_up_nobody(engine: Engine) -> None:
    finished = []
    for event in engine.stream("all", "raw", "sleep {{ 600 if number == 3 else 0 }}", run_timeout=3):
        if isinstance(event, HostFinished):
            finished.append((event.host, event.result.status))
    assert finished[-1] == ("l3", "timeout")
    assert sorted(finished[:-1]) == [(f"l{n}", "changed") for n in (0, 1, 2, 4, 5)]


def test_the_sequence_of_events(engine: Engine) -> None:
    events = list(engine.stream("l0", "raw", "printf 'a\\303'; sleep 0.2; printf '\\244b'"))
    kinds = [type(event) for event in events]
    assert kinds[0] is HostStarted
    assert kinds[-2:] == [HostFinished, RunFinished]
    assert [event.phase for event in events if isinstance(event, HostPhase)][-1] == "running"
    # A character that came in two pieces is one character.
    assert "".join(event.text for event in events if isinstance(event, Output)) == "aäb"


def test_task_timeout_kills_the_command(engine: Engine, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    result = engine.run("l0", "shell", f"sleep 3; touch {mark}", timeout=0.5)["l0"]
    assert (result.status, result.cause, result.killed, result.phase) == ("timeout", "timeout", True, "running")
    assert result.data["timedout"] == {"period": 0.5}
    time.sleep(3)
    assert not mark.exists()


def test_output_before_a_timeout_is_kept(engine: Engine) -> None:
    result = engine.run("l0", "raw", "echo before; sleep 60", timeout=1)["l0"]
    assert result.status == "timeout"
    assert result.stdout == "before\n"


def test_silence_is_a_timeout_of_its_own(local: Inventory) -> None:
    with Engine(local, timeouts=Timeouts(idle=0.7)) as engine:
        result = engine.run(
            "l0,l1", "raw", "{{ 'sleep 60' if number else 'for i in 1 2 3 4; do echo; sleep 0.3; done' }}"
        )
    assert {name: r.status for name, r in result.items()} == {"l0": "changed", "l1": "timeout"}
    assert result["l1"].data["timedout"] == {"period": 0.7}


def test_wait_alone_does_not_hold_a_host_that_prints_much(engine: Engine) -> None:
    run = engine.start("l0", "raw", "yes | head -c 30000000; echo end", output_limit=1000)
    result = run.wait(60)["l0"]
    assert (result.status, result.stdout[-4:]) == ("changed", "end\n")
    assert {type(event) for event in run.events()} <= {HostStarted, HostPhase, HostFinished, RunFinished}


def test_a_difference_shows_no_secret(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("pw=hunter1\n")
    variables = {"db_password": "hunter2"}
    arguments = {"content": "pw={{ db_password }}\n", "dest": str(tmp_path / "file")}
    result = engine.run("l0", "copy", arguments, variables=variables, diff=True, check=True)["l0"]
    (difference,) = result.data["diff"]
    assert difference["after"] == "pw=********\n"
    assert "hunter2" not in repr(result.to_dict())


def test_events_that_were_read_are_not_there_again(engine: Engine) -> None:
    run = engine.start("l0", "ping")
    assert list(run.events())
    with pytest.raises(ValueError, match="they were read or dropped already"):
        run.events()


def test_a_listener_is_no_reader(engine: Engine) -> None:
    run = engine.start("l0", "raw", "yes | head -c 30000000", output_limit=1000)
    run.listen(lambda: None)
    assert run.wait(60).counts == {"changed": 1}


def test_a_reader_that_has_asked_gets_the_output_although_somebody_waits(engine: Engine) -> None:
    run = engine.start("l0", "raw", "echo hello")
    events = run.events()
    waiting = threading.Thread(target=run.wait, args=(60,))
    waiting.start()
    assert "hello\n" in [event.text for event in events if isinstance(event, Output)]
    waiting.join(60)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"concurrency": "10"}, r"concurrency: expected a number of hosts from 1, got '10'"),
    ({"concurrency": 2.5}, r"concurrency: expected a number of hosts"),
    ({"processes": "2"}, r"processes: expected a number of processes"),
    ({"keep": "x"}, r"keep: expected seconds from 0, got 'x'"),
    ({"keep": None}, r"keep: expected seconds from 0, got None"),
    ({"variables": "a=b"}, r"variables: expected a mapping of names to values, got str"),
    ({"timeouts": 5}, r"timeouts: expected Timeouts\(connect=\.\.\., command=\.\.\.\), got 5"),
]
WRONG_FOR_A_RUN: list[tuple[dict[str, Any], str]] = [
    ({"timeout": "5"}, r"timeout: expected seconds above 0, got '5'"),
    ({"timeout": True}, r"timeout: expected seconds above 0, got True"),
    ({"run_timeout": float("inf")}, r"run_timeout: expected seconds above 0, at most 1000000000, got inf"),
    ({"run_timeout": float("nan")}, r"run_timeout: expected seconds above 0, got nan"),
    ({"environment": [1]}, r"environment: expected a mapping"),
    ({"variables": 5}, r"variables: expected a mapping"),
    ({"variables": {1: 2}}, r"variables: expected names that are texts, got 1"),
    ({"max_fail_percentage": "x"}, r"max_fail_percentage: expected a number from 0 to 100, got 'x'"),
    ({"output_limit": 0}, r"output_limit: expected a number of bytes from 1, got 0"),
    ({"spill": 1}, r"spill: 1 is not a directory"),
    ({"pattern": ["l0", 3]}, r"pattern: expected a text or a list of host names"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_what_an_engine_does_not_take(local: Inventory, options: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.ArgumentError, match=message):
        Engine(local, **options)


@pytest.mark.parametrize(("options", "message"), WRONG_FOR_A_RUN)
def test_what_a_run_does_not_take(engine: Engine, options: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.ArgumentError, match=message):
        engine.run(**{"pattern": "l0", "module": "ping", **options})


@pytest.mark.parametrize("limits", [{"idle": float("nan")}, {"connect": -1}, {"auth": "5"}, {"total": 0}])
def test_what_timeouts_do_not_take(limits: dict[str, Any]) -> None:
    with pytest.raises(errors.ArgumentError, match=f"{next(iter(limits))}: expected seconds above 0"):
        Timeouts(**limits)


def test_run_timeout_ends_what_runs_and_starts_nothing_more(engine: Engine) -> None:
    result = engine.run("all", "raw", "sleep 60", serial=4, run_timeout=1)
    assert result.state == "timeout"
    assert result.counts == {"timeout": 4, "cancelled": 2}
    assert {r.cause for r in result.values()} == {"run_timeout"}
    assert result["l5"].started is None
    assert result["l5"].msg.startswith("not started: ")


def test_cancel(engine: Engine) -> None:
    run = engine.start("all", "raw", "sleep {{ 60 if number else 0 }}", serial=4)
    wait_for(lambda: len(run.snapshot()) == 3)
    run.cancel()
    run.cancel()
    result = run.wait(20)
    assert result.state == "cancelled"
    assert result.counts == {"changed": 1, "cancelled": 5}
    assert result["l1"].killed is True
    assert result["l5"].msg == "not started: the run was cancelled"
    assert result.exit_code == 2


def test_leaving_a_stream_cancels_the_run(engine: Engine, tmp_path: Path) -> None:
    stream = engine.stream("all", "raw", f"touch {tmp_path}/$$; sleep 600")
    for _ in stream:
        break
    pids = wait_for(lambda: (names := os.listdir(tmp_path)) and len(names) == 6 and list(map(int, names)))
    stream.close()  # type: ignore[attr-defined]
    wait_for(lambda: all(map(gone, pids)))


def test_a_stream_that_nobody_reads_cancels_the_run(engine: Engine, tmp_path: Path) -> None:
    stream = engine.stream("all", "raw", f"touch {tmp_path}/$$; sleep 600")
    pids = wait_for(lambda: (names := os.listdir(tmp_path)) and len(names) == 6 and list(map(int, names)))
    del stream
    wait_for(lambda: all(map(gone, pids)))


def test_wait_gives_up_and_can_be_repeated(engine: Engine) -> None:
    run = engine.start("l0", "raw", "sleep 1")
    with pytest.raises(TimeoutError, match="0 of 1 hosts"):
        run.wait(0.1)
    assert run.wait(20).counts == {"changed": 1}
    assert run.done


def test_snapshot_names_the_phase(engine: Engine) -> None:
    run = engine.start("l0", "raw", "echo; sleep 600")
    (state,) = wait_for(lambda: [state for state in run.snapshot() if state.last_output is not None])
    assert (state.host, state.phase) == ("l0", "running")
    run.cancel()
    run.wait(20)
    assert run.snapshot() == []


def test_serial_batches_follow_each_other(engine: Engine) -> None:
    result = engine.run("all", "shell", "sleep 0.3", serial=[1, 2])
    spans = {name: (r.data["start"], r.data["end"]) for name, r in result.items()}
    batches = [["l0"], ["l1", "l2"], ["l3", "l4"], ["l5"]]
    for before, after in pairwise(batches):
        assert max(spans[name][1] for name in before) <= min(spans[name][0] for name in after)


def test_max_fail_percentage_over_batches(engine: Engine) -> None:
    result = engine.run("all", "raw", "exit 1", serial=2, max_fail_percentage=40)
    assert result.counts == {"failed": 2, "cancelled": 4}
    assert result["l5"].cause == "max_fail_percentage"
    assert "of 2 hosts failed, more than max_fail_percentage 40 allows" in result["l5"].msg


def test_max_fail_percentage_stops_within_a_batch(local: Inventory) -> None:
    with Engine(local, concurrency=1) as engine:
        result = engine.run("all", "raw", "sleep 0.5; exit 1", max_fail_percentage=30)
    # The third host may have had its turn before the news of the second one's failure came round.
    assert result.counts in ({"failed": 2, "cancelled": 4}, {"failed": 3, "cancelled": 3})


def test_concurrency_bounds_the_hosts_at_once(local: Inventory) -> None:
    with Engine(local, concurrency=2) as engine:
        result = engine.run("all", "shell", "sleep 0.3")
    moments = [(r.data["start"], 1) for r in result.values()] + [(r.data["end"], -1) for r in result.values()]
    running = highest = 0
    for _, step in sorted(moments):
        running += step
        highest = max(highest, running)
    assert highest == 2


def test_host_variables_fill_in_the_arguments(engine: Engine) -> None:
    result = engine.run("l1,l2", "raw", "echo {{ inventory_hostname }}={{ number * factor }}", variables={"factor": 10})
    assert [r.stdout for r in result.values()] == ["l1=10\n", "l2=20\n"]


def test_variables_that_are_templates_themselves() -> None:
    inventory = Inventory.from_hosts(
        [Host("a", {"ansible_connection": "{{ kind }}", "kind": "local", "w": "{{ kind }}!"})]
    )
    with Engine(inventory) as engine:
        assert engine.run("all", "raw", "echo {{ w }}")["a"].stdout == "local!\n"


def test_a_variable_is_a_value_and_adds_no_arguments(engine: Engine, tmp_path: Path) -> None:
    name = f"{tmp_path}/a file mode=0777 'x'"
    variables = {"where": name, "number": 42}
    result = engine.run("l0", "copy", "content={{ number }} dest={{ where }} mode=0600", variables=variables)["l0"]
    assert result.status == "changed", result.msg
    assert Path(name).read_text() == "42"
    assert Path(name).stat().st_mode & 0o777 == 0o600
    command = "echo creates=/etc '; id'"
    assert engine.run("l0", "shell", "{{ text }}", variables={"text": command})["l0"].stdout == "creates=/etc ; id"
    assert engine.run("l0", "command", "{{ number }}", variables=variables)["l0"].rc == 2


def test_environment(engine: Engine) -> None:
    result = engine.run("l1", "shell", 'echo "$GREETING"', environment={"GREETING": "hi '{{ number }}'"})
    assert result["l1"].stdout == "hi '1'"


def test_large_output_is_cut_in_the_middle_and_spilled(engine: Engine, tmp_path: Path) -> None:
    result = engine.run("l0", "raw", "seq 1 200000", output_limit=10_000, spill=str(tmp_path))["l0"]
    assert result.truncated
    assert result.stdout.startswith("1\n2\n3\n")
    assert result.stdout.endswith("199999\n200000\n")
    assert len(result.stdout) < 11_000
    whole = Path(result.spilled["stdout"])
    assert whole.read_text() == "".join(f"{n}\n" for n in range(1, 200001))
    assert whole.stat().st_mode & 0o777 == 0o600


def test_runs_from_many_threads(engine: Engine) -> None:
    stats: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda n=n: stats.append(engine.run("all", "raw", f"echo {n}").groups()[0].result.stdout)
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(stats) == [f"{n}\n" for n in range(8)]


def test_groups_fold_equal_answers(engine: Engine) -> None:
    groups = engine.run("all", "raw", "echo {{ number % 3 == 0 }}").groups()
    assert [(group.hosts, group.result.stdout) for group in groups] == [
        (("l1", "l2", "l4", "l5"), "False\n"),
        (("l0", "l3"), "True\n"),
    ]


def test_a_listener_that_fails_harms_nobody(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    run = engine.start("all", "raw", "sleep 0.5")
    heard = []

    def fail() -> None:
        heard.append(run.done)
        if len(heard) > 1:  # not in `listen` itself
            raise ValueError("a fault of the caller's")

    run.listen(fail)
    assert run.wait(20).counts == {"changed": 6}
    assert engine.run("all", "ping").counts == {"ok": 6}
    assert "a listener of a run failed" in caplog.text


def test_a_coroutine_cancelled_while_its_run_starts_leaves_nothing_running(local: Inventory, tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    async def main() -> None:
        with Engine(local) as engine:
            task = asyncio.create_task(engine.arun("all", "raw", f"sleep 2; touch {mark}"))
            await asyncio.sleep(0.05)  # the worker is still starting
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(4)

    asyncio.run(main())
    assert not mark.exists()


def test_an_engine_closes_without_blocking_the_event_loop(local: Inventory) -> None:
    async def main() -> None:
        async with Engine(local) as engine:
            assert (await engine.arun("all", "ping")).counts == {"ok": 6}
        with pytest.raises(errors.SshexecError, match="closed"):
            await engine.arun("all", "ping")

    asyncio.run(main())


def test_reprs_are_short_and_hold_no_output(engine: Engine) -> None:
    result = engine.run("l0,l1", "shell", "echo hunter2; exit {{ number }}", variables={"number": 3})
    assert repr(result) == "<RunResult of shell: 2 failed>"
    assert repr(result["l0"]) == "<HostResult l0: failed rc=3>"
    assert repr(engine).startswith("<Engine of <")
    wait_for(lambda: repr(engine).endswith(": 0 runs in progress>"))


def test_a_secret_is_refused_in_the_environment(engine: Engine) -> None:
    with pytest.raises(errors.ArgumentError, match="TOKEN is a secret"):
        engine.run("all", "shell", "true", environment={"TOKEN": Secret("x")})  # type: ignore[dict-item]


def test_variables_and_arguments_do_not_show_in_a_repr() -> None:
    target = Target("h", {"ansible_password": "hunter2"})
    task = Task("shell", "echo hunter2", environment={"A": "hunter2"})
    assert "hunter2" not in repr(Job("id", task, (target,), Timeouts()))


def test_a_closed_engine_says_so(local: Inventory) -> None:
    engine = Engine(local)
    engine.close()
    engine.close()
    with pytest.raises(errors.SshexecError, match="closed"):
        engine.run("all", "ping")


def test_scripted_hosts() -> None:
    answers = {"uptime": " 10:00 up 1 day\n"}
    faults = ["refused", "authentication", "host_key_changed", "lost"]
    hosts = [Host("fine", {"ansible_connection": "fake", "fake_answers": answers})]
    hosts += [Host(fault, {"ansible_connection": "fake", "fake_fault": fault}) for fault in faults]
    with Engine(Inventory.from_hosts(hosts)) as engine:
        for _ in range(2):
            result = engine.run("all", "command", "uptime")
            assert result["fine"].stdout == " 10:00 up 1 day"
            assert {name: r.cause for name, r in result.unreachable.items()} == {
                "refused": "refused",
                "authentication": "authentication",
                "host_key_changed": "host_key_changed",
                "lost": "connection_lost",
            }


def test_another_login_is_another_connection(fleet: Inventory) -> None:
    with Engine(fleet) as engine:
        first = engine.run("h001", "raw", "echo $PPID")["h001"].stdout
        other = engine.run("h001", "raw", "echo $PPID", variables={"ansible_timeout": 7})["h001"].stdout
        assert first != other


def test_connections_on_which_nothing_was_run_wait_for_no_login(sshd: Sshd) -> None:
    # One sshd under thirteen names: the admission lets no more than ten wait for their login at once.
    hosts = [Host(f"h{n:02d}", sshd.variables(ansible_host="127.0.9.9", ansible_timeout=3)) for n in range(13)]
    with Engine(Inventory.from_hosts(hosts), concurrency=13) as engine:
        engine.run("h00", "raw", "true")  # the canary: the others leave their login for the first command
        result = engine.run("all", "fetch", {"src": "/etc/hostname", "dest": "unused"}, check=True)
        assert {one.status for one in result.values()} == {"skipped"}


ODD = """
import threading
from sshexec.modules.arguments import Parameter
from sshexec.modules.base import Module

class Odd(Module):
    name, parameters = "odd", (Parameter("kind"),)

    def run(self, connector, invocation):
        if self.arguments["kind"] == "program":
            raise SystemExit(3)
        return {"lock": {"a": threading.Lock()}, "number": {1: 2}, "pair": {"a": {(1, 2): 3}}}[self.arguments["kind"]]
"""
"""A module of somebody else, whose results JSON can't hold."""


def test_what_a_plugin_returns_or_raises_stops_nobody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "acme_odd.py").write_text(ODD)
    info = tmp_path / "acme_odd-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-odd\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sshexec.modules]\nacme.odd = acme_odd:Odd\n")
    monkeypatch.syspath_prepend(str(tmp_path))  # the worker process looks there too
    kinds = ("lock", "number", "pair", "program")
    hosts = [Host(kind, {"ansible_connection": "fake", "kind": kind}) for kind in kinds]
    with Engine(Inventory.from_hosts(hosts)) as engine:
        result = engine.run("all", "acme.odd", {"kind": "{{ kind }}"}, run_timeout=30)
    assert {name: (host.status, host.msg) for name, host in result.items()} == {
        "lock": ("ok", ""),
        "number": ("ok", ""),
        "pair": ("failed", "internal error: TypeError: keys must be str, int, float, bool or None, not tuple"),
        "program": ("failed", "internal error: SystemExit: 3"),
    }
    assert result["number"].data == {"1": 2}
    assert json.loads(json.dumps(result.to_dict())) == result.to_dict()
