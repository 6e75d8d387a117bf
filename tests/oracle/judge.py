"""A test for the cases of a module, as each user of it.

All of them take real Ansible a quarter of an hour: `make agreement` does that. `make test` takes some of every module,
as one user and as the other in turn.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.oracle.case import Case
from tests.oracle.oracle import Oracle

EVERY = os.environ.get("SSHEXEC_ORACLE") == "full"
"""Whether every case is put to both."""
SOME = 10
"""Answers of each test that are compared where not every one is, about."""


def judged(module: str, cases: Sequence[Case], some: int = SOME) -> Callable[..., None]:
    """Return a parametrized test that puts every case to both and holds the answers to each other.

    Args:
        module: the module of those cases that name none.
        cases: the cases.
        some: how many answers are compared where not every one is, about.
    """
    every = [(case if case.module else replace(case, module=module), who) for case in cases for who in case.users]
    # An odd step meets both users of cases that have two.
    given = every if EVERY else every[:: len(every) // some | 1]

    @pytest.mark.parametrize(("case", "who"), given, ids=[f"{case.name}-{who}" for case, who in given])
    def test(oracle: Oracle, case: Case, who: str, record_property: Any) -> None:
        verdict = "differs"
        try:
            verdict = "agrees" if oracle.check(case, who) else "explained"
        finally:
            record_property("oracle", verdict)

    test.cases = [case for case, _ in every]  # type: ignore[attr-defined]  # what `test_accepted` counts
    return test
