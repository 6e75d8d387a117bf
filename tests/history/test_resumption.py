"""Which hosts have their turn again: the decision alone, and what a database says."""

from __future__ import annotations

from typing import Any

import pytest

from sshexec.history.resumption import Pass, Seen, fates

OK = Seen("changed", None, 1.0)
FAILED = Seen("failed", "nonzero", 1.0)
UNREACHABLE = Seen("unreachable", "refused", 1.0)
BEGUN = Seen(None, None, 1.0)
NOT_STARTED = Seen("cancelled", "max_fail_percentage")
REFUSED = Seen("skipped", "unauthorized")


@pytest.mark.parametrize(
    ("seen", "fate"),
    [
        (OK, "done"),
        (Seen("ok", None, 1.0), "done"),
        (Seen("skipped", None, 1.0), "done"),
        (FAILED, "failed"),
        (UNREACHABLE, "failed"),
        (Seen("timeout", "timeout", 1.0), "failed"),
        (Seen("cancelled", "cancelled", 1.0), "failed"),
        (NOT_STARTED, "never_reached"),
        (REFUSED, "never_reached"),
        (BEGUN, "unknown"),
        # Its worker died under it; or before its turn came.
        (Seen("unreachable", "worker_lost", 1.0), "unknown"),
        (Seen("unreachable", "worker_lost"), "never_reached"),
    ],
)
def test_what_one_run_says(seen: Seen, fate: str) -> None:
    assert fates([Pass("finished", ["h1"], {"h1": seen})]) == {"h1": fate}


def test_who_has_no_record_was_never_reached_unless_the_record_lacks_him() -> None:
    assert fates([Pass("died", ["h1"], {})]) == {"h1": "never_reached"}
    assert fates([Pass("finished", ["h1"], {})]) == {"h1": "unknown"}


@pytest.mark.parametrize(
    ("first", "second", "fate"),
    [
        (FAILED, OK, "done"),
        (UNREACHABLE, FAILED, "failed"),
        (FAILED, BEGUN, "unknown"),
        (BEGUN, OK, "done"),  # it was included on purpose
        (BEGUN, FAILED, "failed"),
        (FAILED, NOT_STARTED, "failed"),
        (REFUSED, OK, "done"),
        (None, OK, "done"),
        # Whoever went on with it did not get to the host: that tells nothing of what happened before.
        (BEGUN, None, "unknown"),
        (BEGUN, NOT_STARTED, "unknown"),
        (BEGUN, REFUSED, "unknown"),
        (FAILED, None, "failed"),
        (None, None, "never_reached"),
    ],
)
def test_the_latest_that_happened_counts(first: Seen | None, second: Seen | None, fate: str) -> None:
    passes = [Pass("died", ["h0", "h1"], {"h0": OK, **({"h1": first} if first else {})})]
    passes.append(Pass("died", ["h1"], {"h1": second} if second else {}))
    assert fates(passes) == {"h0": "done", "h1": fate}


def test_a_pass_over_some_hosts_says_nothing_of_the_others() -> None:
    everywhere: dict[str, Any] = dict.fromkeys(["h1", "h2", "h3"], FAILED)
    passes = [Pass("finished", ["h3", "h1", "h2"], everywhere), Pass("finished", ["h2"], {"h2": OK})]
    assert list(fates(passes).items()) == [("h3", "failed"), ("h1", "failed"), ("h2", "done")]
