"""By which word this command can be called again, for lines that are printed to be copied."""

from __future__ import annotations

import os
import shlex
import shutil
import sys

NAME = "sshexec"


def calling(*, anywhere: bool = False) -> str:
    """Return what to type for this very command: its name, or a path where the name means another one or none.

    Args:
        anywhere: whether it is typed in another folder, perhaps, so that a path must be absolute.
    """
    called = sys.argv[0]
    if os.path.basename(called) == "__main__.py":  # python -m sshexec
        beside = os.path.join(os.path.dirname(sys.executable), NAME)
        if not os.path.exists(beside):
            return f"{shlex.quote(sys.executable)} -m {NAME}"
        called = beside
    found = shutil.which(NAME)
    if found is not None and _same(found, called):
        return NAME
    return shlex.quote(os.path.abspath(called) if anywhere or os.sep not in called else called)


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
