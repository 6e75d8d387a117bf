"""Sessions over a WebSocket, on real hosts: what the protocol promises, and what a hostile client gets."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket

from sshexec.web import conversation
from tests.testbed import Sshd
from tests.web.serving import SITE, Served, on_gevent, on_threads
from tests.web.talk import BINARY, PING, TEXT, Talk, frame, knock

HOST = "h001"
FLOODS = 10
ON_ITS_WAY = 8 * 2**20
"""Bytes that may be between a program and its viewer: windows of ours and of SSH, and the buffers of some sockets."""

PATIENT = {"detached": 20.0, "idle": None}


@pytest.fixture(scope="module")
def on_greenlets(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server in a process that gevent has patched."""
    with on_gevent(sshd.hosts(3), tmp_path_factory.mktemp("gevent"), **PATIENT) as server:
        yield server


@pytest.fixture
def impatient(sshd: Sshd, tmp_path: Path) -> Iterator[Served]:
    """One on greenlets that soon sends away who takes nothing: on a busy machine that may be anybody."""
    with on_gevent(sshd.hosts(3), tmp_path, **PATIENT, stall=1.0) as server:
        yield server


@pytest.fixture(scope="module")
def threaded(sshd: Sshd) -> Iterator[Served]:
    """A server on threads, in this process."""
    with on_threads(sshd.hosts(3), **PATIENT) as server:
        yield server


@pytest.fixture(params=["on_greenlets", "threaded"])
def served(request: Any) -> Served:
    """Each kind of server."""
    return request.getfixturevalue(request.param)


@contextlib.contextmanager
def opened(served: Served, **more: Any) -> Iterator[Talk]:
    """A terminal that has its prompt, and ends with the test."""
    with Talk(served.url, served.token(HOST), **more) as talk:
        talk.type("PS1='>'; stty -echo; echo rea''dy\r")
        talk.shows("ready\r\n")
        yield talk
        with contextlib.suppress(OSError, websocket.WebSocketException):
            talk.say("close")


def session_of(talk: Talk) -> str:
    return next(message["id"] for message in talk.told if message["t"] == "ready")


def test_a_session_from_hello_to_exit(served):
    with Talk(served.url, served.token(HOST), columns=101, rows=33) as talk:
        ready = talk.until("ready")
        assert (ready["host"], ready["user"], ready["role"], ready["seq"]) == (HOST, "ann", "owner", 0)
        talk.until("opened")
        talk.type("stty size; echo a-$((40+2))\r")
        talk.shows("33 101")
        talk.shows("a-42")
        talk.say("resize", columns=70, rows=20)
        talk.until("resized")
        talk.type("stty size\r")
        talk.shows("20 70")
        talk.say("ping", n=7)
        assert talk.until("pong") == {"t": "pong", "n": 7}
        talk.type("exit 3\r")
        assert talk.until("ended")["reason"] == "exited"
        assert talk.end() == (1000, "exited")


def test_coming_back_goes_on_where_it_was(served):
    with opened(served) as talk:
        talk.type("seq 1 2000; echo e''nd\r")
        shown = talk.shows("end")
        seq = sum(len(message) for message in [shown]) + talk.told[0]["seq"]
        session = session_of(talk)
        total = int(next(m["seq"] for m in talk.told if m["t"] == "ready"))
        with Talk(served.url, served.token_for(session), since=0) as again:
            assert again.until("ready")["id"] == session
            assert talk.end() == (4006, "stolen")
            before = again.shows(b"end")
            assert shown in before
            again.type("echo ag''ain\r")
            again.shows("again")
            again.say("detach")
            assert again.until("detached")["reason"] == "closed"
            assert again.end()[0] == 1000
        assert session in served.sessions()
        with Talk(served.url, served.token_for(session), since=seq + total) as third:
            third.shows("again")
            third.say("close")
            assert third.end() == (4004, "terminated")
        wait_until(lambda: session not in served.sessions())  # its end is told before it is closed


def test_a_watcher_looks_on(served):
    with opened(served) as talk, Talk(served.url, served.watching(session_of(talk))) as watcher:
        assert watcher.until("ready")["role"] == "watcher"
        talk.type("echo se''en\r")
        watcher.shows("seen")
        for kind, values in (("resize", {"columns": 1, "rows": 1}), ("signal", {"name": "KILL"}), ("close", {})):
            watcher.say(kind, **values)
        watcher.type("exit\r")
        assert watcher.until("error")["code"] == "not_allowed"
        talk.type("echo st''ill\r")
        watcher.shows("still")
        talk.say("give", viewer=watcher.told[0]["viewer"])
        assert watcher.until("viewers")["mine"] == watcher.told[0]["viewer"]


