"""The Windows hosts' process: ``python -m bench.endpoint DRIVE USER PASSWORD`` prints its ports, ends with its input.

It is the endpoint of the tests at every address of this machine, and a second port that tells whoever connects to it
what was counted: requests of HTTP, and the longest message since it was last asked, in bytes, unsealed.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import threading
from pathlib import Path

from tests.winrm_server import Answer, WinrmServer, messages


class Counting:
    """A port that tells what was counted.

    Args:
        server: whose requests are counted.
    """

    def __init__(self, server: WinrmServer) -> None:
        self.largest = 0
        self._server = server
        self._read = messages.read
        self._listener = socket.create_server(("0.0.0.0", 0))
        self.port = int(self._listener.getsockname()[1])
        messages.read = self.read
        threading.Thread(target=self._answer, daemon=True).start()

    def read(self, envelope: bytes) -> messages.Request:
        """Read a message, having measured it."""
        self.largest = max(self.largest, len(envelope))
        return self._read(envelope)

    def _answer(self) -> None:
        while True:
            peer, _ = self._listener.accept()
            with peer:
                peer.sendall(json.dumps({"requests": self._server.requests, "largest": self.largest}).encode())
                self.largest = 0


def main() -> None:
    """Serve until standard input ends."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    drive, user, password = sys.argv[1:]
    many = 1_000_000
    hosts = WinrmServer(
        {user: password}, ("ntlm",), drive=Path(drive), host="0.0.0.0", max_shells=many, max_operations=many
    )
    with hosts as server:
        counting = Counting(server)
        server.powershell["exit 0"] = Answer()
        print(json.dumps({"port": server.port, "counters": counting.port}), flush=True)
        while os.read(0, 1 << 16):
            pass


if __name__ == "__main__":
    main()
