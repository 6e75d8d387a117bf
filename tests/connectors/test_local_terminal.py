"""Terminals on this machine, by real programs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors import localterminal
from sshexec.connectors.base import Capability, Deadline, Timeouts
from sshexec.connectors.local import LocalConnector, LocalContext, LocalOptions
from sshexec.connectors.terminal import PIECE, SIGNALS, Size
from sshexec.errors import ArgumentError, ConnectionLostError, UnreachableError
from tests.connectors.screen import open_files, rest, settle, shell, until

DEAF = "stty raw -echo; echo rea''dy; exec sleep 600"


@pytest.fixture(autouse=True)
def _no_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have login shells find no profile, which may take as long as it likes (`tests.testbed.Sshd`)."""
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def connector() -> Iterator[LocalConnector]:
    local = LocalConnector("here", LocalOptions(), LocalContext(), Timeouts())
    local.open(Deadline.after(10))
    yield local
    local.close()


def test_a_login_shell_at_home(connector: LocalConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Capability.TERMINAL | Capability.SIGNALS in connector.capabilities
    for name, value in {"COLUMNS": "7", "SSHEXEC_PASSWORD": "hidden", "KEPT": "kept"}.items():
        monkeypatch.setenv(name, value)
    terminal = shell(connector, size=Size(101, 33), environment={"MORE": "more"})
    terminal.write(b"stty size; stty -a; tty; pwd; echo $TERM $KEPT $MORE [$SSHEXEC_PASSWORD] [$COLUMNS] 'EN''D'\n")
    seen = until(terminal, b"END")
    for part in (b"33 101", b"iutf8", b"/dev/", b"xterm-256color kept more [] ["):
        assert part in seen
    assert b"[7]" not in seen
    terminal.resize(Size(77, 22))
    terminal.write(b"stty size; echo 'AG''AIN'\n")
    assert b"22 77" in until(terminal, b"AGAIN")
    terminal.write(b"exit 7\n")
    rest(terminal)
    assert (terminal.exit_status, terminal.exit_signal) == (7, None)
    with pytest.raises(ConnectionLostError, match="has ended"):
        terminal.write(b"x")
    terminal.close()


def test_a_command_and_every_byte(connector: LocalConnector) -> None:
    every = bytes(range(256)) * 4
    terminal = shell(connector, "stty raw -echo; echo re''ady; head -c 1024; kill -KILL $$")
    until(terminal, b"ready\n")
    assert terminal.write(every) == 1024
    assert rest(terminal) == every
    assert (terminal.exit_status, terminal.exit_signal) == (None, "KILL")


def test_a_signal_without_a_name_ends_it_too(connector: LocalConnector) -> None:
    terminal = shell(connector, "kill -40 $$")
    assert rest(terminal) == b""
    assert (terminal.exit_status, terminal.exit_signal) == (None, "40")


def test_no_wait_is_too_long(connector: LocalConnector) -> None:
    terminal = shell(connector, "sleep 0.1; echo d''one")
    assert terminal.read(1e9) == b"done\r\n"


@pytest.mark.parametrize("name", ["INT", "QUIT", "TERM", "USR1"])
def test_signals_reach_what_runs(connector: LocalConnector, name: str) -> None:
    terminal = shell(connector, f"trap 'echo ca''ught; exit 3' {name}; echo re''ady; while :; do sleep 0.05; done")
    until(terminal, b"ready")
    terminal.signal(name)
    assert b"caught" in rest(terminal)
    assert terminal.exit_status == 3
    assert name in SIGNALS
    for wrong in ("STOP", "int", ""):
        with pytest.raises(ArgumentError):
            terminal.signal(wrong)


def test_ctrl_c_and_job_control_in_a_shell(connector: LocalConnector) -> None:
    terminal = shell(connector)
    terminal.write(b"stty -echo; PS1=; PS2=; echo re''ady\n")
    until(terminal, b"ready")
    terminal.write(b"echo be''gun; sleep 600\n")
    until(terminal, b"begun")
    settle(lambda: _foreground(terminal) == "sleep")
    terminal.signal("INT")
    terminal.write(b"echo st=$?-\n")
    assert b"st=130-" in until(terminal, b"st=130-")


IN_BACKGROUND = """
import signal, sys
if "gevent" in sys.argv:
    from gevent import monkey
    monkey.patch_all()
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
    signal.signal(number, signal.SIG_IGN)
from sshexec.connectors.base import Deadline, Timeouts
from sshexec.connectors.local import LocalConnector, LocalContext, LocalOptions
from tests.connectors.screen import rest, shell, until
local = LocalConnector("here", LocalOptions(), LocalContext(), Timeouts())
local.open(Deadline.after(10))
terminal = shell(local, "trap 'echo caught; exit 3' INT; echo re''ady; while :; do sleep 0.05; done")
until(terminal, b"ready")
terminal.write(b"\x03")
assert b"caught" in rest(terminal)
local.close()
assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
print("well")
"""


@pytest.mark.parametrize("mode", ["threads", "gevent"])
def test_what_this_process_ignores_the_program_hears(mode: str) -> None:
    """As where `sshexec web` was started with ``&`` or `nohup`."""
    command = [sys.executable, "-c", IN_BACKGROUND, mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "well\n", done.stderr


def _foreground(terminal: Any) -> str:
    """Return what holds the terminal; a shell that has forked, and not yet become it, may lose a Ctrl-C."""
    return Path(f"/proc/{os.tcgetpgrp(terminal._ours)}/comm").read_text().strip()


def test_who_waits_is_woken_and_a_close_ends_all(connector: LocalConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(localterminal, "_KEY_LIMIT", 0.1)
    terminal = shell(connector, f"echo pid=$$=; {DEAF}")
    pid = int(until(terminal, b"ready").split(b"=")[1])
    while terminal.write(b"x" * 65536, 0.2):
        pass
    answers: list[Any] = []

    def write() -> None:
        try:
            answers.append(terminal.write(b"y"))
        except ConnectionLostError as error:
            answers.append(error.message)

    def both(end: Any) -> list[Any]:
        answers.clear()
        threads = [threading.Thread(target=lambda: answers.append(terminal.read())), threading.Thread(target=write)]
        for thread in threads:
            thread.start()
        end()
        for thread in threads:
            thread.join(10)
        return sorted(answers, key=str)

    assert both(terminal.wake) == [0, None]
    terminal.signal("INT")  # whose key finds no room
    assert both(terminal.close) == [b"", "the program on the terminal has ended"]
    settle(lambda: not Path(f"/proc/{pid}").exists())
    assert terminal.read() == b""
    terminal.close()
    terminal.wake()
    terminal.resize(Size())


def test_a_flood_comes_in_pieces_and_waits_where_nobody_reads(connector: LocalConnector) -> None:
    terminal = shell(connector, "head -c 3000000 /dev/zero")
    sizes = []
    while data := terminal.read(5.0):
        sizes.append(len(data))
    assert sum(sizes) == 3_000_000
    assert max(sizes) <= PIECE


def test_a_program_that_ignores_its_hangup_is_killed(
    connector: LocalConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(localterminal, "_GRACE", 0.2)
    terminal = shell(connector, "trap '' HUP; echo pid=$$=; while :; do sleep 0.05; done")
    pid = int(until(terminal, b"=\r").split(b"=")[1])
    terminal.close()
    assert not Path(f"/proc/{pid}").exists()


def test_the_connector_closes_its_terminals_and_nothing_is_left() -> None:
    threads, files = threading.active_count(), open_files()
    pids = []
    for _ in range(40):
        local = LocalConnector("here", LocalOptions(), LocalContext(), Timeouts())
        local.open(Deadline.after(10))
        terminal = shell(local, "exec cat")
        pids.append(terminal._process.pid)
        local.close()
        assert terminal.read() == b""
    settle(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    assert (threading.active_count(), open_files()) <= (threads, files)


def test_what_can_not_be_started_is_told(connector: LocalConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    files = open_files()

    def none() -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pty.openpty", none)
    with pytest.raises(UnreachableError, match="can't start a terminal here: No space") as failed:
        shell(connector)
    assert failed.value.host == "here"
    assert open_files() == files
    monkeypatch.undo()
    monkeypatch.setattr("subprocess.Popen", none)  # what goes wrong in any other way leaves nothing either
    with pytest.raises(TypeError):
        shell(connector)
    assert open_files() == files
    monkeypatch.undo()
    connector.close()
    with pytest.raises(ConnectionLostError, match="not open"):
        shell(connector)


def test_nobody_rings_what_is_being_freed(connector: LocalConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = shell(connector, "exec cat")
    reached, go = threading.Event(), threading.Event()
    free = terminal._free

    def slowly() -> None:
        reached.set()
        go.wait(0.2)  # whoever wakes it meanwhile would write to whatever file has the number by then
        free()

    monkeypatch.setattr(terminal, "_free", slowly)
    closing = threading.Thread(target=terminal.close)
    closing.start()
    assert reached.wait(10)
    rung: list[int] = []
    monkeypatch.setattr(terminal, "_ring", lambda: rung.append(len(terminal._bells)))
    terminal.wake()
    closing.join(10)
    assert rung == [0]


def test_a_forked_child_leaves_it_to_its_parent(connector: LocalConnector) -> None:
    terminal = shell(connector, "echo re''ady; exec cat")
    until(terminal, b"ready")
    child = os.fork()
    if child == 0:
        try:
            terminal.close()
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    terminal.write(b"still there\n")
    until(terminal, b"still there\r\nstill there")
