"""``kill -9`` at any point of a run: the database opens, reported results are there, resume does the right hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cli.command import sshexec
from tests.history.crashing import HERE, PATIENCE, Plan, Record, Scene, plans
from tests.testbed import SSHD, Sshd

HOSTS = 16
KILLS = int(os.environ.get("SSHEXEC_TEST_KILLS", "50"))
SEED = int(os.environ.get("SSHEXEC_TEST_SEED", "6"))
AT_ONCE = 4


def local(count: int) -> dict[str, dict[str, object]]:
    return {f"h{n:03d}": {"ansible_connection": "local"} for n in range(1, count + 1)}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> list[Scene]:
    """Runs that were killed, whose records another process of the same machine has then read."""
    folder = tmp_path_factory.mktemp("crash")
    over_ssh: dict[str, dict[str, object]] = local(HOSTS)
    if SSHD is not None or os.environ.get("SSHEXEC_REQUIRE_SERVICES"):
        server: Sshd = request.getfixturevalue("sshd")
        over_ssh = server.hosts(HOSTS)

    def scene(plan: Plan) -> Scene:
        made = Scene(folder / f"{plan.number:02d}", plan, over_ssh if plan.connection == "ssh" else local(HOSTS))
        made.crash()
        return made

    with ThreadPoolExecutor(AT_ONCE) as pool:
        made = list(pool.map(scene, plans(KILLS, HOSTS, SEED)))
    for each in made:
        each.recover()
    return made


def recorded(scenes: list[Scene]) -> Iterator[tuple[Scene, str, Record]]:
    """Return the scenes of which there is a run, with its first record."""
    for scene in scenes:
        for run in scene.runs()[:1]:
            yield scene, run, scene.record(run)


def resumed(asked: list[dict[str, object]]) -> list[dict[str, object]]:
    """Have one process go on with all of these runs, and return what came of each."""
    text = "".join(json.dumps(line) + "\n" for line in asked)
    done = subprocess.run(
        [sys.executable, str(HERE / "resumer.py")], input=text, capture_output=True, text=True, timeout=2 * PATIENCE
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(asked), done.stderr
    return answers


def test_the_runs_were_killed_all_over_their_course(scenes: list[Scene]) -> None:
    # Else the tests below would show little.
    begun = sorted(scene.ran().total() for scene in scenes)
    assert begun[0] < HOSTS / 4
    assert begun[-1] == HOSTS
    assert len(set(begun)) > HOSTS / 4
    assert any(record.unknown for _, _, record in recorded(scenes))
    assert any(record.pending for _, _, record in recorded(scenes))


def test_the_database_opens_and_is_sound(scenes: list[Scene]) -> None:
    assert {scene.sound() for scene in scenes} == {"ok"}
    assert [scene.plan for scene in scenes if len(scene.runs()) > 1] == []


def test_every_result_that_was_reported_is_there(scenes: list[Scene]) -> None:
    lost = []
    for scene in scenes:
        told = [event for event in scene.printed if event["event"] == "host_finished"]
        runs = scene.runs()
        if told and not runs:
            lost.append((scene.plan, "the whole run"))
        for run in runs:
            rows = scene.record(run).results
            for event in told:
                row = rows.get(event["host"])
                if row is None or (row["status"], row["cause"]) != (event["status"], event["cause"]):
                    lost.append((scene.plan, event["host"], event["status"], row and row["status"]))
                elif event["result"].get("rc") is not None:
                    assert row["rc"] == event["result"]["rc"]
                    assert f"out of {event['host']}" in row["stdout"]
    assert lost == []


def test_every_host_whose_command_ran_is_recorded_or_unknown(scenes: list[Scene]) -> None:
    lost = []
    for scene in scenes:
        ran = set(scene.ran())
        runs = scene.runs()
        if ran and not runs:
            lost.append((scene.plan, ran))
        for run in runs:
            record = scene.record(run)
            known = {host for host, row in record.results.items() if row["cause"] != "worker_lost"}
            if missing := ran - known - record.unknown:
                lost.append((scene.plan, missing))
    assert lost == []


def test_a_run_that_died_says_so(scenes: list[Scene]) -> None:
    for scene, run, record in recorded(scenes):
        ended = any(event["event"] == "run_finished" for event in scene.printed)
        assert record.state in (("finished",) if ended else ("finished", "died")), (scene.plan, run)
        if record.state == "finished":
            assert set(record.results) == set(record.hosts), scene.plan


def test_resume_does_the_right_hosts_and_nobody_twice(scenes: list[Scene]) -> None:
    wrong: list[object] = []
    passes = [(scene, run, scene.record(run)) for scene, run, _ in recorded(scenes)]
    for unknown in (False, True):
        before = [scene.ran() for scene, _, _ in passes]
        asked = [
            {"url": scene.url, "inventory": str(scene.inventory), "run": run, "unknown": unknown}
            for scene, run, _ in passes
        ]
        following = []
        for (scene, run, record), had, answer in zip(passes, before, resumed(asked), strict=True):
            due = record.failed | record.pending | (record.unknown if unknown else set())
            again = scene.ran() - had
            if "error" in answer or set(answer["hosts"]) != due or again != dict.fromkeys(due, 1):
                wrong.append((scene.plan, unknown, answer, "due", sorted(due), "began", sorted(again.elements())))
                continue
            next_record = scene.record(str(answer["id"])) if due else record
            following.append((scene, run, _after(record, next_record)))
        assert wrong == [], "\n".join(map(str, wrong))
        passes = following


def _after(record: Record, following: Record) -> Record:
    """Return what is known of a chain of two runs: a host's latest state counts."""
    results = {**record.results, **following.results}
    starts = {*(record.starts - set(following.results)), *following.starts}
    return Record(record.hosts, results, starts, following.state)


