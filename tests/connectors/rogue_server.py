"""An SSH server that does what OpenSSH never does: each test says what."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

import paramiko

Play = Callable[[paramiko.Transport, paramiko.Channel], None]
"""What happens once a shell was asked for."""


class Shell(paramiko.ServerInterface):
    """Lets everybody in, gives everybody a terminal, and hands over to a play.

    Args:
        play: runs on a thread of its own once a shell was asked for.
        terminal: whether a terminal is given.
        shell: whether a shell is.
    """

    def __init__(self, play: Play, terminal: bool = True, shell: bool = True) -> None:
        self._play = play
        self._gives = terminal, shell
        self.transport: paramiko.Transport | None = None
        self.requests: list[tuple[Any, ...]] = []

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_auth_password(self, username: str, password: str) -> int:
        self.requests.append(("password", password))
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_pty_request(self, channel: Any, term: bytes, *size: Any) -> bool:
        self.requests.append(("pty", term, *size[:2]))
        return self._gives[0]

    def check_channel_window_change_request(self, channel: Any, *size: Any) -> bool:
        self.requests.append(("resize", *size[:2]))
        return True

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        if self._gives[1]:
            assert self.transport is not None
            threading.Thread(target=self._run, args=(self.transport, channel), daemon=True).start()
        return self._gives[1]

    def _run(self, transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._play(transport, channel)


class RogueServer:
    """Listens on a free port until `close`.

    Args:
        make: makes what serves each connection.
        key: the host's key.
    """

    def __init__(self, make: Callable[[], paramiko.ServerInterface], key: paramiko.PKey | None = None) -> None:
        self.key = key or paramiko.ECDSAKey.generate()
        self._make = make
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._transports: list[paramiko.Transport] = []
        self.seen: list[int] = []
        """Numbers of the packets that came."""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def variables(self, **more: Any) -> dict[str, Any]:
        """Return the host variables that reach it; any key of it is good."""
        return {
            "ansible_host": "127.0.0.1",
            "ansible_port": self._listener.getsockname()[1],
            "ansible_user": "someone",
            "ansible_password": "secret",
            "ansible_host_key_checking": False,
            **more,
        }

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(client)
            self._transports.append(transport)
            transport.add_server_key(self.key)
            self._write_down(transport)
            server = self._make()
            if isinstance(server, Shell):
                server.transport = transport
            with contextlib.suppress(paramiko.SSHException, EOFError):
                transport.start_server(server=server)

    def _write_down(self, transport: paramiko.Transport) -> None:
        read = transport.packetizer.read_message

        def recorded() -> Any:
            number, message = read()
            self.seen.append(number)
            return number, message

        transport.packetizer.read_message = recorded  # type: ignore[method-assign]

    def close(self) -> None:
        """Close every connection and the port."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        for transport in self._transports:
            transport.close()
