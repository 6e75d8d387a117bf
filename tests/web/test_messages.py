"""Control messages: what is right is read, what is wrong is named, and nothing of it is repeated."""

from __future__ import annotations

import contextlib
import json
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sshexec.connectors.terminal import Size
from sshexec.terminal import events
from sshexec.web import messages
from sshexec.web.messages import MessageError, parse, render


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({"t": "hello", "token": "x", "columns": 80, "rows": 24}, messages.Hello("x", Size(), "xterm-256color", None)),
        (
            {"t": "hello", "token": "x", "columns": 5000, "rows": 1, "term": "vt100", "since": 7, "new": {}},
            messages.Hello("x", Size(1000, 1), "vt100", 7),
        ),
        ({"t": "resize", "columns": 1, "rows": 2}, messages.Resize(Size(1, 2))),
        ({"t": "ack", "bytes": 2**53 - 1}, messages.Acknowledged(2**53 - 1)),
        ({"t": "ping", "n": 0}, messages.Ping(0)),
        ({"t": "answers", "id": "q", "values": ["", "zäh"]}, messages.Answers("q", ("", "zäh"))),
        ({"t": "answers", "id": "q", "values": []}, messages.Answers("q", ())),
        ({"t": "signal", "name": "INT"}, messages.Signal("INT")),
        ({"t": "give", "viewer": "v"}, messages.Give("v")),
        ({"t": "detach"}, messages.Bare("detach")),
        ({"t": "close"}, messages.Bare("close")),
        ({"t": "later"}, messages.Unknown()),
        ({"t": ""}, messages.Unknown()),
    ],
)
def test_what_is_right(text, expected):
    assert parse(json.dumps(text)) == expected


SIZES = ["-1", "0", "1.5", "1e9", '"80"', "true", "null", "NaN", "Infinity", "-Infinity", "[]", "{}", "9" * 400]


@pytest.mark.parametrize("value", SIZES)
@pytest.mark.parametrize("name", ["columns", "rows"])
def test_a_size_that_is_none(name, value):
    other = "rows" if name == "columns" else "columns"
    with pytest.raises(MessageError) as raised:
        parse(f'{{"t":"resize","{name}":{value},"{other}":24}}')
    assert raised.value.code == (1007 if value.endswith(("NaN", "Infinity")) else 1008)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 1007),
        ("ls", 1007),
        ("{", 1007),
        ("{}{}", 1007),
        ("[" * 100_000, 1007),
        ('{"t":' * 10_000, 1007),
        ("9" * 5000, 1007),
        ("[]", 1008),
        ("null", 1008),
        ('"hello"', 1008),
        ("{}", 1008),
        ('{"t":1}', 1008),
        ('{"t":null}', 1008),
        ('{"t":"ping","n":1,"n":2}', 1008),
        ('{"t":"detach","t":"close"}', 1008),
        ('{"t":"ping","n":1,"x":{"a":1,"a":1}}', 1008),
        ('{"t":"ping"}', 1008),
        ('{"t":"ping","n":true}', 1008),
        ('{"t":"ping","n":9007199254740992}', 1008),
        ('{"t":"ack","bytes":-1}', 1008),
        ('{"t":"signal","name":"SEGV"}', 1008),
        ('{"t":"signal","name":"; rm"}', 1008),
        ('{"t":"give","viewer":""}', 1008),
        ('{"t":"answers","id":"q","values":"x"}', 1008),
        ('{"t":"answers","id":"q","values":[1]}', 1008),
        (json.dumps({"t": "answers", "id": "q", "values": ["x"] * 33}), 1008),
        (json.dumps({"t": "answers", "id": "q", "values": ["x" * 8193]}), 1008),
        (json.dumps({"t": "answers", "id": "q", "values": ["x", "half \ud83d"]}), 1008),
        ('{"t":"hello","token":"","columns":80,"rows":24}', 1008),
        ('{"t":"hello","token":"x","columns":80,"rows":24,"since":-1}', 1008),
        ('{"t":"hello","token":"x","columns":80,"rows":24,"term":"a b"}', 1008),
        ('{"t":"hello","token":"x","columns":80,"rows":24,"term":"$(id)"}', 1008),
    ],
)
def test_what_is_wrong(text, code):
    with pytest.raises(MessageError) as raised:
        parse(text)
    assert raised.value.code == code
    assert "\n" not in raised.value.text


