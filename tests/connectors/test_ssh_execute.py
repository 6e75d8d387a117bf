"""Commands: their input, output, end, and death."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from paramiko.common import MSG_CHANNEL_REQUEST

from sshexec.connectors.base import Command, Completed, Deadline, Timeouts
from sshexec.connectors.output import Output, Stream
from sshexec.connectors.ssh.channel import HANDLERS, Channel
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.ssh.context import SshContext
from sshexec.connectors.ssh.execution import _KILLER
from sshexec.errors import ArgumentError, CancelledError, CommandTimeoutError, ConnectionLostError, UnreachableError
from tests.testbed import Sshd


def opened(sshd: Sshd, args: str = "", **limits: float) -> SshConnector:
    variables = sshd.variables(ansible_host="127.0.5.1", ansible_ssh_extra_args=args)
    options = SshConnector.Options.from_vars(variables, "web1")
    connector = SshConnector("web1", options, SshContext(), Timeouts(**limits))
    connector.open(Deadline.after(20))
    return connector


@pytest.fixture
def ssh(sshd: Sshd) -> Iterator[SshConnector]:
    connector = opened(sshd)
    yield connector
    connector.close()


def run(ssh: SshConnector, script: str, seconds: float = 60, **more: Any) -> tuple[Completed, Output]:
    output = Output()
    return ssh.execute(Command(script, **more), output, Deadline.after(seconds)), output


def gone(pattern: str) -> bool:
    """Wait until no process carries that text in its command line."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        found = False
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    found = found or pattern.encode() in (entry / "cmdline").read_bytes()
                except OSError:
                    continue
        if not found:
            return True
        time.sleep(0.05)
    return False


def test_both_streams_the_status_and_the_clock(ssh: SshConnector) -> None:
    done, output = run(ssh, "echo out; echo err >&2; exit 7", environment={"LC_ALL": "C"})
    assert (done.rc, output.stdout, output.stderr) == (7, b"out\n", b"err\n")
    assert done.start is not None
    assert done.end is not None
    assert done.start <= done.end


def test_verbatim_goes_to_the_login_shell_as_it_is(ssh: SshConnector) -> None:
    done, output = run(ssh, "echo $((6*7)); exit 3", verbatim=True)
    assert (done.rc, done.start, output.stdout, output.stderr) == (3, None, b"42\n", b"")


def test_bytes_that_are_not_utf8_come_through(ssh: SshConnector) -> None:
    _, output = run(ssh, "printf '\\377\\000\\200\\n'; printf '\\376' >&2")
    assert (output.stdout, output.stderr) == (b"\xff\x00\x80\n", b"\xfe")


def test_a_signal_is_told(ssh: SshConnector) -> None:
    assert run(ssh, "kill -9 $$", verbatim=True)[0].rc == -9
    assert run(ssh, "kill -TERM $$", verbatim=True)[0].rc == -15


def test_no_input_is_an_empty_one(ssh: SshConnector) -> None:
    assert run(ssh, "cat; echo end")[1].stdout == b"end\n"
    assert run(ssh, "cat; echo end", stdin=b"")[1].stdout == b"end\n"


@pytest.mark.parametrize("as_file", [False, True])
def test_large_input_against_large_output(ssh: SshConnector, as_file: bool) -> None:
    data = os.urandom(1000) * 10_000
    done, output = run(ssh, "tee /dev/stderr", stdin=io.BytesIO(data) if as_file else data)
    assert done.rc == 0
    assert output.stdout == data
    assert output.stderr == data


def test_a_command_that_does_not_read_its_input(ssh: SshConnector) -> None:
    done, output = run(ssh, "echo done", stdin=b"x" * 10_000_000)
    assert (done.rc, output.stdout) == (0, b"done\n")
    assert run(ssh, "echo next")[1].stdout == b"next\n"


def test_fifty_megabytes_on_both_streams(ssh: SshConnector) -> None:
    sizes: dict[Stream, int] = {"stdout": 0, "stderr": 0}

    def count(stream: Stream, data: bytes) -> None:
        sizes[stream] += len(data)

    output = Output(limit=1000, tee=count)
    script = "head -c 50000000 /dev/zero & head -c 50000000 /dev/zero >&2; wait"
    assert ssh.execute(Command(script), output, Deadline.after(120)).rc == 0
    assert sizes == {"stdout": 50_000_000, "stderr": 50_000_000}


def test_a_slow_reader_holds_the_command_back(ssh: SshConnector, tmp_path: Path) -> None:
    mark = tmp_path / "progress"
    release = threading.Event()
    begun = threading.Event()

    def block(stream: Stream, data: bytes) -> None:
        begun.set()
        release.wait(30)

    script = f"i=0; while [ $i -lt 200 ]; do head -c 100000 /dev/zero; i=$((i+1)); echo $i >{mark}; done"
    done: list[int] = []
    thread = threading.Thread(
        target=lambda: done.append(ssh.execute(Command(script), Output(1000, tee=block), Deadline.after(60)).rc)
    )
    thread.start()
    assert begun.wait(30)
    last = -1
    while (now := int(mark.read_text() or 0) if mark.exists() else 0) != last:
        last = now
        time.sleep(0.3)
    # 20 MB would come; window, pipes and buffers hold a few.
    assert last < 100
    release.set()
    thread.join(60)
    assert done == [0]


