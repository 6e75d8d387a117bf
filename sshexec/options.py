"""The keywords of a run, for type checkers and for whoever passes them on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from sshexec.batches import Serial


class RunOptions(TypedDict, total=False):
    """Keywords that `Engine.start`, `run`, `stream`, `arun` and `astream` share; `Engine.start` explains them."""

    check: bool
    diff: bool
    environment: Mapping[str, str] | None
    timeout: float | None
    serial: Serial
    max_fail_percentage: float | None
    variables: Mapping[str, Any] | None
    run_timeout: float | None
    output_limit: int
    spill: str | None
