from __future__ import annotations

import base64
import json
import shlex

import pytest

from sshexec.history.hiding import Hiding, shown_args
from sshexec.secret import HIDDEN, LockedSecret, Secret, secrets_in
from sshexec.templating import render
from tests.history.records import opening


@pytest.mark.parametrize(
    ("arguments", "secrets"),
    [
        ("uptime", None),
        ("echo a=b -p x", None),
        ("PGPASSWORD=abc psql -c 'select 1'", ["abc"]),
        ("mysql --password abc123 -e x", ["abc123"]),
        ("mysql --password=abc123", ["abc123"]),
        ("dest=/x content='a b c'", []),
        ('{"user": "a", "login_password": "p w", "n": 1}', ["p w"]),
        ("curl https://me:s3cret@host/x", ["s3cret"]),
        ("echo 'not closed password=abc", ["abc"]),
        ("password=ab", []),
    ],
)
def test_arguments_that_name_secrets(arguments, secrets):
    assert secrets_in(arguments) == secrets


@pytest.mark.parametrize(
    ("args", "shown", "hidden"),
    [
        (None, None, False),
        ("uptime", "uptime", False),
        ("echo hunter2", "echo ********", True),
        ("x password=abc", "********", True),
        ({"src": "a", "dest": ("b",)}, {"src": "a", "dest": ["b"]}, False),
        ({"_raw_params": "token=abc"}, {"_raw_params": "********"}, True),
        ({"content": "x", "dest": "/y"}, {"content": "********", "dest": "/y"}, True),
        (
            {"deep": {"api_token": "abc"}, "a": Secret("xyz")},
            {"deep": {"api_token": "********"}, "a": "********"},
            True,
        ),
        ({"argv": ["echo", "hunter2"]}, {"argv": ["echo", "********"]}, True),
    ],
)
def test_what_is_shown_of_arguments(args, shown, hidden):
    given = opening(["a"], args=args, variables={"db_password": "hunter2"})
    assert shown_args(args, Hiding(given).everything) == (shown, hidden)


def test_each_host_has_secrets_of_its_own():
    given = opening(["a", "b"])
    own = [type(given.targets[0])(host, {"ansible_password": f"pw-of-{host}"}) for host in "ab"]
    hiding = Hiding(type(given)(given.run, given.occasion, given.task, own, "all", given.course))
    assert hiding.of("a").hide("pw-of-a pw-of-b") == "******** pw-of-b"
    assert hiding.everything.hide("pw-of-a pw-of-b") == "******** ********"


def test_a_secret_that_nobody_could_open_hides_nothing_and_stops_nothing():
    variables = {"locked": LockedSecret("no key"), "deep": {"x": LockedSecret("no key")}, "ansible_password": "hunter2"}
    assert Hiding(opening(["a"], variables=variables)).of("a").hide("no key hunter2") == "no key ********"


def test_what_an_expression_has_around_it_is_hidden():
    variables = {"db_password": Secret("{{ user }}-and-a-tail")}
    assert Hiding(opening(["a"], variables=variables)).of("a").hide("me-and-a-tail") == "me********"


def test_values_of_any_kind_are_hidden():
    shared = {"list": [{"api_key": "in-a-list"}], "pin_secret": 20277, "deep_secret": {"on": True, "n": 20.5}}
    variables = {"db_password": 123456, "x": shared, "y": shared, "secret_on": True, "pw": "ab", "n": 123456.5}
    needles = Hiding(opening(["a"], variables=variables)).of("a")
    hidden = needles.hidden({"in-a-list": [123456, 7, True, "ab", "n is 123456"]})
    assert hidden == {"********": ["********", 7, True, "ab", "n is ********"]}
    assert needles.hidden([20277, "is 20277", 20.5, "True"]) == ["********", "is ********", "********", "True"]
    assert needles.in_json(json.dumps({"a": "x in-a-list"}))
    assert not needles.in_json(json.dumps({"a": "nothing"}))


def test_what_was_cut_in_two_is_hidden_on_both_sides():
    needles = Hiding(opening(["a"], variables={"db_password": "hunter2hunter2"})).of("a")
    note = "\n[... 514 bytes left out ...]\n"
    assert needles.hide_halves(f"x hunter2h{note}er2 y") == f"x ********{note}******** y"
    assert needles.hide_halves(f"x hu{note}2 y{note}hunter2 z") == f"x hu{note}2 y{note}******** z"
    assert needles.hide_halves("x hunter2h") == "x hunter2h"
    assert needles.hide_halves(f"hunter{note}b hunter{note}c") == f"********{note}b ********{note}c"
    many = note * 200_000
    assert needles.hide_halves(many) == many


@pytest.mark.parametrize(
    "printed",
    [
        shlex.quote('it\'s <"größe"> & \\x'),
        "'it'\\''s <\"größe\"> & \\x'",
        json.dumps('it\'s <"größe"> & \\x'),
        json.dumps('it\'s <"größe"> & \\x', ensure_ascii=False),
        render("{{ a | tojson }}", {"a": 'it\'s <"größe"> & \\x'}, "h"),
        base64.b64encode('it\'s <"größe"> & \\x and more'.encode()).decode(),
        base64.b64encode('it\'s <"größe"> & \\x'.encode()).decode(),
    ],
)
def test_a_secret_is_hidden_however_it_is_printed(printed):
    hidden = Hiding(opening(["a"], variables={"db_password": 'it\'s <"größe"> & \\x'})).of("a").hide(printed)
    assert HIDDEN in hidden
    assert "gr" not in hidden
    assert len(hidden) < 30
