"""What hosts print while they are at work: whole lines, without secrets, and not without end."""

from __future__ import annotations

from collections.abc import Callable

from sshexec.history.hiding import Needles

SHOWN = 64 * 2**10
"""Characters of one host that are shown while it works; its result has the rest."""

TAIL = 4 * 2**10
"""Characters of one host that are kept for whoever begins to look later."""

LINE = 4 * 2**10
"""Characters of a line that is shown although its end is not there yet."""


class _Host:
    __slots__ = ("left", "open", "tail")

    def __init__(self) -> None:
        self.open = {"stdout": "", "stderr": ""}
        self.tail = ""
        self.left = SHOWN


class Live:
    """The output of the hosts that are at work.

    Args:
        needles: returns the secrets of a host. One that stands in two lines is hidden line by line.
    """

    def __init__(self, needles: Callable[[str], Needles] | None = None) -> None:
        self._needles = needles
        self._hosts: dict[str, _Host] = {}

    def take(self, host: str, stream: str, text: str) -> str:
        """Take what a host printed, and return what is to be shown of it now; "" where that is nothing.

        Args:
            host: inventory name.
            stream: stdout or stderr.
            text: whole characters.
        """
        state = self._hosts.setdefault(host, _Host())
        if state.left <= 0:
            return ""
        whole = state.open[stream] + text
        end = whole.rfind("\n") + 1
        if len(whole) - end > LINE:
            end = len(whole)
        shown, state.open[stream] = whole[:end], whole[end:]
        if self._needles is not None:
            shown = self._needles(host).hide(shown)
        shown = shown[: state.left]
        state.left -= len(shown)
        if state.left <= 0:
            state.open.clear()
            shown += "\n[... more of it comes with the result ...]\n"
        state.tail = (state.tail + shown)[-TAIL:]
        return shown

    def forget(self, host: str) -> None:
        """Drop what a host printed: its result is there."""
        self._hosts.pop(host, None)

    def tails(self) -> dict[str, str]:
        """Return the end of what each host has shown that is still at work."""
        return {host: state.tail for host, state in self._hosts.items() if state.tail}
