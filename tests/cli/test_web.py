"""`sshexec web`: what it refuses, its links, its end, and what it prints."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from http.cookiejar import CookieJar

import click
import pytest

from sshexec.cli.main import cli
from sshexec.errors import InputError
from tests.cli.command import environment, sshexec

LINK = re.compile(r"(https?://\S+)/#token=(\S+)")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--bind", "0.0.0.0:8022"], "--tls-cert"),
        (["--bind", "192.0.2.1:8022"], "--tls-cert"),
        (["--bind", "[::]:8022"], "--tls-cert"),
        (["--bind", "0.0.0.0:8022", "--insecure"], "--origin"),
        (["--bind", "here"], "such as 127.0.0.1:8022"),
        (["--bind", "127.0.0.1:99999"], "such as 127.0.0.1:8022"),
        (["--tls-key", "key.pem"], "--tls-cert"),
        (["--bind", "127.0.0.1:0", "--tls-cert", "none.pem"], "none.pem can't be used: No such file"),
        (["--bind", "127.0.0.1:0", "--origin", "ops.example.org"], "https://ops.example.org"),
        (["--bind", "127.0.0.1:0", "--trusted-proxy", "x"], "trusted_proxies"),
        (["--bind", "127.0.0.1:0", "-e", "5"], "-e"),
        (["--bind", "127.0.0.1:0", "--record-input"], "--record-input goes with --record"),
        (["--bind", "127.0.0.1:0", "--record-format", "3"], "--record-format goes with --record"),
    ],
)
def test_what_is_wrong_is_said(options, said):
    with pytest.raises((InputError, click.UsageError)) as caught:
        cli.main(["web", "-i", "web1,", "--no-history", *options], standalone_mode=False)
    message = caught.value.format_message() if isinstance(caught.value, click.UsageError) else str(caught.value)
    assert said in message
    assert "\n" not in message


def test_a_limit_of_recordings_that_holds_nothing_is_refused(tmp_path):
    options = ["--bind", "127.0.0.1:0", "--record", str(tmp_path / "r"), "--record-limit", "1k"]
    with pytest.raises(InputError, match=r"^--record-limit: expected 65536 bytes or more, got 1024\Z"):
        cli.main(["web", "-i", "web1,", "--no-history", *options], standalone_mode=False)
    assert not (tmp_path / "r").exists()


def test_it_is_said_in_one_line():
    done = sshexec("web", "-i", "web1,", "--no-history", "--bind", "0.0.0.0:8022")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.count("\n") == 1


class Web:
    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "sshexec", "web", "--bind", "127.0.0.1:0", "--no-history", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment())
        self.printed: list[str] = []
        self.browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        self.base, self.token = self.link()

    def link(self) -> tuple[str, str]:
        for line in self.process.stderr:
            self.printed.append(line)
            if found := LINK.search(line):
                return found[1], found[2]
        raise AssertionError(f"no link: {''.join(self.printed)}")

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, object]:
        headers = {"Origin": self.base, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        try:
            with self.browser.open(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        self.printed += self.process.stderr.readlines()
        self.process.stderr.close()
        return self.process.wait(20)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_link_signs_in_once_and_another_one_is_printed(number):
    web = Web("-i", "web1,", "-e", "ansible_connection=fake", "-e", "ansible_password=canary")
    try:
        assert web.ask("GET", "/api/hosts")[0] == 401
        assert web.ask("POST", "/api/signin", {"token": web.token})[0] == 200
        assert web.ask("GET", "/api/hosts")[1]["hosts"][0]["name"] == "web1"
        second = web.link()[1]
        assert second != web.token
        assert web.ask("POST", "/api/signin", {"token": web.token})[0] == 401
        status, answer = web.ask("POST", "/api/sessions", {"host": "web1"})
        assert status == 201
    finally:
        code = web.end(number)
    assert code == 0
    printed = "".join(web.printed)
    assert printed.count(web.token) == printed.count(second) == 1
    assert answer["token"] not in printed
    assert "canary" not in printed
    assert "Traceback" not in printed
    assert " POST /api/signin 200 " in printed


def test_nobody_runs_or_sends_anything_where_it_is_read_only():
    web = Web("-i", "web1,", "-e", "ansible_connection=fake", "--read-only", "-q")
    try:
        assert web.ask("POST", "/api/signin", {"token": web.token})[0] == 200
        assert web.ask("GET", "/api/me")[1]["read_only"] is True
        assert web.ask("POST", "/api/runs", {"pattern": "all", "module": "ping"})[0] in (400, 403)
    finally:
        assert web.end(signal.SIGTERM) == 0
    assert " GET " not in "".join(web.printed)
