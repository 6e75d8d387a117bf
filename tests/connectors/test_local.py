"""The local connector: the whole contract, on this machine."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sshexec.connectors.base import Command, Deadline, Timeouts
from sshexec.connectors.local import LocalConnector, LocalContext, LocalOptions
from sshexec.connectors.output import Output
from sshexec.errors import (
    CancelledError,
    CommandTimeoutError,
    ConnectionLostError,
    HostError,
    OptionError,
    TransferError,
    UnreachableError,
)


@pytest.fixture
def local() -> Iterator[LocalConnector]:
    connector = LocalConnector("me", LocalOptions(), LocalContext(), Timeouts())
    connector.open(Deadline.after(10))
    yield connector
    connector.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def runs(pid: str) -> bool:
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_command(local: LocalConnector) -> None:
    output = Output()
    done = local.execute(Command("echo out; echo err >&2; exit 3"), output, Deadline.after(30))
    assert (done.rc, output.stdout, output.stderr) == (3, b"out\n", b"err\n")
    assert done.start is not None
    assert local.execute(Command("kill -9 $$", verbatim=True), Output(), Deadline.after(30)).rc == -9


def test_large_streams_in_all_directions_do_not_deadlock(local: LocalConnector) -> None:
    data = os.urandom(3_000_000)
    output = Output(limit=2**23)
    script = "tee /dev/stderr"
    done = local.execute(Command(script, stdin=io.BytesIO(data)), output, Deadline.after(60))
    assert done.rc == 0
    assert output.stdout == data
    assert output.stderr == data


def test_a_command_that_does_not_read_its_input(local: LocalConnector) -> None:
    output = Output()
    done = local.execute(Command("exec 0<&-; echo hi", stdin=b"x" * 1_000_000), output, Deadline.after(30))
    assert (done.rc, output.stdout) == (0, b"hi\n")


def test_background_children_are_not_waited_for_and_live_on(local: LocalConnector, tmp_path: Path) -> None:
    output = Output()
    local.execute(Command(f"sleep 60 & echo $! > {tmp_path}/pid; echo hi"), output, Deadline.after(30))
    assert output.stdout == b"hi\n"
    pid = (tmp_path / "pid").read_text().strip()
    assert runs(pid)
    os.kill(int(pid), 9)


@pytest.mark.parametrize("how", ["deadline", "idle", "cancel"])
@pytest.mark.parametrize("stubborn", [False, True])
def test_the_whole_process_group_dies(tmp_path: Path, how: str, stubborn: bool) -> None:
    timeouts = Timeouts(idle=0.5 if how == "idle" else None)
    connector = LocalConnector("me", LocalOptions(), LocalContext(), timeouts)
    connector.open(Deadline.after(10))
    before = descriptors()
    trap = "trap '' TERM; " if stubborn else ""
    output = Output()
    timer = threading.Timer(0.5, connector.cancel)
    if how == "cancel":
        timer.start()
    expected: type[Any] = CancelledError if how == "cancel" else CommandTimeoutError
    with pytest.raises(expected) as caught:
        connector.execute(
            Command(f"{trap}echo begun; sleep 300 | sleep 300 & echo $! > {tmp_path}/pid; wait"),
            output,
            Deadline.after(0.5 if how == "deadline" else 60),
        )
    assert caught.value.killed is True
    if how == "deadline":
        assert caught.value.message == "the command did not end within 0.5 s; its processes were killed"
    assert output.stdout == b"begun\n"
    assert not runs((tmp_path / "pid").read_text().strip())
    assert descriptors() == before
    assert connector.execute(Command("exit 4"), Output(), Deadline.after(30)).rc == 4
    connector.close()


def test_cancel_before_a_call_ends_the_next_one(local: LocalConnector) -> None:
    local.cancel()
    with pytest.raises(CancelledError):
        local.execute(Command("true"), Output(), Deadline.after(30))
    assert local.execute(Command("true"), Output(), Deadline.after(30)).rc == 0


def test_put_is_atomic_and_keeps_modes(local: LocalConnector, tmp_path: Path) -> None:
    path = tmp_path / "file"
    old = os.umask(0o027)
    try:
        local.put(b"one", str(path), Deadline.after(30))
        assert path.stat().st_mode & 0o7777 == 0o640
        path.chmod(0o604)
        seen: list[int] = []
        local.put(io.BytesIO(b"x" * 200_000), str(path), Deadline.after(30), progress=seen.append)
        assert path.stat().st_mode & 0o7777 == 0o604
        assert seen == sorted(seen)
        assert seen[-1] == 200_000
        local.put(path, f"{tmp_path}/copy", Deadline.after(30), mode=0o711)
    finally:
        os.umask(old)
    assert (tmp_path / "copy").stat().st_mode & 0o7777 == 0o711
    assert (tmp_path / "copy").read_bytes() == b"x" * 200_000


class Broken(io.RawIOBase):
    """A source that breaks after a piece."""

    pieces = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.pieces += 1
        if self.pieces > 1:
            raise OSError(28, "No space left on device")
        buffer[:3] = b"abc"
        return 3


def test_a_failed_put_leaves_nothing(local: LocalConnector, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(TransferError) as caught:
        local.put(Broken(), str(path), Deadline.after(30))  # type: ignore[arg-type]
    assert caught.value.reason == "no_space"
    assert path.read_text() == "old"
    with pytest.raises(CommandTimeoutError, match="the transfer did not end within 0 s"):
        local.put(b"new", str(path), Deadline.after(0))
    local.cancel()
    with pytest.raises(CancelledError):
        local.put(b"new", str(path), Deadline.after(30))
    assert os.listdir(tmp_path) == ["file"]
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    ("name", "reason"), [("nope/x", "missing"), ("f/x", "missing"), ("d", "is_directory"), ("fifo", "failed")]
)
def test_reasons_of_a_put(local: LocalConnector, tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").touch()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(TransferError) as caught:
        local.put(b"x", f"{tmp_path}/{name}", Deadline.after(30))
    assert (caught.value.reason, caught.value.host) == (reason, "me")
    assert sorted(os.listdir(tmp_path)) == ["d", "f", "fifo"]


@pytest.mark.parametrize(("name", "reason"), [("nope", "missing"), ("d", "is_directory"), ("fifo", "failed")])
def test_reasons_of_a_get(local: LocalConnector, tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "d").mkdir()
    os.mkfifo(tmp_path / "fifo")
    before = descriptors()
    with pytest.raises(TransferError) as caught:
        local.get(f"{tmp_path}/{name}", io.BytesIO(), Deadline.after(30))
    assert caught.value.reason == reason
    assert descriptors() == before


def test_hostile_names(local: LocalConnector, tmp_path: Path) -> None:
    name = f"{tmp_path}/-a 'b'\n\udcff"
    local.put(b"\0x", name, Deadline.after(30))
    target = io.BytesIO()
    local.get(name, target, Deadline.after(30))
    assert target.getvalue() == b"\0x"


def test_secrets_of_ours_are_not_handed_on(local: LocalConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSHEXEC_BECOME_PASSWORD", "hidden")
    monkeypatch.setenv("MY_OWN", "kept")
    output = Output()
    local.execute(Command("env"), output, Deadline.after(30))
    assert b"hidden" not in output.stdout
    assert b"MY_OWN=kept" in output.stdout


def test_a_full_disk_here_is_an_error_of_the_target(local: LocalConnector, tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 2_000_000)
    full = pytest.raises(OSError, match="No space left")
    with (small_disk / "got").open("wb", buffering=0) as target, full as caught:
        local.get(str(tmp_path / "big"), target, Deadline.after(30))
    assert type(caught.value) is OSError
    assert caught.value.errno == errno.ENOSPC


def test_a_source_that_can_not_be_read_is_named(local: LocalConnector, tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="none: No such file") as caught:
        local.put(tmp_path / "none", str(tmp_path / "dest"), Deadline.after(30))
    assert (caught.value.host, caught.value.path) == ("me", str(tmp_path / "none"))
    assert os.listdir(tmp_path) == []


def test_closed_and_open(local: LocalConnector) -> None:
    assert local.alive
    local.close()
    local.close()
    local.cancel()
    assert not local.alive
    with pytest.raises(ConnectionLostError) as caught:
        local.execute(Command("true"), Output(), Deadline.after(30))
    assert not caught.value.started


def test_from_many_threads_at_once() -> None:
    results: list[tuple[int, bytes]] = []

    def work(number: int) -> None:
        connector = LocalConnector(f"h{number}", LocalOptions(), LocalContext(), Timeouts())
        connector.open(Deadline.after(10))
        output = Output()
        connector.execute(Command(f"sleep 0.2; echo {number}"), output, Deadline.after(60))
        results.append((number, output.stdout))
        connector.close()

    before = descriptors()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(results) == [(number, b"%d\n" % number) for number in range(10)]
    assert descriptors() == before


PATCHED = """
from gevent import monkey; monkey.patch_all()
import gevent, io
from sshexec.connectors.base import Command, Deadline, Timeouts
from sshexec.connectors.local import LocalConnector, LocalContext, LocalOptions
from sshexec.connectors.output import Output
from sshexec.errors import CancelledError, CommandTimeoutError

