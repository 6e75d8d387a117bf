"""Whoever follows a run knows all of it, however often the connection breaks, and nobody fills the memory."""

from __future__ import annotations

import json
import threading
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from sshexec.events import HostFinished, HostPhase, HostStarted, Output, RunFinished
from sshexec.results import HostResult, RunResult
from sshexec.web.answers import Answers
from sshexec.web.board import LOG, Board

HOSTS = ("a", "b", "c")


def board(hosts: tuple[str, ...] = HOSTS) -> Board:
    return Board("1" * 32, {"user": "ann", "started": 1.0, "module": "shell"}, hosts, Answers())


def finished(host: str, text: str = "done") -> HostFinished:
    return HostFinished(HostResult(host, "ok", {"stdout": text, "rc": 0}, started=1.0, finished=2.5))


def over(state: str = "finished") -> RunFinished:
    return RunFinished(RunResult("1" * 32, "shell", {}, 1.0, 3.0, state))


def told(text: str) -> list[tuple[int, str, dict]]:
    """Return the messages of a stream: number, kind and data."""
    messages = []
    for part in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in part.splitlines() if not line.startswith(":"))
        if lines:
            messages.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return messages


def test_a_page_gets_everything_first_and_then_each_change():
    run = board()
    run.take(HostStarted("a", 1.0))
    stream = run.follow(None)
    [(number, kind, whole)] = told(next(stream))
    assert (number, kind) == (1, "snapshot")
    assert whole["hosts"] == [["a", "waiting", None, None], ["b", "pending", None, None], ["c", "pending", None, None]]
    assert whole["counts"] == {"running": 1, "pending": 2}
    run.take(HostPhase("a", "running", 1.0))
    run.take(Output("a", "stdout", "hello\n", 1.0))
    run.take(finished("a"))
    assert [(kind, data.get("host")) for _, kind, data in told(next(stream))] == [
        ("phase", "a"),
        ("output", "a"),
        ("result", "a"),
    ]
    run.take(finished("b"))
    [(_, kind, second)] = told(next(stream))
    assert second == {"host": "b", "status": "ok", "answer": 0, "seconds": 1.5}  # what was said is known
    run.take(finished("c"))
    run.take(over())
    assert [kind for text in stream for _, kind, _ in told(text)] == ["result", "end"]
    assert run.snapshot()["state"] == "finished"


def test_who_comes_back_gets_what_was_missed_and_no_more():
    run = board()
    for host in HOSTS:
        run.take(finished(host))
    assert [number for number, _, _ in told(next(run.follow(1)))] == [2, 3]
    assert [kind for _, kind, _ in told(next(run.follow(99)))] == ["snapshot"]


def test_who_was_away_for_too_long_gets_everything_anew():
    run = board()
    for number in range(200):
        run.take(HostPhase("a", f"p{number}" + "x" * (LOG // 50), 1.0))
    [(number, kind, _)] = told(next(run.follow(3)))
    assert (number, kind) == (200, "snapshot")


def test_the_log_is_bounded():
    run = board(tuple(f"h{n}" for n in range(50)))
    tracemalloc.start()
    for number in range(30_000):
        run.take(HostPhase(f"h{number % 50}", f"phase {number}", 1.0))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 4 * LOG


def test_a_quiet_run_is_a_comment_now_and_then():
    stream = board().follow(0, beat=0.01)
    assert next(stream) == ": still here\n\n"


def test_a_stream_ends_so_that_its_reader_is_asked_anew_who_it_is():
    assert len(list(board().follow(None, beat=0.01, seconds=0.05))) < 20


def test_the_end_of_the_server_ends_what_is_followed():
    run = board()
    stream = run.follow(None)
    next(stream)
    ended = threading.Event()
    thread = threading.Thread(target=lambda: (list(stream), ended.set()))
    thread.start()
    run.leave()
    assert ended.wait(10)
    thread.join()


def test_a_run_whose_end_nobody_saw_is_said_to_have_died():
    run = board()
    run.fail()
    assert run.summary()["state"] == "died"
    run.take(over())
    run.fail()


def test_what_happens_to_strangers_and_after_a_result_is_nothing():
    run = board()
    run.take(finished("stranger"))
    run.take(finished("a"))
    before = run.snapshot()
    run.take(HostPhase("a", "running", 1.0))
    run.take(Output("a", "stdout", "late\n", 1.0))
    assert run.snapshot() == before


EVENTS = st.lists(
    st.one_of(
        st.builds(lambda host, phase: HostPhase(host, phase, 1.0), st.sampled_from(HOSTS), st.sampled_from(["p", "q"])),
        st.builds(lambda host, text: Output(host, "stdout", text, 1.0), st.sampled_from(HOSTS), st.text(max_size=5)),
        st.builds(finished, st.sampled_from(HOSTS), st.sampled_from(["x", "y"])),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=60)
@given(EVENTS, st.lists(st.integers(0, 40), max_size=4))
def test_changes_lead_to_the_same_state_wherever_one_comes_in(events, breaks):
    run = board()
    places = sorted({min(place, len(events)) for place in breaks} | {0})
    seen: list[dict] = []
    number: int | None = None
    for start, end in zip(places, [*places[1:], len(events)], strict=True):
        for event in events[start:end]:
            run.take(event)
        for new, kind, data in told(next(run.follow(number, beat=0.001))):
            number = new
            if kind == "snapshot":
                seen = [data]
            else:
                seen.append({"kind": kind, **data})
    whole, *changes = seen
    rows = {name: row for name, *row in whole["hosts"]}
    said = {answer["number"]: answer for answer in whole["answers"]}
    for change in changes:
        if change["kind"] == "phase":
            rows[change["host"]][0] = change["phase"]
        elif change["kind"] == "result":
            rows[change["host"]] = [change["status"], change["answer"], change["seconds"]]
            if "said" in change:
                said[change["answer"]] = change["said"]
    now = run.snapshot()
    assert [[name, *row] for name, row in rows.items()] == now["hosts"]
    assert [said[each] for each in sorted(said)] == now["answers"]


def test_who_comes_after_the_end_gets_everything_once():
    run = board()
    for host in HOSTS:
        run.take(finished(host))
    run.take(over("cancelled"))
    [text] = run.follow(None)
    [(number, kind, whole)] = told(text)
    assert (kind, whole["state"], whole["counts"]) == ("snapshot", "cancelled", {"ok": 3})
    assert list(run.follow(number)) == [": still here\n\n"]
