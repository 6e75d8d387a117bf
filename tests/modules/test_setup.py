"""The setup module: what different systems say, and what their facts are then."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Deadline, Timeouts
from sshexec.connectors.fake import FakeConnector, FakeContext, FakeOptions
from sshexec.connectors.output import Output
from sshexec.errors import ArgumentError
from sshexec.modules import facts, facts_script
from sshexec.modules.base import Invocation
from sshexec.modules.distribution import distribution, package_manager, service_manager
from sshexec.modules.network_facts import network
from sshexec.modules.registry import module_class
from sshexec.modules.setup import selected

Run = Callable[..., dict[str, Any]]


def gathered(run: Run, args: Any = None, **more: Any) -> dict[str, Any]:
    result = run("setup", args, **more)
    assert "failed" not in result, result
    found: dict[str, Any] = result["ansible_facts"]
    return found


def test_this_machine(run: Run) -> None:
    found = gathered(run)
    system = os.uname()
    assert found["ansible_kernel"] == system.release
    assert found["ansible_architecture"] == system.machine
    assert found["ansible_hostname"] == system.nodename.partition(".")[0]
    assert found["ansible_user_id"] == pwd.getpwuid(os.getuid()).pw_name
    assert found["ansible_processor_nproc"] == len(os.sched_getaffinity(0))
    assert found["ansible_date_time"]["epoch"].isdigit()
    assert "127.0.0.1" not in found["ansible_all_ipv4_addresses"]
    assert "lo" in found["ansible_interfaces"]
    assert found["ansible_env"]["PATH"].partition(":")[0] not in ("/usr/sbin", "/sbin")


def test_the_environment_is_the_task_s_byte_by_byte(run: Run) -> None:
    given = {"CANARY": "two\nlines=1", "OTHER": "'\"$HOME"}
    found = gathered(run, "gather_subset=!all,!min,env", environment=given)
    assert {name: found["ansible_env"][name] for name in given} == given


def test_check_mode_gathers_too(run: Run) -> None:
    assert gathered(run, {"filter": "ansible_system"}, check=True) == {"ansible_system": "Linux"}


def test_local_facts(run: Run, folder: Path) -> None:
    (folder / "a b\n'$.fact").write_text('{"x": "\\u0000"}')
    (folder / "run.fact").write_text("#!/bin/sh\ncat; printf '{\"n\": 1}'\n")
    (folder / "run.fact").chmod(0o755)
    (folder / "fail.fact").write_text("#!/bin/sh\necho why >&2\nexit 4\n")
    (folder / "fail.fact").chmod(0o755)
    (folder / "forged.fact").write_text(f"\n\036{'0' * 16} end\n")
    result = run("setup", {"fact_path": str(folder), "gather_subset": ["!all", "!min", "local"]})
    found = result["ansible_facts"]["ansible_local"]
    assert found["a b\n'$"] == {"x": "\0"}
    assert found["run"] == {"n": 1}
    assert found["fail"] == f"Failure executing fact script ({folder}/fail.fact), rc: 4, err: why\n"
    assert found["forged"].startswith("error loading facts as JSON or ini")
    assert sorted(result["warnings"]) == sorted([found["fail"], found["forged"]])


def test_facts_that_are_too_large_are_refused(run: Run, folder: Path) -> None:
    with (folder / "large.fact").open("wb") as opened:
        opened.truncate(40 * 2**20)
    failed = run("setup", {"fact_path": str(folder)})
    assert (failed["failed"], failed["msg"]) == (True, "the host did not tell its facts: they are too large")


def test_a_host_that_answers_something_else() -> None:
    options = FakeOptions.from_vars({"fake_answers": {"setup": {"stdout": "hm", "stderr": "no shell here", "rc": 1}}})
    connector = FakeConnector("h", options, FakeContext(), Timeouts())
    connector.open(Deadline())
    result = module_class("setup").from_args(None).run(connector, Invocation("h", Output(), Deadline()))
    assert result["msg"] == "the host did not tell its facts: no shell here"


def test_only_what_is_asked_for_is_asked_of_the_host() -> None:
    assert facts_script.script({"user"}, "/x").count("say ") == 2  # the other is the end
    assert "python3" not in facts_script.script({"platform"}, "/x")


@pytest.mark.parametrize(
    ("subset", "inside", "outside"),
    [
        (["all"], "network hardware user", ""),
        ([], "network hardware user", ""),
        (["!all"], "user platform", "network hardware"),
        (["!all", "!min"], "", "user platform network"),
        (["network"], "network user", "hardware"),
        (["all", "!hardware"], "network user", "hardware"),
        (["!all", "!min", "default_ipv4"], "network", "hardware user"),
        (["env", "!env"], "env", "network"),
    ],
)
def test_subsets(subset: list[str], inside: str, outside: str) -> None:
    found = selected(subset)
    assert set(inside.split()) <= found
    assert not set(outside.split()) & found


def test_wrong_arguments() -> None:
    with pytest.raises(ArgumentError, match="Bad subset 'nosuch' given to Ansible"):
        module_class("setup").from_args("gather_subset=nosuch")


OS_RELEASES = [
    (
        'ID=ubuntu\nNAME="Ubuntu"\nVERSION_ID="22.04"\nVERSION_CODENAME=jammy\nID_LIKE=debian\n',
        {"debian_version": "bookworm/sid\n"},
        ("Ubuntu", "22.04", "22", "jammy", "Debian"),
    ),
    (
        'ID="rhel"\nNAME="Red Hat Enterprise Linux"\nVERSION_ID="9.3"\nVERSION="9.3 (Plow)"\n',
        {"redhat_release": "Red Hat Enterprise Linux release 9.3 (Plow)\n"},
        ("RedHat", "9.3", "9", "Plow", "RedHat"),
    ),
    (
        'ID="rocky"\nNAME="Rocky Linux"\nVERSION_ID="8.9"\nID_LIKE="rhel centos fedora"\n',
        {"redhat_release": "Rocky Linux release 8.9 (Green Obsidian)\n"},
        ("Rocky", "8.9", "8", "Green Obsidian", "RedHat"),
    ),
    (
        'ID="centos"\nNAME="CentOS Linux"\nVERSION_ID="7"\n',
        {"redhat_release": "CentOS Linux release 7.9.2009 (Core)\n"},
        ("CentOS", "7.9.2009", "7", "Core", "RedHat"),
    ),
    ('ID=alpine\nNAME="Alpine Linux"\nVERSION_ID=3.18.4\n', {}, ("Alpine", "3.18.4", "3", "NA", "Alpine")),
    ("ID='opensuse-leap'\nNAME='openSUSE Leap'\nVERSION_ID=15.5\n", {}, ("openSUSE Leap", "15.5", "15", "NA", "Suse")),
    (
        'ID=strange\nNAME="Strange OS"\nVERSION_ID=1\nID_LIKE="ubuntu debian"\n# a comment\nBROKEN="x\n',
        {},
        ("Strange", "1", "1", "NA", "Debian"),
    ),
]


@pytest.mark.parametrize(("text", "more", "expected"), OS_RELEASES, ids=[case[2][0] for case in OS_RELEASES])
def test_distributions(text: str, more: dict[str, str], expected: tuple[str, ...]) -> None:
    found = distribution("Linux", "6.1", {"os_release": text, **more})
    names = ("distribution", "distribution_version", "distribution_major_version", "distribution_release", "os_family")
    assert tuple(found[name] for name in names) == expected


def test_systems_that_are_not_linux() -> None:
    found = distribution("FreeBSD", "13.2-RELEASE-p4", {})
    assert (found["distribution"], found["distribution_version"], found["os_family"]) == ("FreeBSD", "13.2", "FreeBSD")
    found = distribution("Darwin", "22.6.0", {"sw_vers": "13.6\n"})
    assert (found["distribution"], found["distribution_version"], found["os_family"]) == ("MacOSX", "13.6", "Darwin")
    assert service_manager("FreeBSD", []) == "bsdinit"
    assert service_manager("Darwin", []) == "launchd"


def test_package_and_service_managers() -> None:
    assert package_manager("RedHat", {"rpm": "", "dnf": "dnf-3", "yum": "dnf-3"}) == "dnf"
    assert package_manager("RedHat", {"dnf": "dnf5"}) == "dnf5"
    assert package_manager("RedHat", {"yum": ""}) == "yum"
    assert package_manager("Alpine", {"apk": ""}) == "apk"
    assert package_manager("NA", {}) == "unknown"
    assert service_manager("Linux", ["systemd", "systemd"]) == "systemd"
    assert service_manager("Linux", ["init", "openrc", "sysvinit"]) == "openrc"
    assert service_manager("Linux", ["sh"]) == "service"


def test_processors_with_threads_and_without_sockets() -> None:
    lines = ""
    for number in range(8):
        lines += f"processor\t: {number}\nvendor_id\t: V\nmodel name\t: M\nphysical id\t: {number // 4}\n"
        lines += "siblings\t: 4\ncpu cores\t: 2\n"
    found = facts.hardware({"meminfo": "MemTotal:  2097152 kB\nMemFree: 1024 kB\n", "cpuinfo": lines, "nproc": "6\n"})
    names = ("processor_count", "processor_cores", "processor_threads_per_core", "processor_vcpus", "processor_nproc")
    assert tuple(found[name] for name in names) == (2, 2, 2, 8, 6)
    assert (found["memtotal_mb"], found["memfree_mb"], found["swaptotal_mb"]) == (2048, 1, 0)
    found = facts.hardware({"meminfo": "MemTotal: 1024 kB\n", "cpuinfo": "processor\t: 0\nprocessor\t: 1\n"})
    assert tuple(found[name] for name in names) == (2, 1, 1, 2, 2)


def test_hardware_of_macos_and_freebsd() -> None:
    found = facts.hardware({"sysctl": "hw.memsize: 17179869184\nhw.ncpu: 8\nmachdep.cpu.brand_string: Apple M1\n"})
    assert (found["memtotal_mb"], found["processor_vcpus"], found["processor"]) == (16384, 8, "Apple M1")


def test_selinux() -> None:
    text = "1\n33\nSELINUX=enforcing\nSELINUXTYPE=targeted\n"
    assert facts.selinux({"selinux": text})["selinux"] == {
        "status": "enabled", "mode": "enforcing", "policyvers": 33, "config_mode": "enforcing", "type": "targeted",
    }  # fmt: skip


def test_the_clock_s_zone() -> None:
    found = facts.date_time({"date": "1700000000 -0330 NST 250000000\n"})["date_time"]
    assert (found["date"], found["time"], found["tz"]) == ("2023-11-14", "18:43:20", "NST")
    assert (found["iso8601_micro"], found["iso8601_basic"]) == ("2023-11-14T22:13:20.250000Z", "20231114T184320250000")
    assert facts.date_time({"date": "1700000000 +0000 UTC %N\n"})["date_time"]["iso8601_micro"].endswith("20.000000Z")


DEFAULT = {
    "address": "10.0.0.5", "alias": "eth0", "broadcast": "10.0.0.255", "gateway": "10.0.0.1", "interface": "eth0",
    "macaddress": "52:54:00:12:34:56", "mtu": 1500, "netmask": "255.255.255.0", "network": "10.0.0.0", "prefix": "24",
    "type": "ether",
}  # fmt: skip
LINKS = "eth0 1 1500 52:54:00:12:34:56\nlo 772 65536 00:00:00:00:00:00\n"
ROUTE = """Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""
FIB = """Main:
  +-- 0.0.0.0/0 3 0 5
     +-- 10.0.0.0/24 2 0 2
        |-- 10.0.0.5
           /32 host LOCAL
        |-- 10.0.0.255
           /32 link BROADCAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
Local:
        |-- 10.0.0.5
           /32 host LOCAL
"""
IP = """1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
2: eth0    inet 10.0.0.5/24 brd 10.0.0.255 scope global eth0\\       valid_lft forever preferred_lft forever
"""
IP_OF_MANY_LINES = """1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue
    inet 127.0.0.1/8 scope host lo
       valid_lft forever preferred_lft forever
2: eth0@if7: <BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue
    inet 10.0.0.5/24 brd 10.0.0.255 scope global eth0
"""
BUSYBOX = """eth0      Link encap:Ethernet  HWaddr 52:54:00:12:34:56
          inet addr:10.0.0.5  Bcast:10.0.0.255  Mask:255.255.255.0
          UP BROADCAST RUNNING MULTICAST  MTU:1500  Metric:1

lo        Link encap:Local Loopback
          inet addr:127.0.0.1  Mask:255.0.0.0
          UP LOOPBACK RUNNING  MTU:65536  Metric:1
"""
BSD = """eth0: flags=8863<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> mtu 1500
\tether 52:54:00:12:34:56
\tinet6 fe80::1%eth0 prefixlen 64 scopeid 0x4
\tinet 10.0.0.5 netmask 0xffffff00 broadcast 10.0.0.255
lo: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> mtu 65536
\tinet 127.0.0.1 netmask 0xff000000
"""
BSD_ROUTE = "   route to: default\n    gateway: 10.0.0.1\n  interface: eth0\n"
GET = "8.8.8.8 via 10.0.0.1 dev eth0 src 10.0.0.5 uid 0\n    cache\n"