# ---------------------------------------------------------------------- attack 1: origins, and the request


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"Origin": SITE}, 101),
        ({"Origin": f"{SITE}:80"}, 101),
        ({}, 101),  # no browser: the token in the hello decides
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": f"{SITE}.evil.example"}, 403),
        ({"Origin": "http://evil.site.example"}, 403),
        ({"Origin": "https://site.example"}, 403),
        ({"Origin": f"{SITE}:8080"}, 403),
        ({"Origin": f"{SITE}, https://evil.example"}, 403),
        ({"Origin": "https://evil.example", "Host": "evil.example", "X-Forwarded-Host": "site.example"}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),  # the same as Host, which says nothing
        ({"Upgrade": None}, 426),
        ({"Connection": "close"}, 426),
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Key": None}, 400),
        ({"Sec-WebSocket-Protocol": "sshexec.term.v2"}, 400),
        ({"Sec-WebSocket-Protocol": None}, 400),
    ],
)
def test_who_may_open_a_websocket(served, changed, expected):
    assert knock(served.port, "/terminal", changed) == expected


def test_a_websocket_is_a_get(served):
    assert knock(served.port, "/terminal", {}, version="HTTP/1.0") == 400
    assert knock(served.port, "/terminal", {"Content-Length": "0"}, method="POST") == 400


# ---------------------------------------------------------------------- attack 9: what comes first, and nonsense


@pytest.mark.parametrize(
    ("first", "code", "told"),
    [
        ('{"t":"hello","token":"no such token","columns":80,"rows":24}', 4001, "token"),
        ('{"t":"hello","token":"x","columns":0,"rows":24}', 1008, "invalid"),
        ('{"t":"hello","columns":80,"rows":24}', 1008, "invalid"),
        ('{"t":"resize","columns":80,"rows":24}', 1002, "invalid"),
        ('{"t":"what"}', 1002, "invalid"),
        (b"ls\r", 1002, "invalid"),
        ("[" * 60_000, 1007, "invalid"),
        ("nonsense", 1007, "invalid"),
    ],
)
def test_what_comes_first(threaded, first, code, told):
    with Talk(threaded.url) as talk:
        (talk.type if isinstance(first, bytes) else talk.socket.send)(first)
        error = talk.until("error")
        assert error["code"] == told
        assert "Traceback" not in error["text"]
        assert talk.end()[0] == code


def test_a_hello_comes_soon_or_never(threaded, monkeypatch):
    monkeypatch.setattr(conversation, "HELLO_TIME", 0.2)
    with Talk(threaded.url) as talk:
        talk.socket.ping()
        assert talk.end()[0] == 1008


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('{"t":"resize","columns":-1,"rows":24}', 1008),
        ('{"t":"ack","bytes":1e400}', 1008),
        ('{"t":"ack","bytes":-5}', 1008),
        ('{"t":"ack","bytes":' + "9" * 5000 + "}", 1007),
        ('{"t":"hello","token":"x","columns":80,"rows":24}', 1002),
        ('{"t":' + '{"a":' * 10_000, 1007),
    ],
)
def test_nonsense_ends_the_websocket_and_not_the_session(threaded, message, code):
    with opened(threaded) as talk:
        talk.socket.send(message)
        assert talk.end()[0] == code
        with Talk(threaded.url, threaded.token_for(session_of(talk))) as again:
            again.type("echo al''ive\r")
            again.shows("alive")
            again.say("close")
            again.end()


def test_what_nobody_knows_is_passed_over(on_greenlets):
    with opened(on_greenlets) as talk:
        talk.say("teleport", where="home")
        talk.socket.send('{"t":"resize","columns":100000,"rows":30,"later":[1,2]}')
        assert talk.until("resized") == {"t": "resized", "columns": 1000, "rows": 30}
        talk.say("answers", id="nothing", values=["x"])
        talk.say("ack", bytes=99_999_999)
        # It prints when it holds the terminal: a shell that has only forked may lose what is sent then.
        talk.type("sh -c \"echo go''es on; exec sleep 600\"\r")
        talk.shows("goes on")
        talk.say("signal", name="INT")
        talk.shows(">")


