"""The prompt broker: who is asked, who tries an answer first, and what the others hear."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from sshexec.connectors.broker import Broker
from sshexec.connectors.deadline import Deadline
from sshexec.connectors.prompts import Answer, Kind, Prompts, Question
from sshexec.errors import CancelledError
from sshexec.secret import Secret


def nothing() -> None:
    """A guard that lets wait."""


class Person:
    """Answers from a list, and remembers the questions."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Question] = []
        self.ready = threading.Event()
        self.ready.set()

    def __call__(self, question: Question) -> Any:
        self.asked.append(question)
        assert self.ready.wait(20)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def ask(
    broker: Prompts, host: str, kind: Kind = "password", group: str = "root", instead_of: Answer | None = None
) -> Answer:
    question = Question(kind, group, f"{kind} of {group}", host)
    return broker.ask(question, Deadline.after(20), nothing, instead_of=instead_of)


class Hosts:
    """Hosts that ask at once, each on a thread of its own, and judge what they get."""

    def __init__(
        self, broker: Broker, names: list[str], judge: Callable[[str, Answer], bool | None], **how: Any
    ) -> None:
        self.got: dict[str, list[str | None]] = {name: [] for name in names}
        self.reasons: dict[str, str] = {}
        self.log: list[str] = []
        self._broker, self._judge, self._how = broker, judge, how
        self._threads = [threading.Thread(target=self._run, args=(name,)) for name in names]
        for thread in self._threads:
            thread.start()

    def _run(self, name: str) -> None:
        answer: Answer | None = None
        while True:
            answer = ask(self._broker, name, instead_of=answer, **self._how)
            self.got[name].append(answer.secret.reveal() if answer.secret else None)
            self.log.append(name)
            if answer.secret is None:
                self.reasons[name] = answer.reason
                return
            right = self._judge(name, answer)
            if right is not False:
                with answer:
                    if right:
                        answer.accept()
                return

    def join(self) -> Hosts:
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()
        return self


NAMES = [f"h{n}" for n in range(20)]


def test_a_question_is_asked_once_and_tried_on_one_host_first() -> None:
    person = Person("right")
    trying, most = [0], [0]
    verdict = threading.Event()

    def judge(name: str, answer: Answer) -> bool:
        if not answer.proven:
            trying[0] += 1
            most[0] = max(most[0], trying[0])
            assert not verdict.wait(0.3), "nobody else has it before the first host's verdict"
            verdict.set()
        assert verdict.is_set()
        return True

    hosts = Hosts(Broker(person), NAMES, judge).join()
    assert [question.kind for question in person.asked] == ["password"]
    assert most == [1]
    assert all(got == ["right"] for got in hosts.got.values())


def test_a_wrong_answer_costs_one_host_and_is_asked_again_there() -> None:
    person = Person("typo", Secret("right"))
    hosts = Hosts(Broker(person), NAMES, lambda name, answer: answer.secret == Secret("right")).join()
    assert [question.attempt for question in person.asked] == [1, 2]
    tried = [name for name, got in hosts.got.items() if got == ["typo", "right"]]
    assert len(tried) == 1
    assert person.asked[1].host == tried[0]
    assert all(got == ["right"] for name, got in hosts.got.items() if name not in tried)


def test_after_three_wrong_answers_nobody_else_tries() -> None:
    person = Person("a", "b", "c", "d")
    broker = Broker(person)
    hosts = Hosts(broker, NAMES, lambda name, answer: False).join()
    (canary,) = [name for name, got in hosts.got.items() if len(got) > 1]
    assert hosts.got[canary] == ["a", "b", "c", None]
    assert "wrong 3 times" in hosts.reasons[canary]
    others = {reason for name, reason in hosts.reasons.items() if name != canary}
    assert others == {f"password of root: the answer was wrong on {canary} and was not tried here"}
    assert ask(broker, "late").secret is None, "a host whose turn comes later neither"
    broker.forgive()
    with ask(broker, "next run") as answer:
        assert answer.secret == Secret("d"), "the next run asks again"


