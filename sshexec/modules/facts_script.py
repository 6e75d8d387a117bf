"""What a host is asked for its facts: one POSIX shell script, of sections that each answer one question.

Linux is read from /proc, /sys and /etc, with or without ``ip`` and ``ifconfig``; the BSDs and macOS by ``sysctl``.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator

from sshexec.modules.words import expanding

TOKEN = secrets.token_hex(8)
"""Stands in front of a section's name, so that no answer can pass for the beginning of another section."""

_SAY = f"say() {{ printf '\\n\\036{TOKEN} %s\\n' \"$*\"; }}\n"

_PLATFORM = """say uname; uname -s; uname -n; uname -r; uname -m; uname -v
say machine_id; cat /etc/machine-id 2>/dev/null || cat /var/lib/dbus/machine-id 2>/dev/null
say names
if command -v getent >/dev/null; then a=$(getent hosts "$(uname -n)") && getent hosts "${a%%[[:space:]]*}"
else printf '. '; hostname -f; fi 2>/dev/null
"""

# Python's own word for itself, where there is one: facts are about the Python that Ansible's modules would get.
_PYTHON = """say python
for p in /usr/bin/python3 python3 /usr/libexec/platform-python python; do
command -v "$p" >/dev/null 2>&1 || continue
"$p" -c 'import sys
try:
    from ssl import SSLContext
    ssl = "1"
except ImportError:
    ssl = ""
print("\\n".join([sys.executable, sys.implementation.name, ssl] + [str(part) for part in sys.version_info]))
' 2>/dev/null && break
done
"""

_DISTRIBUTION = """say os_release; cat /etc/os-release 2>/dev/null || cat /usr/lib/os-release 2>/dev/null
say debian_version; cat /etc/debian_version 2>/dev/null
say redhat_release; cat /etc/redhat-release 2>/dev/null
say sw_vers; command -v sw_vers >/dev/null && sw_vers -productVersion
"""

_PACKAGES = """say packages
for f in apt-get rpm dnf5 dnf yum microdnf zypper apk pacman emerge xbps-install opkg pkg pkg_add brew nix-env; do
p=$(command -v $f 2>/dev/null) && printf '%s %s\\n' $f "$(readlink "$p" 2>/dev/null)"; done
"""

_SERVICES = """say services
cat /proc/1/comm 2>/dev/null || echo .
[ ! -d /run/systemd/system ] || echo systemd
[ ! -e /sbin/openrc ] || echo openrc
[ ! -d /etc/init.d ] || echo sysvinit
"""

_USER = """say user; u=$(id -u)
id -u; id -ru; id -g; id -rg; id -un 2>/dev/null || id -u
{ getent passwd "$u" || grep "^[^:]*:[^:]*:$u:" /etc/passwd || id -P; } 2>/dev/null
"""

_SELINUX = """say selinux
if [ -e /sys/fs/selinux/enforce ]; then
cat /sys/fs/selinux/enforce; echo; cat /sys/fs/selinux/policyvers; echo; grep -E '^SELINUX(TYPE)?=' /etc/selinux/config
fi 2>/dev/null
"""

_DATE = "say date; date '+%s %z %Z %N'\n"

_ENV = "say env; env -0 2>/dev/null || env\n"

_HARDWARE = """say meminfo; grep -E '^(MemTotal|MemFree|SwapTotal|SwapFree):' /proc/meminfo 2>/dev/null
say cpuinfo; grep -iE '^(processor|vendor(_id)?|model name|cpu model|physical id|siblings|cpu cores)[[:space:]]*:' \
/proc/cpuinfo 2>/dev/null
say nproc; nproc 2>/dev/null || grep -c '^processor' /proc/cpuinfo 2>/dev/null
say uptime; cat /proc/uptime 2>/dev/null
say sysctl; [ -e /proc/meminfo ] || sysctl hw.physmem hw.memsize hw.ncpu hw.physicalcpu hw.model \
machdep.cpu.brand_string hw.pagesize vm.stats.vm.v_free_count 2>/dev/null
"""

_NETWORK = """say links
for f in /sys/class/net/*; do
[ -e "$f/address" ] || continue
t=; [ ! -d "$f/bridge" ] || t=bridge; [ ! -d "$f/bonding" ] || t=bonding
printf '%s %s %s %s %s\\n' "${f##*/}" "$(cat "$f/type")" "$(cat "$f/mtu")" "$(cat "$f/address")" $t
done 2>/dev/null
say inet6; cat /proc/net/if_inet6 2>/dev/null
say route; cat /proc/net/route 2>/dev/null
if { a=$(ip -o -4 addr show) || a=$(ip -4 addr show); } 2>/dev/null; then
say inet; printf '%s\\n' "$a"
say default; ip -4 route get 8.8.8.8 2>/dev/null
elif a=$(ifconfig -a 2>/dev/null); then
say ifconfig; printf '%s\\n' "$a"
say default; route -n get default 2>/dev/null
else say fib; cat /proc/net/fib_trie 2>/dev/null
fi
"""

_LOCAL = """exec 4>&1
for f in "$d"/*.fact; do
[ -f "$f" ] || continue
say fact
printf '%s\\000' "$f"
e= r=0
if [ -x "$f" ]; then e=$("$f" 2>&1 >&4 </dev/null); r=$?
else cat "$f" 2>/dev/null; fi
printf '\\000%s\\000%s' $r "$e"
done
"""

SECTIONS = {
    # Before the search path is made longer.
    "env": _ENV,
    "platform": _PLATFORM,
    "python": _PYTHON,
    "distribution": _DISTRIBUTION,
    "pkg_mgr": _PACKAGES,
    "service_mgr": _SERVICES,
    "user": _USER,
    "selinux": _SELINUX,
    "date_time": _DATE,
    "hardware": _HARDWARE,
    "network": _NETWORK,
}
"""What is asked for each collector."""


def script(collectors: Collection[str], fact_path: str) -> str:
    """Return the script that answers for these collectors.

    Args:
        collectors: keys of `SECTIONS`, or ``local``.
        fact_path: directory of local facts, as the user wrote it.
    """
    parts = [_SAY]
    for name, section in SECTIONS.items():
        if name in collectors:
            parts.append(section)
        if name == "env":
            parts.append("PATH=$PATH:/usr/sbin:/sbin\n")
    if "local" in collectors:
        parts.append(f"d={expanding(fact_path)}\n{_LOCAL}")
    return "".join([*parts, "say end\n"])


def sections(answer: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield every section of the answer: its name and what it says.

    Raises:
        ValueError: the answer does not go to its end.
    """
    _, *parts = answer.split(f"\n\036{TOKEN} ".encode())
    if not parts or parts[-1].strip() != b"end":
        raise ValueError("the answer has no end")
    for part in parts[:-1]:
        name, _, said = part.partition(b"\n")
        yield name.decode("ascii", "replace"), said
