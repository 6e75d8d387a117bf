"""``raw`` beside real Ansible's, without a pseudo-terminal."""

from __future__ import annotations

from tests.oracle.case import Case
from tests.oracle.judge import judged

USER = ("user",)
"""Where root adds nothing."""

CASES = [
    Case("both-streams", "echo o; echo e >&2"),
    Case("not-stripped", "printf '\\n a \\n\\n'", users=USER),
    Case("quotes-and-equals", "echo  'a  b' \"$HOME\" a=b c\\=d", users=USER),
    Case("non-zero", "echo o; exit 4"),
    Case("executable", "echo $0 'it'\\''s' executable=/bin/bash", users=USER),
    Case("executable-missing", {"_raw_params": "echo", "executable": "/nope/sh"}, users=USER,
         ignore=("stderr", "stderr_lines")),  # how the login shell says so
    Case("mapping", {"_raw_params": "echo chdir=/"}, users=USER),
    Case("check", "echo x", check=True, users=USER),
    Case("not-utf8", "printf 'a\\377b\\n'", users=USER),
    Case("full-name", "id -un", module="ansible.builtin.raw"),
    Case("environment", "echo \"[$A]\"", keywords={"environment": {"A": "b"}}, users=USER),
]  # fmt: skip

test_raw = judged("raw", CASES)