# ---------------------------------------------------------------------- attack 7: floods of output


def test_interrupting_a_flood(on_greenlets):
    with opened(on_greenlets) as talk:
        talk.type("yes 0123456789012345678901234567890123456789; echo do''ne\r")
        talk.shows("0123456789\r\n")
        for _ in range(50):
            talk.step()
        talk.type("\x03")
        talk.output.clear()
        talk.type("echo stop''ped\r")
        # Not a time, which is the machine's: what was on its way to us is all that still comes.
        size = 0
        while b"stopped" not in talk.output:
            size += max(0, len(talk.output) - 20)
            del talk.output[:-20]
            assert talk.step() is not None
            assert size < ON_ITS_WAY


def test_those_who_never_read_cost_little_and_hold_nobody(impatient):
    with opened(impatient) as bystander, contextlib.ExitStack() as stack:
        before = impatient.measures()["kib"]
        floods = []
        for _ in range(FLOODS):
            talk = stack.enter_context(Talk(impatient.url, impatient.token(HOST), acknowledges=False))
            talk.type("exec cat /dev/urandom\r")
            floods.append(talk)
        for number in range(10):
            echo(bystander, number)
        held = impatient.measures()["kib"] - before
        assert held < FLOODS * 3 * 1024
        for talk in floods:
            assert talk.end() == (4005, "stalled")


def echo(talk: Talk, number: int) -> None:
    """Type something, and wait until it has come back."""
    talk.type(f"echo -$(({number}+1000))-\r")
    talk.shows(f"-{number + 1000}-")


# ---------------------------------------------------------------------- attack 8: floods of input


def test_a_large_paste_arrives_whole_though_its_output_has_to_be_read_meanwhile(served):
    data = os.urandom(300_000).hex().encode()
    with opened(served) as talk:
        talk.type(f"stty raw; echo g''o; head -c {len(data)} | tee /dev/stderr | sha256sum; stty sane -echo\r")
        talk.shows("go")
        window = next(message["input"] for message in talk.told if message["t"] == "ready")
        sent = taken = 0
        while sent < len(data):
            if sent + 32768 - taken <= window:
                talk.type(data[sent : sent + 32768])
                sent += 32768
            else:
                taken += talk.until("taken")["bytes"]
        talk.shows(hashlib.sha256(data).hexdigest())


def test_a_flood_of_small_messages_holds_nobody(on_greenlets):
    with opened(on_greenlets) as talk, opened(on_greenlets) as bystander:
        talk.type("cat >/dev/null\r")
        sizes = [b'{"t":"resize","columns":%d,"rows":24}' % (80 + number % 2) for number in range(100)]
        block = b"".join(frame(BINARY, b"x") + frame(PING, b"!") + frame(TEXT, size) for size in sizes)
        stop = threading.Event()

        def flood() -> None:
            with contextlib.suppress(OSError):
                while not stop.is_set():
                    talk.socket.sock.sendall(block + frame(BINARY, b"\r"))

        def drain() -> None:
            with contextlib.suppress(OSError):
                while talk.socket.sock.recv(65536):
                    pass

        threads = [threading.Thread(target=work, daemon=True) for work in (flood, drain)]
        for thread in threads:
            thread.start()
        for number in range(15):
            echo(bystander, number)
        assert threads[0].is_alive(), "the flood was over"
        stop.set()
        talk.socket.sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)


# ---------------------------------------------------------------------- noise


def test_noise_harms_nobody_else_and_leaves_nothing(on_greenlets):
    with opened(on_greenlets) as bystander:
        before = on_greenlets.measures()
        for number in range(15):
            with Talk(on_greenlets.url, on_greenlets.token(HOST) if number % 2 else None) as talk:
                raw = talk.socket.sock
                with contextlib.suppress(OSError):
                    raw.sendall(os.urandom(1 + number * 500))
                    if number % 3:
                        raw.sendall(b"\x82\xff" + b"\x00" * number)
            echo(bystander, number)
        wait_until(lambda: on_greenlets.measures()["mine"] <= before["mine"])
        for session in on_greenlets.sessions():
            if session != session_of(bystander):
                with Talk(on_greenlets.url, on_greenlets.token_for(session)) as talk:
                    talk.say("close")
                    talk.end()
        wait_until(lambda: on_greenlets.measures()["files"] <= before["files"])


def wait_until(true: Any, within: float = 60.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
