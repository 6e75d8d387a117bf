"""How far transfers are, told while they go on."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path

from sshexec import Engine, Inventory, TransferProgress
from sshexec.cli.display import activity
from sshexec.run import HostState
from tests.cli.command import sshexec
from tests.testbed import Sshd

SIZE = 40_000_000


def test_progress_is_told_and_not_too_often(fleet: Inventory, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(os.urandom(SIZE))
    seen: list[TransferProgress] = []
    states: list[HostState] = []
    with Engine(fleet) as engine:
        run = engine.start("h001", "copy", {"src": f"{tmp_path}/big", "dest": f"{tmp_path}/out"})
        for event in run.events():
            if isinstance(event, TransferProgress):
                seen.append(event)
                states += run.snapshot()
        assert run.wait(30).counts == {"changed": 1}
        quiet = engine.run("h001", "fetch", {"src": f"{tmp_path}/big", "dest": f"{tmp_path}/got"})
    assert quiet.counts == {"changed": 1}
    assert [event.done for event in seen] == sorted(event.done for event in seen)
    last = seen[-1]
    assert (last.host, last.path, last.done, last.total) == ("h001", f"{tmp_path}/out", SIZE, SIZE)
    times = [event.time for event in seen[:-1]]
    assert all(later - earlier >= 0.25 for earlier, later in pairwise(times))


def test_a_reader_that_is_behind_gets_one_for_each_host_and_the_last(fleet: Inventory) -> None:
    with Engine(fleet) as engine:
        run = engine.start("h001", "raw", "sleep 0.5")
        told = [TransferProgress("h001", "/f", done, 5, 1.0) for done in range(6)]
        for event in told:
            run.receive([event])
        seen = [event for event in run.events() if isinstance(event, TransferProgress)]
    assert [event.done for event in seen] == [0, 5]


def test_the_command_line_prints_it(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    hosts = {"all": {"hosts": {"web1": sshd.variables(ansible_host="127.0.8.9")}}}
    (tmp_path / "hosts.json").write_text(json.dumps(hosts))
    os.rename(tmp_path / "hosts.json", tmp_path / "hosts.yml")
    args = f"src={tmp_path}/file dest={tmp_path}/out"
    done = sshexec("run", "all", "-i", tmp_path / "hosts.yml", "-m", "copy", "-a", args, "--jsonl")
    (told,) = (line for line in map(json.loads, done.stdout.splitlines()) if line["event"] == "transfer_progress")
    assert (told["host"], told["path"], told["done"], told["total"]) == ("web1", f"{tmp_path}/out", 5, 5)


def test_the_display_shows_it() -> None:
    state = HostState("web1", "transferring", 100.0, None, 50 * 2**20, 200 * 2**20)
    assert activity(state, 103.0) == "transferring for 3 s, 25 % of 200.0 MiB"
    assert activity(HostState("web1", "transferring", 100.0, None, 900), 103.0) == "transferring for 3 s, 900 B"


def test_one_file_and_one_tree_to_many_hosts(fleet: Inventory, tmp_path: Path) -> None:
    (tmp_path / "tree/deep").mkdir(parents=True)
    for n in range(30):
        (tmp_path / f"tree/deep/{n}").write_text(f"{n}")
    (tmp_path / "tree/big").write_bytes(os.urandom(5_000_000))
    (tmp_path / "out").mkdir()
    dest = f"{tmp_path}/out/{{{{ inventory_hostname }}}}"
    with Engine(fleet) as engine:
        for _ in range(2):
            result = engine.run("all", "copy", {"src": f"{tmp_path}/tree/", "dest": dest})
            assert result.counts in ({"changed": 20}, {"ok": 20})
    assert result.counts == {"ok": 20}
    for n in range(1, 21):
        there = tmp_path / f"out/h{n:03d}"
        assert (there / "big").read_bytes() == (tmp_path / "tree/big").read_bytes()
        assert sorted(path.read_text() for path in (there / "deep").iterdir()) == sorted(map(str, range(30)))
        assert sorted(os.listdir(there)) == ["big", "deep"]
