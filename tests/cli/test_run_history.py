"""`sshexec run` and its record: what is kept by default, and going on with a run."""

from __future__ import annotations

import json
import logging
import os
import pwd
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshexec.cli import main
from sshexec.history.history import History
from sshexec.history.records import RunRecord
from tests.cli.command import sshexec, start, wait_for

HOSTS = ("-i", "h1,h2,h3,", "-c", "local")
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def kept(tmp_path: Path) -> Command:
    """Return a function that runs the command as it is for a user who has set nothing."""

    def run(*args: object, **env: str) -> subprocess.CompletedProcess[str]:
        return sshexec(*args, env={"XDG_STATE_HOME": str(tmp_path / "state"), "SSHEXEC_HISTORY": "", **env})

    return run


def last(tmp_path: Path) -> RunRecord:
    """Return the run that was recorded last."""
    with History(f"sqlite:///{tmp_path}/state/sshexec/history.db") as history:
        history.recover()
        return history.records.run("last")


def ready(folder: Path, *names: str) -> str:
    """Let these hosts succeed, and return the command that asks for that."""
    for name in names:
        (folder / f"ready-{name}").touch()
    return f"echo {{{{ inventory_hostname }}}} >> {folder}/ran; test -e {folder}/ready-{{{{ inventory_hostname }}}}"


def test_a_run_is_recorded_by_default(kept: Command, tmp_path: Path) -> None:
    done = kept(
        *("run", "h*", *HOSTS, "-l", "h1,h2", "-m", "shell", "-a", "true", "--reason", "OPS-7", "--label", "site=b=c"),
        *("--label", "who=me", "--json"),
    )
    run = last(tmp_path)
    result = json.loads(done.stdout)
    assert (result["id"], result["recorded"]) == (run.id, "journal")
    assert done.stderr.splitlines()[-1] == f"  recorded as run {run.id[:8]}"
    assert (run.reason, dict(run.labels), run.module, run.args) == (
        "OPS-7",
        {"site": "b=c", "who": "me"},
        "shell",
        "true",
    )
    assert (run.pattern, run.hosts, run.counts) == ("h*:&h1,h2", ("h1", "h2"), {"changed": 2})
    assert (run.actor or "").split(" ")[0] == pwd.getpwuid(os.getuid()).pw_name
    state = tmp_path / "state" / "sshexec"
    assert [oct(path.stat().st_mode & 0o777) for path in (state, state / "history.db")] == ["0o700", "0o600"]


def test_who_has_become_another_one_is_noted(kept: Command, tmp_path: Path) -> None:
    kept("run", "h1", *HOSTS, "-a", "true", SUDO_USER="alice")
    assert last(tmp_path).actor == f"{pwd.getpwuid(os.getuid()).pw_name} (sudo by alice)"


@pytest.mark.parametrize(("flags", "env"), [(["--no-history"], {}), ([], {"SSHEXEC_HISTORY": "none"})])
def test_nothing_is_kept_where_nothing_is_to_be(
    kept: Command, tmp_path: Path, flags: list[str], env: dict[str, str]
) -> None:
    done = kept("run", "h1", *HOSTS, "-a", "true", *flags, **env)
    assert (done.returncode, "recorded" in done.stderr) == (0, False)
    assert not (tmp_path / "state").exists()


def test_only_those_that_did_not_end_well_run_again_until_none_is_left(kept: Command, tmp_path: Path) -> None:
    first = kept("run", "all", *HOSTS, "-m", "shell", "-a", ready(tmp_path, "h1"), "-o")
    assert first.returncode == 2
    (name,) = re.findall(r"recorded as run (\w{8}) \(--resume \1 goes on with it\)", first.stderr)
    ready(tmp_path, "h2")
    assert kept("run", "--resume", name, *HOSTS, "--list-hosts").stdout == "h2\nh3\n"
    second = kept("run", "--resume", name, *HOSTS, "-o")
    assert second.returncode == 2
    assert sorted(line.split(" | ")[:2] for line in second.stdout.splitlines()) == [["h2", "CHANGED"], ["h3", "FAILED"]]
    ready(tmp_path, "h3")
    # The same words may be there again; a pattern picks among those that are left.
    command = ready(tmp_path)
    third = kept("run", "all:!h2", *HOSTS, "-m", "shell", "-a", command, "-o", "--resume", "last")
    assert (third.returncode, third.stdout) == (0, "h3 | CHANGED | rc=0\n")
    for flags in ([], ["--json"]):
        nothing = kept("run", "--resume", name, *HOSTS, *flags)
        assert nothing.returncode == 0
        assert nothing.stderr == f"sshexec: nothing is left to do of run {name}: 3 of 3 hosts are done\n"
    assert json.loads(nothing.stdout)["counts"] == {}
    assert Counter((tmp_path / "ran").read_text().split()) == {"h1": 1, "h2": 2, "h3": 3}


