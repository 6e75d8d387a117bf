"""Our events and files in ansible-runner's words, against those of ansible-runner itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Host, Inventory
from sshexec.artifacts import Artifacts
from sshexec.runner_events import RunnerEvents
from tests.testbed import lacking

DRIVER = Path(__file__).with_name("runner_driver.py")

CASES: dict[str, dict[str, Any]] = {
    "changed": {"module": "shell", "args": {"_raw_params": "echo hi; echo e >&2"}},
    "failed": {"module": "command", "args": {"_raw_params": "ls /nope"}},
    "ok": {"module": "ping", "args": {}},
    "skipped": {"module": "raw", "args": {"_raw_params": "true"}, "check": True},
    "diff": {"module": "copy", "args": {"src": "{files}/f", "dest": "{files}/new"}, "diff": True, "check": True},
    "bad": {"module": "fetch", "args": {"src": "/nope", "dest": "{files}/"}},
    "down": {"module": "command", "args": {"_raw_params": "true"}, "down": True},
}

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def ask(python: str, request: dict[str, Any], home: Path) -> dict[str, Any]:
    """Put a request to ansible-runner."""
    environment = {
        "PATH": f"{Path(python).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_DEPRECATION_WARNINGS": "0",
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
    }
    done = subprocess.run(
        [python, str(DRIVER)], input=json.dumps(request), capture_output=True, text=True, timeout=180, env=environment
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def runner_python(oracle_python: str) -> str:
    """The interpreter that has ansible-runner too."""
    done = subprocess.run([oracle_python, "-c", "import ansible_runner"], capture_output=True)
    if done.returncode != 0:
        lacking("ansible-runner (make oracle)")
    return oracle_python


@pytest.fixture(scope="module")
def both(
    runner_python: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Ansible-runner's answer to each case, and our events."""
    folder = tmp_path_factory.mktemp("r")
    (folder / "f").write_text("hello\n")
    # How a host is reached makes no difference to the events.
    up = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}
    down = {"ansible_host": "127.0.0.1", "ansible_port": 1}
    asked, ours = [], []
    for case in CASES.values():
        hosts = {"one": up, **({"two": down} if case.get("down") else {})}
        args = {name: value.format(files=folder) for name, value in case["args"].items()}
        options = {name: case.get(name, False) for name in ("check", "diff")}
        asked.append({"inventory": {"all": {"hosts": hosts}}, "module": case["module"], "args": args, **options})
        made = RunnerEvents("all", case["module"], diff=options["diff"])
        with Engine(Inventory.from_hosts([Host(name, each) for name, each in hosts.items()])) as engine:
            ours.append(list(made.over(engine.stream("all", case["module"], args, **options))))
    answers = ask(runner_python, {"run": asked, "folder": str(folder / "run")}, folder)["run"]
    return dict(zip(CASES, zip(answers, ours, strict=True), strict=True))


def keyed(events: list[dict[str, Any]]) -> dict[tuple[str, str | None], dict[str, Any]]:
    """Return events by name and host."""
    return {(event["event"], event["event_data"].get("host")): event for event in events}


def shape(value: Any) -> Any:
    """Return the names of keys, and of values only their kind; what a module answers, its own tests compare."""
    if isinstance(value, dict):
        return {name: name if name in ("res", "diff") else shape(each) for name, each in sorted(value.items())}
    if isinstance(value, (bool, type(None))):
        return value
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def block(event: dict[str, Any]) -> str:
    """Return what an event prints, without colours, a terminal's line ends, and 2.19's own error in front."""
    text = COLOUR.sub("", event["stdout"]).replace("\r\n", "\n").replace("Task failed: ", "")
    host = event["event_data"].get("host")
    return text[max(0, text.find(f"{host} | ")) :].rstrip("\n")


@pytest.mark.parametrize("case", CASES)
def test_the_same_events_in_the_same_order(case: str, both: Any) -> None:
    theirs, ours = both[case]
    orders = []
    for events in (theirs["playbook"], ours):
        counters = [event["counter"] for event in events]
        assert counters == list(range(1, len(events) + 1))
        # Which of two hosts is first is nobody's to say.
        names = {
            host: [e["event"] for e in events if e["event_data"].get("host") in (None, host)] for host in ("one", "two")
        }
        orders.append(names)
    assert orders[0] == orders[1]


@pytest.mark.parametrize("case", CASES)
def test_the_same_keys_in_each_event(case: str, both: Any) -> None:
    theirs, ours = both[case]
    expected, found = keyed(theirs["playbook"]), keyed(ours)
    assert sorted(expected, key=str) == sorted(found, key=str)
    for key, event in found.items():
        assert shape(event) == shape(expected[key]), key


@pytest.mark.parametrize("case", CASES)
def test_the_same_statistics(case: str, both: Any) -> None:
    theirs, ours = both[case]
    stats = ours[-1]["event_data"]
    assert {name: stats[name] for name in theirs["stats"]} == theirs["stats"]


@pytest.mark.parametrize("case", CASES)
def test_the_same_text_as_the_ansible_command(case: str, both: Any) -> None:
    theirs, ours = both[case]
    expected, found = keyed(theirs["adhoc"]), keyed(ours)
    for key, event in found.items():
        if key not in expected:
            # The ansible command tells of no play and no task.
            assert (key[0], event["stdout"]) in (("playbook_on_play_start", ""), ("playbook_on_task_start", ""))
        elif key == ("runner_on_unreachable", "two"):
            # Why a port answers nothing, each says in words of its own.
            assert block(event).splitlines()[0] == block(expected[key]).splitlines()[0] == "two | UNREACHABLE! => {"
        else:
            assert block(event) == block(expected[key]), key


def test_ansible_runner_reads_our_files(runner_python: str, tmp_path: Path) -> None:
    local = {"ansible_connection": "local"}
    kept = Artifacts(str(tmp_path), RunnerEvents("all", "shell", ident="job 7"))
    with Engine(Inventory.from_hosts([Host(f"h{n}", local) for n in range(12)])) as engine:
        made = list(kept.over(engine.stream("all", "shell", "echo {{ inventory_hostname }}; exit 3")))
    facts = {"ansible_hostname": "h3"}
    Path(kept.path, "fact_cache", "h3").write_text(json.dumps(facts))
    answer = ask(runner_python, {"read": {"folder": str(tmp_path), "ident": "job 7", "host": "h3"}}, tmp_path)
    assert answer["events"] == made
    assert [event["event"] for event in answer["host_events"]] == ["runner_on_start", "runner_on_failed"]
    assert answer["stats"]["failures"] == {f"h{n}": 1 for n in range(12)}
    assert answer["facts"] == facts
    assert answer["stdout"].count("| FAILED | rc=3 >>") == 12
