"""Modules of Ansible that this project does not have itself, beside the same ones run by real Ansible."""

from __future__ import annotations

from tests.oracle.case import Case, Dir, File, Link
from tests.oracle.judge import judged

CASES = [
    Case("add a line", "path={t}/f line='b = 2'", target={"f": File("a = 1\n")}),
]

test_lineinfile = judged("lineinfile", CASES)
