"""Standard error: what people read. Losing it changes neither what the command does nor how it exits."""

from __future__ import annotations

import contextlib
import os
import sys


def tell(text: str) -> None:
    """Print a line, or several, for people.

    Args:
        text: what to print, without the last line end.
    """
    try:
        print(text, file=sys.stderr, flush=True)
    except BlockingIOError:
        return  # a full, non-blocking terminal: the text waits in Python's buffer for the next one
    except (OSError, ValueError):
        discard()


def discard() -> None:
    """Send standard error nowhere from now on.

    What could not be written is still in Python's buffer, and Python, failing once more to write it at its own end,
    would change the exit code to 120.
    """
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
