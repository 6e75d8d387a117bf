"""True alone allows: attacks 3 and 13 at the level of a single question."""

from __future__ import annotations

import pytest

from sshexec.connectors.terminal import Size
from sshexec.errors import ArgumentError
from sshexec.terminal.access import Access
from sshexec.terminal.observer import SessionInfo

ANNS = SessionInfo("id", "web1", "ann", "open", 0.0, Size())


@pytest.mark.parametrize("answer", [None, False, 1, "yes", "", [True], object(), NotImplemented])
def test_true_alone_allows(answer):
    assert not Access(lambda user, action, host: answer).allowed("ann", "open", "web1")


def test_it_is_asked_with_user_action_and_host():
    asked = []
    assert Access(lambda *given: asked.append(given) is None).allowed("ann", "open", "web1")
    assert asked == [("ann", "open", "web1")]


def test_without_a_permit_nothing_is_allowed():
    assert not Access(None).allowed("ann", "hosts", "web1")


@pytest.mark.parametrize("user", ["", None, 7])
def test_nobody_is_allowed_nothing(user):
    access = Access(lambda user, action, host: True)
    assert not access.allowed(user, "open", "web1")
    assert not access.masters(user, SessionInfo("id", "web1", user, "open", 0.0, Size()), "control")


def test_one_that_fails_refuses_and_is_logged_once(caplog):
    def permit(user: str, action: str, host: str) -> bool:
        raise RuntimeError("database is away")

    access = Access(permit)
    assert [access.allowed("ann", "open", "web1") for _ in range(3)] == [False] * 3
    assert len(caplog.records) == 1


def test_what_is_not_known_is_not_withdrawn():
    answers = [True, RuntimeError("database is away"), False, None]

    def permit(user: str, action: str, host: str) -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    access = Access(permit)
    assert [access.withdrawn("ann", "open", "web1") for _ in range(4)] == [False, False, True, True]


def test_one_that_answers_with_a_coroutine_allows_nothing(recwarn):
    async def later() -> bool:
        return True

    assert not Access(lambda user, action, host: later()).allowed("ann", "open", "web1")
    assert not recwarn.list


class Later:
    async def __call__(self, user: str, action: str, host: str) -> bool:
        return True


@pytest.mark.parametrize("permit", [Later().__call__, Later(), "yes", True])
def test_what_can_not_be_asked_is_refused_at_once(permit):
    with pytest.raises(ArgumentError, match="permit"):
        Access(permit)


def test_ones_own_session_needs_no_permission():
    access = Access(None)
    assert access.knows("ann", ANNS)
    assert access.masters("ann", ANNS, "terminate")


@pytest.mark.parametrize("may", ["watch", "control", "terminate"])
def test_who_may_do_something_to_a_session_may_know_of_it(may):
    access = Access(lambda user, action, host: action == may)
    assert access.knows("bob", ANNS)
    assert [action for action in ("watch", "control", "terminate") if access.masters("bob", ANNS, action)] == [may]


def test_who_may_open_there_does_not_learn_of_others_sessions():
    assert not Access(lambda user, action, host: action in ("hosts", "open", "replay")).knows("bob", ANNS)
