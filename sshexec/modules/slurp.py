"""The ``slurp`` module: the content of a host's file, in the result."""

from __future__ import annotations

import base64
import errno
import os
from typing import Any

from sshexec.connectors.base import Command, Connector
from sshexec.connectors.output import Output
from sshexec.modules.arguments import Parameter
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.exchange import said, shown
from sshexec.modules.reading import READING
from sshexec.modules.words import expanding

LIMIT = 16 * 2**20
"""Bytes that a file may have: results are held in memory, as many as there are hosts. Ansible has no limit."""

_ENCODED = 2 * LIMIT + LIMIT // 4
"""Bytes in which a host writes a content of that size at most: in hexadecimal, with line ends."""

TOO_LARGE = f"it has over {LIMIT // 2**20} MiB: use the fetch module"
"""Why a larger one is refused."""

# As text, since a command of another user may have a terminal, which changes bytes. One byte more than may be is asked
# for, and not the size: a file of /proc tells none.
_CONTENT = f"""
[ ! -p "$p" ] || k=pipe
if command -v base64 >/dev/null; then c=64; encode() {{ base64; }}
elif command -v openssl >/dev/null; then c=64; encode() {{ openssl base64; }}
else c=16; encode() {{ od -An -v -tx1 | tr -d ' \\t'; }}; fi
if printf x | head -c 1 >/dev/null 2>&1; then some() {{ head -c {LIMIT + 1}; }}
else some() {{ dd bs=65536 count={LIMIT // 65536 + 1} 2>/dev/null; }}; fi
printf '%s %s %s\\n' $k $e $c
case $k$e in file0|other0)
exec 4>&1
e=$({{ {{ some <"$p"; echo $? >&5; }} | encode >&4; }} 5>&1) ;;
esac
printf '\\n.%s\\n%s' "$e" "$p"
"""


class Slurp(Module):
    """Answer with the content of a file, in base64."""

    name = "slurp"
    parameters = (Parameter("src", "path", required=True, aliases=("path",), help="file of the host"),)

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Read the file, in check mode too: nothing is changed."""
        src = self.arguments["src"]
        output = Output(_ENCODED)
        command = Command(f"{READING}reading {expanding(src)}\n{_CONTENT}", about=("slurp", src))
        done = connector.execute(command, output, invocation.deadline)
        if output.truncated:
            return self._unread(shown(src), "other", 0, TOO_LARGE)
        try:
            head, _, rest = output.stdout.partition(b"\n")
            kind, number, code = head.decode().split()
            encoded, _, rest = rest.partition(b"\n.")
            status, _, name = rest.partition(b"\n")
            content = bytes.fromhex(encoded.decode()) if code == "16" else base64.b64decode(encoded)
            problem, failed = int(number), int(status)
        except ValueError:
            words = said(output) if done.rc else f"the host's answer about {src!r} is not understood"
            return self._unread(shown(src), "other", 0, words or f"exit status {done.rc}")
        path = shown(name.decode("utf-8", "surrogateescape"))
        if kind not in ("file", "other") or problem or failed:
            return self._unread(path, kind, problem, os.strerror(problem) if problem else said(output))
        if len(content) > LIMIT:
            return self._unread(path, kind, 0, TOO_LARGE)
        return self._slurped(path, content)

    def _slurped(self, path: str, content: bytes) -> Result:
        return {
            "changed": False,
            "content": base64.b64encode(content).decode(),
            "encoding": "base64",
            "source": path,
            "invocation": self._invocation(path),
        }

    def _unread(self, path: str, kind: str, number: int, words: str) -> Result:
        if kind == "directory":
            msg = f"Source is a directory and must be a file: {path}"
        elif kind == "pipe":
            msg = f"Source is a pipe and must be a file: {path}"
        elif number == errno.ENOENT:
            msg = f"File not found: {path}"
        elif number == errno.EACCES:
            msg = f"File is not readable: {path}"
        else:
            msg = f"Unable to slurp file: {path}" + (f": {words}" if words else "")
        return self._failed_at(path, msg)

    def _failed_at(self, path: str, msg: str) -> Result:
        return {"failed": True, "changed": False, "msg": msg, "invocation": self._invocation(path)}

    def _invocation(self, path: str) -> dict[str, Any]:
        return {"module_args": {**self._module_args(), "src": path}}
