"""Transfers over a long way: windows that grow, and one file over several sessions."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Command, Deadline, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.ssh import channel as channels
from sshexec.connectors.ssh.channel import LARGEST_WINDOW, WINDOW, Channel
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.ssh.context import SshContext
from sshexec.connectors.ssh.lanes import _Lane
from sshexec.connectors.ssh.sftp import Sftp
from sshexec.errors import CancelledError
from tests.testbed import Sshd

SIZE = 30_000_000


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("content") / "file"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> list[Sftp]:
    """Let every host seem far away; returns the further sessions that are opened."""
    opened: list[Sftp] = []
    another = Sftp.another

    def counted(self: Sftp) -> Sftp:
        opened.append(another(self))
        return opened[-1]

    monkeypatch.setattr(Sftp, "round_trip", property(lambda self: 1.0))
    monkeypatch.setattr(Sftp, "another", counted)
    return opened


@pytest.fixture
def lanes(monkeypatch: pytest.MonkeyPatch) -> list[_Lane]:
    """Every lane there is."""
    made: list[_Lane] = []
    init = _Lane.__init__

    def counted(self: _Lane, *arguments: Any) -> None:
        made.append(self)
        init(self, *arguments)

    monkeypatch.setattr(_Lane, "__init__", counted)
    return made


def opened(sshd: Sshd) -> SshConnector:
    options = SshConnector.Options.from_vars(sshd.variables(ansible_host="127.0.3.1"), "web1")
    connector = SshConnector("web1", options, SshContext(), Timeouts())
    connector.open(Deadline.after(20))
    return connector


@pytest.fixture
def connector(sshd: Sshd) -> Iterator[SshConnector]:
    made = opened(sshd)
    yield made
    made.close()


def test_a_large_file_takes_several_sessions_where_the_way_is_long(
    connector: SshConnector, content: Path, far_away: list[Sftp], lanes: list[_Lane], tmp_path: Path
) -> None:
    seen: list[int] = []
    connector.put(content, str(tmp_path / "file"), Deadline.after(60), mode=0o640, progress=seen.append)
    assert (tmp_path / "file").read_bytes() == content.read_bytes()
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["file"]
    assert len(far_away) == 3
    assert sum(lane.handle is not None for lane in lanes) > 1
    assert seen == sorted(seen)
    assert seen[-1] == SIZE
    # They are gone, and the first one is still there for the next file.
    assert not any(session._channel for session in far_away)
    connector.put(b"next", str(tmp_path / "next"), Deadline.after(20))
    assert (tmp_path / "next").read_bytes() == b"next"


def test_a_host_nearby_gets_one_session(
    connector: SshConnector, content: Path, lanes: list[_Lane], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sftp, "round_trip", property(lambda self: 0.0001))
    connector.put(content, str(tmp_path / "file"), Deadline.after(60))
    assert len(lanes) == 1


@pytest.mark.parametrize("sessions", [1, 2])
def test_a_host_that_opens_no_further_session_is_served_over_those_there_are(
    tmp_path: Path, content: Path, far_away: list[Sftp], lanes: list[_Lane], sessions: int
) -> None:
    server = Sshd(tmp_path / "sshd", f"MaxSessions {sessions}").start()
    (tmp_path / "to").mkdir()
    try:
        connector = opened(server)
        connector.put(content, str(tmp_path / "to" / "file"), Deadline.after(60))
        assert (tmp_path / "to" / "file").read_bytes() == content.read_bytes()
        assert os.listdir(tmp_path / "to") == ["file"]
        assert len(far_away) == 3
        assert sum(lane.handle is not None for lane in lanes) <= sessions
        connector.close()
    finally:
        server.stop()


def test_a_cancelled_transfer_leaves_nothing_behind(
    connector: SshConnector, content: Path, far_away: list[Sftp], tmp_path: Path
) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > SIZE // 2:
                connector.cancel()
            return super().read(size)

    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(CancelledError):
        connector.put(Slow(content.read_bytes()), str(tmp_path / "file"), Deadline.after(60))
    assert len(far_away) == 3
    assert not any(session._channel for session in far_away)
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_refused_write_on_any_session_fails_the_transfer(
    connector: SshConnector, content: Path, far_away: list[Sftp], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = _Lane.advance

    def broken(self: _Lane, name: bytes) -> None:
        advance(self, name)
        if self.handle is not None:
            self.handle = b"none"  # of no open file

    monkeypatch.setattr(_Lane, "advance", broken)
    with pytest.raises(OSError, match="file"):
        connector.put(content, str(tmp_path / "file"), Deadline.after(60))
    assert os.listdir(tmp_path) == []
    assert connector.alive


def test_a_download_grows_its_window(connector: SshConnector, content: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connector.execute(Command("true"), Output(), Deadline.after(20))
    link = connector._link
    assert 0 < link.round_trip < 20
    link.round_trip = 1.0
    windows: list[int] = []
    adapt = Channel._adapt

    def watched(self: Channel) -> None:
        self._measured -= 1.0 if self._measured else 0.0
        adapt(self)
        windows.append(self.window)

    monkeypatch.setattr(Channel, "_adapt", watched)
    target = io.BytesIO()
    connector.get(str(content), target, Deadline.after(60))
    assert target.getvalue() == content.read_bytes()
    assert windows[0] == WINDOW
    assert max(windows) <= LARGEST_WINDOW
    left = channels._GROWTH._left
    connector._files.release()
    assert channels._GROWTH._left >= left


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


class Quiet:
    """A link that takes note of what is returned."""

    round_trip = 0.02

    def __init__(self) -> None:
        self.returned = 0

    class signal:
        set = staticmethod(lambda: None)

    def send(self, packet: bytes) -> None:
        self.returned += int.from_bytes(packet[5:9], "big")

    class packetizer:
        hold = let_go = staticmethod(lambda: None)

    def forget(self, channel: Channel) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(channels, "time", clock)
    return clock


def stream(link: Quiet, channel: Channel, clock: Clock, size: int, seconds: float) -> None:
    """Let so much come in evenly, and take it."""
    for _ in range(size // 65536):
        clock.now += seconds * 65536 / size
        channel.feed(bytes(65536))
        channel.take()


def test_a_window_grows_only_where_it_holds_the_stream_up(clock: Clock) -> None:
    before = channels._GROWTH._left
    near, far = Quiet(), Quiet()
    near.round_trip = 0.0002
    quick, held_up = Channel(near, 0), Channel(far, 0)  # type: ignore[arg-type]
    stream(near, quick, clock, 200_000_000, 0.4)
    assert quick.window == WINDOW
    stream(far, held_up, clock, 200_000_000, 1.0)
    assert held_up.window > WINDOW
    # What the host may send is always a window beyond what was used.
    assert WINDOW + far.returned <= 200_000_000 + held_up.window
    grown = held_up.window
    assert channels._GROWTH._left == before - (grown - WINDOW)
    # A slow stream does not need it; a consumer that is slow gets it back from nobody, and loses it.
    while held_up._received - held_up._used < grown * 3 // 4:
        held_up.feed(bytes(65536))
    for _ in range(grown // 65536 // 4):
        clock.now += 0.1
        held_up.take()
    assert held_up.window < grown
    held_up.close()
    assert channels._GROWTH._left == before


def test_all_windows_together_grow_within_a_limit(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "_GROWTH", channels._Growth(3 * WINDOW))
    grown = []
    for _ in range(4):
        link = Quiet()
        link.round_trip = 0.1
        channel = Channel(link, 0)  # type: ignore[arg-type]
        stream(link, channel, clock, 200_000_000, 1.0)
        grown.append(channel.window - WINDOW)
    assert sum(grown) == 3 * WINDOW


def test_a_long_transfer_and_a_cancel_from_elsewhere(
    connector: SshConnector, far_away: list[Sftp], tmp_path: Path
) -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return bytes(size)

    threading.Timer(1.0, connector.cancel).start()
    with pytest.raises(CancelledError):
        connector.put(Endless(), str(tmp_path / "file"), Deadline.after(60))  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []
