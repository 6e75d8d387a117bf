"""Ctrl-C, SIGTERM and SIGHUP: the truth about every host, and no process left on one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import PATIENCE, finish, heed_interrupts, start, wait_for
from tests.testbed import Sshd

Write = Callable[[dict[str, dict[str, Any]]], Path]


def started(sshd: Sshd, inventory: Write, tmp_path: Path, *options: str) -> tuple[subprocess.Popen[str], list[int]]:
    """Start a run in which h001 is done, h002 and h003 are at work and h004 waits; return their remote processes."""
    code = (
        f"echo $$ > {tmp_path}/{{{{ inventory_hostname }}}}; "
        "test {{ inventory_hostname }} = h001 || { echo begun; exec sleep 600; }"
    )
    process = start("run", "all", "-i", inventory(sshd.hosts(4)), "-f", "2", "-m", "shell", "-a", code, *options)
    return process, [int(wait_for(tmp_path / name)) for name in ("h002", "h003")]


def assert_gone(pids: list[int]) -> None:
    limit = time.monotonic() + PATIENCE
    for pid in pids:
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < limit, f"process {pid} still runs"
            time.sleep(0.05)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_once_every_host_reports(
    sshd: Sshd, inventory: Write, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process, pids = started(sshd, inventory, tmp_path, "--json")
    process.send_signal(number)
    stdout, stderr = finish(process)
    result = json.loads(stdout)
    hosts = result["hosts"]
    assert process.returncode == code
    assert result["state"] == "cancelled"
    assert {name: host["status"] for name, host in hosts.items()} == {
        "h001": "changed",
        "h002": "cancelled",
        "h003": "cancelled",
        "h004": "cancelled",
    }
    assert hosts["h002"]["result"]["stdout"] == "begun\n"
    assert hosts["h002"]["killed"] is True
    assert not (tmp_path / "h004").exists()
    assert_gone(pids)
    assert "stopping the hosts" in stderr
    assert "Traceback" not in stderr


def test_twice_stops_at_once(tmp_path: Path) -> None:
    # A command that ignores TERM gives the second signal time to come before the first one has done its work.
    code = f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.2; done"
    process = start("run", "all", "-i", "h1,", "-c", "local", "-m", "shell", "-a", code, "--json")
    pid = int(wait_for(tmp_path / "pid"))
    try:
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "stopping the hosts" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        stdout, stderr = finish(process)
        assert process.returncode == 130
        assert (stdout, stderr) == ("", "sshexec: 1 host was not waited for: its command may still run\n")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(os.getpgid(pid), signal.SIGKILL)


def test_twice_counts_the_hosts_that_are_at_work_only(tmp_path: Path) -> None:
    code = (
        "test {{ inventory_hostname }} = h1 && exit; trap '' TERM; "
        f"echo $$ > {tmp_path}/{{{{ inventory_hostname }}}}; while :; do sleep 0.2; done"
    )
    process = start("run", "all", "-i", "h1,h2,h3,h4", "-c", "local", "-f", "2", "-m", "shell", "-a", code, "-q")
    pids = [int(wait_for(tmp_path / name)) for name in ("h2", "h3")]
    try:
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "stopping the hosts" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, stderr = finish(process)
        assert process.returncode == 130
        assert stderr == "sshexec: 2 hosts were not waited for: their commands may still run\n"
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(os.getpgid(pid), signal.SIGKILL)


def test_a_terminal_that_goes_away_stops_the_hosts_and_hurries_nobody(tmp_path: Path) -> None:
    code = (
        f"trap 'sleep 0.5; echo > {tmp_path}/ended; exit' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.1; done"
    )
    process = start("run", "all", "-i", "h1,", "-c", "local", "-m", "shell", "-a", code, "--json")
    pid = int(wait_for(tmp_path / "pid"))
    assert process.stderr is not None
    process.stderr.close()  # nobody reads it any more
    process.send_signal(signal.SIGHUP)
    time.sleep(0.1)
    process.send_signal(signal.SIGHUP)
    process.stderr = None
    stdout, _ = finish(process)
    assert process.returncode == 129
    assert json.loads(stdout)["hosts"]["h1"]["status"] == "cancelled"
    wait_for(tmp_path / "ended")
    assert_gone([pid])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_inventory_script_is_not_left_behind(tmp_path: Path, number: signal.Signals, code: int) -> None:
    script = tmp_path / "hosts.sh"
    script.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    script.chmod(0o755)
    process = start("hosts", "-i", script)
    pid = int(wait_for(tmp_path / "pid"))
    process.send_signal(number)
    assert finish(process) == ("", "sshexec: error: interrupted\n")
    assert process.returncode == code
    assert_gone([pid])


def test_ctrl_c_while_the_command_is_still_loading() -> None:
    code = "import os, signal, sshexec.cli.entry; os.kill(os.getpid(), signal.SIGINT); print('still here')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=PATIENCE, preexec_fn=heed_interrupts
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")


def test_a_background_job_ignores_ctrl_c(tmp_path: Path) -> None:
    code = f"echo > {tmp_path}/begun; until test -e {tmp_path}/gate; do sleep 0.1; done"

    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    process = start("run", "all", "-i", "h1,", "-c", "local", "-m", "shell", "-a", code, "-o", preexec_fn=ignore)
    wait_for(tmp_path / "begun")
    process.send_signal(signal.SIGINT)
    (tmp_path / "gate").touch()
    stdout, _ = finish(process)
    assert (process.returncode, stdout) == (0, "h1 | CHANGED | rc=0\n")
