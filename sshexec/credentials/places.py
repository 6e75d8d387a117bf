"""Where the text of a secret is kept: a file, an environment variable, or what a command prints."""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import stat
import subprocess
import time
from collections.abc import Sequence

from sshexec.errors import CredentialError

MAX_BYTES = 2**20
"""The most that is read of any of them."""

TIMEOUT = 60.0
"""Seconds that a command or a provider has for its answer: a person may have to touch a token meanwhile."""

_LOOK = 0.1
_SHOWN = 200


def read_file(path: str, *, private: bool = False) -> str:
    """Return the text of a file, without the line break at its end.

    Args:
        path: the file; ``~`` is the home of the user.
        private: whether it must belong to the user (or to root), and be closed to all others.

    Raises:
        CredentialError: it is missing, unreadable, too large, no text, or not private.
    """
    try:
        # Not to block on a pipe that nobody writes to.
        handle = os.open(os.path.expanduser(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise CredentialError("is no regular file", path=path)
            if private:
                _check_private(path, status)
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise CredentialError(f"can't be read: {reason}", path=path) from None
    except CredentialError:
        raise
    except ValueError:
        raise CredentialError("is no file name", path=path) from None
    if len(content) > MAX_BYTES:
        raise CredentialError(f"is larger than {MAX_BYTES // 2**20} MiB", path=path)
    return _text(content, path)


def _check_private(path: str, status: os.stat_result) -> None:
    if status.st_uid not in (os.geteuid(), 0):
        raise CredentialError(f"belongs to another user (uid {status.st_uid}), who could change it", path=path)
    if stat.S_IMODE(status.st_mode) & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise CredentialError(f"is open to other users (mode {mode:04o}): chmod 600 it", path=path)


def read_environment(name: str) -> str:
    """Return the value of an environment variable.

    Raises:
        CredentialError: it is not set.
    """
    value = os.environ.get(name)
    if value is None:
        raise CredentialError(f"the environment variable {name} is not set")
    return value


def read_command(command: str | Sequence[str], timeout: float = TIMEOUT) -> str:
    """Return what a command prints, without the line break at its end. No shell is involved.

    It keeps the terminal, so that a program which asks the user for a PIN or a passphrase there can do so.

    Args:
        command: program and arguments; a text is split as a shell would, with its quotes.
        timeout: seconds that it has.

    Raises:
        CredentialError: it can't be run, fails, prints too much or no text, or is not done in time.
    """
    try:
        words = shlex.split(command) if isinstance(command, str) else list(command)
    except ValueError as error:
        raise CredentialError(f"the command is not quoted right: {str(error).lower()}") from None
    if not words:
        raise CredentialError("the command is empty")
    # Without its arguments, which may say more than is to be seen.
    shown = f"the command {words[0]!r}"
    try:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except (OSError, ValueError) as error:
        raise CredentialError(f"{shown} can't be run: {getattr(error, 'strerror', None) or error}") from None
    with process:
        try:
            output, complaint = _collect(process, shown, time.monotonic() + timeout, timeout)
        finally:
            with contextlib.suppress(OSError):
                process.kill()  # where it is done already, this does nothing
    if process.returncode:
        raise CredentialError(f"{shown} {_ending(process.returncode)}{_quoted(complaint)}")
    return _text(output, shown)


def _collect(process: subprocess.Popen[bytes], shown: str, deadline: float, timeout: float) -> tuple[bytes, bytes]:
    """Read both pipes, and wait for the process; a child of its that holds them keeps nobody waiting."""
    assert process.stdout is not None  # noqa: S101 - asked for with PIPE
    assert process.stderr is not None  # noqa: S101
    output, complaint = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for pipe, buffer in ((process.stdout, output), (process.stderr, complaint)):
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ, buffer)
        ended = False
        while selector.get_map():
            ready = selector.select(_LOOK if not ended else 0)
            for key, _ in ready:
                block = os.read(key.fd, 65536)
                if not block:
                    selector.unregister(key.fileobj)
                key.data.extend(block)
                if len(output) > MAX_BYTES:
                    raise CredentialError(f"{shown} printed more than {MAX_BYTES // 2**20} MiB")
                del complaint[:-MAX_BYTES]
            if ended and not ready:
                break
            if time.monotonic() > deadline:
                raise CredentialError(f"{shown} gave no answer within {timeout:g} s")
            ended = process.poll() is not None
    try:
        process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise CredentialError(f"{shown} did not end within {timeout:g} s") from None
    return bytes(output), bytes(complaint)


def _ending(code: int) -> str:
    return f"ended with exit code {code}" if code > 0 else f"was killed by signal {-code}"


def _quoted(complaint: bytes) -> str:
    """Return the end of what a command wrote to standard error, on one line."""
    text = " ".join(complaint.decode("utf-8", "replace").split())
    text = "".join(char if char.isprintable() else "?" for char in text)
    return f": {'…' if len(text) > _SHOWN else ''}{text[-_SHOWN:]}" if text else ""


def _text(content: bytes, shown: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CredentialError(f"{shown} holds no UTF-8 text") from None
    return text[:-2] if text.endswith("\r\n") else text[:-1] if text.endswith("\n") else text