def test_who_breaks_off_hands_the_answer_on_but_not_for_ever() -> None:
    person = Person("first", "second")
    seen: list[str] = []

    def judge(name: str, answer: Answer) -> bool | None:
        assert answer.secret is not None
        seen.append(answer.secret.reveal())
        return True if answer.secret == Secret("second") else None

    Hosts(Broker(person), NAMES, judge).join()
    # Each of three hosts tried it, and none could say: a fourth one would be one account more that is locked.
    assert seen.count("first") == 3
    assert len(person.asked) == 2


def test_a_password_is_not_asked_for_again_where_a_code_was_not_answered() -> None:
    person = Person("right", None, "again", "123456")
    broker = Broker(person)

    def judge(name: str, answer: Answer) -> bool | None:
        with ask(broker, name, "code") as code:
            code.accept()
        return None if code.secret is None else True

    hosts = Hosts(broker, NAMES, judge).join()
    assert [(question.kind, question.attempt) for question in person.asked] == [("password", 1), ("code", 1)]
    tried = [name for name, got in hosts.got.items() if got == ["right"]]
    assert len(tried) == 3
    assert "nobody knows whether the answer is right" in hosts.reasons[(set(NAMES) - set(tried)).pop()]
    broker.forgive()
    again = Hosts(broker, NAMES, judge).join()
    assert set(map(tuple, again.got.values())) == {("again",)}, "the next run asks again"


@pytest.mark.parametrize("answer", [None, RuntimeError("canary-text"), SystemExit("canary-text"), 5])
def test_no_answer_is_told_to_all(answer: object, caplog: pytest.LogCaptureFixture) -> None:
    person = Person(answer)
    hosts = Hosts(Broker(person), NAMES, lambda name, answer: True).join()
    assert set(hosts.reasons.values()) == {"password of root: nobody answered"}
    assert len(person.asked) == 1
    assert "canary-text" not in caplog.text


def test_a_person_who_is_away_is_not_waited_for_twice() -> None:
    person = Person("too late", "late")
    person.ready.clear()
    broker = Broker(person, patience=0.3)
    Hosts(broker, NAMES[:2], lambda name, answer: True).join()
    hosts = Hosts(broker, NAMES[2:4], lambda name, answer: True, group="other").join()
    assert set(hosts.reasons.values()) == {"password of other: an earlier question is still unanswered"}
    assert len(person.asked) == 1
    person.ready.set()
    broker.forgive()
    limit = time.monotonic() + 20
    while ask(broker, "h1", group="third").secret is None and time.monotonic() < limit:
        broker.forgive()
    assert len(person.asked) == 2


def test_waiting_ends_with_the_host_and_not_with_the_question() -> None:
    person = Person("right")
    person.ready.clear()
    broker = Broker(person)
    cancelled = threading.Event()

    def guard() -> None:
        if cancelled.is_set():
            raise CancelledError("cancelled")

    def wait() -> None:
        with pytest.raises(CancelledError):
            broker.ask(Question("password", "root", "password", "h1"), Deadline.after(20), guard)
        cancelled.clear()

    thread = threading.Thread(target=wait)
    thread.start()
    cancelled.set()
    thread.join(20)
    assert not cancelled.is_set()
    assert broker.ask(Question("password", "root", "password", "h2"), Deadline.after(0), nothing).secret is None
    person.ready.set()
    assert ask(broker, "h3").secret == Secret("right")
    assert len(person.asked) == 1


def test_who_is_cancelled_while_nobody_answers_is_cancelled() -> None:
    cancelled = threading.Event()

    def person(question: Question) -> None:
        cancelled.set()

    def guard() -> None:
        if cancelled.is_set():
            raise CancelledError("cancelled")

    with pytest.raises(CancelledError):
        Broker(person).ask(Question("password", "root", "password", "h1"), Deadline.after(20), guard)


def test_a_host_with_another_password_does_not_spoil_it_for_the_rest() -> None:
    person = Person("right", "of its own")
    broker = Broker(person)
    with ask(broker, "h1") as answer:
        answer.accept()
    wrong = ask(broker, "odd")
    assert wrong.proven
    answer = ask(broker, "odd", instead_of=wrong)
    assert answer.secret is None
    assert "right on h1 was refused here" in answer.reason
    assert ask(broker, "h2").secret == Secret("right")
    broker.forgive()
    # A new run: the password may have changed meanwhile, so one host tries it first, and not the one that refused it.
    again = ask(broker, "odd")
    assert again.secret == Secret("right")
    assert ask(broker, "odd", instead_of=again).secret is None
    hosts = Hosts(broker, ["h1", "h2"], lambda name, answer: True).join()
    assert hosts.got == {"h1": ["right"], "h2": ["right"]}
    assert len(person.asked) == 1


