"""Signing in by a one-time token, and being known by a cookie."""

from __future__ import annotations

import json
import random
import threading

import pytest
from werkzeug.test import Client

from sshexec.errors import ArgumentError, TokenError
from sshexec.web import signin
from sshexec.web.signin import SignIn
from tests.web.site import ORIGIN, Site


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [1000.0]
    monkeypatch.setattr(signin.time, "monotonic", lambda: now[0])
    return now


def test_a_token_signs_in_once():
    used = []
    sign_in = SignIn(used=used.append)
    token = sign_in.issue("ann")
    user, value = sign_in.sign_in(token)
    assert (user, used) == ("ann", ["ann"])
    assert sign_in.user_of(f"a=b; {sign_in.cookie}={value}; c=d") == "ann"
    with pytest.raises(TokenError):
        sign_in.sign_in(token)


def test_one_of_many_wins():
    sign_in = SignIn()
    token = sign_in.issue("ann")
    won = []
    start = threading.Barrier(8)

    def redeem():
        start.wait()
        try:
            won.append(sign_in.sign_in(token))
        except TokenError:
            return

    threads = [threading.Thread(target=redeem) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(won) == 1


@pytest.mark.parametrize("token", [None, "", 5, [], "x" * 43, "x" * 100_000, "\udcff"])
def test_anything_else_signs_nobody_in(token):
    told = []
    sign_in = SignIn(refused=lambda: told.append("refused"))
    sign_in.issue("ann")
    with pytest.raises(TokenError):
        sign_in.sign_in(token)
    assert told == ["refused"]


def test_tokens_and_cookies_are_over_after_their_time(clock):
    sign_in = SignIn(token_ttl=10, lifetime=100)
    old, good = sign_in.issue("ann"), None
    clock[0] += 9
    good = sign_in.issue("ann")
    clock[0] += 1
    with pytest.raises(TokenError):
        sign_in.sign_in(old)
    assert sign_in.waiting
    _, value = sign_in.sign_in(good)
    assert not sign_in.waiting
    clock[0] += 99
    assert sign_in.user_of(f"{sign_in.cookie}={value}") == "ann"
    clock[0] += 1
    assert sign_in.user_of(f"{sign_in.cookie}={value}") is None


def test_nothing_kept_opens_anything():
    sign_in = SignIn()
    token = sign_in.issue("ann")
    _, value = sign_in.sign_in(sign_in.issue("ann"))
    assert len(token) >= 43
    held = repr(vars(sign_in)) + repr(sign_in)
    assert token not in held
    assert value not in held


def test_seeding_random_changes_nothing():
    random.seed(1)
    one = SignIn().issue("ann")
    random.seed(1)
    assert SignIn().issue("ann") != one


def test_the_oldest_give_way():
    sign_in = SignIn()
    first = sign_in.issue("ann")
    for _ in range(1000):
        sign_in.issue("ann")
    with pytest.raises(TokenError):
        sign_in.sign_in(first)


@pytest.mark.parametrize("options", [{"token_ttl": 0}, {"lifetime": "long"}, {"name": "a b"}, {"name": "a;b"}])
def test_wrong_options_are_refused(options):
    with pytest.raises(ArgumentError):
        SignIn(**options)


def test_a_browser_from_sign_in_to_sign_out():
    with Site(authenticate=None) as site:
        client = Client(site.application)

        def ask(method, path, **request):
            return client.open(path, method=method, base_url=ORIGIN, headers={"Origin": ORIGIN}, **request)

        unknown = ask("GET", "/api/me")
        assert (unknown.status_code, unknown.get_json()["error"]["code"]) == (401, "signed_out")
        wrong = ask("POST", "/api/signin", json={"token": "x" * 43})
        assert (wrong.status_code, wrong.get_json()["error"]["code"]) == (401, "token")
        assert "Set-Cookie" not in wrong.headers
        done = ask("POST", "/api/signin", json={"token": site.application.sign_in.issue("ann")})
        cookie = done.headers["Set-Cookie"]
        assert cookie.startswith("__Host-sshexec-web=")
        assert {"HttpOnly", "SameSite=Strict", "Secure", "Path=/"} <= set(cookie.split("; "))
        assert ask("GET", "/api/me").get_json()["user"] == "ann"
        kept = client.get_cookie("__Host-sshexec-web", domain="ops.example.org").value
        assert ask("POST", "/api/signout").status_code == 204
        assert ask("GET", "/api/me").status_code == 401
        client.set_cookie("__Host-sshexec-web", kept, domain="ops.example.org")
        assert ask("GET", "/api/me").status_code == 401


def test_signing_in_anew_ends_what_the_browser_s_cookie_was_good_for_and_auditors_hear_of_it():
    told = []
    with Site(authenticate=None) as site:
        site.manager._watch._sinks.append(told.append)
        sign_in = site.application.sign_in

        def post(path, cookie, **body):
            headers = {"Cookie": f"{sign_in.cookie}={cookie}"}
            return site.call("POST", path, None, json=body, headers=headers, environ_base={"REMOTE_ADDR": "192.0.2.7"})

        _, planted = sign_in.sign_in(sign_in.issue("eve"))
        assert post("/api/signin", planted, token="x" * 43).status_code == 401
        assert sign_in.user_of(f"{sign_in.cookie}={planted}") == "eve"
        fresh = post("/api/signin", planted, token=sign_in.issue("ann")).headers["Set-Cookie"].split(";")[0]
        assert sign_in.user_of(fresh) == "ann"
        assert sign_in.user_of(f"{sign_in.cookie}={planted}") is None
        for _ in range(2):
            assert post("/api/signout", fresh.partition("=")[2]).status_code == 204
    assert [(each.event, each.user, each.action, each.address) for each in told] == [
        ("terminal_refused", None, "signin", "192.0.2.7"),
        ("signed_in", "ann", None, "192.0.2.7"),
        ("signed_out", "ann", None, "192.0.2.7"),
    ]
    assert fresh.partition("=")[2] not in repr(told)


def test_another_site_signs_nobody_in_or_out():
    with Site(authenticate=None) as site:
        for path in ("/api/signin", "/api/signout"):
            body = {"token": site.application.sign_in.issue("ann")}
            answer = site.call("POST", path, json=body, headers={"Origin": "https://evil.example"})
            assert json.loads(answer.get_data())["error"]["code"] == "origin"
