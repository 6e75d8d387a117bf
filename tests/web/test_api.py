"""Hosts, sessions and files over HTTP: what is answered, that the description fits, and who gets nothing (attack 3)."""

from __future__ import annotations

import io
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from sshexec.connectors.terminal import Size
from sshexec.errors import LimitError, SessionOverError, TransferError
from sshexec.web.description import description
from sshexec.web.files import Files, disposition
from tests.web.site import Site, code

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def misfits(value: Any, schema: dict[str, Any], whole: dict[str, Any], where: str = "") -> list[str]:
    """Return what of a value is not as its schema says; as much of JSON Schema as our description has."""
    if "$ref" in schema:
        schema = whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    wrong = [each for part in schema.get("allOf", ()) for each in misfits(value, part, whole, where)]
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    fits = any(isinstance(value, TYPES[kind]) and (kind == "boolean") == isinstance(value, bool) for kind in kinds)
    if kinds and not fits:
        wrong.append(f"{where}: {value!r} is no {kinds}")
    if "enum" in schema and value not in schema["enum"]:
        wrong.append(f"{where}: {value!r} is none of {schema['enum']}")
    if isinstance(value, dict) and "properties" in schema:
        wrong += [f"{where}: no {name}" for name in schema["required"] if name not in value]
        if not schema.get("additionalProperties", True):
            wrong += [f"{where}: {name} is not described" for name in value if name not in schema["properties"]]
        for name, inner in schema["properties"].items():
            if name in value:
                wrong += misfits(value[name], inner, whole, f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        wrong += [each for item in value for each in misfits(item, schema["items"], whole, f"{where}[]")]
    return wrong


def fits(method: str, path: str, answer: tuple[int, Any]) -> Any:
    """Return what an answer says, if that is as described."""
    whole = description()
    responses = whole["paths"][path][method.lower()]["responses"]
    response = responses.get(str(answer[0]), responses["default"])
    content = response.get("content")
    if content is None:
        assert answer[1] == ""
    elif "application/json" in content:
        assert misfits(answer[1], content["application/json"]["schema"], whole) == []
    return answer[1]


@pytest.fixture
def site():
    """Ann may open web hosts; bob may watch them and end sessions there; carl sees them."""
    may = {
        "ann": ("hosts", "open", "upload", "download"),
        "bob": ("hosts", "watch", "terminate"),
        "carl": ("hosts",),
    }
    with Site(lambda user, action, host: action in may.get(user, ()) and host.startswith("web")) as site:
        yield site


def test_hosts_are_those_that_the_user_may_see(site):
    tree = fits("GET", "/api/hosts", site.ask("GET", "/api/hosts"))
    assert [host["name"] for host in tree["hosts"]] == ["web1", "web2"]
    assert all(host["terminal"] and host["connection"] == "fake" for host in tree["hosts"])
    assert [(group["name"], group["hosts"]) for group in tree["groups"]] == [("all", []), ("web", ["web1", "web2"])]
    assert tree["groups"][0]["children"] == ["web"]
    assert site.ask("GET", "/api/hosts", "eve")[1] == {"hosts": [], "groups": []}


def test_hosts_are_chosen_by_pattern(site, tmp_path):
    found = site.ask("GET", "/api/hosts?match=all:!web1")[1]["hosts"]
    assert [host["name"] for host in found] == ["web2"]
    assert code(site.ask("GET", "/api/hosts?match=none")) == (400, "input")
    (tmp_path / "list").write_text("web1\n")
    for pattern in (f"@{tmp_path}/list", f"web2:@{tmp_path}/list"):
        assert code(site.ask("GET", "/api/hosts", query_string={"match": pattern})) == (400, "input")


def test_a_session_from_its_token_to_its_end(site):
    token = fits("POST", "/api/sessions", site.ask("POST", "/api/sessions", json={"host": "web1"}))["token"]
    viewer = site.manager.redeem(token, size=Size(), user="ann")
    (session,) = fits("GET", "/api/sessions", site.ask("GET", "/api/sessions"))["sessions"]
    assert (session["host"], session["owner"], session["id"]) == ("web1", "ann", viewer.session.id)
    path = f"/api/sessions/{session['id']}"
    again = fits("POST", "/api/sessions/{id}/token", site.ask("POST", f"{path}/token", json={"role": "owner"}))
    second = site.manager.redeem(again["token"], size=Size(), user="ann")
    assert second.session is viewer.session
    for paused in (True, False):
        fits("POST", "/api/sessions/{id}/pause", site.ask("POST", f"{path}/pause", json={"paused": paused}))
        assert (viewer.session.info().paused == "ann") is paused
    assert site.ask("DELETE", f"{path}?reason=over%0Anow") == (204, "")
    ended = viewer.session.wait(10)
    assert ended.reason == "terminated"
    fits("DELETE", "/api/sessions/{id}", site.ask("DELETE", path))


@pytest.mark.parametrize("user", ["carl", "eve"])
def test_sessions_of_others_are_not_there(site, user):
    viewer = site.open()
    assert site.ask("GET", "/api/sessions", user)[1] == {"sessions": []}
    calls = [
        ("DELETE", "", {}),
        ("POST", "/token", {"json": {"role": "watcher"}}),
        ("POST", "/pause", {"json": {"paused": True}}),
        ("POST", "/signal", {"json": {"name": "INT"}}),
        ("POST", "/owner", {"json": {"viewer": viewer.id}}),
        ("PUT", "/files?path=/tmp/x", {"data": b"x"}),
        ("GET", "/files?path=/etc/motd", {}),
    ]
    for method, rest, request in calls:
        real, guessed = (
            site.ask(method, f"/api/sessions/{name}{rest}", user, **request) for name in (viewer.session.id, "guessed")
        )
        assert code(real) == (404, "no_session"), (method, rest)
        assert real == guessed
    assert viewer.session.state == "open"


def test_a_watcher_may_do_what_is_permitted_and_no_more(site):
    viewer = site.open()
    path = f"/api/sessions/{viewer.session.id}"
    assert site.ask("POST", f"{path}/token", "bob", json={"role": "watcher"})[0] == 201
    refused = [
        ("POST", "/token", {"json": {"role": "owner"}}),
        ("POST", "/pause", {"json": {"paused": True}}),
        ("POST", "/owner", {"json": {"viewer": viewer.id}}),
        ("PUT", "/files?path=/tmp/x", {"data": b"x"}),
        ("GET", "/files?path=/etc/motd", {}),
    ]
    for method, rest, request in refused:
        assert code(site.ask(method, f"{path}{rest}", "bob", **request)) == (403, "not_allowed"), (method, rest)
    assert site.ask("DELETE", path, "bob")[0] == 204


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("token", {"role": "root"}),
        ("token", {"role": []}),
        ("pause", {}),
        ("pause", {"paused": 1}),
        ("signal", {"name": "NOPE"}),
        ("signal", {"name": None}),
        ("owner", {}),
    ],
)
def test_wrong_values_are_refused(site, path, body):
    viewer = site.open()
    assert site.ask("POST", f"/api/sessions/{viewer.session.id}/{path}", json=body)[0] == 400


