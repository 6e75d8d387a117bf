"""Import Paramiko without `invoke`, which it needs for one option of ssh_config only (``Match exec``).

`invoke` brings asyncio, unittest and YAML along: a third of the time that a short run takes to start. Paramiko gets a
stand-in for it, which loads the real one when it is used. `sys.modules` is left as it was.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

_NAME = "invoke"


class _StandIn(types.ModuleType):
    """A module that is loaded when one of its names is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(_NAME), name)


def import_paramiko() -> None:
    """Import Paramiko, with the stand-in where `invoke` is not loaded yet."""
    if _NAME in sys.modules or "paramiko" in sys.modules:
        return
    stand_in = sys.modules[_NAME] = _StandIn(_NAME)
    try:
        importlib.import_module("paramiko")
    finally:
        if sys.modules.get(_NAME) is stand_in:
            del sys.modules[_NAME]
