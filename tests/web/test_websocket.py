"""The WebSocket's own part, frame by frame: whole messages, limits, pings, and how it ends."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sshexec.web import pace, websocket
from sshexec.web.connection import LARGEST_MESSAGE, ConnectionClosed
from sshexec.web.pace import Pace
from sshexec.web.websocket import WebSocket
from tests.web.talk import BINARY, CLOSE, MORE, PING, PONG, TEXT, answers, frame


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers a goodbye here."""
    monkeypatch.setattr(websocket, "CLOSE_TIME", 0.05)


@contextlib.contextmanager
def pair(first: bytes = b"") -> Iterator[tuple[WebSocket, socket.socket]]:
    """Yield a server's WebSocket and the client's end of its socket."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(60)
        yield WebSocket(ours, first), theirs


def closing(theirs: socket.socket) -> int:
    """Return the code of the server's goodbye."""
    for kind, data in answers(theirs):
        if kind == CLOSE:
            return struct.unpack("!H", data[:2])[0]
    raise AssertionError("there was no goodbye")


def test_messages_come_whole_and_in_order():
    with pair(frame(TEXT, "zäh".encode())) as (ours, theirs):
        theirs.sendall(frame(BINARY, b"a", fin=False) + frame(PING, b"?") + frame(MORE, b"b"))
        theirs.sendall(frame(BINARY, b"x" * LARGEST_MESSAGE))
        assert ours.receive(5) == "zäh"
        assert ours.receive(5) == b"ab"
        assert ours.receive(5) == b"x" * LARGEST_MESSAGE
        assert ours.receive(0) is None
        ours.send(b"out")
        frames = answers(theirs)
        assert [next(frames), next(frames)] == [(PONG, b"?"), (BINARY, b"out")]


def test_a_large_message_to_a_slow_reader_is_whole():
    data = os.urandom(3_000_000)
    with pair() as (ours, theirs):
        sender = threading.Thread(target=ours.send, args=(data,), daemon=True)
        sender.start()
        sender.join(0.3)
        assert sender.is_alive(), "the socket holds more than this test believes"
        assert next(answers(theirs)) == (BINARY, data)
        sender.join(10)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"x", masked=False), 1002),
        (frame(3, b"x"), 1002),
        (frame(PING, b"x", fin=False), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(MORE, b"x"), 1002),
        (frame(TEXT, b"x", fin=False) + frame(TEXT, b"x"), 1002),
        (bytes([0xC1]) + frame(TEXT, b"x")[1:], 1002),
        (frame(CLOSE, b"x"), 1002),
        (frame(CLOSE, struct.pack("!H", 1005)), 1002),
        (frame(BINARY, b"", length=2**63), 1002),
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(TEXT, b"\xc3", fin=False) + frame(MORE, b"("), 1007),
        (frame(BINARY, b"x" * (LARGEST_MESSAGE + 1)), 1009),
        (frame(BINARY, b"x" * 70_000, length=2**40), 1009),
        (frame(TEXT, "ä".encode() * (LARGEST_MESSAGE // 2 + 1)), 1009),
        (frame(BINARY, fin=False) + frame(MORE, fin=False) * 1100, 1009),
    ],
    ids=range(16),  # masks are drawn anew in each process, and tests are known by their names
)
def test_what_is_no_message_is_said_goodbye_to(sent, code):
    with pair() as (ours, theirs):
        theirs.sendall(sent)
        with pytest.raises(ConnectionClosed) as raised:
            ours.receive(10)
        assert raised.value.code == code
        ours.close(code)
        assert closing(theirs) == code
        with pytest.raises(ConnectionClosed):
            ours.receive(0)


def test_a_goodbye_is_answered():
    with pair() as (ours, theirs):
        theirs.sendall(frame(CLOSE, struct.pack("!H", 3000) + b"bye"))
        with pytest.raises(ConnectionClosed) as raised:
            ours.receive(10)
        assert (raised.value.code, raised.value.reason) == (3000, "bye")
        assert list(answers(theirs)) == [(CLOSE, struct.pack("!H", 3000) + b"bye")]
        with pytest.raises(ConnectionClosed):
            ours.send(b"late")


def test_one_who_leaves_without_a_word():
    with pair() as (ours, theirs):
        theirs.close()
        with pytest.raises(ConnectionClosed) as raised:
            ours.receive(10)
        assert raised.value.code == 1006


def test_closing_wakes_whoever_receives_and_loses_nothing(monkeypatch):
    monkeypatch.setattr(websocket, "CLOSE_TIME", 10)
    with pair() as (ours, theirs):
        ended: list[ConnectionClosed] = []

        def receive() -> None:
            try:
                while True:
                    ours.receive()
            except ConnectionClosed as closed:
                ended.append(closed)

        receiver = threading.Thread(target=receive, daemon=True)
        receiver.start()
        ours.send(b"last words")
        closer = threading.Thread(target=ours.close, args=(4004, "x" * 500), daemon=True)
        closer.start()
        frames = answers(theirs)
        assert next(frames) == (BINARY, b"last words")
        theirs.sendall(frame(BINARY, b"typed too late"))
        kind, data = next(frames)
        assert (kind, data[:2], len(data)) == (CLOSE, struct.pack("!H", 4004), 125)
        theirs.sendall(frame(CLOSE, data[:2]))
        assert next(frames, None) is None, "the server ends the connection"
        receiver.join(10)
        closer.join(10)
        assert not receiver.is_alive()
        assert not closer.is_alive()
        assert [closed.code for closed in ended] == [4004]


@pytest.mark.parametrize("garbage", [b"", frame(BINARY, b"x") * 50, b"\xff" * 5000])
def test_one_who_does_not_answer_a_goodbye_holds_nobody(garbage):
    with pair() as (ours, theirs):
        theirs.sendall(garbage)
        ours.close(1000)
        assert closing(theirs) == 1000


def test_silence_is_asked_and_then_ended(monkeypatch):
    monkeypatch.setattr(websocket, "PING_TIME", 0.05)
    monkeypatch.setattr(websocket, "DEAD_TIME", 1.0)
    with pair() as (ours, theirs):
        with pytest.raises(ConnectionClosed) as raised:
            ours.receive()
        assert (raised.value.code, raised.value.reason) == (1006, "the other side is silent")
        kinds = [kind for kind, _ in answers(theirs)]
        assert set(kinds) == {PING}
        assert len(kinds) >= 2


def test_one_who_answers_pings_stays(monkeypatch):
    monkeypatch.setattr(websocket, "PING_TIME", 0.05)
    monkeypatch.setattr(websocket, "DEAD_TIME", 1.5)
    with pair() as (ours, theirs):

        def answer() -> None:
            with contextlib.suppress(OSError):  # at its end
                for kind, _ in answers(theirs):
                    if kind == PING:
                        theirs.sendall(frame(PONG))

        threading.Thread(target=answer, daemon=True).start()
        assert ours.receive(2.0) is None
        ours.close()


def test_one_who_takes_nothing_is_let_go(monkeypatch):
    monkeypatch.setattr(websocket, "SEND_TIME", 0.3)
    with pair() as (ours, _theirs):
        with pytest.raises(ConnectionClosed) as raised:
            ours.send(b"x" * 3_000_000)
        assert raised.value.reason == "the other side takes nothing"
        with pytest.raises(ConnectionClosed):
            ours.receive(0)
        ours.close()


def test_a_message_in_small_pieces_has_a_deadline():
    with pair() as (ours, theirs):
        stop = threading.Event()

        def trickle() -> None:
            with contextlib.suppress(OSError):
                for byte in frame(BINARY, b"x" * 1000):
                    theirs.sendall(bytes([byte]))
                    if stop.wait(0.03):
                        return

        threading.Thread(target=trickle, daemon=True).start()
        assert ours.receive(0.3) is None
        stop.set()


SMALL = st.binary(max_size=200)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.binary(min_size=1, max_size=600), max_size=5))
def test_noise_is_messages_or_a_goodbye(noise):
    with pair() as (ours, theirs):
        for piece in noise:
            theirs.sendall(piece)
        theirs.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionClosed):
            while True:
                assert len(ours.receive(30) or b"") <= LARGEST_MESSAGE
        ours.close()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.lists(SMALL, min_size=1, max_size=4), st.booleans()), max_size=6), st.integers(1, 400))