# ---------------------------------------------------------------------- files


def test_a_file_goes_there_and_back(site):
    path = f"/api/sessions/{site.open().session.id}/files"
    content = bytes(range(256)) * 5000
    answer = site.ask("PUT", f"{path}?path=/tmp/a%20%22b", data=content)
    assert fits("PUT", "/api/sessions/{id}/files", answer) == {"path": '/tmp/a "b', "size": len(content)}
    back = site.call("GET", f"{path}?path=/tmp/a%20%22b")
    assert back.get_data() == content
    assert back.mimetype == "application/octet-stream"
    assert back.headers["Content-Security-Policy"].endswith("sandbox")
    assert site.call("GET", f"{path}?path=/etc/motd").get_data() == b"hello\n"
    assert site.ask("PUT", f"{path}?path=/tmp/empty", environ_overrides={"CONTENT_LENGTH": "0"})[0] == 201
    assert site.call("GET", f"{path}?path=/tmp/empty").get_data() == b""


@pytest.mark.parametrize("query", ["", "?path=", "?path=a&path=b", "?path=%00", "?path=" + "x" * 5000, "?path=/tmp/"])
def test_a_path_is_one_text(site, query):
    path = f"/api/sessions/{site.open().session.id}/files{query}"
    assert code(site.ask("PUT", path, data=b"x")) == (400, "input")


