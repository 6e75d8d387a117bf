"""A test for every case of a module, as each user of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.oracle.case import Case
from tests.oracle.oracle import Oracle


def judged(module: str, cases: Sequence[Case]) -> Callable[..., None]:
    """Return a parametrized test that puts every case to both and holds the answers to each other.

    Args:
        module: the module of those cases that name none.
        cases: the cases.
    """
    given = [(case if case.module else replace(case, module=module), who) for case in cases for who in case.users]

    @pytest.mark.parametrize(("case", "who"), given, ids=[f"{case.name}-{who}" for case, who in given])
    def test(oracle: Oracle, case: Case, who: str, record_property: Any) -> None:
        verdict = "differs"
        try:
            verdict = "agrees" if oracle.check(case, who) else "explained"
        finally:
            record_property("oracle", verdict)

    test.cases = [case for case, _ in given]  # type: ignore[attr-defined]  # what `test_accepted` counts
    return test
