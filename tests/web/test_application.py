"""Who is let in, from where, and what every answer says to browsers."""

from __future__ import annotations

import json
import logging
import re

import pytest
from werkzeug.test import Client

from sshexec.errors import ArgumentError
from sshexec.web.application import WebTerminal
from sshexec.web.description import description
from sshexec.web.pages import FOLDER
from tests.web.site import ORIGIN, Site, code

FILLED = {"id": "abc", "name": "abc", "run": "abc"}


def filled(rule: str) -> str:
    return re.sub(r"<(\w+)>", lambda part: FILLED[part[1]], rule)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(recordings=tmp_path_factory.mktemp("site") / "kept", engine=True) as site:
        yield site


# ---------------------------------------------------------------------- deny by default


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    """A site where nobody permits anything."""
    with Site(None, recordings=tmp_path_factory.mktemp("closed") / "kept", engine=True) as site:
        yield site


def test_who_is_not_signed_in_gets_nowhere(site):
    open_to_all = {("GET", "/api/openapi.json")}
    for method, rule in site.application.routes.known - open_to_all:
        assert code(site.ask(method, filled(rule), None, json={})) == (401, "signed_out"), (method, rule)


def test_a_page_is_told_whether_it_is_where_one_signs_in(site):
    assert site.ask("GET", "/api/me", None)[1]["error"]["sign_in"] is False
    with Site(authenticate=None) as own:
        assert own.ask("GET", "/api/me", None)[1]["error"]["sign_in"] is True


@pytest.mark.parametrize("name", [None, "", 5, b"ann", True])
def test_only_a_name_is_somebody(name):
    with Site(authenticate=lambda environ: name) as site:
        assert code(site.ask("GET", "/api/me")) == (401, "signed_out")


def test_a_sign_in_that_fails_lets_nobody_in(caplog):
    def broken(environ):
        raise RuntimeError("the directory is down")

    with Site(authenticate=broken) as site, caplog.at_level(logging.ERROR):
        assert code(site.ask("GET", "/api/me")) == (401, "signed_out")


PERMITTED = [
    ("POST", "/api/sessions", {"json": {"host": "web1"}}),
    ("POST", "/api/runs", {"json": {"pattern": "all", "module": "ping"}}),
]


@pytest.mark.parametrize(("method", "path", "request_"), PERMITTED)
def test_what_nobody_permits_is_refused(closed, method, path, request_):
    assert closed.ask(method, path, **request_)[0] in (400, 403)
    assert closed.ask("GET", "/api/sessions")[1] == {"sessions": []}


def test_what_nobody_permits_is_not_shown(closed):
    assert closed.ask("GET", "/api/hosts")[1] == {"hosts": [], "groups": []}
    assert closed.ask("GET", "/api/recordings")[1]["recordings"] == []
    assert closed.ask("GET", "/api/runs")[1] == {"runs": [], "next": None}


def test_a_host_that_is_not_there_and_one_that_is_forbidden_look_the_same(closed):
    forbidden, missing = (closed.ask("POST", "/api/sessions", json={"host": host}) for host in ("web1", "none"))
    assert forbidden[0] == missing[0] == 403
    assert forbidden[1]["error"]["text"].replace("web1", "none") == missing[1]["error"]["text"]


# ---------------------------------------------------------------------- where from (attacks 1 and 14)

STRANGE = [
    "https://evil.example",
    "null",
    "http://ops.example.org",
    "https://ops.example.org:8443",
    "https://ops.example.org.evil.example",
    "https://evil.ops.example.org",
    "",
]


@pytest.mark.parametrize("origin", STRANGE)
def test_pages_of_other_sites_change_nothing(site, origin):
    answer = site.ask("POST", "/api/sessions", json={"host": "web1"}, headers={"Origin": origin})
    assert code(answer) == (403, "origin")


def test_a_cookie_without_an_origin_changes_nothing(site):
    request = {"json": {"host": "web1"}, "headers": {"Origin": None, "Cookie": "a=b"}}
    assert code(site.ask("POST", "/api/sessions", **request)) == (403, "origin")
    request["headers"].pop("Cookie")
    assert site.ask("POST", "/api/sessions", **request)[0] == 201


@pytest.mark.parametrize("host", ["evil.example", "ops.example.org:8443", "127.0.0.1", "ops.example.org.evil.example"])
@pytest.mark.parametrize("path", ["/", "/api/me", "/terminal"])
def test_a_name_that_is_not_ours_is_not_answered_to(site, host, path):
    answer = site.call("GET", path, headers={"Host": host})
    assert answer.status_code == 421
    assert host not in answer.get_data(as_text=True)


