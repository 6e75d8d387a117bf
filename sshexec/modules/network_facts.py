"""A host's interfaces and addresses, from ``ip``, ``ifconfig`` or what Linux tells in /proc."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sshexec.modules.facts import lines

_TYPES = {"1": "ether", "772": "loopback", "512": "ppp", "32": "infiniband", "65534": "tunnel", "776": "sit"}
_ETHER = re.compile(r"(?:HWaddr|ether|lladdr)\s+([0-9a-fA-F:]{17})")
_INET = re.compile(r"inet (?:addr:)?(\d+\.\d+\.\d+\.\d+)")
_MASK = re.compile(r"(?:Mask:|netmask )(0x[0-9a-f]{8}|\d+\.\d+\.\d+\.\d+)")
_BROADCAST = re.compile(r"(?:Bcast:|broadcast )(\d+\.\d+\.\d+\.\d+)")
_INET6 = re.compile(r"inet6 (?:addr: ?)?([0-9a-fA-F:]+)")
_MTU = re.compile(r"(?:MTU:|mtu )(\d+)")


@dataclass
class _Address:
    """An IPv4 address of an interface."""

    address: str
    prefix: int = 32
    broadcast: str = ""
    label: str = ""


@dataclass
class _Link:
    """An interface."""

    name: str
    kind: str = "unknown"
    mtu: int | None = None
    mac: str = ""
    inet: list[_Address] = field(default_factory=list)
    inet6: list[str] = field(default_factory=list)


def network(sections: Mapping[str, str]) -> dict[str, Any]:
    """Return the facts of the network.

    Args:
        sections: what the host said, by section.
    """
    links: dict[str, _Link] = {}
    for line in lines(sections, "links"):
        name, kind, mtu, *rest = [*line.split(" "), *[""] * 5]
        hardware, special = rest[0], rest[1]
        links[name] = _Link(name, special or _TYPES.get(kind, "unknown"), int(mtu) if mtu.isdecimal() else None)
        if hardware.strip("0:"):
            links[name].mac = hardware
    if "inet" in sections:
        _read_ip(sections["inet"], links)
    elif "ifconfig" in sections:
        _read_ifconfig(sections["ifconfig"], links)
    else:
        _read_fib(sections, links)
    for line in lines(sections, "inet6"):
        fields = line.split()
        if len(fields) == 6:
            address = str(ipaddress.IPv6Address(int(fields[0], 16)))
            there = links.setdefault(fields[5], _Link(fields[5]))
            if address not in there.inet6:
                there.inet6.append(address)
    return {
        "interfaces": list(links),
        "all_ipv4_addresses": [
            each.address for link in links.values() for each in link.inet if not each.address.startswith("127.")
        ],
        "all_ipv6_addresses": [each for link in links.values() for each in link.inet6 if each != "::1"],
        "default_ipv4": _default(sections, links),
    }


def _read_ip(text: str, links: dict[str, _Link]) -> None:
    """Read ``ip addr``, of one line an address or several."""
    name = ""
    for line in text.splitlines():
        head = re.match(r"\d+: ([^\s:@]+)", line)
        name = head[1] if head else name
        found = re.search(r"\binet (\S+)", line)
        if not found or not name:
            continue
        address, _, prefix = found[1].partition("/")
        words = line.split("\\")[0].split()
        broadcast = words[words.index("brd") + 1] if "brd" in words else ""
        link = links.setdefault(name, _Link(name))
        if _is_ipv4(address):
            link.inet.append(_Address(address, int(prefix) if prefix.isdecimal() else 32, broadcast, words[-1]))


def _read_ifconfig(text: str, links: dict[str, _Link]) -> None:
    """Read ``ifconfig`` of net-tools old and new, busybox, the BSDs and macOS."""
    link = None
    for line in text.splitlines():
        if line[:1].strip():
            label = re.split(r"[\s]|: ", line)[0].rstrip(":")
            name = label.partition(":")[0]
            link = links.setdefault(name, _Link(name))
            if "LOOPBACK" in line or "Loopback" in line:
                link.kind = "loopback"
        if link is None:
            continue
        if found := _MTU.search(line):
            link.mtu = link.mtu or int(found[1])
        if found := _ETHER.search(line):
            link.mac = link.mac or found[1].lower()
            link.kind = "ether" if link.kind == "unknown" else link.kind
        if found := _INET.search(line):
            mask, broadcast = _MASK.search(line), _BROADCAST.search(line)
            link.inet.append(
                _Address(found[1], _prefix(mask[1]) if mask else 32, broadcast[1] if broadcast else "", link.name)
            )
        if (found := _INET6.search(line)) and found[1] not in link.inet6:
            link.inet6.append(found[1])


def _read_fib(sections: Mapping[str, str], links: dict[str, _Link]) -> None:
    """Read the kernel's own table of addresses, each to the interface whose network it is in."""
    routes = []
    for fields in (line.split() for line in lines(sections, "route")[1:]):
        if len(fields) > 7 and fields[1] != "00000000":
            try:
                number = ipaddress.IPv4Network(f"{_number(fields[1])}/{_number(fields[7])}")
            except ValueError:
                continue
            routes.append((fields[0], number))
    last, seen = "", set()
    for line in lines(sections, "fib"):
        found = re.search(r"(?:\|--|\+--) (\d+\.\d+\.\d+\.\d+)", line)
        last = found[1] if found else last
        if "host LOCAL" not in line or last in seen:
            continue
        seen.add(last)
        address = ipaddress.IPv4Address(last)
        if address.is_loopback:
            links.setdefault("lo", _Link("lo", "loopback")).inet.append(_Address(last, 8, "", "lo"))
            continue
        for name, net in routes:
            if address in net:
                broadcast = str(net.broadcast_address)
                links.setdefault(name, _Link(name)).inet.append(_Address(last, net.prefixlen, broadcast, name))
                break
        else:
            others = [each for each in links.values() if each.kind != "loopback"]
            if others:
                others[0].inet.append(_Address(last, 32, "", others[0].name))