def test_secrets_are_not_repeated():
    hello = parse('{"t":"hello","token":"canary","columns":80,"rows":24}')
    answers = parse('{"t":"answers","id":"q","values":["canary"]}')
    assert "canary" not in f"{hello!r} {answers!r}"
    for wrong in (
        '{"t":"answers","id":"canary","values":["canary"],"id":"canary"}',
        '{"t":"hello","token":"canary","columns":0,"rows":24}',
        '{"t":"answers","id":"q","values":["canary", 1]}',
        '{"t":"answers","id":"q","values":["canary\\ud83d"]}',
        '{"t":"answers canary',
    ):
        with pytest.raises(MessageError) as raised:
            parse(wrong)
        assert "canary" not in str(raised.value)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KINDS = st.sampled_from(["hello", "resize", "ack", "ping", "answers", "signal", "give", "detach", "close", "x"])
FIELDS = st.sampled_from(["token", "columns", "rows", "term", "since", "bytes", "n", "id", "values", "name", "viewer"])


@settings(max_examples=80, deadline=None)
@given(KINDS, st.dictionaries(FIELDS, PLAIN, max_size=5))
def test_whatever_comes_is_read_or_refused(kind, fields):
    with contextlib.suppress(MessageError):
        assert isinstance(parse(json.dumps({"t": kind, **fields})), get_args(messages.ControlMessage))


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200))
def test_noise_is_refused(text):
    with pytest.raises(MessageError):
        parse(text if text[:1] != "{" else text[1:])


WHO = (("v1", "ann", "owner"), ("v2", "bob", "watcher"))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (events.Opened(), {"t": "opened"}),
        (events.Phased("connecting"), {"t": "phase", "phase": "connecting"}),
        (
            events.Asked("q", "password", "Login", (events.Field("Password:"), events.Field("Name:", True)), 2),
            {
                "t": "ask",
                "id": "q",
                "kind": "password",
                "title": "Login",
                "fields": [{"text": "Password:", "echo": False}, {"text": "Name:", "echo": True}],
                "attempt": 2,
            },
        ),
        (events.Answered("q"), {"t": "answered", "id": "q"}),
        (events.Reset(7), {"t": "reset", "seq": 7}),
        (events.Resized(Size(3, 4)), {"t": "resized", "columns": 3, "rows": 4}),
        (events.Noticed("info", "c", "<b>"), {"t": "notice", "level": "info", "code": "c", "text": "<b>"}),
        (events.Paused(None), {"t": "paused", "by": None}),
        (
            events.Watching(WHO, "v2", "watcher"),
            {
                "t": "viewers",
                "viewers": [
                    {"id": "v1", "user": "ann", "role": "owner"},
                    {"id": "v2", "user": "bob", "role": "watcher"},
                ],
                "mine": "v2",
                "role": "watcher",
            },
        ),
        (
            events.Ended("exited", "text", None, 3, None),
            {
                "t": "ended",
                "reason": "exited",
                "text": "text",
                "cause": None,
                "exit_status": 3,
                "exit_signal": None,
            },
        ),
        (events.Detached("stolen"), {"t": "detached", "reason": "stolen"}),
    ],
)
def test_what_is_told(event, expected):
    assert json.loads(render(event)) == expected


def test_every_event_has_its_message():
    assert {type(event) for event, _ in test_what_is_told.pytestmark[0].args[1]} == set(get_args(events.ViewerEvent))
