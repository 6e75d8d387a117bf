"""What is left of a result that nobody is to see (``no_log``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sshexec.results import CENSORED

_TOLD = ("attempts", "retries", "warnings", "deprecations", "failed", "skipped")
"""What the executor of ansible-core 2.19 keeps beside ``changed``, and how the task ended."""


def censored(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return Ansible's result without anything that the task was given or has found."""
    return {
        "censored": CENSORED,
        "changed": bool(data.get("changed")),
        **{name: data[name] for name in _TOLD if name in data},
        "_ansible_no_log": True,
    }
