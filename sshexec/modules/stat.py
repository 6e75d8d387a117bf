"""The ``stat`` module: everything that a host tells about a path, in one round trip.

Works with the `stat` of GNU, busybox and BSD; `file` and `lsattr` are asked where they are there.
"""

from __future__ import annotations

import functools
import hashlib
import io
import re
from typing import Any, BinaryIO

from sshexec.connectors.base import Connector
from sshexec.errors import HostError
from sshexec.modules.arguments import Parameter
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.exchange import run_script, said, shown
from sshexec.modules.file_script import REAL
from sshexec.modules.words import expanding

_ALGORITHMS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
_MIME = re.compile(r"([^\s:;]+); *charset=(\S+)\Z")
_ABSENT = "No such file or directory"
_KINDS = {
    "isdir": 0o040000,
    "ischr": 0o020000,
    "isblk": 0o060000,
    "isreg": 0o100000,
    "isfifo": 0o010000,
    "islnk": 0o120000,
    "issock": 0o140000,
}
_BITS = {
    "wusr": 0o200, "rusr": 0o400, "xusr": 0o100, "wgrp": 0o020, "rgrp": 0o040, "xgrp": 0o010, "woth": 0o002,
    "roth": 0o004, "xoth": 0o001, "isuid": 0o4000, "isgid": 0o2000,
}  # fmt: skip
_ATTRIBUTES = {
    "A": "noatime", "a": "append", "c": "compressed", "C": "nocow", "d": "nodump", "D": "dirsync", "e": "extents",
    "E": "encrypted", "h": "blocksize", "i": "immutable", "I": "indexed", "j": "journalled", "N": "inline",
    "s": "zero", "S": "synchronous", "t": "notail", "T": "blockroot", "u": "undelete", "X": "compressedraw",
    "Z": "compresseddirty",
}  # fmt: skip
"""What the letters of lsattr(1) are called."""

_LOOK = r"""
export LC_ALL=C
say() { printf '%s\0%s\0' "$1" "$2"; }
say path "$P"
x=$(stat $L -c '0x%f:%u:%g:%s:%i:%d:%h:%b:%o:%t:%T:%U:%G
%X %x
%Y %y
%Z %z' -- "$P" 2>/dev/null) ||
x=$(stat $L -f '0%p:%u:%g:%z:%i:%d:%l:%b:%k:%r::%Su:%Sg%n%Fa%n%Fm%n%Fc' -- "$P" 2>/dev/null) ||
{ x=$(stat $L -- "$P" 2>&1); say fail "${x##*: }"; exit 0; }
say stat "$x"
if [ -L "$P" ] && [ ! "$L" ]; then
target "$P" && say target "$r"
real "$P"
say source "$r"
fi
x=
for i in r w x; do [ -$i "$P" ] && x=$x$i; done
say access "$x"
"""
_SUM = r"""
if [ -f "$P" ] && [ -r "$P" ] && { [ "$L" ] || [ ! -L "$P" ]; }; then
say checksum "$({ ALGORITHMsum || shasum -a NUMBER || ALGORITHM -q || openssl dgst -ALGORITHM -r; } <"$P" 2>/dev/null)"
fi
"""
_TYPE = r"""
say mime "$(file -b --mime-type --mime-encoding -- "$P" 2>/dev/null)"
"""
_FLAGS = r"""
case $P in -*) P=./$P ;; esac
x=$(lsattr -vd "$P" 2>/dev/null) && say flags "$x"
"""


class _Hashing(io.RawIOBase, BinaryIO):
    """A file to write to that keeps nothing but the checksum.

    Args:
        algorithm: name for hashlib.
    """

    def __init__(self, algorithm: str) -> None:
        super().__init__()
        self.digest = hashlib.new(algorithm, usedforsecurity=False)

    def writable(self) -> bool:
        """Tell that it is for writing."""
        return True

    def write(self, data: Any) -> int:
        """Take the next piece."""
        self.digest.update(data)
        return len(data)