def test_forms_of_other_sites_are_not_json(site):
    answer = site.ask("POST", "/api/sessions", data='{"host": "web1"}', content_type="text/plain")
    assert code(answer) == (415, "media_type")


def test_what_proxies_say_counts_where_they_are_trusted():
    seen = []

    def who(environ):
        seen.append(environ["sshexec.address"])
        return "ann"

    def address(remote, said, **options):
        with Site(authenticate=who, **options) as site:
            site.call("GET", "/api/me", headers={"X-Forwarded-For": said}, environ_base={"REMOTE_ADDR": remote})
        return seen[-1]

    assert address("192.0.2.1", "10.9.9.9") == "192.0.2.1"
    trusting = {"trusted_proxies": ["10.0.0.0/8", "::1"]}
    assert address("192.0.2.1", "10.9.9.9", **trusting) == "192.0.2.1"
    assert address("10.0.0.1", "6.6.6.6, 192.0.2.7", **trusting) == "192.0.2.7"
    assert address("10.0.0.1", "6.6.6.6, 192.0.2.7, 10.0.0.2", **trusting) == "192.0.2.7"
    assert address("10.0.0.1", "6.6.6.6, nonsense", **trusting) == "10.0.0.1"
    assert address("::ffff:10.0.0.1", "192.0.2.7", **trusting) == "192.0.2.7"
    assert address("::1", "", **trusting) == "::1"


def test_a_user_that_a_proxy_names_is_nobody(site):
    headers = {"X-Forwarded-User": "root", "Remote-User": "root", "X-Forwarded-Host": "evil.example"}
    assert code(site.ask("GET", "/api/me", None, headers=headers)) == (401, "signed_out")


@pytest.mark.parametrize(
    "options",
    [
        {"origins": ["ops.example.org"]},
        {"origins": "https://ops.example.org"},
        {"trusted_proxies": ["everybody"]},
        {"trusted_proxies": "10.0.0.1"},
        {"authenticate": "ann"},
        {"largest_file": 0},
    ],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(ArgumentError), Site(**options):
        pass


# ---------------------------------------------------------------------- what browsers are told


@pytest.mark.parametrize(
    ("method", "path", "user", "more"),
    [
        ("GET", "/", "ann", {}),
        ("POST", "/", "ann", {}),
        ("GET", "/api/me", "ann", {}),
        ("GET", "/api/me", None, {}),
        ("GET", "/x", "ann", {}),
        ("GET", "/", "ann", {"Host": "evil.example"}),
        ("DELETE", "/api/sessions/x", "ann", {"Origin": "https://evil.example"}),
        ("GET", "/terminal", "ann", {}),
        ("GET", "/terminal", None, {"Origin": "https://evil.example"}),
    ],
)
def test_every_answer_is_armoured(site, method, path, user, more):
    headers = site.call(method, path, user, headers=more).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Strict-Transport-Security"].startswith("max-age=")
    assert headers["Cache-Control"] in ("no-store", "no-cache")


def test_the_page_runs_no_script_but_its_own(site):
    policy = site.call("GET", "/").headers["Content-Security-Policy"]
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert rules["connect-src"] == "'self' wss://ops.example.org"
    page = site.call("GET", "/").get_data(as_text=True)
    assert not re.search(r"\son\w+=|<script(?![^>]*\ssrc=)[^>]*>\s*\S|https?://", page)


SINKS = (
    r"\b(?:inner|outer)HTML\b|insertAdjacentHTML|createContextualFragment|DOMParser|\bsrcdoc\b|document\.write"
    r"|\beval\(|\bnew Function\b|setTimeout\(\s*[\"'`]|setInterval\(\s*[\"'`]|javascript:|\son\w+="
)


def test_no_text_on_the_page_is_taken_for_html_or_script():
    """Attack 10: hosts, files, titles and outputs are text; what others wrote is looked at by its own tests."""
    scripts = [path for path in FOLDER.rglob("*.js") if "vendor" not in path.parts]
    assert len(scripts) > 20
    found = {path.name: re.findall(SINKS, path.read_text()) for path in scripts}
    assert {name: sinks for name, sinks in found.items() if sinks} == {}


def test_what_is_no_page_is_sandboxed(site):
    assert site.call("GET", "/api/me").headers["Content-Security-Policy"].endswith("; sandbox")


def test_a_platform_may_show_it_in_a_frame():
    with Site(embedded_in=["https://cmdb.example.org"]) as site:
        headers = site.call("GET", "/").headers
        assert "frame-ancestors https://cmdb.example.org;" in headers["Content-Security-Policy"]
        assert "X-Frame-Options" not in headers


# ---------------------------------------------------------------------- bad input (attack 9's kind, over HTTP)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        '{"host": NaN}',
        "[" * 100000,
        '{"a":' * 50 + "1" + "}" * 50,
        b"\xff",
        "1" * 2_000_000,
    ],
)
def test_a_body_that_is_no_plain_object_is_refused(site, body):
    status, answer = site.ask("POST", "/api/sessions", data=body, content_type="application/json")
    assert status in (400, 413)
    assert "Traceback" not in json.dumps(answer)


