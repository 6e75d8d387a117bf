"""AES-GCM packets of our own making against Paramiko's, and the private parts of Paramiko they rely on."""

from __future__ import annotations

import os
import socket
import struct
import threading
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from paramiko.common import MSG_CHANNEL_DATA, MSG_CHANNEL_EOF
from paramiko.packet import NeedRekeyException, Packetizer
from paramiko.ssh_exception import SSHException

from sshexec.connectors.ssh.channel import Channel, Packet
from sshexec.connectors.ssh.packets import BufferedPacketizer
from sshexec.connectors.ssh.transport import Signal

KEY, IV = bytes(range(16)), bytes(range(100, 104)) + b"\0" * 6 + b"\xff\xfe"
GCM = {"aead": True}


def data_packet(number: int, data: bytes) -> Packet:
    return Packet(struct.pack(">BII", MSG_CHANNEL_DATA, number, len(data)) + data)


@pytest.fixture
def ends():
    near, far = socket.socketpair()
    ours, theirs = BufferedPacketizer(near), Packetizer(far)
    for packets in (ours, theirs):
        packets.set_outbound_cipher(AESGCM(KEY), 16, None, 16, None, aead=True, iv_out=IV)
        packets.set_inbound_cipher(AESGCM(KEY), 16, None, 16, None, aead=True, iv_in=IV)
        packets._initial_kex_done = True
    yield ours, theirs, near, far
    near.close()
    far.close()


def test_the_private_names_are_paramikos() -> None:
    near, far = socket.socketpair()
    with near, far:
        own = vars(Packetizer(near))
        used = [name for name in BufferedPacketizer.__annotations__ if name.startswith("_Packetizer__")]
        assert len(used) == 9
        assert [name for name in used if name not in own] == []
    for name in ("read_message", "send_message", "set_inbound_cipher", "set_outbound_cipher", "need_rekey"):
        assert callable(getattr(Packetizer, name))
    assert callable(Packetizer._trigger_rekey)


@pytest.mark.parametrize("size", [1, 11, 12, 15, 16, 17, 5000, 100_000])
def test_paramiko_reads_what_we_send(ends: Any, size: int) -> None:
    ours, theirs, _, _ = ends
    body = os.urandom(size)
    sender = threading.Thread(target=ours.send_payloads, args=([[b"\x5e", memoryview(body)], [b"\x5f"]],))
    sender.start()
    kind, message = theirs.read_message()
    assert (kind, message.asbytes()) == (0x5E, body)
    assert theirs.read_message()[0] == 0x5F
    sender.join()
    ours.send_message(Packet(b"\x60"))
    assert theirs.read_message()[0] == 0x60


@pytest.mark.parametrize("step", [1, 3, 17, 1000, 100_000])
def test_we_read_what_paramiko_sends_however_it_is_split(ends: Any, step: int) -> None:
    ours, theirs, _, far = ends
    pieces = [os.urandom(size) for size in (1, 2000, 33_000, 7, 50)]
    wire = bytearray()
    theirs.write_all = wire.extend
    for piece in pieces:
        theirs.send_message(data_packet(3, piece))
    theirs.send_message(Packet(struct.pack(">BI", MSG_CHANNEL_EOF, 3)))
    got: list[tuple[int, bytes]] = []
    ours.on_data = lambda number, data: got.append((number, data)) or True

    def deliver() -> None:
        for at in range(0, len(wire), step):
            far.sendall(wire[at : at + step])

    sender = threading.Thread(target=deliver)
    sender.start()
    kind, message = ours.read_message()
    sender.join()
    assert got == [(3, piece) for piece in pieces]
    assert (kind, message.get_int()) == (MSG_CHANNEL_EOF, 3)
    assert message.seqno == 5


def test_data_that_nobody_takes_is_a_message(ends: Any) -> None:
    ours, theirs, _, _ = ends
    theirs.send_message(data_packet(3, b"abc"))
    kind, message = ours.read_message()
    assert kind == MSG_CHANNEL_DATA
    assert (message.get_int(), message.get_binary()) == (3, b"abc")


def test_a_packet_that_was_changed_on_the_way_is_refused(ends: Any) -> None:
    ours, theirs, _, far = ends
    wire = bytearray()
    theirs.write_all = wire.extend
    theirs.send_message(data_packet(3, b"abc"))
    wire[10] ^= 1
    far.sendall(wire)
    ours.on_data = lambda number, data: pytest.fail("it was taken")
    with pytest.raises(SSHException, match="MAC"):
        ours.read_message()


@pytest.mark.parametrize("length", [0, 8, 17, 300_000, 2**32 - 1])
def test_a_length_that_no_packet_has_is_refused_at_once(ends: Any, length: int) -> None:
    ours, _, _, far = ends
    far.sendall(struct.pack(">I", length))
    with pytest.raises(SSHException, match="announced"):
        ours.read_message()


def test_data_shorter_than_it_says_is_refused(ends: Any) -> None:
    ours, theirs, _, _ = ends
    theirs.send_message(Packet(struct.pack(">BII", MSG_CHANNEL_DATA, 3, 500) + b"short"))
    with pytest.raises(SSHException, match="less data"):
        ours.read_message()


def test_new_keys_are_asked_for_in_either_direction(ends: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs, _, _ = ends
    monkeypatch.setattr(BufferedPacketizer, "REKEY_BYTES", 1000)
    monkeypatch.setattr(BufferedPacketizer, "REKEY_BYTES_OVERFLOW_MAX", 3000)
    ours.on_data = lambda number, data: True
    theirs.send_message(data_packet(3, bytes(1200)))
    with pytest.raises(NeedRekeyException):
        ours.read_message()
    assert ours.need_rekey()
    # A host that goes on without new keys is cut off.
    for _ in range(3):
        theirs.send_message(data_packet(3, bytes(1200)))
    for _ in range(2):
        with pytest.raises(NeedRekeyException):
            ours.read_message()
    with pytest.raises(SSHException, match="rekey"):
        ours.read_message()


def test_what_is_sent_counts_for_new_keys_too(ends: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _, _, _ = ends
    monkeypatch.setattr(BufferedPacketizer, "REKEY_BYTES", 1000)
    ours.send_payloads([[b"\x5e", bytes(400)]])
    assert not ours.need_rekey()
    ours.send_payloads([[b"\x5e", bytes(400)], [b"\x5e", bytes(400)]])
    assert ours.need_rekey()


def test_a_channel_cuts_what_it_sends_by_window_and_packet_size() -> None:
    class Quiet:
        signal = Signal()

        def __init__(self) -> None:
            self.sent: list[bytes] = []

        def send_payloads(self, payloads: list[list[bytes]]) -> None:
            self.sent += [b"".join(payload) for payload in payloads]

    link = Quiet()
    channel = Channel(link, 0)  # type: ignore[arg-type]
    channel.opened(7, 2500, 1024)
    first, second = memoryview(b"a" * 1000), memoryview(b"b" * 5000)
    assert channel.send(first, second) == 2500
    assert channel.room == 0
    assert channel.send(second) == 0
    heads = [struct.unpack(">BII", packet[:9]) for packet in link.sent]
    assert heads == [(MSG_CHANNEL_DATA, 7, size) for size in (1024, 1024, 452)]
    assert b"".join(packet[9:] for packet in link.sent) == b"a" * 1000 + b"b" * 1500
