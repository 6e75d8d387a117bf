"""Attack 2 of the list: a token is used again, guessed, changed, stolen, taken twice at once."""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time

import pytest

from sshexec.errors import ArgumentError, LimitError, TokenError
from sshexec.terminal.tokens import Grant, Tokens

ANN = Grant("ann", host="web1")


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()


def refused(tokens: Tokens, token: object, **came: str) -> str:
    with pytest.raises(TokenError) as caught:
        tokens.redeem(token, **came)
    assert caught.value.code == "token"
    return str(caught.value)


def test_it_is_good_once(tokens):
    token = tokens.issue(ANN)
    assert tokens.redeem(token) is ANN
    refused(tokens, token)
    assert len(tokens) == 0


def test_of_many_at_once_one_wins(tokens):
    token = tokens.issue(ANN)
    ready = threading.Barrier(20)
    won, lost = [], []

    def redeem() -> None:
        ready.wait(30)
        try:
            won.append(tokens.redeem(token))
        except TokenError:
            lost.append(1)

    threads = [threading.Thread(target=redeem) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (won, len(lost)) == ([ANN], 19)


def test_everything_that_opens_nothing_is_told_alike(tokens, monkeypatch):
    told = {refused(tokens, text) for text in ("", "x", "x" * 5000, None, 7, b"x", ["x"], "\ud800", "ü" * 43)}
    used = tokens.issue(ANN)
    tokens.redeem(used)
    told.add(refused(tokens, used))
    changed = tokens.issue(ANN)
    told.add(refused(tokens, changed[:-1] + ("A" if changed[-1] != "A" else "B")))
    told.add(refused(tokens, tokens.issue(ANN), user="bob"))
    told.add(refused(tokens, tokens.issue(Grant("ann", host="web1", address="10.0.0.1")), address="10.0.0.2"))
    told.add(refused(tokens, tokens.issue(Grant("ann", host="web1", address="10.0.0.1"))))
    late = tokens.issue(ANN, ttl=5)
    now = time.monotonic()
    monkeypatch.setattr("sshexec.terminal.tokens.time.monotonic", lambda: now + 5.1)
    told.add(refused(tokens, late))
    assert len(told) == 1


def test_one_that_somebody_else_came_with_is_burned(tokens):
    token = tokens.issue(ANN)
    refused(tokens, token, user="bob")
    refused(tokens, token, user="ann")


def test_its_user_and_address_redeem_it(tokens):
    grant = Grant("änn", host="web1", address="2001:db8::1")
    assert tokens.redeem(tokens.issue(grant), user="änn", address="2001:db8::1") is grant


def test_it_has_256_bits_that_no_seed_brings_again(tokens):
    random.seed(7)
    first = tokens.issue(ANN)
    random.seed(7)
    second = tokens.issue(ANN)
    assert first != second
    assert len(first) == len(second) == 43
    assert len({tokens.issue(Grant(f"user{n}", host="web1")) for n in range(500)}) == 500


def test_nothing_that_is_kept_shows_it(tokens):
    token = tokens.issue(ANN)
    kept = repr(tokens) + repr(vars(tokens))
    assert token not in kept
    # Its hash is what is looked for, so that how long it takes says nothing of the token.
    assert hashlib.sha256(token.encode()).digest() in tokens._out


def test_a_user_with_too_many_loses_the_oldest_and_nobody_elses(tokens):
    tokens = Tokens(limit=6, limit_each=3)
    bobs = tokens.issue(Grant("bob", host="web1"))
    anns = [tokens.issue(ANN) for _ in range(5)]
    assert len(tokens) == 4
    refused(tokens, anns[0])
    refused(tokens, anns[1])
    assert [tokens.redeem(each).user for each in (bobs, *anns[2:])] == ["bob", "ann", "ann", "ann"]


def test_all_together_are_bounded_and_old_ones_make_room(monkeypatch):
    tokens = Tokens(limit=2)
    tokens.issue(Grant("ann", host="web1"), ttl=5)
    tokens.issue(Grant("bob", host="web1"), ttl=5)
    with pytest.raises(LimitError):
        tokens.issue(Grant("cec", host="web1"))
    now = time.monotonic()
    monkeypatch.setattr("sshexec.terminal.tokens.time.monotonic", lambda: now + 6)
    assert tokens.redeem(tokens.issue(Grant("cec", host="web1"))).user == "cec"


def test_those_for_a_session_go_with_it(tokens):
    mine, others = (tokens.issue(Grant("ann", session=name)) for name in ("one", "two"))
    tokens.revoke("one")
    refused(tokens, mine)
    assert tokens.redeem(others).session == "two"


def test_a_forked_child_has_none(tokens):
    token = tokens.issue(ANN)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            tokens.redeem(token)
        except TokenError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert tokens.redeem(token) is ANN


@pytest.mark.parametrize("ttl", [0, -1, None, "30", True, float("nan")])
def test_a_time_that_is_none_is_refused(tokens, ttl):
    with pytest.raises(ArgumentError):
        tokens.issue(ANN, ttl=ttl)


def test_a_grant_is_for_a_host_or_a_session():
    for wrong in ({}, {"host": "web1", "session": "one"}):
        with pytest.raises(ArgumentError):
            Grant("ann", **wrong)
