"""Double of sshexec/modules/windows/scripts/setup.ps1: a Windows Server 2022, as an administrator sees it."""

from __future__ import annotations

import json
from typing import Any

from tests.winrm_server.faults import MACHINE
from tests.winrm_server.interpreter import expand
from tests.winrm_server.powershell import Call

ADDRESSES = ["fe80::d4a8:6435:f54d:ca3a%7", "192.0.2.10"]


def facts(call: Call) -> dict[str, dict[str, Any]]:
    """Return the facts of each collector."""
    network = {"ip_addresses": ADDRESSES}
    return {
        "all_ipv4_addresses": network,
        "all_ipv6_addresses": network,
        "bios": {
            "bios_date": "12/07/2018",
            "bios_version": "Hyper-V UEFI Release v4.0",
            "product_name": "Virtual Machine",
            "product_serial": "1234",
            "product_uuid": "C2F1F8A9-0000-0000-0000-000000000000",
        },
        "date_time": {"date_time": {"date": "2026-11-27", "epoch": "1795813200", "epoch_int": 1795813200}},
        "distribution": {
            "os_family": "Windows",
            "distribution": "Microsoft Windows Server 2022 Standard",
            "distribution_version": "10.0.20348.0",
            "distribution_major_version": "10",
            "os_name": "Microsoft Windows Server 2022 Standard",
            "os_installation_type": "Server",
            "os_product_type": "server",
        },
        "env": {"env": {name: value.rstrip("\\") for name, value in call.environment.items()}},
        "interfaces": {
            "interfaces": [
                {
                    "connection_name": "Ethernet",
                    "default_gateway": "192.0.2.1",
                    "dns_domain": None,
                    "interface_index": 7,
                    "interface_name": "Microsoft Hyper-V Network Adapter",
                    "ipv4": {"address": "192.0.2.10", "prefix": "24"},
                    "ipv6": {"address": ADDRESSES[0], "prefix": "64"},
                    "macaddress": "00:15:5D:00:00:01",
                    "mtu": 1500,
                    "speed": 1000.0,
                }
            ]
        },
        "memory": {
            "memtotal_mb": 4096,
            "memfree_mb": 2048,
            "swaptotal_mb": 0,
            "pagefiletotal_mb": 1024,
            "pagefilefree_mb": 1000,
        },
        "platform": {
            "hostname": MACHINE,
            "fqdn": f"{MACHINE}.example.com",
            "nodename": f"{MACHINE}.example.com",
            "domain": "example.com",
            "netbios_name": MACHINE,
            "kernel": "10.0.20348.0",
            "system": "Win32NT",
            "system_vendor": "Microsoft Corporation",
            "system_description": "",
            "owner_name": "",
            "architecture": "64-bit",
            "architecture2": "x86_64",
            "reboot_pending": False,
        },
        "powershell_version": {"powershell_version": 5},
        "processor": {
            "processor": ["0", "GenuineIntel", "Intel(R) Xeon(R)", "1", "GenuineIntel", "Intel(R) Xeon(R)"],
            "processor_count": 1,
            "processor_cores": 2,
            "processor_threads_per_core": 1,
            "processor_vcpus": 2,
        },
        "uptime": {"lastboot": "2026-11-27 08:00:00Z", "uptime_seconds": 3600},
        "user": {
            "user_id": call.user,
            "user_sid": "S-1-5-21-1-2-3-1001",
            "user_dir": call.environment["USERPROFILE"],
            "user_gecos": "",
        },
        "windows_domain": {
            "windows_domain": "example.com",
            "windows_domain_member": True,
            "windows_domain_role": "Member server",
        },
    }


def run(call: Call) -> int:
    known = facts(call)
    found: dict[str, Any] = {}
    warnings: list[str] = []
    for name in call.arguments["collectors"]:
        found |= known.get(name, {})
        if name == "local" and call.arguments["fact_path"]:
            folder = expand(call.arguments["fact_path"], call.environment)
            place = call.drive.resolve(folder)
            if not place.is_dir():
                said = f"Non existing path was set for local facts - {folder}"
                warnings.append(f"Error when collecting local facts: {said}")
                continue
            for file in sorted(place.glob("*.json")):
                found[file.stem] = json.loads(file.read_text())
    call.answer({"facts": found, "warnings": warnings})
    return 0