NO_HOSTS = [
    None,
    5,
    True,
    [],
    {},
    "",
    "x" * 300,
    "web1\0",
    "web*",
    "127.0.0.1",
    "localhost",
    "web1;id",
    "-oProxyCommand=x",
]


@pytest.mark.parametrize("host", NO_HOSTS)
def test_a_host_is_one_of_the_inventory(site, host):
    """Attacks 12 and 13: what a browser names is looked up, and never reached as it is."""
    status, _ = site.ask("POST", "/api/sessions", json={"host": host})
    assert status == 400


def test_an_answer_whose_body_nobody_takes_holds_nothing(site):
    """Else twenty of them would keep their user from following runs for ever."""
    run = site.ask("POST", "/api/runs", json={"pattern": "web1", "module": "ping"})[1]["id"]
    for _ in range(21):
        assert site.call("HEAD", f"/api/runs/{run}/events").status_code == 405
    assert site.call("GET", f"/api/runs/{run}/events").status_code == 200


def test_methods_and_paths_that_are_not_there(site):
    assert code(site.ask("DELETE", "/api/hosts")) == (405, "method")
    assert code(site.ask("POST", "/")) == (405, "method")
    for path in (
        "/api/",
        "/api/nothing",
        "/index.htm",
        "/../application.py",
        "/%2e%2e/application.py",
        "/page",
        "/api/sessions/a/b/c",
    ):
        assert site.ask("GET", path)[0] == 404, path


def test_an_error_that_nobody_thought_of_shows_nothing(site, monkeypatch, caplog):
    def broken(user):
        raise RuntimeError("secret-canary")

    monkeypatch.setattr(site.manager, "sessions", broken)
    with caplog.at_level(logging.ERROR):
        status, answer = site.ask("GET", "/api/sessions")
    assert (status, answer["error"]["code"]) == (500, "internal")
    assert "canary" not in json.dumps(answer) + caplog.text
    assert re.search(r"[0-9a-f]{8}", answer["error"]["text"])[0] in caplog.text


# ---------------------------------------------------------------------- the page's files


def test_files_are_asked_for_once(site):
    first = site.call("GET", "/")
    assert first.mimetype == "text/html"
    again = site.call("GET", "/index.html", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.get_data()) == (304, b"")


def test_it_works_below_a_prefix(site):
    client = Client(site.application)
    moved = client.get("/ops", environ_overrides={"SCRIPT_NAME": "/ops", "PATH_INFO": ""}, base_url=ORIGIN)
    assert (moved.status_code, moved.headers["Location"]) == (308, "/ops/")
    there = client.get("/", environ_overrides={"SCRIPT_NAME": "/ops"}, base_url=ORIGIN)
    assert there.status_code == 200


# ---------------------------------------------------------------------- the description


def described() -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, methods in description()["paths"].items() for method in methods}


def test_every_route_is_described(tmp_path):
    with Site(recordings=tmp_path / "kept", engine=True) as site:
        routes = site.application.routes.known
    own = WebTerminal(site.manager, origins=[ORIGIN]).routes.known
    assert {(method, re.sub("<(.*?)>", r"{\1}", rule)) for method, rule in routes | own} == described()


def test_the_description_is_for_everybody(site):
    status, answer = site.ask("GET", "/api/openapi.json", None)
    assert (status, answer) == (200, description())


# ---------------------------------------------------------------------- the WebSocket's door

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
    "Sec-WebSocket-Protocol": "sshexec.term.v1",
}


@pytest.mark.parametrize("origin", [*STRANGE, None])
def test_pages_of_other_sites_open_no_terminal(site, origin):
    answer = site.call("GET", "/terminal", headers={**UPGRADE, "Origin": origin})
    assert answer.status_code == 403


def test_who_is_not_signed_in_opens_no_terminal(site):
    assert site.call("GET", "/terminal", None, headers=UPGRADE).status_code == 401