def test_the_command_line_resumes_what_it_began(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "scene", Plan(0, "command", "runner", HOSTS // 2, 0.0), local(HOSTS))
    scene.crash()
    arguments = ["-i", scene.inventory, "--history", scene.url, "--jsonl"]
    before = scene.ran()
    first = sshexec("run", "--resume", "last", *arguments, env=scene.environment())
    scene.recover()
    (run, second) = scene.runs()
    record = scene.record(run)
    assert record.unknown
    assert scene.ran() - before == dict.fromkeys(record.failed | record.pending, 1)
    # Some of them fail again; those of which nobody knows are counted, and left alone.
    assert first.returncode == 2, first.stderr
    assert str(len(record.unknown)) in first.stderr
    assert "--include-unknown" in first.stderr
    before = scene.ran()
    sshexec("run", "--resume", second, "--include-unknown", *arguments, env=scene.environment())
    scene.recover()
    assert scene.ran() - before == dict.fromkeys(scene.record(second).failed | record.unknown, 1)


def test_passes_that_are_killed_too(tmp_path: Path) -> None:
    plan = Plan(0, "command", "runner", 4, 0.01)
    scene = Scene(tmp_path / "scene", plan, local(HOSTS), failing=False)
    scene.crash()
    scene.recover()
    (first,) = scene.runs()
    for lines in (7, 10, 13):
        # Every pass is told of the first run; what those in between have done counts.
        scene.crash(resume=first, lines=lines)
    arguments = ["-i", scene.inventory, "--history", scene.url]
    sshexec("run", "--resume", first, *arguments, env=scene.environment())
    ended = sshexec("run", "--resume", first, *arguments, env=scene.environment())
    scene.recover()
    record = scene.record(first)
    for run in scene.runs()[1:]:
        record = _after(record, scene.record(run))
    assert record.pending == set()
    assert scene.sound() == "ok"
    # Nobody twice; and those whose command never began, though they were about to, are among the unknown.
    ran = scene.ran()
    assert set(ran.values()) == {1}
    assert set(record.hosts) - set(ran) <= record.unknown
    assert str(len(record.unknown)) in ended.stderr
