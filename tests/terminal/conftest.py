"""Fixtures of the tests of terminals."""

from __future__ import annotations

import pytest

from tests.testbed import Sshd


@pytest.fixture(scope="session")
def sshd(shells_sshd: Sshd) -> Sshd:
    """The server whose login shells read no profile."""
    return shells_sshd
