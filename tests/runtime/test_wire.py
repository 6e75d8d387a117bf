from __future__ import annotations

import socket
import threading

import pytest

from sshexec.credentials.keyring import Keyring, SealedSecret, new_key
from sshexec.errors import CredentialError
from sshexec.runtime.wire import Wire, pack, sendable, unpack
from sshexec.secret import LockedSecret, Secret, SecretExpression


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


def test_every_kind_of_secret_crosses() -> None:
    keyring = Keyring([new_key()])
    sealed = SealedSecret(keyring.seal("hunter2", context="x"), keyring, context="x")
    sent = [Secret("a"), SecretExpression("{{ a }}"), sealed, LockedSecret("no key")]
    plain, expression, opened, locked = unpack(pack(sent))
    assert [type(each) for each in (plain, expression, opened, locked)] == [
        *(Secret, SecretExpression, Secret, LockedSecret)
    ]
    assert [each.reveal() for each in (plain, expression, opened)] == ["a", "{{ a }}", "hunter2"]
    with pytest.raises(CredentialError, match="no key"):
        locked.reveal()
    assert not sendable(SealedSecret(sealed.token, Keyring([new_key()]), context="x"))
