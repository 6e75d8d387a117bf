"""The questions of a login, as the session's owner gets them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from sshexec.connectors.deadline import Deadline, unguarded
from sshexec.connectors.prompts import Answer, Question
from sshexec.errors import ArgumentError, AuthenticationError, CancelledError, NotAllowedError
from sshexec.terminal.events import Answered, Asked, Ended, Field, Opened, Phased
from sshexec.terminal.policy import TerminalPolicy
from sshexec.terminal.questions import ROUNDS, SessionPrompts, one_line
from sshexec.terminal.session import TerminalSession
from tests.terminal.puppet import PATIENCE, Puppet, event, settle

PASSWORD = Question("password", "ann", "SSH password of ann", "web1")
CODE = Question("code", "ann: Code:", "Code:", "web1")
KEY = Question("host_key", "web1", "ED25519 key of web1", "web1")
CANARY = "c4nary-answer"


def answering(*answers: str, patience: float = PATIENCE) -> tuple[SessionPrompts, list[Asked | Answered]]:
    """Return prompts whose owner answers at once, as long as he has answers, and what he was told."""
    told: list[Asked | Answered] = []
    left = list(answers)

    def tell(event: Asked | Answered) -> None:
        told.append(event)
        if isinstance(event, Asked) and left:
            threading.Thread(target=prompts.answer, args=(event.id, [left.pop(0)])).start()

    prompts = SessionPrompts(tell, patience)
    return prompts, told


def ask(prompts: SessionPrompts, question: Question, instead_of: Answer | None = None) -> Answer:
    return prompts.ask(question, Deadline.after(PATIENCE), unguarded, instead_of=instead_of)


def revealed(answer: Answer) -> str | None:
    return None if answer.secret is None else answer.secret.reveal()


def test_an_answer_comes_back_and_the_question_is_over() -> None:
    prompts, told = answering("sesame")
    assert revealed(ask(prompts, PASSWORD)) == "sesame"
    assert told == [Asked("q1", "password", "Password for web1", (Field("SSH password of ann"),)), Answered("q1")]
    assert prompts.standing is None
    assert "sesame" not in repr(prompts)


def test_what_was_right_is_not_asked_again_but_for_codes() -> None:
    prompts, told = answering("sesame", "123", "456")
    ask(prompts, PASSWORD).accept()
    again = ask(prompts, PASSWORD)
    assert revealed(again) == "sesame"
    assert again.proven
    ask(prompts, CODE).accept()
    assert revealed(ask(prompts, CODE)) == "456"
    assert sum(isinstance(each, Asked) for each in told) == 3


def test_what_was_wrong_may_be_tried_three_times() -> None:
    prompts, told = answering("a", "b", "c", "d")
    answer = ask(prompts, PASSWORD)
    for wanted in "bc":
        answer = ask(prompts, PASSWORD, answer)
        assert revealed(answer) == wanted
    last = ask(prompts, PASSWORD, answer)
    assert last.secret is None
    assert "wrong 3 times" in last.reason
    assert [each.attempt for each in told if isinstance(each, Asked)] == [1, 2, 3]


def test_a_host_may_not_ask_for_ever() -> None:
    prompts, told = answering(*("x" * 100))
    answers = [ask(prompts, Question("code", str(n), "Again:", "web1")) for n in range(ROUNDS + 5)]
    assert [answer.secret is not None for answer in answers] == [True] * ROUNDS + [False] * 5
    assert str(ROUNDS) in answers[-1].reason
    assert len(told) == 2 * ROUNDS


def test_what_a_host_asks_is_one_short_line_without_control_characters() -> None:
    prompts, told = answering("x")
    hostile = "\x1b]0;owned\x07\r\nPass\u202eword" + "x" * 10_000_000
    ask(prompts, Question("code", "g", hostile, "web1\x1b[2J"))
    asked = told[0]
    assert isinstance(asked, Asked)
    text = asked.fields[0].text
    assert len(text) <= 4096
    assert text.startswith("]0;owned Pass word")
    assert (asked.title + text).isprintable()


def test_nobody_answers() -> None:
    prompts, told = answering(patience=0.2)
    answer = ask(prompts, PASSWORD)
    assert (answer.secret, answer.reason) == (None, "nobody answered within 0.2 s")
    assert isinstance(told[-1], Answered)
    # The time is for all of them.
    assert ask(prompts, CODE).reason == "nobody answered within 0.2 s"


def test_no_answer_at_all_refuses() -> None:
    prompts = SessionPrompts(lambda told: threading.Thread(target=lambda: prompts.answer("q1", [])).start(), PATIENCE)
    assert ask(prompts, PASSWORD).reason == "SSH password of ann: nobody answered"


def test_whoever_waits_is_interrupted() -> None:
    def guard() -> None:
        raise CancelledError("cancelled")

    prompts, told = answering()
    with pytest.raises(CancelledError):
        prompts.ask(PASSWORD, Deadline.after(PATIENCE), guard)
    assert told[-1] == Answered("q1")
    assert prompts.standing is None


def test_closing_leaves_nobody_waiting() -> None:
    prompts = SessionPrompts(lambda told: None, PATIENCE)
    found: list[Answer] = []
    asking = threading.Thread(target=lambda: found.append(ask(prompts, PASSWORD)))
    asking.start()
    settle(lambda: prompts.standing)
    prompts.close()
    asking.join(PATIENCE)
    assert found[0].secret is None


@pytest.mark.parametrize("values", [["a", "b"], [1], "abc", ["x" * 5000], [None]])
def test_answers_that_do_not_fit_the_question(values: list[str]) -> None:
    with standing() as (prompts, _):
        with pytest.raises(ArgumentError) as error:
            prompts.answer("q1", values)
        assert "x" * 10 not in str(error.value)
        assert not prompts.answer("q77", ["a"])
        assert prompts.answer("q1", ["a"])


@contextmanager
def standing() -> Iterator[tuple[SessionPrompts, list[Answer]]]:
    """A question that waits for its answer."""
    prompts = SessionPrompts(lambda told: None, PATIENCE)
    found: list[Answer] = []
    asking = threading.Thread(target=lambda: found.append(ask(prompts, PASSWORD)))
    asking.start()
    settle(lambda: prompts.standing)
    yield prompts, found
    prompts.close()
    asking.join(PATIENCE)


def test_two_ways_ask_one_after_the_other() -> None:
    with standing() as (prompts, found):
        second = threading.Thread(target=lambda: found.append(ask(prompts, CODE)))
        second.start()
        assert prompts.answer("q1", ["one"])
        settle(lambda: prompts.standing is not None and prompts.standing.id == "q2")
        assert prompts.answer("q2", ["two"])
        second.join(PATIENCE)
        assert sorted(filter(None, map(revealed, found))) == ["one", "two"]


def test_one_line_is_one_line() -> None:
    assert one_line(" a\r\n\tb\x9b31m \ud800c ") == "a b 31m c"
    assert len(one_line("ab " * 10_000, 100)) <= 100


# ---------------------------------------------------------------------- within a session


def session(opening: Callable[[Puppet], None], **policy: object) -> TerminalSession:
    puppet = Puppet(opening)
    made = TerminalSession("web1", puppet.connect, policy=TerminalPolicy(**policy))  # type: ignore[arg-type]
    made.start()
    return made


def log_in(puppet: Puppet) -> None:
    if puppet.ask(PASSWORD) != CANARY:
        raise AuthenticationError("web1 refused the password")


def test_the_owner_is_asked_and_answers() -> None:
    with session(log_in) as made:
        owner = made.attach()
        asked = event(owner, Asked)
        assert owner.answer(asked.id, [CANARY])
        assert event(owner, Answered) == Answered(asked.id)
        event(owner, Opened)
        assert CANARY not in repr(made) + repr(made.info()) + repr(owner)
        assert CANARY not in repr(vars(made._questions))


def test_a_question_waits_for_an_owner_who_comes_later_or_again() -> None:
    with session(log_in) as made:
        first = made.attach()
        asked = event(first, Asked)
        first.close()
        second = made.attach()
        assert event(second, Asked, Phased) == Phased("connecting")
        assert event(second, Asked) == asked
        made.answer(asked.id, [CANARY])
        event(second, Opened)


def test_watchers_are_not_asked() -> None:
    with session(log_in) as made:
        watcher = made.attach(role="watcher", user="bob")
        owner = made.attach()
        asked = event(owner, Asked)
        made.hand_over(watcher.id, "root")
        assert event(owner, Answered) == Answered(asked.id)
        assert event(watcher, Asked) == asked
        watcher.answer(asked.id, ["wrong"])
        assert event(watcher, Ended).cause == "authentication"


def test_a_question_that_was_handed_over_comes_back() -> None:
    with session(log_in) as made:
        owner = made.attach()
        watcher = made.attach(role="watcher", user="bob")
        asked = event(owner, Asked)
        made.hand_over(watcher.id, "root")
        assert event(owner, Answered) == Answered(asked.id)
        made.hand_over(owner.id, "root")
        assert event(owner, Asked) == asked
        owner.answer(asked.id, [CANARY])
        event(owner, Opened)


def test_whoever_takes_a_session_does_not_trust_a_key_in_its_user_s_name() -> None:
    """That needs a permission of its own, which the session's user has been asked for (accept_host_key)."""
    with session(lambda puppet: None if puppet.ask(KEY) == "yes" else puppet.cancel()) as made:
        other = made.attach(user="bob")
        asked = event(other, Asked)
        with pytest.raises(NotAllowedError, match="trust"):
            other.answer(asked.id, ["yes"])
        owner = made.attach()
        assert owner.answer(event(owner, Asked).id, ["yes"])
        event(owner, Opened)


def test_nobody_answers_and_the_login_fails() -> None:
    made = session(log_in, answer=0.05)
    ended = made.wait(PATIENCE)
    assert ended is not None
    assert (ended.reason, ended.cause) == ("failed", "authentication")


def test_ending_a_session_ends_its_questions() -> None:
    made = session(log_in)
    owner = made.attach()
    event(owner, Asked)
    made.terminate("root")
    assert event(owner, Ended).reason == "terminated"
    assert made.wait(PATIENCE)


@pytest.mark.parametrize("allowed", [False, True])
def test_host_keys_are_confirmed_where_the_policy_says_so(allowed: bool) -> None:
    puppet = Puppet()
    with TerminalSession("web1", puppet.connect, policy=TerminalPolicy(accept_host_keys=allowed)) as made:
        owner = made.attach()
        made.start()
        event(owner, Opened)
        assert puppet.prompts.confirms is allowed
