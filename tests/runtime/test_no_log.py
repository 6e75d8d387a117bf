"""A task that nobody is to see anything of (``no_log``)."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, HostFinished, Inventory, Output, TransferProgress, errors
from sshexec.runtime.censored import censored

WORD = "hunter2"
CENSORED = {
    "censored": "the output has been hidden due to the fact that 'no_log: true' was specified for this result",
    "_ansible_no_log": True,
}


def nothing_shown(*values: Any) -> bool:
    return all(WORD not in text for value in values for text in (repr(value), str(value), json.dumps(value)))


def test_a_result_is_what_ansible_leaves_of_it() -> None:
    data = {"changed": True, "stdout": WORD, "rc": 1, "failed": True, "msg": WORD, "diff": [], "warnings": ["w"]}
    assert censored(data) == {**CENSORED, "changed": True, "failed": True, "warnings": ["w"]}
    assert censored({"unreachable": True, "msg": WORD}) == {**CENSORED, "changed": False}


def test_results_and_events_show_nothing(fleet: Inventory, caplog: pytest.LogCaptureFixture) -> None:
    script = f"echo {WORD}; echo {WORD} >&2; case $SSH_CONNECTION in *127.0.1.2*) exit 3 ;; esac"
    with Engine(fleet) as engine, caplog.at_level(logging.DEBUG):
        events = list(engine.stream(["h001", "h002"], "shell", script, no_log=True))
    assert not [event for event in events if isinstance(event, (Output, TransferProgress))]
    assert nothing_shown(*(event.to_dict() for event in events))
    assert WORD not in caplog.text
    results = {event.host: event.result for event in events if isinstance(event, HostFinished)}
    assert {host: (each.status, each.cause) for host, each in results.items()} == {
        "h001": ("failed", "nonzero"),
        "h002": ("changed", None),
    }
    for each in results.values():
        assert {"failed": True, **each.data} == {**CENSORED, "changed": True, "failed": True}
        assert (each.rc, each.stdout, each.msg) == (None, "", "")


@pytest.mark.parametrize("timeout", [None, 0.3])
def test_a_broken_off_task_shows_nothing(local: Inventory, timeout: float | None) -> None:
    with Engine(local) as engine:
        run = engine.start("l0", "shell", f"echo {WORD}; sleep 60", no_log=True, timeout=timeout)
        for event in run.events():
            if timeout is None and event.event == "host_phase" and event.to_dict()["phase"] == "running":
                run.cancel()
        result = run.wait(30)["l0"]
    assert result.status == ("cancelled" if timeout is None else "timeout")
    assert result.data == {**CENSORED, "changed": True, "failed": True}
    assert nothing_shown(result.to_dict())


def test_a_copy_shows_nothing(local: Inventory, tmp_path: Path) -> None:
    source = tmp_path / f"{WORD}.txt"
    source.write_text(WORD * 100_000)
    args = {"src": str(source), "dest": str(tmp_path / "copied")}
    with Engine(local) as engine:
        events = list(engine.stream("l0", "copy", args, no_log=True, diff=True))
    assert (tmp_path / "copied").exists()
    assert nothing_shown(*(event.to_dict() for event in events))
    assert not [event for event in events if isinstance(event, TransferProgress)]


@pytest.mark.parametrize(
    ("module", "args"),
    [
        ("shell", f"echo '{WORD}"),
        ("ping", {"hunter2": 1}),
        ("copy", {"dest": "/x", "content": "x", "mode": WORD}),
        ("shell", f"echo {WORD} {{{{ nobody_set_this }}}}"),
        ("shell", f"echo '{WORD} {{{{ inventory_hostname }}}}"),
    ],
)
def test_wrong_arguments_are_not_quoted(local: Inventory, module: str, args: Any) -> None:
    with Engine(local) as engine:
        with pytest.raises(errors.InputError) as shown:
            engine.run("l0", module, args)
        with pytest.raises(errors.ArgumentError) as hidden:
            engine.run("l0", module, args, no_log=True)
    assert WORD in str(shown.value)
    assert str(hidden.value) == f"{module}: the arguments are wrong, and not shown, since no_log is set"


def test_a_wrong_connection_setting_is_said_all_the_same(local: Inventory) -> None:
    with Engine(local) as engine, pytest.raises(errors.OptionError, match="no connector named 'telnet'"):
        engine.run("l0", "ping", no_log=True, variables={"ansible_connection": "telnet"})


@pytest.mark.parametrize("kept", [{"binary": True}, {"spill": "."}, {"output_dir": "."}])
def test_what_would_keep_its_output_is_refused(local: Inventory, kept: dict[str, Any]) -> None:
    (name,) = kept
    with Engine(local) as engine:
        with pytest.raises(errors.ArgumentError, match=f"no_log: nothing is kept of such a task, and {name} would"):
            engine.run("l0", "ping", no_log=True, **kept)
        with pytest.raises(errors.ArgumentError, match="no_log: expected True or False, got 'no'"):
            engine.run("l0", "ping", no_log="no")  # type: ignore[arg-type]


def test_a_variable_neither_sets_it_nor_takes_it_back(local: Inventory) -> None:
    names = ("no_log", "ansible_no_log", "_ansible_no_log")
    with Engine(local) as engine:
        for wanted in (True, False):
            variables = dict.fromkeys(names, not wanted)
            result = engine.run("l0", "shell", f"echo {WORD}", no_log=wanted, variables=variables)["l0"]
            assert ("censored" in result.data) is wanted
