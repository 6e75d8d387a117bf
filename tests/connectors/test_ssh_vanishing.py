"""A host that is gone without a word: noticed within the configured time, whatever it was busy with."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sshexec import Engine, Host, Inventory, Timeouts
from sshexec.connectors.base import Command, Deadline
from sshexec.connectors.output import Output
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.ssh.context import SshContext
from sshexec.errors import CommandTimeoutError, ConnectionLostError
from tests.testbed import Sshd
from tests.vanishing import Way

LATEST = 15.0
"""Seconds by which it has to be noticed; the system's own limit is 20."""

QUICK = "-o ServerAliveInterval=1 -o ServerAliveCountMax=1"
NEVER = "-o ServerAliveInterval=0"


@pytest.fixture(scope="module", params=["sftp", "cat"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sshd: Sshd) -> Iterator[Sshd]:
    if request.param == "sftp":
        yield sshd
        return
    other = Sshd(tmp_path_factory.mktemp("cat"), sftp=False).start()
    yield other
    other.stop()


class Distant:
    """An open connection over a way that can vanish."""

    def __init__(self, server: Sshd, args: str, idle: float | None = None) -> None:
        self.way = Way(server.port)
        variables = server.variables(
            ansible_host="127.0.0.1",
            ansible_port=self.way.port,
            ansible_ssh_common_args=f"-o UserKnownHostsFile={server.folder / 'known'} {args}",
        )
        kind, blob = (server.folder / "host_ed25519.pub").read_text().split()[:2]
        (server.folder / "known").write_text(f"[127.0.0.1]:{self.way.port} {kind} {blob}\n")
        options = SshConnector.Options.from_vars(variables, "web1")
        self.variables = variables
        self.ssh = SshConnector("web1", options, SshContext(), Timeouts(idle=idle))

    def __enter__(self) -> Distant:
        self.ssh.open(Deadline.after(20))
        return self

    def __exit__(self, *error: object) -> None:
        self.ssh.close()
        self.way.close()


class Endless(io.RawIOBase):
    """A source that calls something once, after the first megabyte, and never ends."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then: Callable[[], None] | None = then
        self._read = 0

    def read(self, size: int = -1) -> bytes:
        self._read += size
        if self._then is not None and self._read > 1_000_000:
            then, self._then = self._then, None
            then()
        return b"x" * size


def once(action: Callable[[], None]) -> Callable[[int], None]:
    called: list[int] = []

    def progress(size: int) -> None:
        if not called:
            called.append(size)
            action()

    return progress


def transfers(host: Distant, folder: Path) -> list[Callable[[], object]]:
    ssh, vanish = host.ssh, host.way.vanish
    return [
        lambda: ssh.put(Endless(vanish), str(folder / "file"), Deadline.after(60)),
        lambda: ssh.get("/dev/zero", io.BytesIO(), Deadline.after(60), progress=once(vanish)),
    ]


def test_while_a_command_runs(sshd: Sshd) -> None:
    with Distant(sshd, QUICK) as host:
        output = Output(tee=lambda stream, data: host.way.vanish())
        begun = time.monotonic()
        with pytest.raises(ConnectionLostError, match="no sign of life for 1 s") as error:
            host.ssh.execute(Command("echo first; sleep 30"), output, Deadline.after(60))
        assert time.monotonic() - begun < LATEST
        assert error.value.started is True
        assert output.stdout == b"first\n"


def test_while_a_command_is_fed(sshd: Sshd) -> None:
    with Distant(sshd, QUICK) as host:
        begun = time.monotonic()
        with pytest.raises(ConnectionLostError):
            host.ssh.execute(Command("cat >/dev/null", stdin=Endless(host.way.vanish)), Output(), Deadline.after(60))
        assert time.monotonic() - begun < LATEST


@pytest.mark.parametrize("which", [0, 1])
def test_during_a_transfer(server: Sshd, tmp_path: Path, which: int) -> None:
    with Distant(server, QUICK) as host:
        begun = time.monotonic()
        with pytest.raises(ConnectionLostError) as error:
            transfers(host, tmp_path)[which]()
        assert time.monotonic() - begun < LATEST
        assert error.value.started is True
        assert not host.ssh.alive


@pytest.mark.parametrize("which", [0, 1])
def test_a_transfer_that_stands_still_ends_at_the_idle_limit(server: Sshd, tmp_path: Path, which: int) -> None:
    with Distant(server, NEVER, idle=0.5) as host:
        begun = time.monotonic()
        with pytest.raises(CommandTimeoutError) as error:
            transfers(host, tmp_path)[which]()
        assert time.monotonic() - begun < LATEST
        assert error.value.silence == 0.5


def test_a_slow_transfer_is_not_idle(server: Sshd, tmp_path: Path) -> None:
    class Slow(io.RawIOBase):
        left = 12

        def read(self, size: int = -1) -> bytes:
            self.left -= 1
            threading.Event().wait(0.1)
            return b"x" * 100_000 if self.left > 0 else b""

    with Distant(server, NEVER, idle=0.5) as host:
        host.ssh.put(Slow(), str(tmp_path / "file"), Deadline.after(60))
        assert (tmp_path / "file").stat().st_size == 1_100_000


def test_an_idle_connection_that_is_used_again(sshd: Sshd) -> None:
    with Distant(sshd, QUICK) as host:
        inventory = Inventory.from_hosts([Host("web1", host.variables)])
        with Engine(inventory) as engine:
            first = engine.run("all", "raw", "echo $PPID")["web1"].stdout
            again = engine.run("all", "raw", "echo $PPID")["web1"].stdout
            assert first == again
            host.way.vanish()
            begun = time.monotonic()
            after = engine.run("all", "raw", "echo $PPID")["web1"]
            assert time.monotonic() - begun < LATEST
        # Nothing had been started on the one that was gone: another connection did it.
        assert (after.status, after.stdout != first) == ("changed", True)


def test_what_is_gone_for_good_is_unreachable(sshd: Sshd) -> None:
    with Distant(sshd, QUICK) as host:
        inventory = Inventory.from_hosts([Host("web1", host.variables)])
        with Engine(inventory, timeouts=Timeouts(connect=1)) as engine:
            run = engine.start("all", "raw", "echo up; sleep 60")
            for event in run.events():
                if event.event == "output":
                    host.way.vanish()
            result = run.wait(LATEST)["web1"]
    assert (result.status, result.cause, result.phase) == ("unreachable", "connection_lost", "running")
    assert result.stdout == "up\n"