class Stat(Module):
    """Tell what is at a path; nothing is changed."""

    name = "stat"
    parameters = (
        Parameter("path", "path", required=True, aliases=("dest", "name"), help="what it is about"),
        Parameter("follow", "bool", default=False, help="of a link, tell about what it points to"),
        Parameter("get_checksum", "bool", default=True, help="tell the checksum of a file that can be read"),
        Parameter(
            "checksum_algorithm",
            default="sha1",
            choices=_ALGORITHMS,
            aliases=("checksum", "checksum_algo"),
            help="how it is computed",
        ),
        Parameter(
            "get_mime",
            "bool",
            default=True,
            aliases=("mime", "mime_type", "mime-type"),
            help="tell type and character set as the host's `file` does",
        ),
        Parameter(
            "get_attributes",
            "bool",
            default=True,
            aliases=("attr", "attributes"),
            help="tell attributes and version as the host's `lsattr` does",
        ),
    )

    @functools.cached_property
    def _script(self) -> str:
        arguments = self.arguments
        algorithm = arguments["checksum_algorithm"]
        parts = [f"P={expanding(arguments['path'])}\nL={'-L' if arguments['follow'] else ''}\n", REAL, _LOOK]
        if arguments["get_checksum"]:
            number = algorithm.removeprefix("sha") if algorithm != "md5" else "none"
            parts.append(_SUM.replace("ALGORITHM", algorithm).replace("NUMBER", number))
        if arguments["get_mime"]:
            parts.append(_TYPE)
        if arguments["get_attributes"]:
            parts.append(_FLAGS)
        return "".join([*parts, "say end ''\n"])

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Ask the host."""
        rc, output = run_script(connector, invocation, self._script, ("stat", self.arguments["path"]))
        fields = output.stdout.decode("utf-8", "surrogateescape").split("\0")
        told = dict(zip(fields[::2], fields[1::2], strict=False))
        if "fail" not in told and "end" not in told:
            raise HostError(f"the host's shell broke off: {said(output) or f'exit status {rc}'}")
        if told.get("checksum") == "":
            told["checksum"] = self._digest(connector, invocation, told["path"])
        result = self._answered(told)
        result["invocation"]["module_args"]["path"] = shown(told["path"])
        return result

    def _digest(self, connector: Connector[Any, Any], invocation: Invocation, path: str) -> str:
        """Return the checksum of a file of a host that has no program for it: the content comes here."""
        hashing = _Hashing(self.arguments["checksum_algorithm"])
        connector.get(path, hashing, invocation.deadline)
        return hashing.digest.hexdigest()

    def _answered(self, told: dict[str, str]) -> Result:
        arguments = self.arguments
        if "fail" in told:
            if told["fail"] == _ABSENT:
                return self._result(changed=False, stat={"exists": False})
            return self._failed(shown(told["fail"]))
        found = {"exists": True, "path": shown(told["path"]), **_status(told["stat"])}
        access = {"readable": "r", "writeable": "w", "executable": "x"}
        found.update({name: letter in told["access"] for name, letter in access.items()})
        if "source" in told:
            found["lnk_source"], found["lnk_target"] = shown(told["source"]), shown(told.get("target", ""))
        if "checksum" in told:
            found["checksum"] = told["checksum"].partition(" ")[0]
        if arguments["get_mime"]:
            mime = _MIME.match(told.get("mime", "").strip())
            found["mimetype"], found["charset"] = (mime[1], mime[2]) if mime else ("unknown", "unknown")
        if arguments["get_attributes"]:
            found.update(_flags(told.get("flags", "")))
        return self._result(changed=False, stat=found)


def _status(text: str) -> dict[str, Any]:
    """Return what the host's `stat` printed, by Ansible's names."""
    line, atime, mtime, ctime = text.split("\n")
    raw, uid, gid, size, inode, device, links, blocks, block, major, minor, owner, group = line.split(":", 12)
    mode = int(raw, 16 if raw.startswith("0x") else 8)
    found: dict[str, Any] = {"mode": f"{mode & 0o7777:04o}"}
    found.update({name: mode & 0o170000 == kind for name, kind in _KINDS.items()})
    numbers = {"uid": uid, "gid": gid, "size": size, "inode": inode, "dev": device, "nlink": links}
    found.update({name: int(number) for name, number in numbers.items()})
    found.update({"atime": _moment(atime), "mtime": _moment(mtime), "ctime": _moment(ctime)})
    found.update({name: bool(mode & bit) for name, bit in _BITS.items()})
    found.update({"blocks": int(blocks), "block_size": int(block), "device_type": _device(major, minor)})
    # Ansible leaves a name out that the host does not have.
    names = {"pw_name": owner, "gr_name": group}
    found.update({name: shown(value) for name, value in names.items() if value not in ("UNKNOWN", uid, gid)})
    return found


def _moment(text: str) -> float:
    """Return a time as Python's `os.stat` has it, of ``seconds date time.fraction zone`` or ``seconds.fraction``."""
    seconds, space, rest = text.partition(" ")
    whole, _, part = (seconds if not space else f"{seconds}.{rest.partition('.')[2].partition(' ')[0]}").partition(".")
    return int(whole) + (1e-9 * int(part.ljust(9, "0")[:9]) if part.isdigit() else 0.0)


def _device(major: str, minor: str) -> int:
    """Return the number of a device; from Linux in two parts in hexadecimal, else in one."""
    if not minor:
        return int(major or 0)
    high, low = int(major, 16), int(minor, 16)
    return (high & 0xFFF) << 8 | (high & ~0xFFF) << 32 | (low & 0xFF) | (low & ~0xFF) << 12


def _flags(text: str) -> dict[str, Any]:
    """Return what `lsattr -vd` printed."""
    words = text.split(maxsplit=2)
    if len(words) < 2:
        return {"version": None, "attributes": [], "attr_flags": ""}
    letters = words[1].replace("-", "")
    names = [_ATTRIBUTES[letter] for letter in letters if letter in _ATTRIBUTES]
    return {"version": words[0], "attributes": names, "attr_flags": letters}
