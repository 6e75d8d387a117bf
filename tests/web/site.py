"""The web terminal's application without a server, on hosts that are scripted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from werkzeug.test import Client

from sshexec import Engine, Host, Inventory
from sshexec.connectors.terminal import Size
from sshexec.terminal.events import Opened
from sshexec.terminal.recordings import Recordings
from sshexec.terminal.sessions import TerminalManager
from sshexec.terminal.viewer import Viewer
from sshexec.web.application import WebTerminal

ORIGIN = "https://ops.example.org"


def everything(user: str, action: str, host: str) -> bool:
    return True


class Site:
    """The application, and whoever calls it: who that is stands in a header that only this test believes."""

    def __init__(
        self,
        permit: Callable[[str, Any, str], bool] | None = everything,
        *,
        recordings: Path | None = None,
        engine: bool = False,
        **options: Any,
    ) -> None:
        fake = {"ansible_connection": "fake", "fake_files": {"/etc/motd": "hello\n"}}
        hosts = [Host("web1", fake), Host("web2", fake), Host("db1", {**fake, "ansible_host": "10.0.0.9"})]
        self.inventory = Inventory.from_hosts(hosts, {"web": ["web1", "web2"], "db": ["db1"]})
        kept = None if recordings is None else Recordings(recordings)
        self.manager = TerminalManager(self.inventory, permit=permit, recordings=kept)
        self.engine = Engine(self.inventory) if engine else None
        options.setdefault("authenticate", lambda environ: environ.get("HTTP_X_USER"))
        options.setdefault("origins", [ORIGIN])
        self.application = WebTerminal(self.manager, engine=self.engine, **options)

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *error: object) -> None:
        self.application.close()
        if self.engine is not None:
            self.engine.close()
        self.manager.close()

    def call(self, method: str, path: str, user: str | None = "ann", **request: Any) -> Any:
        """Return the answer to a call from our page."""
        headers = {"Origin": ORIGIN, **request.pop("headers", {})}
        if user is not None:
            headers["X-User"] = user
        headers = {name: value for name, value in headers.items() if value is not None}
        return Client(self.application, use_cookies=False).open(
            path, method=method, base_url=ORIGIN, headers=headers, **request
        )

    def ask(self, method: str, path: str, user: str | None = "ann", **request: Any) -> tuple[int, Any]:
        """Return the status of an answer, and what it says."""
        answer = self.call(method, path, user, **request)
        text = answer.get_data(as_text=True)
        return answer.status_code, json.loads(text) if answer.mimetype == "application/json" else text

    def open(self, host: str = "web1", user: str = "ann") -> Viewer:
        """Open a session and wait until it is."""
        viewer = self.manager.redeem(self.manager.issue(user, host), size=Size())
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if isinstance(viewer.read(1), Opened):
                return viewer
        raise AssertionError("it does not open")


def code(answer: tuple[int, Any]) -> tuple[int, str]:
    """Return the status of an answer that is an error, and the word for it."""
    return answer[0], answer[1]["error"]["code"]
