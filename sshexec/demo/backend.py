"""What answers a connection to the demo fleet."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

HOST_KEY = "host_key"
"""Name of the private host key in the fleet's folder."""
AUTHORIZED_KEYS = "authorized_keys"
"""Name of the file with the public keys that may log in."""


class Backend(ABC):
    """Speaks SSH on connections that the fleet's listener has accepted.

    Args:
        folder: the fleet's folder, with the host key and authorized_keys.
    """

    name: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def serve(self, connection: socket.socket) -> None:
        """Answer a connection; returns at once and owns the socket from here on."""

    @abstractmethod
    def reap(self) -> None:
        """Collect what has ended; called now and then."""

    @abstractmethod
    def close(self) -> None:
        """End every session and the processes that were started for it."""
