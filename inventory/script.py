"""Dynamic inventories: programs that print JSON for ``--list`` and ``--host NAME``."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import stat
import subprocess
import time
from typing import Any

from sshexec.errors import InventoryError
from sshexec.inventory.draft import Draft
from sshexec.inventory.files import MAX_BYTES
from sshexec.inventory.listing import read_listing
from sshexec.inventory.vaulted import revived

TIMEOUT = 60.0
"""Seconds that a script has for all it is asked."""

_MAX_STDERR = 64 * 1024
_SHOWN_STDERR = 500


def is_script(path: str) -> bool:
    """Return whether a file is a program: it may be executed, and begins with ``#!`` or is binary.

    A data file with the executable bit, as on a mounted Windows share, is none.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) or not os.access(path, os.X_OK):
            return False
        with open(path, "rb") as file:
            head = file.read(256)
    except OSError:
        return False
    return head.startswith(b"#!") or b"\0" in head


_LOOK = 0.1
"""Seconds between looks at whether the program has ended."""
_GRACE = 1.0
"""Seconds after the program's end for which its pipes are still read."""


def read_script(draft: Draft, path: str) -> None:
    """Run an inventory script and add what it lists.

    Args:
        draft: the inventory in the making.
        path: absolute path of the program; no shell is between.

    Raises:
        InventoryError: it fails, takes longer than `TIMEOUT`, prints too much, or no such JSON.
    """
    deadline = time.monotonic() + TIMEOUT

    def revive(mapping: dict[str, Any]) -> Any:
        return revived(mapping, draft.openers.vault, draft.path or path)

    def ask(*arguments: str) -> Any:
        output = _run(draft, [path, *arguments], deadline)
        try:
            return json.loads(output, object_hook=revive) if output.strip() else {}
        except RecursionError:
            raise draft.error(f"its answer to {' '.join(arguments)} is nested too deeply") from None
        except InventoryError:
            raise
        except ValueError as error:
            raise draft.error(f"its answer to {' '.join(arguments)} is not JSON: {error}") from None

    listing = ask("--list")
    if not listing:
        raise draft.error("its answer to --list is empty")
    read_listing(draft, listing, lambda host: ask("--host", host))


def _run(draft: Draft, command: list[str], deadline: float) -> bytes:
    """Return the standard output of a program that ended well."""
    asked = " ".join(command[1:])
    # In two steps: a signal that ends the command may come when the script has begun and Popen has not returned yet.
    process: subprocess.Popen[bytes] = subprocess.Popen.__new__(subprocess.Popen)
    try:
        try:
            subprocess.Popen.__init__(
                process,
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            process.pid = 0  # it has not begun
            raise draft.error(f"can't be run: {getattr(error, 'strerror', None) or error}") from error
        except BaseException:
            _kill(process)
            with contextlib.suppress(Exception):  # half made, it may not know how to
                process.wait(_GRACE)
            process.pid = 0
            raise
        output, complaint = _collect(draft, process, asked, deadline)
    finally:
        if process.pid:
            _kill(process)
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
    if process.returncode:
        raise draft.error(f"{_ending(process.returncode)} on {asked}{_shown(complaint)}")
    return output


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a script, and what it left behind: that holds the pipes."""
    pid = getattr(process, "pid", None)
    if pid:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _collect(draft: Draft, process: subprocess.Popen[bytes], asked: str, deadline: float) -> tuple[bytes, bytes]:
    """Read both pipes to their ends, and wait for the process.

    A background child that holds them keeps nobody waiting: what the script itself wrote has come within `_GRACE`.
    """
    assert process.stdout is not None  # noqa: S101 - asked for with PIPE
    assert process.stderr is not None  # noqa: S101
    output, complaint = bytearray(), bytearray()
    ended: float | None = None
    with selectors.DefaultSelector() as selector:
        for pipe, buffer in ((process.stdout, output), (process.stderr, complaint)):
            selector.register(pipe, selectors.EVENT_READ, buffer)
        while selector.get_map():
            left = deadline - time.monotonic()
            ready = selector.select(min(left, _LOOK)) if left > 0 else []
            if ended is None and process.poll() is not None:
                ended = time.monotonic()
            if ended is not None and time.monotonic() > ended + _GRACE:
                break
            if not ready and deadline <= time.monotonic():
                raise draft.error(f"gave no answer to {asked} within {TIMEOUT:.0f} s{_shown(complaint)}")
            for key, _ in ready:
                block = os.read(key.fd, 65536)
                if not block:
                    selector.unregister(key.fileobj)
                    continue
                key.data.extend(block)
                if len(output) > MAX_BYTES:
                    raise draft.error(f"printed more than {MAX_BYTES // 2**20} MiB for {asked}")
                del complaint[:-_MAX_STDERR]
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise draft.error(f"did not end within {TIMEOUT:.0f} s after {asked}{_shown(complaint)}") from None
    return bytes(output), bytes(complaint)


def _ending(code: int) -> str:
    if code > 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _shown(complaint: bytes | bytearray) -> str:
    """Return the end of what a script wrote to standard error, on one line."""
    text = " ".join(complaint.decode("utf-8", "replace").split())
    text = "".join(char if char.isprintable() else "?" for char in text)
    return f": {'…' if len(text) > _SHOWN_STDERR else ''}{text[-_SHOWN_STDERR:]}" if text else ""