def test_options_come_from_the_record_or_are_given_anew(kept: Command, tmp_path: Path) -> None:
    arguments = json.dumps({"path": "/none", "state": "file"})
    flags = ("-C", "-D", "--serial", "1,50%", "--task-timeout", "7", "--output-limit", "2k", "--reason", "OPS-7")
    kept("run", "all", *HOSTS, "-m", "file", "-a", arguments, *flags, "--label", "a=b", "--become-user", "root")
    first = last(tmp_path)
    done = kept("run", "--resume", "last", *HOSTS, "--task-timeout", "8", "--label", "c=d", "--json")
    assert json.loads(done.stdout)["counts"] == {"failed": 3}, done.stderr
    run = last(tmp_path)
    assert dict(run.task) == {**first.task, "timeout": 8.0}
    assert (run.reason, dict(run.labels), run.resumes, run.root) == ("OPS-7", {"c": "d"}, first.id, first.id)


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs the command in this process, and returns the line that says what is wrong with it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("SSHEXEC_HISTORY", raising=False)
    monkeypatch.setattr(logging.getLogger("sshexec"), "handlers", [])  # it adds one

    def run(*args: object) -> str:
        code = main.run([str(arg) for arg in args])
        return wrong(subprocess.CompletedProcess(args, code, *capfd.readouterr()))

    return run


def wrong(done: subprocess.CompletedProcess[str]) -> str:
    """Return the line that says what is wrong with a command line."""
    assert (done.returncode, done.stdout) == (5, "")
    (line,) = done.stderr.splitlines()
    return line.removeprefix("sshexec: error: ")


def test_what_the_record_does_not_hold_is_asked_for(kept: Command, tmp_path: Path) -> None:
    kept("run", "h1", *HOSTS, "-e", "code=1", "-a", "login --token hunter2 {{ code }}")
    name = last(tmp_path).id[:8]
    assert wrong(kept("run", "--resume", "last", "-i", "h1,h2,h3,")) == (
        f"--resume: run {name} was started with -c (ansible_connection), -e (code), whose values are not recorded: give"
        " them again"
    )
    again = ("run", "--resume", "last", *HOSTS, "-e", "code=1")
    assert wrong(kept(*again)) == (
        f"--resume: the record of run {name} does not hold its arguments, since there are secrets in them: give them"
        " again with -a"
    )
    done = kept(*again, "-a", "login --token hunter2 {{ code }}")
    assert done.returncode == 2
    assert "h1 | FAILED" in done.stdout


