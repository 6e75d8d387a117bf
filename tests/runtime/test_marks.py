"""What a turn leaves for the record: its mark before the host is contacted, and the seconds of its phases."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sshexec import Engine, History, Host, Inventory
from sshexec.journal import Reader
from tests.history.records import rows
from tests.runtime.conftest import wait_for


def test_phases_have_their_seconds(fleet):
    with Engine(fleet) as engine:
        name = next(iter(fleet.hosts))
        first, second = (engine.run([name], "command", "sleep 0.2") for _ in range(2))
    (result,), (again,) = first.values(), second.values()
    assert result.phases["running"] >= 0.2
    assert set(result.phases) >= {"connecting", "authenticating", "running"}
    assert sum(result.phases.values()) <= result.seconds + 0.01
    assert set(again.phases) == {"running"}
    assert result.to_dict()["phases"] == result.phases


@pytest.mark.parametrize("program", ["plain", "gevent"])
def test_a_host_is_marked_before_it_is_contacted(tmp_path, program):
    # Each host's command looks into the journal itself.
    patch = "from sshexec.runtime.patched import patch; patch()\n" if program == "gevent" else ""
    looks = tmp_path / "looks"
    looks.write_text(f"grep -c -F '\"start\":\"'$1'\"' {tmp_path}/h.db-journals/*/records")
    text = (
        f"{patch}from sshexec import Engine, History, Host, Inventory\n"
        "hosts = [Host(f'l{n}', {'ansible_connection': 'local'}) for n in range(4)]\n"
        f"with History('sqlite:///{tmp_path}/h.db') as history:\n"
        "    engine = Engine(Inventory.from_hosts(hosts), history=history)\n"
        f"    result = engine.run('all', 'command', 'sh {looks} {{{{ inventory_hostname }}}}')\n"
        "    engine.close()\n"
        "    print(result.recorded, [each.stdout for each in result.values()])\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("database ['1', '1', '1', '1']\n", "")


def test_a_worker_that_is_killed_leaves_its_marks(tmp_path):
    inventory = Inventory.from_hosts([Host(f"l{n}", {"ansible_connection": "local"}) for n in range(3)])
    with History(f"sqlite:///{tmp_path}/h.db") as history, Engine(inventory, history=history) as engine:
        run = engine.start("all", "shell", f"while test ! -e {tmp_path}/go; do sleep 0.1; done")
        (path,) = wait_for(lambda: list(Path(history.journals.folder).glob("*/records")))
        wait_for(lambda: sum("start" in line for line in Reader(str(path)).read(10**6)) == 3)
        (worker,) = (slot for slot in engine._executor._slots)
        os.kill(worker.process.pid, signal.SIGKILL)
        result = run.wait(60)
        (tmp_path / "go").touch()  # else its commands stay behind
        assert {each.cause for each in result.values()} == {"worker_lost"}
        assert result.recorded == "database"
        assert {row["cause"] for row in rows(history, "results")} == {"worker_lost"}
