"""The demo fleet answered by Paramiko, where OpenSSH is not installed: real processes, real files, the user's own."""

from __future__ import annotations

import contextlib
import hmac
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)

from sshexec.demo.backend import AUTHORIZED_KEYS, HOST_KEY, Backend
from sshexec.demo.sftp import Files

_CHUNK = 32768
_DRAIN = 0.5
"""Seconds that output is waited for after a command has ended: a background child may keep its pipes open for ever."""


class EmbeddedBackend(Backend):
    """Answers with a Paramiko server in this process.

    Args:
        folder: the fleet's folder.
    """

    name = "embedded"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._host_key = paramiko.Ed25519Key(filename=str(folder / HOST_KEY))
        self._authorized = [line.split()[1] for line in (folder / AUTHORIZED_KEYS).read_text().splitlines()]
        self._transports: set[paramiko.Transport] = set()
        self._processes = _Processes()

    def serve(self, connection: socket.socket) -> None:
        """Start a server for the connection; Paramiko reads it on a thread of its own."""
        try:
            transport = paramiko.Transport(connection)
            transport.add_server_key(self._host_key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Files)
            # With an event, the handshake happens on the transport's own thread.
            transport.start_server(threading.Event(), _Session(self._authorized, self._processes))
        except (OSError, paramiko.SSHException):
            connection.close()
        else:
            self._transports.add(transport)

    def reap(self) -> None:
        """Forget the connections that have ended."""
        self._transports = {transport for transport in self._transports if transport.is_active()}

    def close(self) -> None:
        """Kill the commands and close the connections."""
        self._processes.close()
        for transport in self._transports:
            transport.close()


class _Processes:
    """The commands that run, each in a process group of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] | None = set()

    def start(self, command: bytes) -> subprocess.Popen[bytes] | None:
        """Start a command as sshd does: in the home directory, by the shell; None once the fleet is closing."""
        home = os.path.expanduser("~")
        with self._lock:
            if self._running is None:
                return None
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=home if os.access(home, os.X_OK) else "/",
                start_new_session=True,
            )
            self._running.add(process)
            return process

    def ended(self, process: subprocess.Popen[bytes]) -> None:
        """Take note that a command has ended."""
        with self._lock:
            if self._running is not None:
                self._running.discard(process)

    def close(self) -> None:
        """Kill what runs, and start nothing more."""
        with self._lock:
            running, self._running = self._running or set(), None
        for process in running:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)


class _Session(paramiko.ServerInterface):
    """What one client may do: log in with the key, run commands, use SFTP."""

    def __init__(self, authorized: list[str], processes: _Processes) -> None:
        self._authorized = authorized
        self._processes = processes

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        known = any(hmac.compare_digest(key.get_base64(), blob) for blob in self._authorized)
        return AUTH_SUCCESSFUL if known else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED if kind == "session" else OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        try:
            process = self._processes.start(command)
        except OSError:  # no more processes, or no memory
            return False
        if process is None:
            return False
        threading.Thread(target=self._attend, args=(channel, process), daemon=True).start()
        return True

    def _attend(self, channel: paramiko.Channel, process: subprocess.Popen[bytes]) -> None:
        """Carry bytes between a channel and a command until the command ends, then say how it ended."""
        pumps = [
            threading.Thread(target=_send, args=(process.stdout, channel.sendall), daemon=True),
            threading.Thread(target=_send, args=(process.stderr, channel.sendall_stderr), daemon=True),
        ]
        for pump in (*pumps, threading.Thread(target=_receive, args=(channel, process.stdin), daemon=True)):
            pump.start()
        rc = process.wait()
        self._processes.ended(process)
        for pump in pumps:
            pump.join(_DRAIN)
        with contextlib.suppress(OSError, paramiko.SSHException):
            # Paramiko has no message for "ended by a signal": the shell's convention tells it.
            channel.send_exit_status(rc if rc >= 0 else 128 - rc)
            channel.shutdown_write()
        channel.close()


def _send(pipe: IO[bytes], send: Callable[[bytes], object]) -> None:
    """Carry what a command prints to its channel; where the channel has closed, let the command go on."""
    alive = True
    with contextlib.suppress(OSError, ValueError), pipe:
        while data := os.read(pipe.fileno(), _CHUNK):
            if alive:
                try:
                    send(data)
                except OSError:
                    alive = False


def _receive(channel: paramiko.Channel, pipe: IO[bytes]) -> None:
    """Carry what the client sends to the command's standard input."""
    with contextlib.suppress(OSError, ValueError), pipe:
        while data := channel.recv(_CHUNK):
            pipe.write(data)
            pipe.flush()