def test_an_answer_that_was_right_in_an_earlier_run_is_tried_on_one_host_first() -> None:
    person = Person("old", "new")
    broker = Broker(person)
    with ask(broker, "h1") as answer:
        answer.accept()
    broker.forgive()
    hosts = Hosts(broker, NAMES, lambda name, answer: answer.secret == Secret("new")).join()
    assert sum(got == ["old", "new"] for got in hosts.got.values()) == 1
    assert sum(got == ["new"] for got in hosts.got.values()) == len(NAMES) - 1


def test_a_code_is_used_again_for_a_while_only() -> None:
    person = Person("111", "222")
    broker = Broker(person, code_window=0.5)
    with ask(broker, "h1", "code") as answer:
        answer.accept()
    with ask(broker, "h2", "code") as answer:
        assert (answer.secret, answer.proven) == (Secret("111"), True)
        answer.accept()
    time.sleep(0.6)
    with ask(broker, "h3", "code") as answer:
        assert (answer.secret, answer.proven) == (Secret("222"), False)
    assert len(person.asked) == 2


def test_a_server_that_takes_a_code_once_gets_one_of_its_own() -> None:
    codes = [str(n) for n in range(20)]
    person = Person(*codes)
    used: set[str] = set()
    lock = threading.Lock()

    def judge(name: str, answer: Answer) -> bool:
        assert answer.secret is not None
        with lock:
            fresh = answer.secret.reveal() not in used
            used.add(answer.secret.reveal())
            return fresh

    hosts = Hosts(Broker(person), NAMES[:4], judge, kind="code").join()
    assert not hosts.reasons
    assert len(person.asked) == 4
    assert max(len(got) for got in hosts.got.values()) == 2, "nobody is refused twice"


def test_a_host_that_refuses_a_code_late_gets_one_of_its_own_too() -> None:
    broker = Broker(Person("1", "2", "3"))
    first = ask(broker, "h1", kind="code")
    first.accept()
    quick, slow = (ask(broker, name, kind="code") for name in ("h2", "h3"))
    assert [quick.secret, slow.secret] == [Secret("1"), Secret("1")]
    another = ask(broker, "h2", kind="code", instead_of=quick)
    assert another.secret == Secret("2")
    another.accept()
    assert ask(broker, "h3", kind="code", instead_of=slow).secret == Secret("3")


def test_groups_and_kinds_are_asked_one_after_the_other() -> None:
    busy, most = [0], [0]

    def person(question: Question) -> str:
        busy[0] += 1
        most[0] = max(most[0], busy[0])
        time.sleep(0.05)
        busy[0] -= 1
        return f"{question.kind}-{question.group}"

    broker = Broker(person)
    got = [Hosts(broker, NAMES[:3], lambda name, answer: True, group=group) for group in ("a", "b", "c")]
    answers = {answer for hosts in got for each in hosts.join().got.values() for answer in each}
    assert answers == {"password-a", "password-b", "password-c"}
    assert most == [1]


def test_nobody_is_asked_where_there_is_nobody() -> None:
    assert not Prompts().available
    assert ask(Prompts(), "h1").secret is None
    assert ask(Prompts(), "h1").reason == ""


def test_a_closed_broker_answers_nobody() -> None:
    person = Person("right")
    person.ready.clear()
    broker = Broker(person)
    hosts = Hosts(broker, NAMES[:3], lambda name, answer: True)
    while not person.asked:
        time.sleep(0.01)
    broker.close()
    hosts.join()
    assert set(hosts.reasons.values()) == {"password of root: the engine was closed"}
    person.ready.set()
    assert "closed" in ask(broker, "h9").reason


def test_codes_are_forgotten_when_a_later_run_begins() -> None:
    # Some hosts put a number of their own into each question.
    broker = Broker(lambda question: "975", code_window=0.0)
    for number in range(50):
        with ask(broker, "h1", "code", f"root: Challenge {number}: ") as answer:
            answer.accept()
    with ask(broker, "h1") as answer:
        answer.accept()
    broker.forgive()
    assert list(broker._groups) == [("password", "root")]
