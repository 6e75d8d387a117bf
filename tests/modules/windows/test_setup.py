"""setup on Windows: facts with the names of ansible.windows."""

from __future__ import annotations

import json

import pytest

from sshexec.modules.windows.setup import selected
from tests.modules.windows.conftest import Run
from tests.winrm_server.server import WinrmServer

NAMED = set(
    """
ansible_os_family ansible_hostname ansible_fqdn ansible_distribution ansible_distribution_version ansible_os_name
ansible_architecture ansible_env ansible_ip_addresses ansible_memtotal_mb ansible_processor_vcpus
ansible_powershell_version ansible_user_id ansible_date_time ansible_interfaces ansible_windows_domain
ansible_product_name ansible_uptime_seconds
""".split()  # noqa: SIM905 - as the page has them
)


def test_all_facts(run: Run, endpoint: WinrmServer) -> None:
    result = run("setup")
    facts = result["ansible_facts"]
    assert set(facts) >= NAMED
    assert (facts["ansible_os_family"], facts["ansible_user_id"]) == ("Windows", "vagrant")
    assert facts["ansible_env"]["OS"] == "Windows_NT"
    assert (facts["gather_subset"], facts["module_setup"]) == (["all"], True)
    assert (result["changed"], "warnings" in result) == (False, False)
    assert result["invocation"]["module_args"]["gather_subset"] == ["all"]
    assert [event.detail["script"] for event in endpoint.log if event.op == "Command"] == ["setup"]


def test_a_subset_asks_for_no_more(run: Run, endpoint: WinrmServer) -> None:
    facts = run("setup", {"gather_subset": ["!all", "!min", "user"]}, check=True)["ansible_facts"]
    assert sorted(facts) == [
        "ansible_user_dir", "ansible_user_gecos", "ansible_user_id", "ansible_user_sid",
        "gather_subset", "module_setup",
    ]  # fmt: skip
    (event,) = (event for event in endpoint.log if event.op == "Command")
    assert event.detail["arguments"]["collectors"] == ["user"]


def test_filter(run: Run) -> None:
    facts = run("setup", {"filter": ["os_*", "ansible_host*"]})["ansible_facts"]
    assert sorted(facts) == [
        "ansible_hostname", "ansible_os_family", "ansible_os_installation_type", "ansible_os_name",
        "ansible_os_product_type",
    ]  # fmt: skip
    assert "module_setup" in run("setup", {"filter": ""})["ansible_facts"]


def test_a_name_that_windows_does_not_know_is_a_warning(run: Run) -> None:
    result = run("setup", "gather_subset=!all,!min,lsb,user")
    assert result["warnings"] == ["invalid value lsb specified in gather_subset"]
    assert result["ansible_facts"]["ansible_user_id"] == "vagrant"


def test_local_facts(run: Run, endpoint: WinrmServer) -> None:
    (endpoint.drive / "facts").mkdir()
    (endpoint.drive / "facts" / "site.json").write_text(json.dumps({"rack": 7}))
    assert run("setup", {"fact_path": "C:\\facts"})["ansible_facts"]["ansible_site"] == {"rack": 7}
    result = run("setup", {"fact_path": "C:\\nope"})
    assert result["warnings"] == [
        "Error when collecting local facts: Non existing path was set for local facts - C:\\nope"
    ]
    assert result["ansible_facts"]["ansible_os_family"] == "Windows"


@pytest.mark.parametrize(
    ("subset", "expected"),
    [
        (["min"], {"all"}),
        (["!all"], {"min"}),
        (["!all", "!min"], set()),
        (["!min"], {"network", "hardware", "external"}),
        (["!all", "!min", "network"], {"network"}),
        (["!all", "!min", "memory", "!memory"], {"memory"}),
        (["!nosuch"], {"all"}),
    ],
)
def test_what_a_subset_means(subset: list[str], expected: set[str]) -> None:
    groups = {name: selected(["!all", "!min", name])[0] for name in ("min", "network", "hardware", "external")}
    groups["all"] = selected(["all"])[0]
    groups["memory"] = {"memory"}
    assert selected(subset) == (set().union(*(groups[name] for name in expected)), [])
    assert groups["all"] == groups["min"] | groups["network"] | groups["hardware"] | groups["external"]
