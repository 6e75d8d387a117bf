"""Files: atomic, with the right mode, under any name, over SFTP and without."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sshexec.connectors.base import Command, Deadline, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.ssh.context import SshContext
from sshexec.connectors.ssh.options import SshOptions
from sshexec.errors import CancelledError, CommandTimeoutError, ConnectionLostError, TransferError
from tests.testbed import Sshd

SOON = 30.0


def opened(sshd: Sshd, args: str = "") -> SshConnector:
    variables = sshd.variables(ansible_host="127.0.4.1", ansible_ssh_extra_args=args)
    options = SshConnector.Options.from_vars(variables, "web1")
    connector = SshConnector("web1", options, SshContext(), Timeouts())
    connector.open(Deadline.after(SOON))
    return connector


@pytest.fixture(scope="module", params=["sftp", "cat"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sshd: Sshd) -> Iterator[Sshd]:
    if request.param == "sftp":
        yield sshd
        return
    other = Sshd(tmp_path_factory.mktemp("cat"), sftp=False).start()
    yield other
    other.stop()


@pytest.fixture
def ssh(server: Sshd) -> Iterator[SshConnector]:
    connector = opened(server)
    yield connector
    connector.close()


def put(ssh: SshConnector, path: Path | str, data: bytes, mode: int | None = None) -> None:
    ssh.put(data, str(path), Deadline.after(SOON), mode=mode)


def get(ssh: SshConnector, path: Path | str) -> bytes:
    target = io.BytesIO()
    ssh.get(str(path), target, Deadline.after(SOON))
    return target.getvalue()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    "name",
    ["plain", "with space", "new\nline", "quo'te\"s", "-dash", "$(touch x)", "*", "ünïcode", "\udcff\udcfe", "n" * 200],
)
def test_hostile_names(ssh: SshConnector, tmp_path: Path, name: str) -> None:
    data = os.urandom(1000)
    path = f"{tmp_path}/{name}"
    put(ssh, path, data, 0o640)
    assert Path(path).read_bytes() == data
    assert mode_of(Path(path)) == 0o640
    assert get(ssh, path) == data
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("size", [0, 1, 32 * 1024, 261_120, 261_121, 10_000_000])
def test_every_size_there_and_back(ssh: SshConnector, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    seen: list[int] = []
    ssh.put(data, str(tmp_path / "file"), Deadline.after(SOON), progress=seen.append)
    assert (tmp_path / "file").read_bytes() == data
    assert seen == sorted(seen)
    assert not size or seen[-1] == size
    back: list[int] = []
    target = io.BytesIO()
    ssh.get(str(tmp_path / "file"), target, Deadline.after(SOON), progress=back.append)
    assert target.getvalue() == data
    assert not size or back[-1] == size


def test_every_kind_of_source(ssh: SshConnector, tmp_path: Path) -> None:
    (tmp_path / "from").write_bytes(b"path")
    ssh.put(tmp_path / "from", str(tmp_path / "a"), Deadline.after(SOON))
    ssh.put(io.BytesIO(b"file"), str(tmp_path / "b"), Deadline.after(SOON))
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"path", b"file")
    with pytest.raises(TransferError):
        ssh.put(tmp_path / "none", str(tmp_path / "c"), Deadline.after(SOON))


def test_the_mode(ssh: SshConnector, tmp_path: Path) -> None:
    output = Output()
    ssh.execute(Command("umask"), output, Deadline.after(SOON))
    new = tmp_path / "new"
    put(ssh, new, b"1")
    assert mode_of(new) == 0o666 & ~int(output.stdout, 8)
    new.chmod(0o751)
    put(ssh, new, b"2")
    assert (mode_of(new), new.read_bytes()) == (0o751, b"2")
    put(ssh, new, b"3", 0o4700)
    assert (mode_of(new), new.read_bytes()) == (0o4700, b"3")


def test_a_file_is_replaced_and_never_written_in_place(ssh: SshConnector, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        put(ssh, path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


def test_proc_files_have_no_size_and_are_read_all_the_same(ssh: SshConnector) -> None:
    assert b"Linux" in get(ssh, "/proc/version")


def test_a_path_relative_to_the_login_directory(ssh: SshConnector) -> None:
    name = f".sshexec-test-{os.getpid()}"
    try:
        put(ssh, name, b"home")
        assert get(ssh, name) == b"home"
    finally:
        ssh.execute(Command(f"rm -f -- {name}"), Output(), Deadline.after(SOON))


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (lambda ssh, folder: put(ssh, folder / "no" / "such", b"x"), "missing"),
        (lambda ssh, folder: put(ssh, folder, b"x"), "is_directory"),
        (lambda ssh, folder: put(ssh, folder, b"x", 0o600), "is_directory"),
        (lambda ssh, folder: put(ssh, "/proc/1/new", b"x"), None),
        (lambda ssh, folder: get(ssh, folder / "none"), "missing"),
        (lambda ssh, folder: get(ssh, folder), "is_directory"),
    ],
)
def test_refusals(ssh: SshConnector, tmp_path: Path, action, reason: str | None) -> None:
    with pytest.raises(TransferError) as error:
        action(ssh, tmp_path)
    assert reason is None or error.value.reason == reason
    assert (error.value.host, error.value.phase) == ("web1", "transferring")
    assert os.listdir(tmp_path) == []
    put(ssh, tmp_path / "next", b"works")


def test_a_fifo_stays_one_and_nobody_waits_for_it(ssh: SshConnector, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for action in (lambda: put(ssh, pipe, b"x"), lambda: get(ssh, pipe)):
        with pytest.raises(TransferError, match="pipe: is not a regular file"):
            action()
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with contextlib.suppress(OSError):  # whoever opens it on the host waits for a writer
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    assert os.listdir(tmp_path) == ["pipe"]
    put(ssh, tmp_path / "next", b"works")
    assert get(ssh, tmp_path / "next") == b"works"


def test_a_full_disk_is_named_and_nothing_is_left(ssh: SshConnector, small_disk: Path) -> None:
    (small_disk / "file").write_bytes(b"old")
    with pytest.raises(TransferError, match="no space left") as error:
        put(ssh, small_disk / "file", os.urandom(5_000_000))
    assert error.value.reason == "no_space"
    assert os.listdir(small_disk) == ["file"]
    assert (small_disk / "file").read_bytes() == b"old"
    put(ssh, small_disk / "file", b"small")
    assert (small_disk / "file").read_bytes() == b"small"


class Endless(io.RawIOBase):
    """A source that calls something after the first megabyte, and never ends."""

    def __init__(self, then) -> None:
        self._then = then
        self._read = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self._read += size
        if self._then is not None and self._read > 1_000_000:
            then, self._then = self._then, None
            then()
        return b"x" * size


def test_a_transfer_ends_at_its_deadline_or_by_cancel_and_leaves_nothing(ssh: SshConnector, tmp_path: Path) -> None:
    with pytest.raises(CommandTimeoutError, match=r"the (transfer|command) did not end within 0\.5 s"):
        ssh.put(Endless(lambda: None), str(tmp_path / "file"), Deadline.after(0.5))
    assert os.listdir(tmp_path) == []
    with pytest.raises(CancelledError):
        ssh.put(Endless(ssh.cancel), str(tmp_path / "file"), Deadline.after(SOON))
    assert os.listdir(tmp_path) == []
    put(ssh, tmp_path / "next", b"works")
    pieces: list[int] = []

    def once(size: int) -> None:
        if not pieces:
            pieces.append(size)
            ssh.cancel()

    with pytest.raises(CancelledError):
        ssh.get("/dev/zero", io.BytesIO(), Deadline.after(SOON), progress=once)
    assert get(ssh, tmp_path / "next") == b"works"


def test_a_source_that_fails_leaves_nothing(ssh: SshConnector, tmp_path: Path) -> None:
    def fail() -> None:
        raise OSError("the source is broken")

    with pytest.raises(OSError, match="the source is broken"):
        ssh.put(Endless(fail), str(tmp_path / "file"), Deadline.after(SOON))
    assert os.listdir(tmp_path) == []
    put(ssh, tmp_path / "next", b"works")
    # Neither now nor once the host has noticed that nothing more comes.
    ssh.execute(Command("sleep 0.5"), Output(), Deadline.after(SOON))
    assert os.listdir(tmp_path) == ["next"]


DIES = """
import io, sys, time
from sshexec.connectors.base import Deadline, Timeouts
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.ssh.context import SshContext
class Source(io.RawIOBase):
    sent = 0
    def read(self, size):
        if self.sent > 3_000_000:
            print(flush=True)
            time.sleep(60)
        self.sent += size
        return b"x" * size
