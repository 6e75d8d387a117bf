"""``--events runner`` and ``--artifacts``: ansible-runner's words on standard output and in files."""

from __future__ import annotations

import json
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from sshexec.cli.recording import recording
from tests.cli.command import finish, sshexec, start, wait_for

TWO = ["run", "all", "-i", "h1,h2,", "-c", "local"]


def test_runner_events_are_a_line_each() -> None:
    done = sshexec(*TWO, "-m", "shell", "-a", "echo hi", "--jsonl", "--events", "runner", "--ident", "job-1")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events[:3]] == [
        "playbook_on_start",
        "playbook_on_play_start",
        "playbook_on_task_start",
    ]
    assert {event["runner_ident"] for event in events} == {"job-1"}
    assert events[1]["event_data"]["play_pattern"] == "all"
    printed = [event["stdout"] for event in events if event["event"] == "runner_on_ok"]
    assert sorted(printed) == ["h1 | CHANGED | rc=0 >>\nhi", "h2 | CHANGED | rc=0 >>\nhi"]
    assert events[-1]["event"] == "playbook_on_stats"
    assert events[-1]["event_data"]["ok"] == {"h1": 1, "h2": 1}
    assert done.returncode == 0


def test_the_projects_own_events_stay_the_default() -> None:
    for more in ([], ["--events", "sshexec"]):
        done = sshexec(*TWO, "-m", "ping", "--jsonl", *more)
        assert json.loads(done.stdout.splitlines()[-1])["event"] == "run_finished"


def test_files_beside_any_output(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    done = sshexec(*TWO, "-a", "false", "--artifacts", folder, "--ident", "job 1", "-o")
    assert done.stdout.count("FAILED | rc=1") == 2
    assert done.returncode == 2
    kept = folder / "artifacts" / "job 1"
    assert [(kept / name).read_text() for name in ("rc", "status")] == ["2", "failed"]
    assert (kept / "stdout").read_text().count("FAILED | rc=1 >>\nnon-zero return code\n") == 2
    assert len(list((kept / "job_events").glob("*.json"))) == 8
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept.rglob("*") if path.is_file()} == {0o600}


def test_files_hold_the_events_that_are_printed(tmp_path: Path) -> None:
    done = sshexec(*TWO, "-m", "ping", "--jsonl", "--events", "runner", "--artifacts", tmp_path)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    folder = tmp_path / "artifacts" / events[0]["runner_ident"] / "job_events"
    for event in events:
        assert json.loads((folder / f"{event['counter']}-{event['uuid']}.json").read_text()) == event


@pytest.mark.parametrize(
    "arguments",
    [
        "dest=/nowhere/x content=s3cret",
        "dest=/nowhere/x content='a s3cret'",
        '{"dest": "/nowhere/x", "content": "s3cret"}',
    ],
)
def test_no_secret_is_in_the_files(tmp_path: Path, arguments: str) -> None:
    hidden = "********"
    more = ["-e", "db_password=s3cret", "-e", '{"token": "s3cret"}', "-C"]
    sshexec(*TWO, "-m", "copy", "-a", arguments, *more, "--artifacts", tmp_path, env={"PASSWORD": "s3cret"})
    (kept,) = (tmp_path / "artifacts").iterdir()
    assert json.loads((kept / "command").read_text()) == {
        "command": ["sshexec", *TWO[:4], "-m", "copy", "-a", hidden, "-e", hidden, "-e", hidden, "-C"],
        "cwd": str(Path.cwd()),
        "env": {},
    }
    assert not [path for path in kept.rglob("*") if path.is_file() and "s3cret" in path.read_text()]


