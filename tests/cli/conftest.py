"""Inventories for the command line's tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def inventory(tmp_path: Path) -> Callable[[dict[str, dict[str, Any]]], Path]:
    """Return a function that writes hosts and their variables to an inventory file."""

    def write(hosts: dict[str, dict[str, Any]]) -> Path:
        path = tmp_path / "inventory.json"
        path.write_text(json.dumps({"all": {"hosts": hosts}}))
        return path

    return write
