"""When a session ends of itself, by a clock that the test turns."""

from __future__ import annotations

from sshexec.terminal.lifetime import Lifetime
from sshexec.terminal.policy import TerminalPolicy


def life(**policy: object) -> Lifetime:
    defaults: dict[str, object] = {"idle": None, "max_time": None}
    found = Lifetime(TerminalPolicy(**{**defaults, **policy}), 1000.0)  # type: ignore[arg-type]
    found.owned(True, 1000.0)
    return found


def test_without_limits_nothing_is_ever_due() -> None:
    assert life().rest(1000.0) is None
    assert life().due(10**8) is None


def test_who_types_nothing_is_warned_a_minute_before_the_end() -> None:
    clocks = life(idle=300.0)
    assert clocks.rest(1000.0) == 240.0
    assert clocks.due(1239.9) is None
    assert clocks.due(1240.0) == "idle_soon"
    assert clocks.left("idle", 1240.0) == 60.0
    assert clocks.due(1240.0) is None
    assert clocks.rest(1240.0) == 60.0
    clocks.typed(1250.0)
    assert clocks.rest(1250.0) == 240.0
    assert clocks.due(1490.0) == "idle_soon"
    assert clocks.due(1550.0) == "idle"


def test_a_short_limit_is_told_at_half_of_it() -> None:
    assert life(idle=10.0).rest(1000.0) == 5.0


def test_the_whole_time_runs_whatever_is_typed() -> None:
    clocks = life(max_time=100.0)
    clocks.typed(1090.0)
    assert clocks.due(1091.0) == "max_time_soon"
    assert clocks.due(1100.0) == "max_time"


def test_nobody_is_idle_where_nothing_can_be_typed() -> None:
    assert life(idle=10.0, read_only=True).rest(1000.0) is None
    clocks = life(idle=10.0)
    clocks.paused(True, 1004.0)
    assert clocks.due(5000.0) is None
    clocks.paused(False, 5000.0)
    assert clocks.due(5004.0) is None
    assert clocks.due(5005.0) == "idle_soon"
    assert clocks.due(5010.0) == "idle"


def test_nobody_there() -> None:
    clocks = life(detached=30.0)
    clocks.owned(False, 1100.0)
    assert clocks.rest(1100.0) == 30.0
    assert clocks.due(1130.0) == "detached"
    clocks.owned(True, 1120.0)
    assert clocks.due(1130.0) is None


def test_an_owner_who_takes_nothing_is_stalled_once() -> None:
    clocks = life(stall=10.0)
    clocks.pending(True, 1000.0)
    clocks.pending(True, 1005.0)
    assert clocks.due(1009.0) is None
    clocks.taken(1009.0)
    assert clocks.due(1018.0) is None
    assert clocks.due(1019.0) == "stalled"
    assert clocks.due(1019.0) is None
    clocks.pending(True, 1020.0)
    clocks.pending(False, 1021.0)
    assert clocks.due(2000.0) is None