@pytest.mark.parametrize(
    "sections",
    [
        {"links": LINKS, "inet": IP, "default": GET},
        {"links": LINKS, "inet": IP_OF_MANY_LINES, "default": "", "route": ROUTE},
        {"links": LINKS, "ifconfig": BUSYBOX, "route": ROUTE},
        {"ifconfig": BUSYBOX, "route": ROUTE},
        {"ifconfig": BSD, "default": BSD_ROUTE},
        {"links": LINKS, "fib": FIB, "route": ROUTE},
    ],
    ids=["ip", "ip of many lines", "busybox", "busybox without sys", "bsd", "nothing"],
)
def test_networks(sections: dict[str, str]) -> None:
    found = network(sections)
    assert found["default_ipv4"] == DEFAULT
    assert found["all_ipv4_addresses"] == ["10.0.0.5"]
    assert sorted(found["interfaces"]) == ["eth0", "lo"]


def test_a_network_without_a_way_out() -> None:
    assert network({"links": LINKS, "inet": IP, "default": ""})["default_ipv4"] == {}
    empty = {"interfaces": [], "all_ipv4_addresses": [], "all_ipv6_addresses": [], "default_ipv4": {}}
    assert network({}) == empty


def test_ipv6_addresses() -> None:
    text = (
        "00000000000000000000000000000001 01 80 10 80       lo\nfd000000000000000000000000000002 02 40 00 80     eth0\n"
    )
    assert network({"links": LINKS, "inet6": text})["all_ipv6_addresses"] == ["fd00::2"]


@pytest.mark.parametrize("noise", [b"", b"\0", b"\xff" * 50, b"uname\n", json.dumps({"x": 1}).encode()])
def test_whatever_a_section_says_there_are_facts(noise: bytes) -> None:
    text = noise.decode("utf-8", "replace")
    names = (
        "uname", "names", "machine_id", "python", "os_release", "user", "selinux", "date", "meminfo", "cpuinfo",
        "nproc", "uptime", "sysctl", "links", "inet6", "route", "default",
    )  # fmt: skip
    told = dict.fromkeys(names, text)
    for read in (facts.platform, facts.python, facts.user, facts.selinux, facts.date_time, facts.hardware):
        assert isinstance(read(told), dict)
    for source in ("inet", "ifconfig", "fib"):
        assert isinstance(network({**told, source: text}), dict)
    assert isinstance(facts.environment(noise), dict)
    assert isinstance(facts.local([noise]), tuple)
