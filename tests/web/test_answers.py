"""Equal answers are told once, none is too large for a page, and none shows a secret."""

from __future__ import annotations

import json

import pytest

from sshexec.history.hiding import Needles
from sshexec.results import HostResult
from sshexec.web.answers import Answers, shortened
from sshexec.web.live import SHOWN, TAIL, Live


def result(host: str, stdout: str = "", **more: object) -> HostResult:
    data = {"changed": True, "rc": 0, "stdout": stdout, "stderr": "", "msg": "", **more}
    return HostResult(host, "failed" if data["rc"] else "changed", data)


def test_hosts_that_say_the_same_have_one_answer():
    answers = Answers()
    taken = [answers.take(result(f"h{n}", "same", start=f"0:0{n}", delta=str(n))) for n in range(5)]
    assert taken == [(0, True)] + [(0, False)] * 4
    assert answers.take(result("h9", "other")) == (1, True)
    assert [answer["stdout"] for answer in answers.all] == ["same", "other"]


@pytest.mark.parametrize(
    "other",
    [
        HostResult("b", "ok", {"rc": 0, "stdout": "x", "changed": False}),
        result("b", "x", rc=1),
        result("b", "x", stderr="y"),
        result("b", "x", diff={"before": "1\n", "after": "2\n"}),
        result("b", "x", stat={"exists": True}),
    ],
)
def test_whatever_differs_is_another_answer(other):
    answers = Answers()
    answers.take(result("a", "x"))
    assert answers.take(other) == (1, True)


def test_failures_may_differ_in_the_hosts_own_name_and_address():
    answers = Answers(names=lambda host: (host, f"10.0.0.{host[1:]}"))
    for host in ("h1", "h2"):
        said = f"{host}: 10.0.0.{host[1:]} port 22 refused the connection"
        assert answers.take(HostResult(host, "unreachable", {"msg": said}, cause="refused"))[0] == 0
    assert answers.take(HostResult("h3", "unreachable", {"msg": "h1 is gone"}, cause="refused"))[0] == 1


def test_a_page_can_hold_what_a_thousand_hosts_say():
    answers = Answers(budget=100_000)
    for number in range(1000):
        answers.take(result(f"h{number}", f"{number}\n" * 5000, msg="m" * 5000))
    assert sum(len(answer["stdout"]) + len(answer["msg"]) for answer in answers.all) < 400_000
    assert answers.all[-1]["truncated"]
    assert not answers.all[0]["truncated"]
    assert answers.all[0]["stdout"].startswith("0\n0\n")


def test_a_long_text_keeps_both_ends():
    text = shortened("a" * 5000 + "z" * 5000, 100)
    assert (text[0], text[-1]) == ("a", "z")
    assert "9900 characters are not shown" in text


def test_a_difference_is_shown_as_lines():
    answers = Answers()
    answers.take(result("a", diff={"before": "one\n", "after": "two\n", "before_header": "/etc/motd"}))
    assert "-one\n+two" in answers.all[0]["difference"]


def test_no_answer_shows_a_secret():
    needles = Needles(["hunter2secret"])
    answers = Answers(lambda host: needles)
    answers.take(
        result("a", "it is hunter2secret", stderr="aHVudGVyMnNlY3JldA==", facts={"hunter2secret": ["hunter2secret"]})
    )
    shown = json.dumps(answers.all)
    assert "hunter2" not in shown
    assert "aHVudGVyMnN" not in shown


def test_what_is_no_utf8_can_be_sent():
    answers = Answers()
    answers.take(result("a", "caf\udce9", facts={"\udcff": "\udcfe"}))
    json.dumps(answers.all, ensure_ascii=False).encode("utf-8")
    assert answers.all[0]["stdout"] == "caf\ufffd"


def test_live_output_comes_in_whole_lines():
    live = Live()
    assert live.take("a", "stdout", "on") == ""
    assert live.take("a", "stdout", "e\ntw") == "one\n"
    assert live.take("a", "stderr", "other\n") == "other\n"
    assert live.take("a", "stdout", "o\n") == "two\n"
    assert live.tails() == {"a": "one\nother\ntwo\n"}
    live.forget("a")
    assert live.tails() == {}


def test_a_secret_that_comes_in_two_pieces_is_hidden_live():
    needles = Needles(["hunter2secret"])
    live = Live(lambda host: needles)
    shown = live.take("a", "stdout", "it is hunter2") + live.take("a", "stdout", "secret, you see\n")
    assert shown == "it is ********, you see\n"


def test_live_output_has_an_end():
    live = Live()
    shown = sum(len(live.take("a", "stdout", "y\n" * 5000)) for _ in range(1000))
    assert shown < SHOWN + 100
    assert len(live.tails()["a"]) <= TAIL
    assert live.take("b", "stdout", "still there\n") == "still there\n"


def test_a_line_without_an_end_is_shown_and_not_kept():
    live = Live()
    assert len(live.take("a", "stdout", "x" * 10_000)) == 10_000
