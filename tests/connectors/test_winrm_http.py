"""Answers as they come over a socket: whole, in drops, odd, broken off, endless."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from sshexec.connectors.base import Deadline
from sshexec.connectors.winrm import http
from sshexec.connectors.winrm.http import Answer, Broken, Expired, Line, NotHttp, Silence

FIELDS = [("Host", "win1:5985"), ("Authorization", "Basic eDp5")]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def line_to(*answers: bytes, drops: bool = False, end: bool = False) -> Iterator[tuple[Line, list[bytes]]]:
    """Yield a line whose other side gives an answer to each request, and what that side got."""
    here, there = socket.socketpair()
    got: list[bytes] = []
    line = Line(here)

    def serve() -> None:
        with there:
            for answer in answers:
                got.append(there.recv(65536))
                for piece in [answer[at : at + 1] for at in range(len(answer))] if drops else [answer]:
                    there.sendall(piece)
            if not end:
                there.recv(65536)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield line, got
    finally:
        line.close()
        thread.join(10)


def ask(line: Line, method: str = "POST", body: bytes = b"<x/>", silence: float | None = 10) -> Answer:
    return line.ask(method, "/wsman", FIELDS, body, Deadline.after(10), silence)


@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (OK, 200, b"ok"),
        (b"HTTP/1.1 500 \r\ncontent-length:2\r\n\r\nno", 500, b"no"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1;x=y\r\no\r\n01\r\nk\r\n0\r\nLast: 1\r\n\r\n",
            200,
            b"ok",
        ),
    ],
)
def test_an_answer_is_taken_whole_and_another_one_after_it(
    answer: bytes, status: int, body: bytes, drops: bool
) -> None:
    with line_to(answer, OK, drops=drops) as (line, got):
        first = ask(line)
        assert (first.status, first.body) == (status, body)
        assert line.idle()
        assert ask(line).body == b"ok"
        assert got[0] == (
            b"POST /wsman HTTP/1.1\r\nHost: win1:5985\r\nAuthorization: Basic eDp5\r\nContent-Length: 4\r\n\r\n<x/>"
        )


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        OK + b"HTTP/1.1 408 Request Timeout\r\n\r\n",
    ],
)
def test_a_connection_that_is_not_kept_is_not_used_again(answer: bytes) -> None:
    with line_to(answer, end=True) as (line, _):
        assert ask(line).body == b"ok"
        assert not line.idle()
        with pytest.raises(Broken, match=http.NOT_KEPT) as caught:
            ask(line)
        assert not caught.value.sent


def test_several_fields_of_one_name_are_joined() -> None:
    answer = b"HTTP/1.1 401 \r\nWWW-Authenticate: Negotiate\r\nwww-authenticate: Basic\r\nContent-Length: 0\r\n\r\n"
    with line_to(answer) as (line, _):
        assert ask(line).headers["www-authenticate"] == "Negotiate, Basic"


def test_a_tunnel_has_no_body_and_a_refused_one_has() -> None:
    with line_to(b"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno", b"HTTP/1.1 200 Yes\r\n\r\n") as (line, got):
        assert ask(line, "CONNECT", b"").body == b"no"
        answer = ask(line, "CONNECT", b"")
        assert (answer.status, answer.body) == (200, b"")
        assert got[1].startswith(b"CONNECT /wsman HTTP/1.1\r\n")
        assert b"Content-Length" not in got[1]


@pytest.mark.parametrize(
    ("answer", "answered"),
    [
        (b"", False),
        (b"HT", True),
        (b"HTTP/1.1 200 OK\r\nConte", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", True),
    ],
)
def test_an_answer_that_is_cut_off_is_none(answer: bytes, answered: bool) -> None:
    with line_to(answer, end=True) as (line, _):
        with pytest.raises(Broken, match="it was closed") as caught:
            ask(line)
        assert (caught.value.sent, caught.value.answered) == (True, answered)
        assert not line.idle()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "does not speak HTTP"),
        (b"\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok", "conflicting Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "bad Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 67108865\r\n\r\n", "67108865 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "Only Transfer-Encoding: chunked"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "too long"),
    ],
)
def test_what_is_no_answer_is_told_at_once(answer: bytes, words: str) -> None:
    with line_to(answer) as (line, _):
        with pytest.raises(NotHttp, match=words) as caught:
            ask(line)
        assert len(caught.value.reason) < 200
        assert not line.idle()


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5000\r\n"]
)
def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    monkeypatch.setattr(http, "_LONGEST_BODY", 10_000)
    with line_to(head + b"x" * 20_480) as (line, _), pytest.raises(NotHttp, match="more than 10000 bytes"):
        ask(line)


@pytest.mark.parametrize(
    ("deadline", "silence", "error"), [(lambda: Deadline.after(0.1), 10.0, Expired), (Deadline, 0.1, Silence)]
)
def test_a_wait_ends(deadline: Callable[[], Deadline], silence: float, error: type[Exception]) -> None:
    with line_to(OK[:-1]) as (line, _):
        with pytest.raises(error):
            line.ask("POST", "/wsman", FIELDS, b"", deadline(), silence)
        assert not line.idle()
