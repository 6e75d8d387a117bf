"""The server: TLS, requests that come slowly or not at all, answers that break off, its end."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PATIENT = (60.0, 60.0)
"""Seconds for the head of a request, and until one comes."""

SERVING = """
from gevent import monkey
monkey.patch_all()
import sys, threading
from sshexec.web import server
server.REQUEST_TIME, server.KEEP_TIME = eval(sys.argv[2])

def application(environ, start_response):
    if environ["PATH_INFO"] == "/breaks":
        start_response("200 OK", [])
        def pieces():
            yield b"x" * 1000
            raise RuntimeError("canary")
        return pieces()
    if environ["PATH_INFO"] == "/stands":
        threading.Event().wait()
    if environ["PATH_INFO"] == "/fails":
        raise RuntimeError("canary")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]

served = server.Server("127.0.0.1", 0, **eval(sys.argv[1]), told=lambda line: print(line, flush=True))
served.start(application)
print(served.address, flush=True)
from gevent.fileobject import FileObject
FileObject(sys.stdin.buffer).read()
served.stop(0.2)
print("stopped", flush=True)
"""


class Running:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.port = int(process.stdout.readline().rpartition(":")[2])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 60)

    def ask(self, request: bytes, sock: socket.socket | None = None) -> bytes:
        """Send a request and return all that comes until the connection ends."""
        answer = b""
        with contextlib.closing(sock or self.connect()) as there:
            there.sendall(request)
            with contextlib.suppress(ConnectionResetError):
                while piece := there.recv(65536):
                    answer += piece
        return answer

    def line(self) -> str:
        return self.process.stdout.readline()

    def end(self) -> str:
        return self.process.communicate(timeout=60)[0]


@contextlib.contextmanager
def serving(times=PATIENT, **options):
    process = subprocess.Popen(
        [sys.executable, "-c", SERVING, repr(options), repr(times)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with process:
        try:
            yield Running(process)
        finally:
            process.kill()


GET = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


def test_a_line_for_each_request_without_its_query(server):
    assert server.ask(GET % b"/x?token=canary").endswith(b"ok")
    line = server.line()
    assert line.startswith("127.0.0.1 - GET /x 200 ")
    assert "canary" not in line


def test_what_would_draw_on_a_terminal_is_not_printed(server):
    server.ask(GET % b"/\x1b[2J\xff")
    assert server.line().strip().isprintable()
    server.ask(b"GET /\x1b[31m HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert "\x1b" not in server.line()


@pytest.fixture(scope="module")
def impatient():
    with serving((0.5, 1.0)) as running:
        yield running


@pytest.mark.parametrize("start", [b"", b"GE", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nA: "])
def test_who_sends_slowly_is_not_waited_for(impatient, start):
    assert impatient.ask(start) == b"" or start.startswith(b"GET ")


def test_what_is_no_request_is_refused(server):
    assert server.ask(b"\x16\x03\x01\x02\x00\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert server.ask(b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 414")


AMBIGUOUS = (
    b"Content-Length: +2\r\n",
    b"Content-Length: 0_2\r\n",
    b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    b"Content-Length: 4\r\nContent-Length: 5\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    b"".join(b"X-%d: x\r\n" % number for number in range(200)),
    b"X: " + b"x" * 70000 + b"\r\n",
)


def test_headers_that_a_proxy_may_read_otherwise_or_that_are_too_many_are_refused():
    with serving() as server:
        for headers in AMBIGUOUS:
            answer = server.ask(b"POST / HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n0\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 400 "), headers
            assert answer.count(b"HTTP/1.1") == 1
        _, said = server.process.communicate(timeout=20)
        assert "Traceback" not in said


def test_an_answer_that_breaks_off_is_not_whole(server):
    answer = server.ask(GET % b"/breaks")
    assert b"x" * 1000 in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert b"canary" not in answer


def test_an_error_is_not_shown(server):
    answer = server.ask(GET % b"/fails")
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"canary" not in answer


def test_it_ends_though_a_request_does_not():
    with serving() as running:
        there = running.connect()
        there.sendall(GET % b"/stands")
        thread = threading.Thread(target=running.ask, args=(GET % b"/",))
        thread.start()
        thread.join(60)
        assert "stopped" in running.end()
        there.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def test_under_tls(certificate):
    with serving(certificate=f"{certificate}/cert.pem", key=f"{certificate}/key.pem") as running:
        context = ssl.create_default_context(cafile=f"{certificate}/cert.pem")
        assert not running.ask(GET % b"/").startswith(b"HTTP/1.1 200")
        secured = context.wrap_socket(running.connect(), server_hostname="127.0.0.1")
        assert secured.version() in ("TLSv1.2", "TLSv1.3")
        assert running.ask(GET % b"/", secured).endswith(b"ok")


def test_who_begins_no_tls_is_not_waited_for(certificate):
    with serving((0.5, 1.0), certificate=f"{certificate}/cert.pem", key=f"{certificate}/key.pem") as running:
        assert running.ask(b"") == b""


def test_a_certificate_that_is_none(tmp_path):
    from sshexec.errors import InputError
    from sshexec.web.server import Server

    (tmp_path / "cert.pem").write_text("canary")
    for name in ("cert.pem", "none.pem"):
        with pytest.raises(InputError, match="certificate") as caught:
            Server(certificate=str(tmp_path / name))
        assert "canary" not in str(caught.value)


def test_an_address_that_is_taken(server):
    from sshexec.errors import InputError
    from sshexec.web.server import Server

    with pytest.raises(InputError, match="can't listen"):
        Server("127.0.0.1", server.port)