def _default(sections: Mapping[str, str], links: dict[str, _Link]) -> dict[str, Any]:
    """Return the interface, address and gateway by which the world is reached; empty where it is not."""
    text = sections.get("default", "")
    device = re.search(r"\bdev (\S+)|interface: (\S+)", text)
    gateway = re.search(r"\bvia (\d\S*)|gateway: (\d\S*)", text)
    source = re.search(r"\bsrc (\S+)", text)
    name = (device[1] or device[2]) if device else ""
    via = (gateway[1] or gateway[2]) if gateway else ""
    if not name:
        for fields in (line.split() for line in lines(sections, "route")[1:]):
            if len(fields) > 7 and fields[1] == "00000000" and fields[7] == "00000000":
                name, via = fields[0], via or str(_number(fields[2]))
                break
    link = links.get(name)
    if link is None or not link.inet:
        return {}
    there = next((each for each in link.inet if source and each.address == source[1]), link.inet[0])
    net = ipaddress.IPv4Network(f"{there.address}/{there.prefix}", strict=False)
    found: dict[str, Any] = {
        "address": there.address,
        "alias": there.label or name,
        "broadcast": there.broadcast,
        "gateway": via,
        "interface": name,
        "macaddress": link.mac,
        "mtu": link.mtu,
        "netmask": str(net.netmask),
        "network": str(net.network_address),
        "prefix": str(there.prefix),
        "type": link.kind,
    }
    return {key: value for key, value in found.items() if value not in (None, "") or key == "broadcast"}


def _number(text: str) -> ipaddress.IPv4Address:
    """Return an address as /proc/net/route writes it: hexadecimal, in the order of this kind of processor."""
    return ipaddress.IPv4Address(bytes.fromhex(text)[::-1])


def _prefix(mask: str) -> int:
    number = int(mask, 16) if mask.startswith("0x") else int(ipaddress.IPv4Address(mask))
    return number.bit_count()


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True
