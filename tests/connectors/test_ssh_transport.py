"""The private parts of Paramiko that the transport overrides, guarded against a new version."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time

import paramiko
import pytest
from paramiko.packet import Packetizer

from sshexec.connectors.base import Command, Deadline, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.ssh.channel import Channel
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.ssh.context import SshContext
from sshexec.connectors.ssh.packets import BufferedPacketizer
from sshexec.connectors.ssh.transport import Link, Signal
from tests.testbed import Sshd


def opened(sshd: Sshd) -> tuple[SshConnector, Link]:
    options = SshConnector.Options.from_vars(sshd.variables(ansible_host="127.0.2.1"), "web1")
    connector = SshConnector("web1", options, SshContext(), Timeouts())
    connector.open(Deadline.after(20))
    assert connector._link is not None
    return connector, connector._link


@pytest.mark.parametrize("name", [n for n in vars(Link) if not n.startswith("__") and callable(getattr(Link, n))])
def test_what_is_overridden_exists_in_paramiko(name: str) -> None:
    own = {"begin", "answer", "send", "send_payloads", "flush", "ping", "add_channel", "forget", "why", "wait_until"}
    own |= {"pause", "_pong", "_data", "timed", "trouble", "question_life"}
    assert (name in own) != hasattr(paramiko.Transport, name)


def test_the_packetizer_reads_and_writes_through_the_overridden_methods() -> None:
    for name in ("read_all", "readline", "write_all", "start_handshake", "closed"):
        assert hasattr(Packetizer, name)
    near, far = socket.socketpair()
    with near, far:
        packets = BufferedPacketizer(near)
        far.sendall(b"one\r\ntwo\nrest")
        assert [packets.readline(1), packets.readline(1), packets.read_all(2), packets.read_all(2)] == [
            "one",
            "two",
            b"re",
            b"st",
        ]
        packets.hold()
        packets.write_all(b"a")
        packets.let_go()
        far.setblocking(False)
        with pytest.raises(BlockingIOError):
            far.recv(10)
        packets.write_all(b"b")
        assert far.recv(10) == b"ab"
        far.close()
        with pytest.raises(EOFError):
            packets.read_all(1)


def test_the_negotiated_algorithms_are_the_quick_ones(sshd: Sshd) -> None:
    connector, link = opened(sshd)
    assert link.local_cipher == link.remote_cipher == "aes128-gcm@openssh.com"
    assert link.host_key_type == "ssh-ed25519"
    assert link.agreed_on_strict_kex
    connector.close()


def test_keys_are_exchanged_anew_in_mid_stream(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BufferedPacketizer, "REKEY_BYTES", 3_000_000)
    exchanges: list[int] = []
    negotiate = Link._negotiate_keys

    def count(self: Link, m: object) -> None:
        exchanges.append(1)
        negotiate(self, m)

    monkeypatch.setattr(Link, "_negotiate_keys", count)
    connector, link = opened(sshd)
    data = b"0123456789" * 1_000_000
    output = Output(limit=50_000_000)
    assert connector.execute(Command("cat", stdin=data), output, Deadline.after(60)).rc == 0
    assert output.stdout == data
    connector.put(data, "/tmp/sshexec-rekey", Deadline.after(60))
    connector.execute(Command("rm /tmp/sshexec-rekey"), Output(), Deadline.after(20))
    assert len(exchanges) > 3
    assert link.active
    connector.close()


@pytest.mark.parametrize("packets", [7, 30])
def test_keys_are_exchanged_anew_between_the_steps_of_a_command(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch, packets: int
) -> None:
    monkeypatch.setattr(BufferedPacketizer, "REKEY_PACKETS", packets)
    connector, link = opened(sshd)
    link.clear_to_send_timeout = 5.0
    for _ in range(30):
        # Packets that are held back to leave together wait for the exchange, and must not hold it up.
        assert connector.execute(Command("head -c 50000 /dev/zero"), Output(), Deadline.after(60)).rc == 0
    assert link.exchanges > 5
    connector.close()


def test_keys_are_exchanged_anew_when_the_host_wants_it(tmp_path) -> None:
    server = Sshd(tmp_path / "sshd", "RekeyLimit 1M").start()
    try:
        connector, _ = opened(server)
        data = b"0123456789" * 1_000_000
        output = Output(limit=50_000_000)
        assert connector.execute(Command("cat", stdin=data), output, Deadline.after(60)).rc == 0
        assert output.stdout == data
        connector.close()
    finally:
        server.stop()


def test_an_idle_connection_does_nothing(sshd: Sshd) -> None:
    many = [opened(sshd) for _ in range(5)]
    assert all(link.sock.gettimeout() is None for _, link in many)
    time.sleep(0.2)
    before = [link.packetizer._reads for _, link in many]
    time.sleep(1)
    # Paramiko's own reader looks ten times a second.
    assert [link.packetizer._reads for _, link in many] == before
    for connector, _ in many:
        connector.close()


def test_a_signal_is_kept_for_the_next_wait() -> None:
    signal = Signal()
    assert not signal.wait(0.01)
    signal.set()
    signal.set()
    assert signal.wait(0)
    assert not signal.wait(0.01)
    threading.Timer(0.05, signal.set).start()
    assert signal.wait(None)


def test_a_host_that_ignores_the_window_is_cut_off() -> None:
    class Message:
        def get_binary(self) -> bytes:
            return bytes(1024 * 1024)

    class Quiet:
        signal = Signal()

    channel = Channel(Quiet(), 0)  # type: ignore[arg-type]
    channel._feed(Message())
    channel._feed(Message())
    with pytest.raises(paramiko.SSHException):
        channel._feed(Message())


def test_paramiko_is_imported_without_invoke_and_works_with_it_later() -> None:
    script = (
        "import sys, sshexec.connectors.ssh.connector\n"
        "assert 'invoke' not in sys.modules and 'asyncio' not in sys.modules\n"
        "import paramiko.config\n"
        "assert paramiko.config.invoke.run('true', hide=True).ok\n"
        "import invoke\n"
        "assert invoke.__file__\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
