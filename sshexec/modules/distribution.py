"""Which operating system a host has, as Ansible names it, from /etc/os-release and its kin."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

Facts = dict[str, object]

# By ID of os-release: Ansible's name where it is not the NAME's first word, and the family.
_NAMES = {
    "debian": ("Debian", "Debian"),
    "ubuntu": ("Ubuntu", "Debian"),
    "raspbian": ("Debian", "Debian"),
    "linuxmint": ("Linux Mint", "Debian"),
    "kali": ("Kali", "Debian"),
    "pop": ("Pop!_OS", "Debian"),
    "devuan": ("Devuan", "Debian"),
    "rhel": ("RedHat", "RedHat"),
    "centos": ("CentOS", "RedHat"),
    "rocky": ("Rocky", "RedHat"),
    "almalinux": ("AlmaLinux", "RedHat"),
    "fedora": ("Fedora", "RedHat"),
    "ol": ("OracleLinux", "RedHat"),
    "amzn": ("Amazon", "RedHat"),
    "alpine": ("Alpine", "Alpine"),
    "arch": ("Archlinux", "Archlinux"),
    "manjaro": ("Manjaro", "Archlinux"),
    "opensuse-leap": ("openSUSE Leap", "Suse"),
    "opensuse-tumbleweed": ("openSUSE Tumbleweed", "Suse"),
    "sles": ("SLES", "Suse"),
    "sled": ("SLED", "Suse"),
    "gentoo": ("Gentoo", "Gentoo"),
    "openwrt": ("OpenWrt", "OpenWrt"),
    "nixos": ("NixOS", "NixOS"),
    "void": ("Void", "Void"),
}
_LIKE = {
    "debian": "Debian",
    "ubuntu": "Debian",
    "rhel": "RedHat",
    "fedora": "RedHat",
    "suse": "Suse",
    "arch": "Archlinux",
}
_RELEASE = re.compile(r"release\s+(\d[\d.]*)")
_CODENAME = re.compile(r"\(([^)]+)\)")


def distribution(system: str, kernel: str, sections: Mapping[str, str]) -> Facts:
    """Return the facts of the distribution.

    Args:
        system: what ``uname -s`` says.
        kernel: what ``uname -r`` says.
        sections: what the host answered, by section.
    """
    if system == "Darwin":
        return _facts("MacOSX", "Darwin", sections.get("sw_vers", "").strip() or kernel, kernel)
    if system != "Linux":
        version = kernel.partition("-")[0]
        return _facts(system, system, version, kernel)
    told = _assignments(sections.get("os_release", ""))
    kind = told.get("ID", "").lower()
    name, family = _NAMES.get(kind, ("", ""))
    name = name or (told.get("NAME", "").split() or ["NA"])[0]
    family = family or next((_LIKE[word] for word in told.get("ID_LIKE", "").lower().split() if word in _LIKE), name)
    version, release = told.get("VERSION_ID", "NA"), told.get("VERSION_CODENAME", "")
    debian = sections.get("debian_version", "").strip()
    red_hat = sections.get("redhat_release", "").strip()
    if name == "Debian" and re.match(r"\d", debian):
        version = debian
    elif family == "RedHat" and (found := _RELEASE.search(red_hat)):
        version = found[1]
    if not release and (found := _CODENAME.search(red_hat or told.get("VERSION", ""))):
        release = found[1]
    return _facts(name, family, version, release or "NA")


def _facts(name: str, family: str, version: str, release: str) -> Facts:
    facts: Facts = {
        "distribution": name,
        "distribution_version": version,
        "distribution_major_version": version.split(".")[0],
        "distribution_release": release,
        "os_family": family,
    }
    if name == "Debian" and "." in version:
        facts["distribution_minor_version"] = version.split(".")[1]
    return facts


def _assignments(text: str) -> dict[str, str]:
    """Read lines of ``NAME=value`` as a shell would."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if not equals or name.startswith("#"):
            continue
        try:
            found[name] = " ".join(shlex.split(value))
        except ValueError:
            found[name] = value
    return found


def package_manager(family: str, have: Mapping[str, str]) -> str:
    """Return the package manager.

    Args:
        family: ``os_family``.
        have: the programs that there are, each with what it links to.
    """
    if family == "RedHat":
        for name in ("dnf5", "dnf", "yum", "microdnf"):
            if name in have:
                return "dnf5" if "dnf5" in have[name] else name
    wanted = {
        "Debian": (("apt-get", "apt"),),
        "Suse": (("zypper", "zypper"),),
        "Alpine": (("apk", "apk"),),
        "Archlinux": (("pacman", "pacman"),),
        "Gentoo": (("emerge", "portage"),),
        "OpenWrt": (("opkg", "opkg"), ("apk", "apk")),
        "Darwin": (("brew", "homebrew"),),
        "FreeBSD": (("pkg", "pkgng"),),
        "OpenBSD": (("pkg_add", "openbsd_pkg"),),
        "Void": (("xbps-install", "xbps"),),
        "NixOS": (("nix-env", "nix"),),
    }.get(family, ())
    others = (("apt-get", "apt"), ("dnf", "dnf"), ("zypper", "zypper"), ("apk", "apk"), ("pacman", "pacman"))
    return next((manager for program, manager in (*wanted, *others) if program in have), "unknown")


def service_manager(system: str, said: list[str]) -> str:
    """Return what runs the services.

    Args:
        system: what ``uname -s`` says.
        said: the name of the first process, ``.`` where it is not known, and which managers' traces are there.
    """
    first, traces = (said or ["."])[0].strip(), said[1:]
    if system == "Darwin":
        return "launchd"
    if system in ("FreeBSD", "OpenBSD", "NetBSD", "DragonFly"):
        return "bsdinit"
    if first not in (".", "init", "sh", "bash", "dash", "ash"):
        return first
    return traces[0] if traces else "service"