@pytest.mark.parametrize(
    "child",
    [
        "sleep 61.5 &",
        "(sleep 61.5 >&2 &) ;",
        # It lives on where nobody reads what it says any more.
        "sh -c 'trap \"\" PIPE; while sleep 0.05; do echo trickle 2>/dev/null; done; : 61.5' &",
    ],
)
def test_a_background_child_is_not_waited_for(ssh: SshConnector, child: str) -> None:
    done, output = run(ssh, f"echo started; {child}")
    assert done.rc == 0
    assert output.stdout.startswith(b"started\n")
    # A trickle is listened to for about a second, and not for the ten that a dense stream may take.
    assert output.stdout.count(b"trickle") < 100
    # It lived when the command's result was there.
    assert run(ssh, "pkill -f '61[.]5'", verbatim=True)[0].rc == 0


def test_all_output_before_the_end_is_kept_beside_a_background_child(ssh: SshConnector) -> None:
    done, output = run(ssh, "sleep 61 & head -c 3000000 /dev/zero; echo end")
    assert (done.rc, len(output.stdout)) == (0, 3_000_004)
    run(ssh, "pkill -f '^sleep 61$'; true")


def test_output_that_a_broken_connection_cut_off_after_the_end_is_no_success(
    ssh: SshConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = HANDLERS[MSG_CHANNEL_REQUEST]

    def cut(channel: Channel, message: Any) -> None:
        ended(channel, message)
        if channel.exit_status is not None and not channel.eof:
            raise EOFError  # what the command has left in its pipe comes behind its status

    monkeypatch.setitem(HANDLERS, MSG_CHANNEL_REQUEST, cut)
    output = Output()
    with pytest.raises(ConnectionLostError) as lost:
        ssh.execute(Command("echo early; (sleep 5; echo late) & sleep 0.2"), output, Deadline.after(60))
    assert lost.value.started
    assert output.stdout == b"early\n"


def test_no_output_is_lost_where_keys_are_exchanged_at_the_end(tmp_path: Path) -> None:
    server = Sshd(tmp_path / "sshd", "RekeyLimit 256K").start()

    def sizes() -> list[int]:
        connector = opened(server)
        try:
            found = []
            for _ in range(6):
                output = Output()
                connector.execute(Command("head -c 3000000 /dev/zero"), output, Deadline.after(60))
                found.append(len(output.stdout))
            return found
        finally:
            connector.close()

    try:
        with ThreadPoolExecutor(8) as pool:
            assert [size for each in [pool.submit(sizes) for _ in range(8)] for size in each.result()] == [
                3_000_000
            ] * 48
    finally:
        server.stop()


def test_a_deadline_kills_the_whole_tree(ssh: SshConnector) -> None:
    script = "trap '' TERM; sh -c \"trap '' TERM; sleep 73.5\" & (sleep 74.5; true) & echo first; sleep 75.5"
    output = Output()
    with pytest.raises(CommandTimeoutError) as error:
        ssh.execute(Command(script), output, Deadline.after(1))
    assert error.value.killed is True
    assert (error.value.host, error.value.phase) == ("web1", "running")
    assert error.value.message == "the command did not end within 1 s; its processes were killed"
    assert output.stdout == b"first\n"
    assert all(gone(f"sleep\0{seconds}") for seconds in (73.5, 74.5, 75.5))
    assert run(ssh, "echo next")[1].stdout == b"next\n"


@pytest.mark.parametrize(
    "script", ["timeout 333 sleep 78.5", "setsid sleep 78.5 & wait", "bash -c 'set -m; sleep 78.5 & wait'"]
)
@pytest.mark.parametrize("verbatim", [True, False])
def test_a_deadline_reaches_groups_and_sessions_that_the_command_made(
    ssh: SshConnector, script: str, verbatim: bool
) -> None:
    with pytest.raises(CommandTimeoutError) as error:
        ssh.execute(Command(script, verbatim=verbatim), Output(), Deadline.after(0.7))
    assert error.value.killed is True
    assert gone("sleep\00078.5")


def test_a_deadline_lets_a_command_clean_up(ssh: SshConnector) -> None:
    output = Output()
    with pytest.raises(CommandTimeoutError) as error:
        ssh.execute(Command("trap 'echo bye; exit 1' TERM; sleep 76.5 & wait"), output, Deadline.after(1))
    assert error.value.killed is True
    assert output.stdout == b"bye\n"


@pytest.mark.parametrize("script", ["exec sleep 77.5", "trap '' TERM; while :; do sleep 77.5; done"])
def test_a_deadline_kills_a_verbatim_command(ssh: SshConnector, script: str) -> None:
    with pytest.raises(CommandTimeoutError) as error:
        ssh.execute(Command(f'sh -c "{script}"', verbatim=True), Output(), Deadline.after(0.5))
    assert error.value.killed is True
    assert gone("sleep\00077.5")


def test_a_command_that_names_sftp_is_no_sftp_server(ssh: SshConnector) -> None:
    with pytest.raises(CommandTimeoutError) as error:
        ssh.execute(Command("exec -a /srv/sftp/tool sleep 77.6", verbatim=True), Output(), Deadline.after(0.5))
    assert error.value.killed is True
    assert gone("tool\00077.6")


def test_every_group_is_asked_to_end_once(tmp_path: Path) -> None:
    group = subprocess.Popen(["sleep", "77.7"], start_new_session=True)
    try:
        log = tmp_path / "sent"
        recorded = f'kill() {{ echo "$@" >>{log}; command kill "$@"; }}\n{_KILLER}'
        killer = subprocess.Popen(["sh", "-c", recorded, "sh", str(group.pid)])
        assert group.wait(5) == -signal.SIGTERM
        assert killer.wait(5) == 0
        sent = [line.split()[-1] for line in log.read_text().splitlines() if "TERM" in line]
        assert sent.count(f"-{group.pid}") == 1
    finally:
        group.kill()
        group.wait()


def test_a_deadline_holds_against_endless_output(ssh: SshConnector) -> None:
    with pytest.raises(CommandTimeoutError) as error:
        ssh.execute(Command("yes"), Output(1000), Deadline.after(0.5))
    assert error.value.killed is True


def test_silence_ends_a_command_where_it_is_limited(sshd: Sshd) -> None:
    ssh = opened(sshd, idle=0.5)
    try:
        done, _ = run(ssh, "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done")
        assert done.rc == 0
        with pytest.raises(CommandTimeoutError, match=r"no output for 0\.5 s") as error:
            run(ssh, "echo a; sleep 78.5")
        assert error.value.killed is True
    finally:
        ssh.close()


def test_cancel_from_another_thread(ssh: SshConnector) -> None:
    output = Output(tee=lambda stream, data: threading.Thread(target=ssh.cancel).start())
    with pytest.raises(CancelledError) as error:
        ssh.execute(Command("echo ready; sleep 79.5"), output, Deadline.after(60))
    assert error.value.killed is True
    assert gone("sleep\00079.5")
    assert run(ssh, "true")[0].rc == 0


def test_a_session_that_dies_in_mid_command(ssh: SshConnector) -> None:
    with pytest.raises(ConnectionLostError) as error:
        # The parent of the command's shell is the sshd process of this connection.
        run(ssh, "kill -9 $PPID; sleep 5")
    assert error.value.started is True
    assert not ssh.alive


def test_a_host_that_freezes_in_mid_command_is_noticed(sshd: Sshd) -> None:
    ssh = opened(sshd, "-o ServerAliveInterval=1 -o ServerAliveCountMax=2")
    pids: list[int] = []

    def freeze(stream: Stream, data: bytes) -> None:
        pids.append(int(data))
        os.kill(pids[0], 19)

    try:
        with pytest.raises(ConnectionLostError, match="no sign of life") as error:
            ssh.execute(Command("echo $PPID; sleep 30"), Output(tee=freeze), Deadline.after(60))
        assert error.value.started is True
    finally:
        ssh.close()
        os.kill(pids[0], 18)


def test_a_silent_command_on_a_living_host_goes_on(sshd: Sshd) -> None:
    ssh = opened(sshd, "-o ServerAliveInterval=1 -o ServerAliveCountMax=1")
    try:
        assert run(ssh, "sleep 4")[0].rc == 0
    finally:
        ssh.close()


def test_a_server_that_asks_for_a_sign_of_life_gets_one(tmp_path: Path) -> None:
    server = Sshd(tmp_path / "sshd", "ClientAliveInterval 1\nClientAliveCountMax 2").start()
    try:
        ssh = opened(server)
        assert run(ssh, "sleep 4")[0].rc == 0
        time.sleep(4)
        assert run(ssh, "true")[0].rc == 0
        ssh.close()
    finally:
        server.stop()


def test_a_host_without_a_session_to_give(tmp_path: Path) -> None:
    server = Sshd(tmp_path / "sshd", "MaxSessions 0").start()
    try:
        ssh = opened(server)
        with pytest.raises(UnreachableError, match="refused to open a session"):
            run(ssh, "true")
        ssh.close()
    finally:
        server.stop()


def test_a_command_that_is_too_long_is_refused_at_once(ssh: SshConnector) -> None:
    with pytest.raises(ArgumentError):
        run(ssh, "x" * 200_000)
    assert run(ssh, "true")[0].rc == 0


def test_many_commands_leave_no_channel_open(tmp_path: Path) -> None:
    server = Sshd(tmp_path / "sshd", "MaxSessions 1").start()
    try:
        ssh = opened(server)
        assert [run(ssh, f"exit {n}")[0].rc for n in range(30)] == list(range(30))
        ssh.close()
    finally:
        server.stop()
