"""The ``wait_for_connection`` module on Windows."""

from __future__ import annotations

from sshexec.connectors.base import Capability
from sshexec.modules import wait_for_connection
from sshexec.modules.windows.ping import Ping


class WaitForConnection(wait_for_connection.WaitForConnection):
    """Log in and ask the host's PowerShell for an answer, again until it gives one."""

    needs = Capability.WINDOWS
    ping = Ping
