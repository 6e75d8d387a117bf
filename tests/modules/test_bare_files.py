"""What reads and changes a host's files and tells about the host, where there is nothing but busybox."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from sshexec import Engine, Host, Inventory
from tests.chroot import USER, bare_host
from tests.modules.bare import CONTENT, HOSTILE, Target


@pytest.mark.parametrize("name", HOSTILE)
def test_slurp_of_hostile_names(target: Target, name: str) -> None:
    target.write(name)
    result = target.run("slurp", {"src": f"{{t}}/{name}"})
    assert base64.b64decode(result["content"]) == CONTENT, result
    shown = f"{target.t}/{name}".encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    assert (result["encoding"], result["source"], result["changed"]) == ("base64", shown, False)
    assert target.calls == ["execute"]


@pytest.mark.parametrize(
    ("src", "message"),
    [
        ("{t}/nope", "File not found: {t}/nope"),
        ("{t}", "Source is a directory and must be a file: {t}"),
    ],
)
def test_slurp_of_what_is_no_file(target: Target, src: str, message: str) -> None:
    result = target.run("slurp", {"src": src})
    assert (result["failed"], result["msg"]) == (True, target.filled(message))


def test_slurp_of_what_only_root_may_read(target: Target) -> None:
    result = target.run("slurp", "src=/etc/shadow")
    if target.who == USER:
        assert (result["failed"], result["msg"]) == (True, "File is not readable: /etc/shadow")
    else:
        assert base64.b64decode(result["content"]).startswith(b"root:$6$")


def test_slurp_of_an_empty_and_of_a_large_file(target: Target) -> None:
    for content in (b"", CONTENT * 100_000):
        target.write("f", content)
        assert base64.b64decode(target.run("slurp", "src={t}/f")["content"]) == content


ALPINE = 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.3\nPRETTY_NAME="Alpine Linux v3.20"\n'


def test_facts(target: Target) -> None:
    bare = target.host.kind == "chroot"
    if bare:
        target.host.outside("/etc/os-release").write_text(ALPINE)
    result = target.run("setup")
    assert target.calls == ["execute"]
    assert result["changed"] is False
    facts = {name.removeprefix("ansible_"): value for name, value in result["ansible_facts"].items()}
    told = {"hostname": USER, "nodename": USER, "system": "Linux", "user_id": target.who, "kernel": os.uname().release}
    told |= {"user_dir": target.host.home(target.who), "processor_nproc": len(os.sched_getaffinity(0))}
    if bare:
        told |= {"distribution": "Alpine", "distribution_version": "3.20.3", "os_family": "Alpine"}
    assert {name: facts[name] for name in told} == told
    assert ("python_version" in facts) is not bare
    assert facts["memtotal_mb"] > 0
    assert facts["date_time"]["epoch"].isdigit()
    assert "lo" in facts["interfaces"]


def test_a_part_of_the_facts(target: Target) -> None:
    result = target.run("setup", {"gather_subset": ["!all", "network"], "filter": ["ansible_hostname", "all_ipv4*"]})
    names = {name for name in result["ansible_facts"] if name.startswith("ansible_")}
    assert names == {"ansible_all_ipv4_addresses", "ansible_hostname"}


def test_a_connection_is_waited_for(tmp_path: Path) -> None:
    with bare_host(tmp_path / "bare") as host:
        inventory = Inventory.from_hosts([Host("bare", host.variables())])
        with Engine(inventory) as engine:
            result = engine.run("bare", "wait_for_connection", "timeout=10 sleep=1")["bare"]
            assert (result.status, result.to_ansible()["elapsed"]) == ("ok", 0), result.msg
            host.stop()
            result = engine.run("bare", "wait_for_connection", "timeout=1 sleep=1 connect_timeout=1")["bare"]
            assert result.status == "failed"
            assert result.msg.startswith("timed out waiting for ping module test: ")
