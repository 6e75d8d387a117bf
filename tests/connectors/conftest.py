"""Fixtures that several connectors' tests share."""

from __future__ import annotations

import pytest

from sshexec.connectors.winrm import execution


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not obey ctrl_c on a Windows host does not do so any sooner if it is waited for longer."""
    monkeypatch.setattr(execution, "_GRACE", 0.3)
