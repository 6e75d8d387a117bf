"""A WS-Man endpoint of our own, since no Windows is at hand: real logins and sealing, shells, commands, faults.

What runs in it is `sh` and doubles of PowerShell scripts: it shows what a client says and hears on the wire, and
nothing about Windows' own programs.
"""

from tests.winrm_server.powershell import Answer, Call, PowershellError, Stopped
from tests.winrm_server.server import Event, WinrmServer
from tests.winrm_server.tls import Tls

__all__ = ["Answer", "Call", "Event", "PowershellError", "Stopped", "Tls", "WinrmServer"]
