"""What is read of hosts that have nothing but busybox: slurp, setup and wait_for_connection, through a terminal too."""

from __future__ import annotations

import base64

import pytest

from tests.modules.test_bare_hosts import HOSTILE, Target
from tests.modules.test_bare_hosts import hosts as hosts
from tests.modules.test_bare_hosts import opened as opened
from tests.modules.test_bare_hosts import target as target

CONTENTS = [b"", b"\0\r\n\x1e\x03\x04\xff", b"no line end", bytes(range(256)) * 4000]


@pytest.mark.parametrize("content", CONTENTS, ids=["empty", "control", "line", "large"])
def test_slurp(target: Target, content: bytes) -> None:
    target.write("file", content)
    result = target.run("slurp", "src={t}/file")
    assert base64.b64decode(result["content"], validate=True) == content
    assert (result["source"], target.calls) == (f"{target.t}/file", ["execute"])


@pytest.mark.parametrize("name", [name for name in HOSTILE if "$" not in name])
def test_slurp_of_hostile_names(target: Target, name: str) -> None:
    target.write(name, b"found")
    assert base64.b64decode(target.run("slurp", {"src": f"{target.t}/{name}"})["content"]) == b"found"


def test_slurp_of_what_is_not_there(target: Target) -> None:
    assert target.run("slurp", "src={t}/nope")["msg"] == f"File not found: {target.t}/nope"
    assert target.run("slurp", "src=~/t")["msg"] == f"Source is a directory and must be a file: {target.t}"


def test_setup(target: Target) -> None:
    target.write("a.fact", b'{"x": "\\u00fc"}')
    found = target.run("setup", "fact_path={t}", environment={"CANARY": "two\nlines"})["ansible_facts"]
    assert target.calls == ["execute"]
    assert (found["ansible_system"], found["ansible_user_id"]) == ("Linux", target.who)
    assert found["ansible_env"]["CANARY"] == "two\nlines"
    assert found["ansible_local"] == {"a": {"x": "ü"}}
    assert found["ansible_memtotal_mb"] > 0
    assert found["ansible_processor_vcpus"] >= 1
    assert "lo" in found["ansible_interfaces"]