def test_what_makes_no_sense(
    kept: Command, refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept("run", "h1,h2", *HOSTS, "-a", "false")
    name = last(tmp_path).id[:8]
    resume = ("run", "--resume", "last", *HOSTS)
    assert refused(*resume, "-m", "shell").startswith(f"resume: run {name} is of module command, not of shell")
    assert refused(*resume, "-a", "true").startswith(f"resume: run {name} has other arguments")
    assert refused(*resume, "-C").startswith(f"resume: run {name} was no check, and this would be one")
    assert "any more: h2; a pattern" in refused("run", "--resume", name, "-i", "h1,", "-c", "local")
    assert "there is no run 'abcdef'" in refused("run", "--resume", "abcdef", *HOSTS)
    assert refused(*resume, "--no-history").startswith("--resume and --no-history exclude each other")
    assert refused("run", "h1", *HOSTS, "--include-unknown").startswith("--include-unknown goes with --resume")
    assert refused("run", *HOSTS).startswith("Missing argument 'PATTERN'")
    assert "expected a name and a value such as ticket=OPS-7" in refused("run", "h1", *HOSTS, "--label", "x")
    monkeypatch.setenv("SSHEXEC_HISTORY", "none")
    assert refused(*resume).startswith("--resume: nothing is recorded here")
    # As an operator has it.
    assert wrong(kept(*resume, "-m", "shell")).startswith(f"resume: run {name} is of module command, not of shell")
    assert kept(*resume).returncode == 2, "none of all that has changed anything"


def test_hosts_that_were_at_work_when_the_runner_died(kept: Command, tmp_path: Path) -> None:
    code = (
        f"echo {{{{ inventory_hostname }}}} >> {tmp_path}/ran; test {{{{ inventory_hostname }}}} = h1 ||"
        f" {{ echo > {tmp_path}/up; while test ! -e {tmp_path}/go; do sleep 0.1; done; }}"
    )
    env = {"XDG_STATE_HOME": str(tmp_path / "state"), "SSHEXEC_HISTORY": ""}
    runner = start("run", "all", *HOSTS, "-f", "1", "-m", "shell", "-a", code, "-o", env=env)
    try:
        assert runner.stdout is not None
        assert runner.stdout.readline().startswith("h1 | CHANGED")
        wait_for(tmp_path / "up")
    finally:
        runner.kill()
        runner.communicate()
    (tmp_path / "go").touch()
    done = kept("run", "--resume", "last", *HOSTS, "-o")
    assert done.returncode == 2
    assert done.stdout == "h3 | CHANGED | rc=0\n"
    told = (
        "1 host was at work when the runner died, and nobody knows how far it came: h2; --include-unknown runs it on it"
    )
    assert done.stderr.splitlines()[0] == f"sshexec: warning: {told} again"
    # The pass in between has not forgotten it.
    nothing = kept("run", "--resume", "last", *HOSTS)
    assert nothing.returncode == 2
    assert "nothing is left to do of run" in nothing.stderr
    assert "2 of 3 hosts are done" in nothing.stderr
    included = kept("run", "--resume", "last", *HOSTS, "-o", "--include-unknown")
    assert (included.returncode, included.stdout) == (0, "h2 | CHANGED | rc=0\n")
    assert kept("run", "--resume", "last", *HOSTS).returncode == 0
    assert Counter((tmp_path / "ran").read_text().split()) == {"h1": 1, "h2": 2, "h3": 1}


def test_a_bad_address_is_bad_input_where_it_was_given(
    kept: Command, refused: Callable[..., str], tmp_path: Path
) -> None:
    command = ("run", "h1", *HOSTS, "-a", f"touch {tmp_path}/ran")
    for url, message in (
        ("runs.db", "--history: runs.db: no address of a database"),
        (f"sqlite:///{tmp_path}/none/runs.db", "--history: "),
        ("sqlite://", "--history: "),
    ):
        assert refused(*command, "--history", url).startswith(message)
    assert wrong(kept(*command, "--history", "runs.db")).startswith("--history: runs.db: no address of a database")
    assert not (tmp_path / "ran").exists()
    both = refused(*command, "--no-history", "--history", "sqlite:///runs.db")
    assert both.startswith("--history and --no-history exclude each other")


@pytest.mark.parametrize(
    ("flags", "env"),
    [
        ([], {"SSHEXEC_HISTORY": "runs.db"}),
        ([], {"XDG_STATE_HOME": "/dev/null"}),
        (["--history", "postgresql+psycopg://nobody@127.0.0.1:1/none"], {}),
    ],
)
def test_a_record_that_can_not_be_written_is_told_once(kept: Command, flags: list[str], env: dict[str, Any]) -> None:
    done = kept("run", "all", *HOSTS, "-a", "true", *flags, **env)
    assert done.returncode == 0
    assert done.stdout.count("CHANGED") == 3
    assert len([line for line in done.stderr.splitlines() if line.startswith("sshexec: warning: ")]) == 1


def test_another_database_may_be_named(kept: Command, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    assert kept("run", "h1", *HOSTS, "-a", "false", "--history", url).returncode == 2
    assert kept("run", "--resume", "last", *HOSTS, "--history", url, "--list-hosts").stdout == "h1\n"
    assert kept("run", "--resume", "last", *HOSTS, "--list-hosts", SSHEXEC_HISTORY=url).stdout == "h1\n"
    assert not (tmp_path / "state" / "sshexec" / "history.db").exists()


def test_an_audit_log(kept: Command, tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    for _ in range(2):
        kept("run", "h1,h2", *HOSTS, "-a", "false", "--audit-log", log, "--no-history", "--reason", "OPS-7")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert Counter(event["event"] for event in events) == {
        **dict.fromkeys(["run_started", "run_finished"], 2),
        **dict.fromkeys(["host_allowed", "host_finished"], 4),
    }
    assert {event["reason"] for event in events} == {"OPS-7"}
    assert {event["pattern"] for event in events if event["event"] == "run_started"} == {"h1,h2"}
    done = kept("run", "h1", *HOSTS, "-a", "true", "--audit-log", tmp_path / "none" / "log")
    assert wrong(done).startswith(f"--audit-log: audit log {tmp_path}/none/log can't be written: No such file")


def test_where_the_record_can_not_be_made_nobody_is_sent_to_it(kept: Command, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    done = kept("run", "h1", *HOSTS, "-a", "false")
    assert done.returncode == 2
    warning, *_, last_line = done.stderr.splitlines()
    assert warning.endswith("Not a directory; runs are not recorded, and go on")
    assert re.fullmatch("  not recorded, or not as a whole: run [0-9a-f]{8}", last_line)
    resumed = kept("run", "--resume", "last", *HOSTS)
    assert resumed.returncode == 5
    assert resumed.stderr.endswith("/state/sshexec can't be made: Not a directory\n")


def test_nothing_left_among_some_is_not_nothing_left(kept: Command, tmp_path: Path) -> None:
    kept("run", "all", *HOSTS, "-m", "shell", "-a", ready(tmp_path, "h1"))
    done = kept("run", "--resume", "last", *HOSTS, "-l", "h1")
    assert done.returncode == 0
    assert "on the hosts that 'h1' selects: 1 of 3 hosts are done" in done.stderr
