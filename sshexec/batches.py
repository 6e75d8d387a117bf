"""Which hosts of a run go together, and when too many have failed (Ansible's serial and max_fail_percentage)."""

from __future__ import annotations

from collections.abc import Sequence

from sshexec import expect
from sshexec.errors import ArgumentError
from sshexec.results import HostResult
from sshexec.runtime.job import Stop

Serial = int | str | Sequence[int | str] | None
"""A number of hosts, a percentage such as ``"20%"``, or a list of them whose last one repeats; None is all at once."""


class Batches:
    """Hands out the hosts batch by batch.

    A batch begins when the one before it is done. As in Ansible, the percentage is that of the batch's own hosts, and
    has to be exceeded, not reached; here it also keeps hosts of the same batch from being started.

    Args:
        hosts: all hosts, in order.
        serial: sizes of the batches.
        max_fail_percentage: from 0 to 100; None never gives up.

    Raises:
        ArgumentError: serial or the percentage is wrong.
    """

    def __init__(self, hosts: Sequence[str], serial: Serial = None, max_fail_percentage: float | None = None) -> None:
        expect.percentage("max_fail_percentage", max_fail_percentage)
        self._max_fail = max_fail_percentage
        self._left = _cut(hosts, serial)
        self._left.reverse()
        self._size = 0
        self._failed = 0
        self.broken: Stop | None = None
        """Why no further host is started, once too many have failed."""

    def next(self) -> list[str]:
        """Return the next batch; empty where none is left."""
        batch = self._left.pop() if self._left else []
        self._size, self._failed = len(batch), 0
        return batch

    def count(self, result: HostResult) -> Stop | None:
        """Count a result of the batch; return why to stop where too many have failed by now."""
        if result.good or self._max_fail is None or self.broken is not None:
            return None
        self._failed += 1
        if self._failed * 100 <= self._max_fail * self._size:
            return None
        text = f"{self._failed} of {self._size} hosts failed, more than max_fail_percentage {self._max_fail:g} allows"
        self.broken = Stop("max_fail_percentage", text, pending_only=True)
        return self.broken


def _cut(hosts: Sequence[str], serial: Serial) -> list[list[str]]:
    if serial is None:
        return [list(hosts)] if hosts else []
    steps = list(serial) if isinstance(serial, (list, tuple)) else [serial]
    if not steps:
        raise ArgumentError("serial: the list is empty")
    sizes = [_size(step, len(hosts)) for step in steps]
    batches: list[list[str]] = []
    start = 0
    while start < len(hosts):
        size = sizes[min(len(batches), len(sizes) - 1)]
        batches.append(list(hosts[start : start + size]))
        start += size
    return batches


def _size(step: object, total: int) -> int:
    text = str(step).strip()
    try:
        if not isinstance(step, (int, str)) or isinstance(step, bool):
            raise ValueError
        number = float(text[:-1]) * total / 100 if text.endswith("%") else int(text)
        if not number > 0 or (text.endswith("%") and number > total):
            raise ValueError
    except ValueError:
        raise ArgumentError(f"serial: expected a number of hosts or a percentage such as '20%', got {step!r}") from None
    return max(1, int(number))
