"""What a host's answers mean: facts with the names and values of Ansible's ``setup``, collector by collector."""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

Facts = dict[str, Any]
Sections = Mapping[str, str]

_KEY_VALUE = re.compile(r"\s*([^:=]+?)\s*[:=]\s*(.*)")
_MIB = 2**20


def platform(sections: Sections) -> Facts:
    """Return what ``uname`` and the host's names tell."""
    system, node, release, machine, version = [*lines(sections, "uname"), *[""] * 5][:5]
    names = [name for name in sections.get("names", "").split()[1:] if name]
    fqdn = next((name for name in (node, *names) if "." in name), names[0] if names else node)
    found: Facts = {
        "system": system,
        "nodename": node,
        "hostname": node.partition(".")[0],
        "fqdn": fqdn,
        "domain": fqdn.partition(".")[2],
        "kernel": release,
        "kernel_version": version,
        "machine": machine,
        "architecture": "i386" if re.match(r"i[3-6]86\Z|i86pc\Z", machine) else machine,
    }
    identity = sections.get("machine_id", "").strip()
    if identity:
        found["machine_id"] = identity
    return found


def python(sections: Sections) -> Facts:
    """Return the facts of the host's Python; empty where there is none."""
    said = lines(sections, "python")
    if len(said) != 8 or not all(part.isdecimal() for part in (*said[3:6], said[7])):
        return {}
    parts = [*map(int, said[3:6]), said[6], int(said[7])]
    names = ("major", "minor", "micro", "releaselevel", "serial")
    return {
        "python": {
            "executable": said[0],
            "has_sslcontext": bool(said[2]),
            "type": said[1],
            "version": dict(zip(names, parts, strict=True)),
            "version_info": parts,
        }
    }


def user(sections: Sections) -> Facts:
    """Return who the task runs as."""
    effective, real, group, real_group, name, entry = [*lines(sections, "user"), *[""] * 6][:6]
    # Of BSD's longer lines (`id -P`) the first four fields and the last three are the same.
    fields = entry.split(":")
    numbers = {
        "effective_user_id": effective,
        "real_user_id": real,
        "effective_group_id": group,
        "real_group_id": real_group,
        "user_uid": real,
        "user_gid": fields[3] if len(fields) > 6 else group,
    }
    found: Facts = {key: int(number) for key, number in numbers.items() if number.isdecimal()}
    found["user_id"] = name
    if len(fields) > 6:
        found |= {"user_gecos": fields[-3], "user_dir": fields[-2], "user_shell": fields[-1]}
    return found


def environment(said: bytes) -> Facts:
    """Return the environment, from lines or from texts with a NUL behind each."""
    pairs = said.split(b"\0") if b"\0" in said else said.split(b"\n")
    found = {}
    for pair in pairs:
        name, equals, value = pair.decode("utf-8", "replace").partition("=")
        # What the shell sets for itself, and where sudo repeats the script that asks.
        if equals and name not in ("_", "OLDPWD", "SUDO_COMMAND"):
            found[name] = value
    return {"env": found}


def date_time(sections: Sections) -> Facts:
    """Return the host's clock, in its time zone."""
    epoch, offset, zone, nanos = [*sections.get("date", "").split(), *[""] * 4][:4]
    if not epoch.isdecimal():
        return {}
    micros = int(nanos) // 1000 if nanos.isdecimal() else 0
    utc = datetime.fromtimestamp(int(epoch), timezone.utc) + timedelta(microseconds=micros)
    sign = re.fullmatch(r"([+-])(\d\d)(\d\d)", offset)
    ahead = timedelta(hours=int(sign[2]), minutes=int(sign[3])) if sign else timedelta()
    here = utc + (-ahead if sign and sign[1] == "-" else ahead)
    values = {
        "year": "%Y", "month": "%m", "weekday": "%A", "weekday_number": "%w", "weeknumber": "%W", "day": "%d",
        "hour": "%H", "minute": "%M", "second": "%S", "date": "%Y-%m-%d", "time": "%H:%M:%S",
        "iso8601_basic": "%Y%m%dT%H%M%S%f", "iso8601_basic_short": "%Y%m%dT%H%M%S",
    }  # fmt: skip
    return {
        "date_time": {
            **{name: here.strftime(form) for name, form in values.items()},
            "epoch": epoch,
            "epoch_int": epoch,
            "iso8601": utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "iso8601_micro": utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "tz": zone,
            "tz_offset": offset,
        }
    }


def selinux(sections: Sections) -> Facts:
    """Return whether SELinux is on, and how."""
    mode, version, *configured = [*lines(sections, "selinux"), "", ""]
    if mode not in ("0", "1"):
        return {"selinux": {"status": "disabled"}}
    told = {name: value.strip() for name, _, value in (line.partition("=") for line in configured)}
    return {
        "selinux": {
            "status": "enabled",
            "mode": "enforcing" if mode == "1" else "permissive",
            "policyvers": int(version) if version.isdecimal() else version,
            "config_mode": told.get("SELINUX", "unknown"),
            "type": told.get("SELINUXTYPE", "unknown"),
        }
    }


