"""Files in ansible-runner's places; tests/oracle/test_runner_events.py has the real one read them."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Host, Inventory, errors
from sshexec.artifacts import Artifacts
from sshexec.events import HostFinished, RunFinished
from sshexec.results import HostResult, RunResult
from sshexec.runner_events import RunnerEvents


@pytest.fixture
def inventory() -> Inventory:
    local: dict[str, Any] = {"ansible_connection": "local"}
    down: dict[str, Any] = {"ansible_connection": "fake", "fake_fault": "refused"}
    return Inventory.from_hosts([Host("a", local), Host("b", local), Host("down", down)])


def artifacts(folder: Path, ident: str | None = "7", module: str = "shell", **options: Any) -> Artifacts:
    return Artifacts(str(folder), RunnerEvents("all", module, ident=ident), **options)


def read(kept: Artifacts, *names: str) -> list[str]:
    return [(Path(kept.path) / name).read_text() for name in names]


def test_a_run_is_kept(inventory: Inventory, tmp_path: Path) -> None:
    kept = artifacts(tmp_path / "new", command=["sshexec", "run"])
    assert read(kept, "status") == ["starting"]
    made = []
    with Engine(inventory) as engine:
        for event in kept.over(engine.stream("all", "shell", "echo é")):
            made.append(event)
            path = Path(kept.path, "job_events", f"{event['counter']}-{event['uuid']}.json")
            assert json.loads(path.read_text()) == event
            assert read(kept, "status")[0] in ("running", "failed")
    assert len(list(Path(kept.path, "job_events").iterdir())) == len(made)
    assert Path(kept.path) == tmp_path / "new" / "artifacts" / "7"
    assert read(kept, "status", "rc", "stderr") == ["failed", "4", ""]
    assert read(kept, "stdout")[0].splitlines() == [
        line for event in made if event["stdout"] for line in event["stdout"].splitlines()
    ]
    assert json.loads(read(kept, "command")[0]) == {"command": ["sshexec", "run"], "cwd": str(Path.cwd()), "env": {}}
    assert kept.problem is None


def test_nobody_else_may_read_it(inventory: Inventory, tmp_path: Path) -> None:
    kept = artifacts(tmp_path / "new")
    with Engine(inventory) as engine:
        list(kept.over(engine.stream("a", "ping")))
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [tmp_path / "new", *(tmp_path / "new").rglob("*")]}
    assert {oct(mode) for path, mode in modes.items() if path.is_dir()} == {"0o700"}
    assert {oct(mode) for path, mode in modes.items() if path.is_file()} == {"0o600"}
    assert not [path for path in modes if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("state", "status", "outcome"),
    [
        ("finished", "ok", ("successful", "0")),
        ("finished", "failed", ("failed", "2")),
        ("finished", "unreachable", ("failed", "4")),
        ("cancelled", "cancelled", ("canceled", "254")),
        ("timeout", "timeout", ("timeout", "254")),
    ],
)
def test_how_it_ended(tmp_path: Path, state: Any, status: Any, outcome: tuple[str, str]) -> None:
    kept = artifacts(tmp_path)
    kept.take(RunFinished(RunResult("1", "ping", {"h": HostResult("h", status)}, 1, 2, state)))
    kept.close()
    assert tuple(read(kept, "status", "rc")) == outcome


def test_a_run_whose_end_nobody_saw_was_canceled(inventory: Inventory, tmp_path: Path) -> None:
    kept = artifacts(tmp_path)
    with Engine(inventory) as engine:
        events = kept.over(engine.stream("a", "raw", "sleep 60"))
        assert next(events)["event"] == "playbook_on_start"
        events.close()  # type: ignore[attr-defined]
    assert read(kept, "status", "rc") == ["canceled", "254"]


def test_facts_are_kept_by_host(tmp_path: Path) -> None:
    kept = artifacts(tmp_path)
    facts = {"ansible_hostname": "x"}
    kept.take(HostFinished(HostResult("web/../1", "ok", {"ansible_facts": facts})))
    kept.take(HostFinished(HostResult("..", "ok", {"ansible_facts": facts})))
    kept.take(HostFinished(HostResult("é [1]", "ok", {"ansible_facts": facts})))
    kept.take(HostFinished(HostResult("hidden", "ok", {"ansible_facts": facts, "_ansible_no_log": True})))
    kept.take(HostFinished(HostResult("bad", "failed", {"ansible_facts": facts})))
    found = {path.name: json.loads(path.read_text()) for path in Path(kept.path, "fact_cache").iterdir()}
    assert found == {"web%2F..%2F1": facts, "%2E%2E": facts, "é [1]": facts}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts"]


@pytest.mark.parametrize("ident", ["", ".", "..", "a/b", "../x", "a\nb", "a\0b", "x" * 256, "é" * 128])
def test_an_ident_names_a_directory_there(tmp_path: Path, ident: str) -> None:
    with pytest.raises(errors.ArgumentError, match=r"ident: .* can't name a directory"):
        artifacts(tmp_path, ident)
    assert not list(tmp_path.iterdir())


def test_an_ident_may_be_a_number(tmp_path: Path) -> None:
    events = RunnerEvents("all", "ping", ident=42)
    assert Artifacts(str(tmp_path), events).path == str(tmp_path / "artifacts" / "42")
    assert events.take(HostFinished(HostResult("h", "ok")))[0]["runner_ident"] == "42"


def test_an_ident_is_used_once(tmp_path: Path) -> None:
    first = artifacts(tmp_path)
    with pytest.raises(errors.ArgumentError, match="/artifacts/7 is there already"):
        artifacts(tmp_path)
    assert read(first, "status") == ["starting"]
    first.discard()
    assert artifacts(tmp_path).path == first.path
    assert artifacts(tmp_path, None).path != first.path


def test_a_place_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.ArgumentError, match=r"artifacts: .*/file is no directory"):
        artifacts(tmp_path / "file")
    (tmp_path / "artifacts").write_text("")
    with pytest.raises(errors.ArgumentError, match=r"artifacts: .*/artifacts is no directory"):
        artifacts(tmp_path)


def test_what_is_printed_is_utf_8_whatever_a_module_returns(tmp_path: Path) -> None:
    kept = artifacts(tmp_path, module="stat")
    kept.take(HostFinished(HostResult("h", "ok", {"half": "\ud800", "byte": "\udcff", "é": 1})))
    kept.close()
    assert Path(kept.path, "stdout").read_text(encoding="utf-8").splitlines() == [
        "h | SUCCESS => {",
        '    "byte": "\\udcff",',
        '    "half": "\\ud800",',
        '    "é": 1',
        "}",
    ]


def test_a_full_disk_is_logged_once_and_the_run_goes_on(
    inventory: Inventory, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = artifacts(small_disk)
    with Engine(inventory) as engine:
        made = list(kept.over(engine.stream("a,b", "shell", "head -c 2000000 /dev/zero | tr '\\0' x")))
    assert made[-1]["event_data"]["ok"] == {"a": 1, "b": 1}
    assert kept.problem == "No space left on device"
    assert len([record for record in caplog.records if record.name == "sshexec.artifacts"]) == 1
    assert list(Path(kept.path).rglob(".*.partial")) == []
    for path in Path(kept.path, "job_events").glob("[0-9]*"):
        json.loads(path.read_text())