running = most = 0
def work(number):
    global running, most
    connector = LocalConnector("h", LocalOptions(), LocalContext(), Timeouts()); connector.open(Deadline())
    output = Output()
    running += 1; most = max(most, running)
    done = connector.execute(Command("sleep 0.5; cat", stdin=b"x" * 200_000), output, Deadline.after(60))
    running -= 1
    assert done.rc == 0 and len(output.stdout) == 200_000
    try:
        connector.execute(Command("sleep 60"), Output(), Deadline.after(0.3))
    except CommandTimeoutError as error:
        assert error.killed
    else:
        raise AssertionError
    gevent.spawn_later(0.2, connector.cancel)
    try:
        connector.execute(Command("sleep 60"), Output(), Deadline.after(30))
    except CancelledError as error:
        assert error.killed
    else:
        raise AssertionError
    connector.close()

gevent.joinall([gevent.spawn(work, n) for n in range(10)], raise_error=True)
print(most)
"""


def test_under_gevent_all_run_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", PATCHED], capture_output=True, text=True, timeout=90, check=False)
    assert (done.stdout, done.returncode) == ("10\n", 0), done.stderr


def test_a_shell_that_does_not_exist_is_bad_input() -> None:
    context = LocalContext()
    context.check(LocalOptions())
    with pytest.raises(OptionError, match="ansible_shell_executable: there is no program /nonexistent/sh"):
        context.check(LocalOptions(shell="/nonexistent/sh"))


@pytest.mark.parametrize("what", ["source", "tee"])
def test_a_source_or_reader_that_fails_leaves_no_process_and_no_descriptor(
    local: LocalConnector, tmp_path: Path, what: str
) -> None:
    def fail(*args: Any) -> Any:
        if (tmp_path / "pid").exists():
            raise RuntimeError("a fault of the caller's")
        return b"x"

    source: Any = SimpleNamespace(read=fail)
    before = descriptors()
    script = f"trap '' TERM; echo $$ >{tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; while echo x; do :; done"
    with pytest.raises(RuntimeError, match="a fault of the caller's"):
        local.execute(
            Command(script, stdin=source if what == "source" else None),
            Output(tee=fail if what == "tee" else None),
            Deadline.after(30),
        )
    assert not runs((tmp_path / "pid").read_text().strip())
    assert descriptors() == before


def test_an_argument_list_that_is_too_long_says_nothing_about_the_host(
    local: LocalConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONG", "x" * 131_073)  # more than Linux takes for one variable
    with pytest.raises(HostError, match="too long for this system") as error:
        local.execute(Command("true"), Output(), Deadline.after(30))
    assert error.value.status == "failed"


@pytest.mark.parametrize("what", ["subprocess.Popen", "selectors.DefaultSelector"])
def test_what_the_system_refuses_is_a_host_that_was_not_reached(
    local: LocalConnector, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    started: list[Any] = []
    start = subprocess.Popen

    def note(*args: Any, **options: Any) -> Any:
        started.append(start(*args, **options))
        return started[-1]

    def refuse(*args: Any, **options: Any) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("subprocess.Popen", note)
    monkeypatch.setattr(what, refuse)
    before = descriptors()
    with pytest.raises(UnreachableError, match="can't start a process here: Too many open files") as error:
        local.execute(Command("sleep 600"), Output(), Deadline.after(30))
    assert (error.value.host, error.value.phase) == ("me", "running")
    assert descriptors() == before
    assert [process.returncode for process in started] == ([] if what.startswith("sub") else [-9])