def test_the_command_is_there_for_people(tmp_path: Path) -> None:
    more = tmp_path / "more.yml"
    more.write_text("a: 1\n")
    sshexec(*TWO, "-a", "echo a=b", "-l", "h1", "-e", f"@{more}", "-D", "--artifacts", tmp_path)
    (kept,) = (tmp_path / "artifacts").iterdir()
    words = json.loads((kept / "command").read_text())["command"]
    assert words == ["sshexec", *TWO[:4], "-m", "command", "-a", "echo a=b", "-l", "h1", "-e", f"@{more}", "-D"]


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("hosts/a@b.yml", "hosts/a@b.yml"),
        ("cmdb://h/api?site=x", "cmdb://h/api?site=x"),
        ("cmdb://user:s3cret@h/api", "cmdb://********@h/api"),
        ("cmdb://user:s3/cret@h/api", "cmdb://********@h/api"),
        ("cmdb://user:s3@cret@h/api", "cmdb://********@h/api"),
        ("cmdb://h/api?site=x&token=s3cret&password=s3=cret", "cmdb://h/api?site=x&token=********&password=********"),
    ],
)
def test_the_command_has_no_secret_of_an_inventory(tmp_path: Path, source: str, shown: str) -> None:
    options: dict[str, Any] = dict.fromkeys(("arguments", "limit", "ident", "events", "check", "diff", "become"))
    with recording("all", [source], {**options, "module": "ping", "extra": (), "artifacts": str(tmp_path)}) as records:
        records.started()
    (kept,) = (tmp_path / "artifacts").iterdir()
    words = json.loads((kept / "command").read_text())["command"]
    assert words == ["sshexec", "run", "all", "-i", shown, "-m", "ping"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--events", "runner"], "--events goes with --jsonl"),
        (["--events", "runner", "--json"], "--events goes with --jsonl"),
        (["--events", "other", "--jsonl"], "'other' is not one of 'sshexec', 'runner'"),
        (["--ident", "x"], "--ident goes with --artifacts or --events runner"),
        (["--artifacts", "{folder}", "--ident", "../x"], "ident: '../x' can't name a directory"),
        (["--artifacts", "{folder}", "--ident", "there"], "{folder}/artifacts/there is there already"),
        (["--artifacts", "{folder}/file"], "file"),
    ],
)
def test_bad_usage_contacts_nobody(tmp_path: Path, options: list[str], message: str) -> None:
    (tmp_path / "artifacts" / "there").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    reached = tmp_path / "reached"
    done = sshexec(*TWO, "-a", f"touch {reached}", *(option.format(folder=tmp_path) for option in options))
    assert done.returncode == 5
    assert message.format(folder=tmp_path) in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not reached.exists()
    assert [path.name for path in (tmp_path / "artifacts").iterdir()] == ["there"]


def test_bad_input_leaves_no_files(tmp_path: Path) -> None:
    done = sshexec(*TWO, "-m", "copy", "-a", "content=x", "--artifacts", tmp_path, "--ident", "x")
    assert done.returncode == 5
    assert not list((tmp_path / "artifacts").iterdir())


def test_an_interrupted_run_was_canceled(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    process = start(
        *TWO, "-m", "shell", "-a", f"echo x >> {begun}; sleep 60", "--artifacts", tmp_path, "--ident", "x", "-q"
    )
    wait_for(begun)
    process.send_signal(signal.SIGINT)
    finish(process)
    assert process.returncode == 130
    kept = tmp_path / "artifacts" / "x"
    assert [(kept / name).read_text() for name in ("status", "rc")] == ["canceled", "254"]
    events = [json.loads(path.read_text()) for path in (kept / "job_events").iterdir()]
    assert sum(event["event"] == "runner_on_failed" for event in events) == 2


def test_a_reader_that_leaves_cancels_the_run(tmp_path: Path) -> None:
    options = ["--jsonl", "--events", "runner", "--artifacts", tmp_path, "--ident", "x", "-q"]
    process = start(*TWO, "-m", "shell", "-a", "sleep 2", *options)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    finish(process)
    assert process.returncode == 141
    assert (tmp_path / "artifacts" / "x" / "status").read_text() == "canceled"
