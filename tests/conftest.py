"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.testbed import SSHD, Sshd


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One real OpenSSH server for the session."""
    if SSHD is None:
        if os.environ.get("SSHEXEC_REQUIRE_SERVICES"):
            pytest.fail("openssh-server is not installed")
        pytest.skip("openssh-server is not installed")
    server = Sshd(tmp_path_factory.mktemp("sshd")).start()
    yield server
    server.stop()