def hardware(sections: Sections) -> Facts:
    """Return memory, processors and uptime."""
    memory = _pairs(sections.get("meminfo", ""))
    told = _pairs(sections.get("sysctl", ""))
    if memory:
        found: Facts = {}
        for name, said in (
            ("memtotal", "MemTotal"),
            ("memfree", "MemFree"),
            ("swaptotal", "SwapTotal"),
            ("swapfree", "SwapFree"),
        ):
            size = memory.get(said, "").partition(" ")[0]
            found[f"{name}_mb"] = int(size) // 1024 if size.isdecimal() else 0
        found |= _processors(sections)
        since = sections.get("uptime", "").split(".")[0].strip()
        if since.isdecimal():
            found["uptime_seconds"] = int(since)
        return found
    found = {}
    memory_size = told.get("hw.memsize") or told.get("hw.physmem", "")
    if memory_size.isdecimal():
        found["memtotal_mb"] = int(memory_size) // _MIB
    pages, page = told.get("vm.stats.vm.v_free_count", ""), told.get("hw.pagesize", "")
    if pages.isdecimal() and page.isdecimal():
        found["memfree_mb"] = int(pages) * int(page) // _MIB
    if told.get("hw.ncpu", "").isdecimal():
        count = int(told["hw.ncpu"])
        cores = int(told["hw.physicalcpu"]) if told.get("hw.physicalcpu", "").isdecimal() else count
        found |= {"processor_cores": cores, "processor_vcpus": count, "processor_count": count}
        found["processor"] = told.get("machdep.cpu.brand_string") or told.get("hw.model", "")
    return found


def _processors(sections: Sections) -> Facts:
    """Return the processors as /proc/cpuinfo tells them: sockets where it does, else each by itself."""
    shown: list[str] = []
    sockets: dict[str, tuple[int, int]] = {}
    socket, occurrences, siblings = "", 0, 1
    for name, value in (line for line in map(_pair, lines(sections, "cpuinfo")) if line):
        if name in ("processor", "vendor_id", "model name", "Vendor", "vendor", "Processor", "cpu model"):
            shown.append(value)
            occurrences += name == "processor"
        elif name == "physical id":
            socket = value
            sockets.setdefault(socket, (1, 1))
        elif name == "siblings" and value.isdecimal():
            siblings = int(value)
        elif name == "cpu cores" and value.isdecimal() and int(value):
            sockets[socket] = (int(value), max(1, siblings // int(value)))
    usable = sections.get("nproc", "").strip()
    found: Facts = {"processor": shown, "processor_nproc": int(usable) if usable.isdecimal() else occurrences}
    cores, threads = next(iter(sockets.values()), (1, 1))
    count = len(sockets) or occurrences
    vcpus = threads * count * cores
    return {
        **found,
        "processor_count": count,
        "processor_cores": cores,
        "processor_threads_per_core": threads,
        "processor_vcpus": vcpus,
    }


def local(parts: list[bytes]) -> tuple[Facts, list[str]]:
    """Return the local facts, and a warning for each that can't be read.

    Args:
        parts: of each file its path, its content or what it printed, how it ended, and its errors.
    """
    found: Facts = {}
    warnings = []
    for part in parts:
        path, _, rest = part.partition(b"\0")
        said, rc, errors = [*rest.rsplit(b"\0", 2), b"", b""][:3]
        where = path.decode("utf-8", "replace")
        name = where.rpartition("/")[2].removesuffix(".fact")
        if rc != b"0":
            text = errors.decode("utf-8", "replace")
            value: Any = f"Failure executing fact script ({where}), rc: {rc.decode()}, err: {text}\n"
        else:
            value = _read(said)
            if value is None:
                value = f"error loading facts as JSON or ini - please check content: {where}"
        if isinstance(value, str) and where in value:
            warnings.append(value)
        found[name] = value
    return {"local": found}, warnings


def _read(content: bytes) -> Any:
    """Read JSON or INI; None where it is neither."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return {}
    try:
        return json.loads(text)
    except ValueError:
        pass
    parser = configparser.ConfigParser()
    try:
        parser.read_string(text)
        return {section: dict(parser.items(section)) for section in parser.sections()}
    except configparser.Error:
        return None


def lines(sections: Sections, name: str) -> list[str]:
    """Return the lines of a section, without those that are empty at its end."""
    return sections.get(name, "").rstrip("\n").split("\n") if sections.get(name) else []


def _pair(line: str) -> tuple[str, str] | None:
    found = _KEY_VALUE.fullmatch(line)
    return (found[1], found[2].strip()) if found else None


def _pairs(text: str) -> dict[str, str]:
    return dict(pair for pair in map(_pair, text.splitlines()) if pair)