options = SshConnector.Options.from_vars(eval(sys.argv[1]), "web1")
connector = SshConnector("web1", options, SshContext(), Timeouts())
connector.open(Deadline.after(30))
connector.put(Source(), sys.argv[2], Deadline.after(60))
"""


def is_open(path: Path) -> bool:
    """Whether some process has a file open."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) == str(path):
                return True
        except OSError:
            continue
    return False


def test_a_client_that_dies_in_mid_transfer_changes_nothing(server: Sshd, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    variables = repr(dict(server.variables(ansible_host="127.0.4.1")))
    with subprocess.Popen([sys.executable, "-c", DIES, variables, str(path)], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.readline()
        (temporary,) = (entry for entry in tmp_path.iterdir() if entry != path)
        assert is_open(temporary)
        client.kill()
    limit = time.monotonic() + SOON
    while is_open(temporary):
        assert time.monotonic() < limit
        time.sleep(0.05)
    time.sleep(0.3)  # what comes after the last byte
    assert path.read_bytes() == b"old"


def test_a_connection_that_breaks_in_mid_transfer(ssh: SshConnector, tmp_path: Path) -> None:
    output = Output()
    ssh.execute(Command("echo $PPID", verbatim=True), output, Deadline.after(SOON))
    with pytest.raises(ConnectionLostError):
        ssh.put(Endless(lambda: os.kill(int(output.stdout), 9)), str(tmp_path / "file"), Deadline.after(SOON))
    assert not ssh.alive


def test_commands_and_transfers_take_turns(ssh: SshConnector, tmp_path: Path) -> None:
    for n in range(5):
        put(ssh, tmp_path / "file", b"%d" % n)
        output = Output()
        ssh.execute(Command(f"cat {tmp_path}/file"), output, Deadline.after(SOON))
        assert output.stdout == b"%d" % n
    with pytest.raises(CommandTimeoutError):
        ssh.execute(Command("sleep 71.5", verbatim=True), Output(), Deadline.after(0.3))
    assert get(ssh, tmp_path / "file") == b"4"


def test_a_host_that_freezes_in_mid_transfer_is_noticed(server: Sshd, tmp_path: Path) -> None:
    ssh = opened(server, "-o ServerAliveInterval=1 -o ServerAliveCountMax=2")
    output = Output()
    ssh.execute(Command("echo $PPID", verbatim=True), output, Deadline.after(SOON))
    pid = int(output.stdout)
    try:
        with pytest.raises(ConnectionLostError):
            ssh.put(Endless(lambda: os.kill(pid, 19)), str(tmp_path / "file"), Deadline.after(60))
        assert not ssh.alive
    finally:
        ssh.close()
        os.kill(pid, 18)


def test_a_host_that_grants_one_session_at_a_time(tmp_path: Path) -> None:
    server = Sshd(tmp_path / "sshd", "MaxSessions 1").start()
    context = SshContext()
    options = SshOptions.from_vars(server.variables(ansible_host="127.0.0.1"), "web1")
    one = SshConnector("web1", options, context, Timeouts())
    try:
        one.open(Deadline.after(10))
        for number in range(3):
            one.put(f"{number}".encode(), str(tmp_path / "file"), Deadline.after(10))
            output = Output()
            one.execute(Command(f"cat {tmp_path}/file"), output, Deadline.after(10))
            assert output.stdout == f"{number}".encode()
    finally:
        one.close()
        context.close()
        server.stop()


def test_a_read_only_file_system_is_named(ssh: SshConnector, small_disk: Path) -> None:
    (small_disk / "file").write_bytes(b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(TransferError, match="read-only file system") as error:
        put(ssh, small_disk / "file", b"new", 0o600)
    assert error.value.reason == "permission"
    assert (os.listdir(small_disk), (small_disk / "file").read_bytes()) == (["file"], b"old")


def test_a_directory_that_takes_nothing_keeps_what_is_in_it(ssh: SshConnector, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "file").write_bytes(b"old")
    if os.geteuid() == 0:
        if subprocess.run(["chattr", "+i", str(folder)], check=False, capture_output=True).returncode:
            pytest.skip("root may write everywhere here")
    else:
        folder.chmod(0o555)
    try:
        with pytest.raises(TransferError, match="permission denied") as error:
            put(ssh, folder / "file", b"new")
        assert error.value.reason == "permission"
        assert (os.listdir(folder), (folder / "file").read_bytes()) == (["file"], b"old")
    finally:
        if os.geteuid() == 0:
            subprocess.run(["chattr", "-i", str(folder)], check=True)
        else:
            folder.chmod(0o755)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees which files an sftp-server has open")
def test_what_is_too_large_to_be_read_together_is_closed_on_the_host(sshd: Sshd, tmp_path: Path) -> None:
    large, small = tmp_path / "large", tmp_path / "small"
    large.write_bytes(bytes(3 * 2**20))
    small.write_bytes(b"x")
    ssh = opened(sshd)
    try:
        with pytest.raises(TransferError, match="grows while it is read"):
            ssh.get_all([str(small), str(large)], lambda number, content: None, Deadline.after(SOON))
        assert get(ssh, small) == b"x"
        held = set()
        for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
            with contextlib.suppress(OSError):
                held.add(os.readlink(descriptor))
        assert str(large) not in held
    finally:
        ssh.close()
