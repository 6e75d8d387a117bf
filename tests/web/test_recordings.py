"""Recordings over the web: only to those who may replay; attacks 3, 4 and 10."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from werkzeug.test import Client

from sshexec.inventory.members import Host
from sshexec.inventory.model import Inventory
from sshexec.terminal.auditing import TerminalEvent
from sshexec.terminal.recordings import Recordings
from sshexec.terminal.sessions import TerminalManager
from sshexec.web.application import WebTerminal
from tests.terminal.test_recordings import NAMES, record


class Site:
    """A web terminal whose user may replay what was on web1, and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.user: str | None = "ann"
        self.told: list[TerminalEvent] = []
        self.recordings = Recordings(folder / "r")
        manager = TerminalManager(
            Inventory.from_hosts([Host("web1", {}), Host("web2", {})]),
            permit=lambda user, action, host: (user, action, host) == ("ann", "replay", "web1"),
            recordings=self.recordings,
            audit=self.told.append,
        )
        application = WebTerminal(manager, authenticate=lambda environ: self.user, origins=["http://localhost"])
        self.client = Client(application)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_one_sees_those_that_one_may_replay(site):
    name = record(site.recordings, "web1", "uptime", "ls <img onerror=x>")
    hidden = record(site.recordings, "web2", "uptime")
    listed = site.client.get("/api/recordings").json
    assert [each["name"] for each in listed["recordings"]] == [name]
    assert listed["recordings"][0]["commands"] == []
    answer = site.client.get(f"/api/recordings/{name}/commands")
    assert [each["text"] for each in answer.json["commands"]] == ["uptime", "ls <img onerror=x>"]
    assert answer.mimetype == "application/json"
    for path in (f"/api/recordings/{hidden}", f"/api/recordings/{hidden}/commands"):
        refused = site.client.get(path)
        missing = site.client.get(path.replace(hidden, hidden[:-1] + ("0" if hidden[-1] != "0" else "1")))
        assert (refused.status_code, refused.data) == (404, missing.data)


def test_one_finds_them_by_what_was_typed_and_where(site):
    name = record(site.recordings, "web1", "systemctl restart nginx", "ls")
    record(site.recordings, "web2", "systemctl restart nginx")

    def found(text: str) -> list[tuple[str, list[str]]]:
        listed = site.client.get("/api/recordings", query_string={"search": text}).json["recordings"]
        return [(each["name"], [command["text"] for command in each["commands"]]) for each in listed]

    assert found("RESTART") == [(name, ["systemctl restart nginx"])]
    assert found("web1") == [(name, [])]
    assert found("nothing") == found("web2") == []


def test_a_recording_is_a_file_to_keep_and_whole_lines_only(site):
    name = record(site.recordings, "web1", "uptime")
    file = Path(site.recordings.folder, f"{name}.cast")
    kept = file.read_bytes()
    with file.open("ab") as more:
        more.write(b'[9.9,"o","half')
    answer = site.client.get(f"/api/recordings/{name}")
    assert answer.data == kept
    answer.close()
    assert int(answer.headers["Content-Length"]) == len(kept)
    assert answer.headers["Content-Disposition"].startswith(f'attachment; filename="{name}.cast"')
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert json.loads(answer.data.splitlines()[0])["version"] == 2


@pytest.mark.parametrize("name", [each for each in NAMES if isinstance(each, str) and each])
def test_no_name_leads_anywhere_else(site, name):
    from urllib.parse import quote

    (Path(site.recordings.folder) / "x.cast").write_text("{}")
    for path in (f"/api/recordings/{quote(name, safe='')}", f"/api/recordings/{quote(name, safe='')}/commands"):
        answer = site.client.get(path)
        assert answer.status_code == 404
        assert "error" in answer.json


def test_who_is_not_signed_in_learns_nothing(site):
    name = record(site.recordings, "web1")
    site.user = None
    for path in ("", f"/{name}", f"/{name}/commands"):
        assert site.client.get(f"/api/recordings{path}").status_code == 401
    site.user = "bob"
    assert site.client.get("/api/recordings").json == {"recordings": [], "more": False}
    assert site.client.get(f"/api/recordings/{name}").status_code == 404


def test_an_auditor_learns_who_looked_at_what(site):
    name = record(site.recordings, "web1", "uptime")
    hidden = record(site.recordings, "web2")
    site.client.get("/api/recordings")
    assert site.told == []
    for path in (f"{name}", f"{name}/commands", hidden, "made-up"):
        site.client.get(f"/api/recordings/{path}").close()
    assert [(event.event, event.user, event.host, event.recording, event.action) for event in site.told] == [
        ("terminal_replayed", "ann", "web1", name, None),
        ("terminal_replayed", "ann", "web1", name, None),
        ("terminal_refused", "ann", "web2", None, "replay"),
        ("terminal_refused", "ann", None, None, "replay"),
    ]
    assert site.told[0].session is not None
