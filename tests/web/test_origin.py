"""Origins: to the letter, and what is none is refused when it is said."""

from __future__ import annotations

import pytest

from sshexec.errors import ArgumentError
from sshexec.web.origin import Origins

SITES = Origins(["https://ops.example.org", "http://127.0.0.1:8022", "http://[::1]:8022"])


@pytest.mark.parametrize(
    "origin",
    ["https://ops.example.org", "https://ops.example.org:443", "http://127.0.0.1:8022", "http://[::1]:8022"],
)
def test_an_origin_that_is_allowed(origin):
    assert origin in SITES
    assert SITES.allows(origin, cookies=True)


@pytest.mark.parametrize(
    "origin",
    [
        "http://ops.example.org",
        "https://ops.example.org:8443",
        "https://ops.example.org.evil.example",
        "https://evil-ops.example.org",
        "https://ops.example.org@evil.example",
        "https://ops.example.org/",
        "https://ops.example.org?",
        "https://ops.example.org#",
        "https://user@ops.example.org",
        " https://ops.example.org",
        "https://ops.example.org\n",
        "https://OPS.example.org.",
        "https://ops.exämple.org",
        "https://127.0.0.1:8022",
        "http://127.0.0.1",
        "http://127.0.0.1:08022x",
        "http://localhost:8022",
        "file://",
        "null",
        "*",
        "",
    ],
)
def test_an_origin_that_is_not(origin):
    assert origin not in SITES
    assert not SITES.allows(origin, cookies=False)


def test_no_origin_is_no_browser_unless_a_cookie_says_who_it_is():
    assert SITES.allows(None, cookies=False)
    assert not SITES.allows(None, cookies=True)
    assert not Origins().allows("https://ops.example.org", cookies=False)
    assert not SITES.allows("null", cookies=False)


@pytest.mark.parametrize(
    "wrong",
    ["ops.example.org", "https://*.example.org", "https://", "ftp://x", "https://x:0", "https://x:99999", "null"],
)
def test_what_is_no_origin_is_said_at_once(wrong):
    with pytest.raises(ArgumentError, match="origin: expected"):
        Origins([wrong])


def test_one_text_is_no_list():
    with pytest.raises(ArgumentError):
        Origins("https://ops.example.org")


def test_they_are_shown_as_browsers_say_them():
    assert list(SITES) == ["http://127.0.0.1:8022", "http://[::1]:8022", "https://ops.example.org"]
