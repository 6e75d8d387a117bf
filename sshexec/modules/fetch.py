"""The ``fetch`` module: a file of every host, brought to this machine."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import Any

from sshexec.connectors.base import Capability, Connector
from sshexec.connectors.files import Found
from sshexec.errors import ArgumentError, BecomeError, HostError
from sshexec.modules.arguments import Parameter
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.destination import Question, ask
from sshexec.modules.download import Download
from sshexec.modules.exchange import shown
from sshexec.modules.local_file import LocalFile, located

_MISSING = "the remote file does not exist, not transferring, ignored"


class Fetch(Module):
    """Bring a host's file to ``dest/HOST/PATH``, or with ``flat`` to ``dest`` itself."""

    name = "fetch"
    parameters = (
        Parameter("src", "path", help="file of the host; must be given"),
        Parameter("dest", "path", help="directory of this machine, with `flat` the file itself; must be given"),
        Parameter(
            "flat", "bool", default=False, help="write `dest` itself, or the file's name below it where it ends in `/`"
        ),
        Parameter("fail_on_missing", "bool", default=True, help="fail where the host has no such file"),
        Parameter("validate_checksum", "bool", default=True, help="compare the SHA-1 of what came with the host's"),
    )
    needs = Capability.POSIX | Capability.FILES

    def check_arguments(self) -> None:
        """Check that both paths are given."""
        if not self.arguments["src"] or not self.arguments["dest"]:
            raise ArgumentError(f"{self.name}: src and dest are required")

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Fetch the file where the local copy differs; check mode skips it."""
        if invocation.check:
            return {"changed": False, "skipped": True, "msg": "check mode not (yet) supported for this module"}
        src = self.arguments["src"]
        try:
            answer = ask(connector, invocation, Question(src, follow=True))
            found = answer.founds[0]
            if not found.exists:
                if self.arguments["fail_on_missing"]:
                    return self._failed(_MISSING)
                return self._result(changed=False, file=shown(src), msg=_MISSING)
            if found.kind == "other":
                return self._failed("remote file is not a regular file")
            if found.kind == "directory":
                return self._failed("remote file is a directory, fetch cannot work on directories")
            return self._fetch(connector, invocation, answer.path, found)
        except HostError as error:
            if error.status != "failed" or isinstance(error, BecomeError):
                raise
            return self._failed(error.message, file=shown(src))
        except OSError as error:
            return self._failed(
                f"Failed to fetch the file: {error.strerror}: {error.filename or self.arguments['dest']!r}",
                file=shown(src),
            )

    def _fetch(self, connector: Connector[Any, Any], invocation: Invocation, path: str, found: Found) -> Result:
        # As Ansible, which opens dest for writing: what a link points to is replaced, not the link.
        target = Path(os.path.realpath(self._target(invocation.host, path)))
        if target.exists() and not target.is_dir() and not target.is_file():
            return self._failed(f"{target} is not a regular file, a file can't take its place")
        if target.is_dir():
            return self._failed(
                "dest is an existing directory, use a trailing slash if you want to fetch src into that directory"
                if self.arguments["flat"]
                else f"{target} is a directory, a file can't take its place"
            )
        dest = shown(str(target))
        if found.sha1 and target.is_file():
            facts = LocalFile(str(target)).facts()
            if facts.sha1 == found.sha1:
                return self._result(changed=False, checksum=facts.sha1, dest=dest, file=shown(path), md5sum=facts.md5)
        target.parent.mkdir(parents=True, exist_ok=True)
        with Download(target, found) as download:
            download.receive(connector, path, invocation.deadline, invocation.progress(path, found.size))
            sums = {
                "checksum": download.sha1.hexdigest(),
                "md5sum": download.md5.hexdigest(),
                "remote_checksum": found.sha1 or None,
                "remote_md5sum": None,
            }
            if self.arguments["validate_checksum"] and found.sha1 and found.sha1 != sums["checksum"]:
                return self._failed("checksum mismatch", file=shown(path), dest=dest, **sums)
            download.place()
            return self._result(changed=True, dest=dest, **sums)

    def _target(self, host: str, path: str) -> Path:
        """Return where the file goes; neither the host's name nor its answer can lead out of ``dest``."""
        dest = located(self.arguments["dest"])
        parts = posixpath.normpath(f"/{path}").strip("/").split("/")
        if self.arguments["flat"]:
            return Path(dest, parts[-1]) if self.arguments["dest"].endswith("/") else Path(dest)
        safe = host.replace("/", "_").replace("\0", "_")
        return Path(dest, "_" if safe in ("", ".", "..") else safe, *parts)
