from __future__ import annotations

from typing import Any

import pytest

from sshexec.batches import Batches
from sshexec.errors import ArgumentError
from sshexec.results import HostResult

HOSTS = [f"h{n}" for n in range(10)]


def sizes(serial: Any) -> list[int]:
    batches = Batches(HOSTS, serial)
    found = []
    while batch := batches.next():
        found.append(len(batch))
    return found


@pytest.mark.parametrize(
    ("serial", "expected"),
    [
        (None, [10]),
        (3, [3, 3, 3, 1]),
        ("3", [3, 3, 3, 1]),
        ("20%", [2, 2, 2, 2, 2]),
        ("1%", [1] * 10),
        ("100%", [10]),
        (50, [10]),
        ([1, 3], [1, 3, 3, 3]),
        ([1, "50%", 2], [1, 5, 2, 2]),
    ],
)
def test_sizes(serial: Any, expected: list[int]) -> None:
    assert sizes(serial) == expected


@pytest.mark.parametrize("serial", [0, -1, "0%", "120%", "x", "", [], [0], 1.5, True, "nan%", "inf%"])
def test_wrong_serial(serial: Any) -> None:
    with pytest.raises(ArgumentError, match="serial"):
        Batches(HOSTS, serial)


@pytest.mark.parametrize("share", [-1, 101, float("nan")])
def test_wrong_percentage(share: float) -> None:
    with pytest.raises(ArgumentError, match="max_fail_percentage"):
        Batches(HOSTS, None, share)


def test_the_percentage_has_to_be_exceeded() -> None:
    batches = Batches(HOSTS, 5, 20)
    batch = batches.next()
    assert batches.count(HostResult(batch[0], "failed")) is None
    assert batches.count(HostResult(batch[1], "changed")) is None
    stop = batches.count(HostResult(batch[2], "unreachable"))
    assert stop is not None
    assert stop.pending_only
    assert "2 of 5 hosts failed" in stop.message
    assert batches.broken is stop


def test_each_batch_counts_its_own_failures() -> None:
    batches = Batches(HOSTS, 5, 20)
    batches.count(HostResult(batches.next()[0], "failed"))
    assert batches.count(HostResult(batches.next()[0], "failed")) is None
