"""The examples for Flask, Django and FastAPI, each on a server of its own: what the documentation shows runs."""

from __future__ import annotations

import contextlib
import http.cookiejar
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.testbed import Sshd
from tests.web.talk import Talk, knock

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples" / "web"
APPS = {
    "flask_app": ([], "/terminals/terminal", "/terminals/api/sessions", "user={user}"),
    "django_app": (["-m", "gevent.monkey"], "/terminal", "/tokens/h001", "user={user}"),
    "fastapi_app": ([], "/terminal", "/tokens/h001", "?user={user}"),
}


class Visitor:
    """A browser at an example's application."""

    def __init__(self, port: int, name: str) -> None:
        self.port = port
        self.origin = f"http://127.0.0.1:{port}"
        _, self.socket, self.tokens, self.form = APPS[name]
        self._jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))

    def post(self, path: str, data: bytes = b"", kind: str = "application/x-www-form-urlencoded") -> bytes:
        headers = {"Origin": self.origin, "Content-Type": kind}
        request = urllib.request.Request(self.origin + path, data, headers, method="POST")
        with self._opener.open(request, timeout=60) as answer:
            return answer.read()

    def sign_in(self, user: str) -> None:
        form = self.form.format(user=user)
        self.post("/login" + (form if form.startswith("?") else ""), b"" if form.startswith("?") else form.encode())

    def token(self) -> str:
        return json.loads(self.post(self.tokens, b'{"host": "h001"}', "application/json"))["token"]

    @property
    def cookie(self) -> str:
        return "; ".join(f"{each.name}={each.value}" for each in self._jar)

    def talk(self, token: str) -> Talk:
        connecting = {"origin": self.origin, "suppress_origin": False, "cookie": self.cookie}
        return Talk(self.origin.replace("http", "ws") + self.socket, token, connecting=connecting)


def start(command: list[str], folder: Path) -> tuple[subprocess.Popen[bytes], int] | None:
    """Start an application; return it with its port, or None where it ended at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "PORT": str(port), "PYTHONWARNINGS": "ignore"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    deadline = time.monotonic() + 120
    while process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return process, port
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
        time.sleep(0.05)
    return None


@pytest.fixture(scope="module", params=list(APPS))
def visitor(request: pytest.FixtureRequest, sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """Somebody who visits an application."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": sshd.hosts(1)}}))
    command = [sys.executable, *APPS[request.param][0], str(EXAMPLES / f"{request.param}.py")]
    # The port that is free now may be another's a moment later.
    started = next(filter(None, (start(command, folder) for _ in range(3))), None)
    assert started is not None, (folder / "log").read_text()
    process, port = started
    try:
        yield Visitor(port, request.param)
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()
    assert "Traceback" not in (folder / "log").read_text()


def test_a_user_of_the_application_has_a_terminal(visitor):
    visitor.sign_in("anna")
    with visitor.talk(visitor.token()) as talk:
        assert talk.until("ready")["user"] == "anna"
        talk.until("opened")
        talk.type("echo a-$((40+2))\r")
        talk.shows("a-42")
        talk.type("seq 1 200000; echo fl''ood\r")
        talk.shows("flood")
        talk.say("close")
        assert talk.end() == (4004, "terminated")


def test_others_have_none(visitor):
    visitor.sign_in("eve")
    with pytest.raises(urllib.error.HTTPError) as refused:
        visitor.token()
    assert refused.value.code == 403
    refused.value.close()
    with visitor.talk("no such token") as talk:
        assert talk.end()[0] == 4001
    visitor.sign_in("anna")
    token = visitor.token()
    visitor.sign_in("eve")
    with visitor.talk(token) as talk:
        assert talk.end()[0] == 4001


def test_pages_of_others_have_none(visitor):
    visitor.sign_in("anna")
    for origin, expected in ((visitor.origin, 101), ("https://evil.example", 403), ("null", 403), (None, 403)):
        headers = {"Host": visitor.origin.removeprefix("http://"), "Cookie": visitor.cookie, "Origin": origin}
        assert knock(visitor.port, visitor.socket, headers) == expected


@pytest.mark.parametrize("name", list(APPS))
def test_the_documentation_shows_the_example(name):
    shown = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/web-embedding.md").read_text(), re.M | re.S)
    assert (EXAMPLES / f"{name}.py").read_text() in shown
