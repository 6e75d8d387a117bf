"""A running `sshexec web` on the testbed's hosts, and a real browser in front of it."""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.testbed import Sshd, keygen, lacking

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LINK = re.compile(r"(https?://\S+/)#token=(\S+)")
START_TIME = 120.0
STOP_TIME = 60.0
"""Seconds for the end of a server: a disk that many write to may hold its history up for long."""


@pytest.fixture(scope="session")
def sshd(shells_sshd: Sshd) -> Sshd:
    """The server whose login shells read no profile."""
    return shells_sshd


class Web:
    """One `sshexec web`.

    Args:
        folder: where its inventory, recordings and history are.
        hosts: name -> variables; those that are alike but for a number are a group.
        options: more of the command line.
        environment: more variables of it.
    """

    def __init__(
        self, folder: Path, hosts: dict[str, dict[str, Any]], *options: str, environment: dict[str, str] | None = None
    ) -> None:
        groups: dict[str, dict[str, Any]] = {}
        for name in hosts:
            if group := name.rstrip("0123456789").removesuffix(name):
                groups.setdefault(group, {"hosts": {}})["hosts"][name] = None
        self.folder = folder
        self.inventory = folder / "hosts.json"
        self.inventory.write_text(json.dumps({"all": {"hosts": hosts, "children": groups}}))
        self.recordings = folder / "recordings"
        command = [sys.executable, "-m", "sshexec", "web", "-i", str(self.inventory), "--bind", "127.0.0.1:0"]
        command += ["--record", str(self.recordings), "--history", f"sqlite:///{folder}/runs.db", *options]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self.lines: list[str] = []
        self._links: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._first = self._link()
        self.url = LINK.match(self._first)[1]  # type: ignore[index]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if found := LINK.search(line):
                self._links.put(found[0])

    def _link(self) -> str:
        try:
            return self._links.get(timeout=START_TIME)
        except queue.Empty:
            raise RuntimeError(f"no link was printed: {''.join(self.lines)}") from None

    def link(self) -> str:
        """Return an address that signs a browser in; each is good once, and the next one is printed after that."""
        if self._first:
            first, self._first = self._first, ""
            return first
        return self._link()

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_TIME)
        finally:
            self.process.kill()
            self._reader.join(10)
            assert self.process.stderr is not None
            self.process.stderr.close()


@pytest.fixture(scope="module")
def web(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """`sshexec web` with 24 hosts in three groups, one whose key is not known, and one that asks for a passphrase."""
    variables = list(sshd.hosts(24).values())
    names = [*(f"web{n}" for n in range(1, 13)), *(f"db{n}" for n in range(1, 7)), *(f"cache{n}" for n in range(1, 7))]
    hosts = dict(zip(names, variables, strict=True))
    folder = tmp_path_factory.mktemp("web")
    stranger = f"-o UserKnownHostsFile={folder}/known_hosts"
    hosts["stranger"] = sshd.variables(ansible_host="127.0.9.9", ansible_ssh_common_args=stranger)
    locked = keygen(folder / "locked", "-t", "ed25519", "-N", "open sesame")
    with sshd.authorized_keys.open("a") as file:
        file.write(locked.with_suffix(".pub").read_text())
    hosts["locked"] = sshd.variables(ansible_host="127.0.9.8", ansible_private_key_file=str(locked))
    server = Web(folder, hosts, "--ask-host-keys")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, driven by Playwright, whose event loop runs on this thread until it ends: other files' tests want none.

    That is so since its synchronous interface switches between greenlets.
    """
    if CHROMIUM is None:
        lacking("chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        # As root it has no sandbox of its own; GPUs are not what is tested.
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


class Visitor:
    """A person at the page: one browser profile, signed in, whose console must stay empty."""

    def __init__(self, browser: Any, web: Web, **options: Any) -> None:
        options.setdefault("viewport", {"width": 1280, "height": 800})
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(60000)
        self.complaints: list[str] = []
        self.web = web
        self.page = self.visit(web.link())

    def visit(self, address: str) -> Any:
        """Open a page."""
        page = self.context.new_page()
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(address)
        page.wait_for_selector(".rail")
        return page

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")

    def forgive(self, status: str) -> None:
        """Forget what the browser itself says of answers with a status that the test has caused."""
        self.complaints = [each for each in self.complaints if f"with a status of {status}" not in each]

    def leave(self) -> None:
        """Close the profile; fails where anything was complained about."""
        self.context.close()
        assert self.complaints == []


@pytest.fixture(scope="module")
def person(browser: Any, web: Web) -> Iterator[Visitor]:
    """Somebody who is signed in for all tests of a module."""
    person = Visitor(browser, web)
    yield person
    person.context.close()


@pytest.fixture
def visitor(person: Visitor) -> Iterator[Visitor]:
    """That person with a new page, about which nothing may be complained."""
    person.page.close()
    person.complaints.clear()
    person.page = person.visit(person.web.url)
    yield person
    person.page.close()
    assert person.complaints == []
