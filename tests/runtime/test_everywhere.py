"""The same call runs hosts at once from any kind of process, and leaves that process as it was."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Inventory, RunResult
from tests.runtime.conftest import gone
from tests.testbed import Sshd

ALL = [f"h{n:03d}" for n in range(1, 21)]


def at_once(spans: dict[str, tuple[str, str]]) -> bool:
    """Whether all hosts were running at the same moment, by their own clocks."""
    return sorted(spans) == ALL and max(begin for begin, _ in spans.values()) < min(end for _, end in spans.values())


def spans(result: RunResult) -> dict[str, tuple[str, str]]:
    assert result.counts == {"changed": 20}, [r.msg for r in result.values() if not r.good][:3]
    return {name: (r.data["start"], r.data["end"]) for name, r in result.items()}


def hosts_file(sshd: Sshd, folder: Path) -> Path:
    """An inventory file for processes that are started by the test."""
    path = folder / "hosts.yml"
    path.write_text(json.dumps({"all": {"hosts": sshd.hosts(20)}}))
    return path


def test_from_a_plain_thread(fleet: Inventory) -> None:
    found: list[RunResult] = []
    with Engine(fleet) as engine:
        thread = threading.Thread(target=lambda: found.append(engine.run("all", "shell", "sleep 1")))
        thread.start()
        thread.join(60)
    assert at_once(spans(found[0]))


def test_inside_asyncio_without_blocking_its_loop(fleet: Inventory, tmp_path: Path) -> None:
    go = tmp_path / "go"

    async def main() -> RunResult:
        async def let_go() -> None:
            # Only a loop that is not blocked gets here while the hosts wait.
            while len(os.listdir(tmp_path)) < 20:
                await asyncio.sleep(0.01)
            go.touch()

        with Engine(fleet) as engine:
            other = asyncio.create_task(let_go())
            command = f"touch {tmp_path}/{{{{ inventory_hostname }}}}; until [ -e {go} ]; do sleep 0.05; done"
            result = await engine.arun("all", "shell", command, timeout=40)
            await other
            return result

    assert at_once(spans(asyncio.run(main())))


def test_asyncio_stream_and_cancel(fleet: Inventory, tmp_path: Path) -> None:
    async def main() -> list[str]:
        seen = []
        with Engine(fleet) as engine:
            async for event in engine.astream("h001,h002", "raw", "echo hello"):
                seen.append(event.event)
            task = asyncio.create_task(engine.arun("all", "raw", f"touch {tmp_path}/$$; exec sleep 600"))
            while len(pids := os.listdir(tmp_path)) < 20:
                await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while not all(gone(int(pid)) for pid in pids):
                await asyncio.sleep(0.05)
        return seen

    seen = asyncio.run(main())
    assert seen.count("host_finished") == 2
    assert seen.count("output") == 2
    assert seen[-1] == "run_finished"


PATCHED = """
from gevent import monkey; monkey.patch_all()
import json, sys
from sshexec import Engine, Inventory
with Engine(Inventory.load(sys.argv[1])) as engine:
    result = engine.run("all", "shell", "sleep 1")
    assert type(engine._executor).__name__ == "PoolExecutor"
print(json.dumps({name: (r.data["start"], r.data["end"]) for name, r in result.items()}))
"""


def test_in_a_patched_process(sshd: Sshd, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PATCHED, str(hosts_file(sshd, tmp_path))], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert at_once({name: tuple(span) for name, span in json.loads(done.stdout).items()})


ONE_AT_A_TIME = """
from gevent import monkey; monkey.patch_all()
from sshexec import Engine, Host, Inventory
hosts = [Host(f"l{n}", {"ansible_connection": "local"}) for n in range(3)]
with Engine(Inventory.from_hosts(hosts), concurrency=1) as engine:
    for _ in range(5):
        print(engine.run("all", "raw", "true", serial=2).counts)
"""


def test_run_after_run_in_a_patched_process_with_one_host_at_a_time() -> None:
    done = subprocess.run([sys.executable, "-c", ONE_AT_A_TIME], capture_output=True, text=True, timeout=60)
    assert done.stdout == "{'changed': 3}\n" * 5, done.stderr


FORKED = """
from gevent import monkey; monkey.patch_all()
import os, sys, threading
from sshexec import Engine, Host, Inventory
inventory = Inventory.load(sys.argv[1])
names = [host.name for host in inventory.select("all")]
mixed = Inventory.from_hosts([
    *(Host(name, dict(inventory.variables(name))) for name in names),
    *(Host(f"l{n}", {"ansible_connection": "local"}) for n in range(3)),
])
mark = sys.argv[2]

def ports(engine):
    return {name: r.data["stdout"] for name, r in engine.run("all:!l*", "raw", "echo $SSH_CONNECTION").items()}

