"""What a WinRM service answers in place of what was asked: SOAP faults and their codes (MS-WSMV, WinError)."""

from __future__ import annotations

OPERATION_TIMEOUT = 2150858793
"""w:TimedOut: nothing came within the OperationTimeout; to be asked again."""
NO_SHELL = 2150858843
"""w:InvalidSelectors: no such shell or command: the service was restarted, or the shell was idle for too long."""
MAX_SHELLS = 2150859173
"""MaxShellsPerUser, ERROR_WSMAN_QUOTA_MAX_SHELLS_PPU."""
MAX_OPERATIONS = 2150859174
"""MaxConcurrentOperationsPerUser, ERROR_WSMAN_QUOTA_MAX_OPERATIONS."""
BUSY = 170
"""ERROR_BUSY: what is sent now was not taken."""
ACCESS_DENIED = 5
LINE_TOO_LONG = 206
"""ERROR_FILENAME_EXCED_RANGE."""


class Fault(Exception):
    """A SOAP fault (never leaves this room).

    Args:
        code: of WSManFault, or where that is missing of MSFT_WmiError, as quotas have it; None where neither is there.
        subcode: such as ``w:TimedOut``.
        reason: the service's words.
    """

    def __init__(self, code: int | None, subcode: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.subcode = subcode
        self.reason = reason

    @property
    def words(self) -> str:
        """What the service said, and its code, in one line."""
        text = " ".join(self.reason.split()) or "(no words)"
        return f"{text} ({self.subcode}, {self.code})" if self.code is not None else f"{text} ({self.subcode})"