def test_messages_are_the_same_however_they_are_cut(messages, size):
    sent = b""
    for pieces, ping in messages:
        for place, data in enumerate(pieces):
            sent += frame(BINARY if place == 0 else MORE, data, fin=place == len(pieces) - 1)
            sent += frame(PING, b"?") if ping else b""
    with pair(sent[:size]) as (ours, theirs):

        def send() -> None:
            for start in range(size, len(sent), size):
                theirs.sendall(sent[start : start + size])

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        assert [ours.receive(30) for _ in messages] == [b"".join(pieces) for pieces, _ in messages]
        sender.join(10)
        assert ours.receive(0) is None


def test_a_flood_waits(monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(pace.time, "sleep", slept.append)
    steps = Pace(rate=1000, burst=100)
    for _ in range(100):
        steps.step()
    assert sum(slept) == 0
    for _ in range(100):
        steps.step()
    assert sum(slept) > 1


ON_GEVENT = """
from gevent import monkey
monkey.patch_all()
import socket, threading, time
from tests.web.talk import answers, frame
from sshexec.web import websocket
from sshexec.web.connection import ConnectionClosed
ours, theirs = socket.socketpair()
ws = websocket.WebSocket(ours)
theirs.sendall(frame(2, b"first"))
assert ws.receive(5) == b"first"
assert ws.receive(0.05) is None
got = []
reader = threading.Thread(target=lambda: got.extend(answers(theirs)), daemon=True)
sender = threading.Thread(target=ws.send, args=(b"x" * 3_000_000,), daemon=True)
sender.start()
time.sleep(0.05)
assert sender.is_alive()
reader.start()
sender.join(10)
threading.Timer(0.1, ws.close, (4004,)).start()
websocket.CLOSE_TIME = 0.3
try:
    while True:
        ws.receive()
except ConnectionClosed as closed:
    assert closed.code == 4004, closed
reader.join(30)
assert not reader.is_alive()
assert [(kind, len(data)) for kind, data in got] == [(2, 3_000_000), (8, 2)], [(k, len(d)) for k, d in got]
# One who floods does not keep others from having their turn.
ours, theirs = socket.socketpair()
ws = websocket.WebSocket(ours)
gone = threading.Event()
def flood():
    while not gone.is_set():
        try:
            theirs.sendall(frame(9, b"!") * 100)
        except OSError:
            return
heard = []
def hear():
    try:
        heard.append(ws.receive(10))
    except ConnectionClosed:
        pass
def drain():
    for _ in answers(theirs):
        pass
for work in (flood, hear, drain):
    threading.Thread(target=work, daemon=True).start()
for _ in range(30):
    time.sleep(0.01)
assert not heard, "nobody had a turn until the flood was heard out"
gone.set()
print("well")
"""


def test_it_works_on_greenlets():
    done = subprocess.run([sys.executable, "-c", ON_GEVENT], capture_output=True, text=True, timeout=300)
    assert done.stdout == "well\n", done.stderr
