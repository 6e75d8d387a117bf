"""The ``fetch`` module: a file of every host, brought to this machine."""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sshexec.connectors.base import Capability, Connector
from sshexec.errors import ArgumentError, HostError
from sshexec.modules.arguments import Parameter
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.download import Download
from sshexec.modules.exchange import is_answer, shown
from sshexec.modules.local_file import LocalFile, located
from sshexec.modules.reading import Readable, read_about

_MISSING = "the remote file does not exist, not transferring, ignored"
_DIRECTORY = "remote file is a directory, fetch cannot work on directories"
_FLAT_DIRECTORY = "dest is an existing directory, use a trailing slash if you want to fetch src into that directory"


class Fetch(Module):
    """Bring a host's file to ``dest/HOST/PATH``, or with ``flat`` to ``dest`` itself."""

    name = "fetch"
    parameters = (
        Parameter("src", "path", help="file of the host; must be given"),
        Parameter("dest", "path", help="directory of this machine, with `flat` the file itself; must be given"),
        Parameter(
            "flat", "bool", default=False, help="write `dest` itself, or the file's name below it where it ends in `/`"
        ),
        Parameter("fail_on_missing", "bool", default=True, help="fail where the host's file can't be read"),
        Parameter("validate_checksum", "bool", default=True, help="compare the SHA-1 of what came with the host's"),
    )
    needs = Capability.POSIX | Capability.FILES

    @classmethod
    def from_args(cls, args: str | Mapping[str, Any] | None) -> Module:
        """Parse and check arguments; both paths must be texts, as in Ansible."""
        if isinstance(args, Mapping):
            for name, said in (("src", "source"), ("dest", "dest")):
                if not isinstance(args.get(name, ""), (str, type(None))):
                    raise ArgumentError(f"{cls.name}: Invalid type supplied for {said} option, it must be a string")
        return super().from_args(args)

    def check_arguments(self) -> None:
        """Check that both paths are given."""
        if self.arguments["src"] is None or self.arguments["dest"] is None:
            raise ArgumentError(f"{self.name}: src and dest are required")
        self._dest = located(self.arguments["dest"])

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Fetch the file where the local copy differs; check mode skips it."""
        if invocation.check:
            return {"changed": False, "skipped": True, "msg": "check mode not (yet) supported for this module"}
        src = self.arguments["src"]
        try:
            found = self._look(connector, invocation, src)
            if found.kind == "other":
                return {"failed": True, "changed": False, "msg": "remote file is not a regular file"}
            if found.kind == "directory" or found.errno:
                return self._unread(found)
            return self._fetch(connector, invocation, found, self._target(invocation.host, found.path))
        except HostError as error:
            if not is_answer(error):
                raise
            return {"failed": True, "changed": False, "msg": error.message, "file": shown(src)}

    def _look(self, connector: Connector[Any, Any], invocation: Invocation, src: str) -> Readable:
        """Ask what is at the path."""
        return read_about(connector, invocation, src)

    def _local(self, path: str) -> str:
        """Return a path of the host with this machine's separators."""
        return path

    def _unread(self, found: Readable) -> Result:
        """Return the result for what can't be read; which keys each kind has is Ansible's doing."""
        path = shown(found.path)
        about_arguments = {"invocation": {"module_args": {"src": path}}}
        if not self.arguments["fail_on_missing"]:
            if found.kind == "directory":
                return {"changed": False, "msg": f"{_DIRECTORY}, not transferring, ignored"}
            if found.kind != "absent":
                return {"changed": False, "file": path}
            msg = _MISSING if found.errno == errno.ENOENT else f"{_no_information(found)}, ignored"
            return {"changed": False, "file": path, "msg": msg}
        failed = {"failed": True, "changed": False}
        if found.kind == "directory":
            return {**failed, "msg": _DIRECTORY}
        if found.kind != "absent":
            return {**failed, "msg": f"File is not readable: {path}", **about_arguments}
        if found.errno == errno.ENOENT:
            return {**failed, "msg": _MISSING, **about_arguments}
        return {**failed, "file": path, "msg": _no_information(found)}

    def _fetch(self, connector: Connector[Any, Any], invocation: Invocation, found: Readable, target: Path) -> Result:
        try:
            return self._bring(connector, invocation, found, target)
        except HostError:
            raise  # some of them are OSErrors too
        except OSError as error:
            msg = f"[Errno {error.errno}] {error.strerror}: {os.fsencode(target)!r}"
            return {"failed": True, "changed": False, "msg": msg}

    def _bring(self, connector: Connector[Any, Any], invocation: Invocation, found: Readable, target: Path) -> Result:
        dest = shown(str(target))
        if target.is_dir():
            flat = self.arguments["flat"] and not self.arguments["dest"].endswith("/")
            return {
                "failed": True,
                "changed": False,
                "msg": _FLAT_DIRECTORY
                if flat
                else f"calculated dest '{dest}' is an existing directory, use another path that does not point to an "
                "existing directory",
            }
        # As Ansible, which opens dest for writing: what a link points to is replaced, not the link.
        place = Path(os.path.realpath(target))
        if place.exists() and not place.is_file():
            msg = f"{dest} is not a regular file, a file can't take its place"
            return {"failed": True, "changed": False, "msg": msg}
        if found.sha1 and place.is_file():
            facts = LocalFile(str(place)).facts()
            if facts.sha1 == found.sha1:
                file = shown(found.path)
                return {"changed": False, "checksum": facts.sha1, "dest": dest, "file": file, "md5sum": facts.md5}
        place.parent.mkdir(parents=True, exist_ok=True)
        with Download(place, found.sha1, found.size) as download:
            progress = invocation.progress(found.path, found.size)
            download.receive(connector, found.path, invocation.deadline, progress)
            sums = {
                "checksum": download.sha1.hexdigest(),
                "md5sum": download.md5.hexdigest(),
                "remote_checksum": found.sha1 or None,
                "remote_md5sum": None,
            }
            if self.arguments["validate_checksum"] and found.sha1 and found.sha1 != sums["checksum"]:
                file = shown(found.path)
                return {
                    "failed": True,
                    "changed": False,
                    "msg": "checksum mismatch",
                    "file": file,
                    "dest": dest,
                    **sums,
                }
            download.place()
            return {"changed": True, "dest": dest, **sums}

    def _target(self, host: str, path: str) -> Path:
        """Return where the file goes; neither the host's name nor its answer can lead out of ``dest``."""
        parts = posixpath.normpath(f"/{self._local(path)}").strip("/").split("/")
        if self.arguments["flat"]:
            return self._dest / parts[-1] if self.arguments["dest"].endswith("/") else self._dest
        safe = host.replace("/", "_").replace("\0", "_")
        return Path(self._dest, "_" if safe in ("", ".", "..") else safe, *parts)


def _no_information(found: Readable) -> str:
    return f"Failed to get information on remote file ({shown(found.path)}): {found.problem}"
