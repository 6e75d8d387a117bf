"""The names of the hosts that did not end well, in a file that a pattern can name: ``@FILE``."""

from __future__ import annotations

import os

from sshexec.cli.stderr import tell
from sshexec.cli.untrusted import harmless
from sshexec.errors import InputError
from sshexec.results import RunResult


class RetryFile:
    """A file of host names, a line each, as Ansible's retry files; made anew with each run.

    Args:
        path: where it is.

    Raises:
        InputError: it can't be written there.
    """

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)
        folder = os.path.dirname(self._path)
        # Found out before anything is contacted, not when the run is over.
        if not os.access(self._path if os.path.exists(self._path) else folder, os.W_OK):
            raise InputError(f"--retry-file: {path} can't be written")

    def write(self, result: RunResult) -> None:
        """Write the hosts that failed, were unreachable or were not done; an empty file where all are well."""
        names = [name for name, host in result.items() if not host.good]
        try:
            with open(self._path, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.writelines(f"{name}\n" for name in names)
        except OSError as error:
            tell(f"sshexec: warning: --retry-file: {harmless(self._path)}: {error.strerror}")
