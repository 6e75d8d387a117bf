"""The page's view of recordings, in a browser: found, played, gone to, and nothing in them comes alive."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from sshexec.inventory.members import Host
from sshexec.inventory.model import Inventory
from sshexec.terminal.recordings import Recordings
from sshexec.terminal.sessions import TerminalManager
from sshexec.web.application import WebTerminal
from tests.terminal.test_recordings import record

EVIL = "echo '<img src=x onerror=document.title=1>'"


class _Application:
    """Made once the port is known."""

    application: Any = None

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.application(environ, start_response)


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    recordings = Recordings(tmp_path / "r")
    record(recordings, "db1", "uptime", started=1e9)
    record(recordings, "<b>web1</b>", "systemctl restart nginx", EVIL)
    manager = TerminalManager(
        Inventory.from_hosts([Host("db1", {})]), permit=lambda user, action, host: True, recordings=recordings
    )
    outer = _Application()
    server = make_server("127.0.0.1", 0, outer, threaded=True)
    address = f"http://127.0.0.1:{server.server_port}"
    outer.application = WebTerminal(manager, authenticate=lambda environ: "ann", origins=[address])
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(60000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{address}/#/recordings")
    yield page
    context.close()
    server.shutdown()
    thread.join(20)
    server.server_close()
    assert complaints == []


def test_one_is_found_and_played(page):
    page.wait_for_selector("[data-recording]")
    assert page.locator("[data-recording]").count() == 2
    page.get_by_label("Search recordings").fill("RESTART")
    page.wait_for_selector(".recordings-found")
    assert page.locator("[data-recording]").count() == 1
    page.get_by_role("link", name="<b>web1</b>").click()
    page.wait_for_selector(".player-place .ap-player")
    assert page.locator(".player-hit").inner_text().endswith("systemctl restart nginx")
    page.get_by_label("Speed").select_option("16")
    page.get_by_role("button", name=EVIL).click()
    page.locator(".ap-player").wait_for()
    page.wait_for_function("document.querySelector('.ap-timer')?.textContent.length > 0")
    assert page.evaluate("document.querySelectorAll('#view-recordings img, #view-recordings b').length") == 0
    assert page.title() == "Recording of <b>web1</b> · sshexec"
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename.endswith(".cast")
    page.get_by_label("All recordings").click()
    page.wait_for_selector("[data-recording]")
    assert page.locator(".ap-player").count() == 0


def test_pauses_are_shortened_and_moments_found_again(page):
    page.wait_for_selector("[data-recording]")
    found = page.evaluate(
        """async () => {
          const { shortened } = await import("./recordings/cast.js");
          const lines = ['{"version":2}', '[1.0,"o","a"]', '[101.0,"o","[9.0"]', '[102.5,"o","b"]', ''];
          const two = shortened(lines.join("\\n"), 2);
          const relative = ['{"version":3}', '[1.0,"o","a"]', '[100.0,"o","[9.0"]', '[1.5,"o","b"]', ''];
          const three = shortened(relative.join("\\n"), 2);
          const moments = [two.at(101), two.at(50), two.original(3), two.at(999), three.at(101)];
          return [two.text, two.duration, three.text, ...moments];
        }"""
    )
    text = '{"version":2}\n[1.000000,"o","a"]\n[3.000000,"o","[9.0"]\n[4.500000,"o","b"]\n'
    relative = '{"version":3}\n[1.000000,"o","a"]\n[2.000000,"o","[9.0"]\n[1.500000,"o","b"]\n'
    assert found == [text, 4.5, relative, 3, 3, 101, 4.5, 3]
