"""The list of accepted differences: it names cases that there are, and stays short."""

from __future__ import annotations

import importlib
from pathlib import Path

from tests.oracle.accepted import ACCEPTED


def _cases() -> list[str]:
    """Return ``module:name`` of every case, once for each user that runs it."""
    names = []
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        module = importlib.import_module(f"tests.oracle.{path.stem}")
        for member in vars(module).values():
            names += [f"{case.module}:{case.name}" for case in getattr(member, "cases", ())]
    return names


def test_accepted_differences_are_of_cases_that_there_are_and_have_a_reason() -> None:
    cases = set(_cases())
    assert not [each for each in ACCEPTED if each.case not in cases or not each.reason or not each.keys]


def test_99_of_100_cases_agree() -> None:
    cases = _cases()
    explained = {each.case for each in ACCEPTED}
    assert sum(case in explained for case in cases) <= 0.01 * len(cases)
