"""A Linux directory as the host's ``C:\\``."""

from __future__ import annotations

import ntpath
import os
from pathlib import Path


class Drive:
    """Where Windows paths lead, as seen from one directory.

    Args:
        root: what is ``C:\\``.
        directory: what a relative path starts from, as a Windows path.
    """

    def __init__(self, root: Path, directory: str = "C:\\") -> None:
        self.root = root
        self.directory = directory

    def at(self, directory: str | None) -> Drive:
        """Return the drive as seen from another directory."""
        return self if directory is None else Drive(self.root, self.absolute(directory))

    def absolute(self, path: str) -> str:
        r"""Return a path as ``X:\...`` without ``.`` and ``..``, as GetFullPathName does."""
        path = path.replace("/", "\\")
        path = path.removeprefix("\\\\?\\").removeprefix("\\??\\")
        return ntpath.normpath(ntpath.join(self.directory, path))

    def resolve(self, path: str) -> Path:
        """Return where a Windows path leads; upper and lower case are the same where something of that name is there.

        What is on another drive or on a share leads to a place that does not exist.
        """
        drive, rest = ntpath.splitdrive(self.absolute(path))
        place = self.root
        if drive.upper() != "C:":
            return self.root.parent / f".no-such-drive-{drive.strip(':').replace(chr(92), '-')}" / rest.strip("\\")
        for part in filter(None, rest.split("\\")):
            place = _below(place, part.rstrip(". ") or part)
        return place

    def name(self, path: Path) -> str:
        """Return the Windows path of something below the root."""
        return "C:\\" + str(path.relative_to(self.root)).replace("/", "\\").removeprefix(".")


def _below(place: Path, name: str) -> Path:
    exact = place / name
    if exact.exists() or exact.is_symlink():
        return exact
    try:
        names = os.listdir(place)
    except OSError:
        return exact
    folded = name.casefold()
    return next((place / each for each in names if each.casefold() == folded), exact)