def test_a_file_that_is_not_there(site):
    path = f"/api/sessions/{site.open().session.id}/files?path=/none"
    assert code(site.ask("GET", path)) == (404, "transfer_missing")


def test_a_file_that_is_too_large_is_refused_before_it_is_read():
    with Site(largest_file=10) as site:
        path = f"/api/sessions/{site.open().session.id}/files?path=/tmp/x"
        assert code(site.ask("PUT", path, data=b"x" * 11)) == (413, "too_large")
        assert code(site.ask("PUT", path, data=b"x", environ_overrides={"HTTP_TRANSFER_ENCODING": "chunked"})) == (
            411,
            "length",
        )
        assert site.ask("PUT", path, data=b"x" * 10)[0] == 201


CUT = {"wsgi.input_terminated": True, "CONTENT_LENGTH": "8"}


class Stalled(io.BytesIO):
    """The body of a browser that is gone, as gevent's server has it."""

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data:
            raise OSError("unexpected end of file")
        return data


@pytest.mark.parametrize("body", [io.BytesIO, Stalled])
def test_a_body_that_breaks_off_is_the_browsers_fault(site, caplog, body):
    session = site.open("web1").session.id
    for method, path, more in (
        ("PUT", f"/api/sessions/{session}/files?path=/etc/motd", {}),
        ("POST", "/api/sessions", {"content_type": "application/json"}),
    ):
        status, said = site.ask(method, path, input_stream=body(b"half"), environ_overrides=CUT, **more)
        assert status == 400
        assert said["error"]["code"] in ("cut_off", "json")
    assert caplog.text == ""
    assert site.call("GET", f"/api/sessions/{session}/files?path=/etc/motd").data == b"hello\n"


def test_a_file_has_as_many_bytes_as_were_said(site):
    session = site.open("web1").session.id
    path = f"/api/sessions/{session}/files?path=/etc/motd"
    more = {"input_stream": io.BytesIO(b"four times two"), "environ_overrides": {**CUT, "CONTENT_LENGTH": "4"}}
    assert site.ask("PUT", path, **more)[0] == 201
    assert site.call("GET", path).data == b"four"


def test_a_file_that_breaks_off_is_not_taken_for_whole(site, monkeypatch):
    def download(user, session, path, target, **more):
        target.write(b"x" * 200_000)
        raise TransferError("the disk is broken")

    monkeypatch.setattr(site.manager, "download", download)
    answer = site.call("GET", "/api/sessions/x/files?path=/x", buffered=False)
    with pytest.raises(TransferError):
        b"".join(answer.response)


def endless(site, monkeypatch):
    """Return the answer to a download without an end, and what is set once that breaks off."""
    left = threading.Event()

    def download(user, session, path, target, **more):
        try:
            while True:
                target.write(b"x" * 65536)
        except OSError:
            left.set()
            raise

    monkeypatch.setattr(site.manager, "download", download)
    return site.call("GET", "/api/sessions/x/files?path=/x", buffered=False), left


def test_a_browser_that_leaves_ends_the_transfer(site, monkeypatch):
    answer, left = endless(site, monkeypatch)
    next(iter(answer.response))
    answer.close()
    assert left.wait(10)


