"""``ping`` beside real Ansible's."""

from __future__ import annotations

from tests.oracle.case import Case
from tests.oracle.judge import judged

CASES = [
    Case("plain"),
    Case("data", "data=hello"),
    Case("mapping", {"data": "hello world"}),
    Case("crash", "data=crash"),
    Case("check", check=True),
    Case("unknown", "bogus=1"),
]

test_ping = judged("ping", CASES)
