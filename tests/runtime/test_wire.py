from __future__ import annotations

import socket
import threading

import pytest

from sshexec.runtime.wire import Wire
from sshexec.secret import Secret


def test_messages_and_secrets_cross() -> None:
    left, right = socket.socketpair()
    with left, right:
        message = ("prepare", {"password": Secret("hunter2"), "blob": b"x" * 3_000_000})
        sender = threading.Thread(target=Wire(left).send, args=(message,))
        sender.start()
        received = Wire(right).receive()
        sender.join()
    assert received == message
    assert received is not None
    assert received[1]["password"].reveal() == "hunter2"


@pytest.mark.parametrize("cut", [b"", b"\0\0\0", b"\0\0\0\0\0\0\0\x09abc"])
def test_a_peer_that_leaves_in_mid_message(cut: bytes) -> None:
    left, right = socket.socketpair()
    with right:
        left.sendall(cut)
        left.close()
        assert Wire(right).receive() is None