with Engine(mixed, concurrency=10) as engine:
    before = ports(engine)
    # Half of these run and half of them wait at the time of the fork.
    script = f"sleep 1.5; echo {{{{ inventory_hostname }}}} >>{mark}; echo done"
    run = engine.start("all", "shell", script, output=False)
    while sum(state.phase == "running" for state in run.snapshot()) < 10:
        threading.Event().wait(0.01)
    run.drop_events()
    child = os.fork()
    if child == 0:
        try:
            mine = ports(engine)
            assert sorted(mine) == sorted(before), mine
            assert not set(mine.values()) & set(before.values()), "the parent's connections were used"
            threading.Event().wait(3)
            engine.close()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    result = run.wait(60)
    assert result.counts == {"changed": 23}, {h: r.data for h, r in result.items() if r.failed}
    assert {r.data["stdout"] for r in result.values()} == {"done"}
    assert ports(engine) == before
print("fine")
"""


def test_a_fork_in_a_patched_process_in_mid_run_disturbs_nothing(sshd: Sshd, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    done = subprocess.run(
        [sys.executable, "-c", FORKED, str(hosts_file(sshd, tmp_path)), str(mark)],
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.stdout == "fine\n", done.stderr
    # Every host had its turn once: none began in the child what waited in the parent.
    assert len(mark.read_text().split()) == len(set(mark.read_text().split())) == 23


def _in_child(inventory: Inventory, queue: Any) -> None:
    with Engine(inventory) as engine:
        result = engine.run("all", "shell", "sleep 1")
        queue.put({name: (r.data["start"], r.data["end"]) for name, r in result.items()})


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_in_a_multiprocessing_child(fleet: Inventory, method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(fleet, queue))
    child.start()
    found = queue.get(timeout=60)
    child.join(30)
    assert child.exitcode == 0
    assert at_once(found)


def test_in_a_forked_child_of_a_process_that_uses_the_engine(fleet: Inventory) -> None:
    with Engine(fleet) as engine:
        assert engine.run("all", "ping").counts == {"ok": 20}
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                result = engine.run("all", "shell", "sleep 1")
                os.write(writing, json.dumps(spans(result)).encode())
                engine.close()
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading) as answer:
            found = json.load(answer)
        os.waitpid(child, 0)
        assert at_once({name: tuple(span) for name, span in found.items()})
        # The child's coming and going did not disturb the parent's workers.
        assert engine.run("all", "ping").counts == {"ok": 20}


def test_a_forked_child_does_not_wait_for_a_thread_that_it_has_not(fleet: Inventory) -> None:
    with Engine(fleet) as engine:
        # As if another thread were just starting a run.
        with engine._lock:
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    code = 0 if engine.run("h001", "ping").counts == {"ok": 1} else 2
                    engine.close()
                finally:
                    os._exit(code)
            assert os.waitpid(child, 0)[1] == 0
        assert engine.run("h001", "ping").counts == {"ok": 1}


SEARCHED = """
from importlib import metadata
asked = []
search = metadata.entry_points
metadata.entry_points = lambda **which: asked.append(which) or search(**which)
from gevent import events
before = events.notify_and_call_entry_points
from sshexec.runtime.patched import is_patched, patch
patch()
print(is_patched(), asked, events.notify_and_call_entry_points is before)
"""


def test_a_process_of_our_own_is_patched_without_a_search_for_plugins() -> None:
    done = subprocess.run([sys.executable, "-c", SEARCHED], capture_output=True, text=True, timeout=60)
    assert done.stdout == "True [] True\n", done.stderr


UNTOUCHED = """
import json, logging, signal, socket, subprocess, sys, threading, time
before = (socket.socket, threading.Lock, time.sleep, subprocess.Popen, signal.getsignal(signal.SIGINT),
          signal.getsignal(signal.SIGCHLD), list(logging.getLogger().handlers))
from sshexec import Engine, Inventory
with Engine(Inventory.load(sys.argv[1])) as engine:
    assert engine.run("all", "raw", "true").counts == {"changed": 20}
after = (socket.socket, threading.Lock, time.sleep, subprocess.Popen, signal.getsignal(signal.SIGINT),
         signal.getsignal(signal.SIGCHLD), list(logging.getLogger().handlers))
print(json.dumps({
    "same": before == after,
    "loaded": [name for name in sys.modules if name.split(".")[0] in ("gevent", "greenlet", "paramiko")],
    "threads": [thread.name for thread in threading.enumerate()],
}))
"""


def test_the_callers_process_is_untouched(sshd: Sshd, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(UNTOUCHED), str(hosts_file(sshd, tmp_path))],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"same": True, "loaded": [], "threads": ["MainThread"]}
    assert done.stderr == ""
