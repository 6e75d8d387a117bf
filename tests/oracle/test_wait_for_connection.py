"""``wait_for_connection`` beside real Ansible's."""

from __future__ import annotations

from tests.oracle.case import Case
from tests.oracle.judge import judged

USER = ("user",)
CLOSED = {"ansible_port": 1}
# How long it took is never the same.
TIME = ("elapsed",)
# What came last is in each side's own words; tests/modules/test_wait_for_connection.py has ours.
WORDS = (*TIME, "msg")

CASES = [
    Case("plain", ignore=TIME),
    Case("all arguments", "connect_timeout=2 delay=0 sleep=1 timeout=3", users=USER, ignore=TIME),
    Case("delay", {"delay": 1}, users=USER, ignore=TIME),
    Case("refused", {"timeout": 1}, variables=CLOSED, ignore=WORDS),
    Case("refused, without a pause", {"timeout": 1, "sleep": 0}, variables=CLOSED, users=USER, ignore=WORDS),
    Case("not let in", {"timeout": 1}, variables={"ansible_user": "nobodyhere"}, users=USER, ignore=WORDS),
    Case("check mode", check=True),
    Case("check mode where it is refused", variables=CLOSED, check=True, users=USER),
    Case("unknown argument", {"bogus": 1, "timeout": 2}, users=USER),
    Case("unknown argument in a text", "bogus=1", users=USER),
]

test_wait_for_connection = judged("wait_for_connection", CASES, some=5)  # they wait