def test_an_answer_of_which_no_piece_is_taken_leaves_no_transfer(site, monkeypatch):
    answer, left = endless(site, monkeypatch)
    answer.close()  # as a server does
    assert left.wait(20), "it goes on until nobody is patient any more"
    assert site.call("HEAD", "/api/sessions/x/files?path=/x").status_code == 405


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/tmp/a.txt", "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt"),
        ('/x/<img src=x onerror="alert(1)">', None),
        ("/x/a\r\nSet-Cookie: a=b", None),
        ("/x/..", "attachment; filename=\"file\"; filename*=UTF-8''file"),
        ("/x/日本.txt", "attachment; filename=\"__.txt\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC.txt"),
        ("/x/\udcff", None),
    ],
)
def test_a_name_can_say_nothing_but_itself(path, shown):
    """Attack 10: a name goes into a header, and nothing that a browser would take for more."""
    header = disposition(path)
    assert shown is None or header == shown
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    assert not set(header) & set("<>\r\n")


@pytest.mark.parametrize(("error", "status"), [(LimitError("full"), 429), (SessionOverError("over"), 410)])
def test_what_the_manager_refuses_is_said(site, monkeypatch, error, status):
    def refuse(*given, **more):
        raise error

    monkeypatch.setattr(site.manager, "issue", refuse)
    answer = site.ask("POST", "/api/sessions", json={"host": "web1"})
    assert fits("POST", "/api/sessions", answer)["error"] == {"code": error.code, "text": str(error)}
    assert answer[0] == status


# ---------------------------------------------------------------------- runs and recordings, as described


def test_runs_and_recordings_answer_as_described(tmp_path):
    with Site(recordings=tmp_path / "kept", engine=True) as site:
        fits("GET", "/api/me", site.ask("GET", "/api/me"))
        fits("GET", "/api/modules", site.ask("GET", "/api/modules"))
        run = fits("POST", "/api/runs", site.ask("POST", "/api/runs", json={"pattern": "web", "module": "ping"}))
        events = site.call("GET", f"/api/runs/{run['id']}/events")
        assert events.mimetype == "text/event-stream"
        events.get_data()
        assert fits("GET", "/api/runs/{run}", site.ask("GET", f"/api/runs/{run['id']}"))["count"] == 2
        fits("DELETE", "/api/runs/{run}", site.ask("DELETE", f"/api/runs/{run['id']}"))
        assert fits("GET", "/api/runs", site.ask("GET", "/api/runs"))["runs"]
        fits("GET", "/api/runs/hosts", site.ask("GET", "/api/runs/hosts?pattern=web"))
        viewer = site.open()
        site.manager.terminate("ann", viewer.session.id)
        assert viewer.session.wait(10)
        (kept,) = fits("GET", "/api/recordings", site.ask("GET", "/api/recordings"))["recordings"]
        path = f"/api/recordings/{kept['name']}"
        fits("GET", "/api/recordings/{name}/commands", site.ask("GET", f"{path}/commands"))
        assert site.call("GET", path, buffered=True).mimetype == "application/x-asciicast"
        assert site.ask("GET", "/api/recordings/..%2F..%2Fetc%2Fpasswd")[0] == 404


def test_a_browser_that_comes_back_to_a_download_too_late_is_told(site: Site, monkeypatch: pytest.MonkeyPatch):
    fetching: list[threading.Thread] = []

    def endless(user: str, session_id: str, path: str, target: Any) -> None:
        fetching.append(threading.current_thread())
        while True:
            target.write(b"x" * 65536)

    monkeypatch.setattr("sshexec.web.files._PATIENCE", 0.2)
    monkeypatch.setattr("sshexec.web.files._LOOK", 0.1)
    monkeypatch.setattr(site.manager, "download", endless)
    call = SimpleNamespace(user="ann", arguments={"id": "x"}, text=lambda name: "/tmp/x")
    pieces = Files(site.manager)._download(call).response
    assert next(pieces) == b"x" * 65536
    fetching[0].join(20)
    assert not fetching[0].is_alive()
    with pytest.raises(OSError, match=r"takes the file no more|took too long"):
        list(pieces)
