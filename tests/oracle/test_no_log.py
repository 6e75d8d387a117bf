"""``no_log`` beside real Ansible's: what is left of a result."""

from __future__ import annotations

from tests.oracle.case import Case, File
from tests.oracle.judge import judged

HIDDEN = {"no_log": True}
NOWHERE = {"ansible_port": 1}

CASES = [
    Case("ok", {"_raw_params": "echo secret"}, keywords=HIDDEN),
    Case("failed", {"_raw_params": "echo secret; exit 3"}, module="shell", keywords=HIDDEN),
    Case("failed-raw", {"_raw_params": "echo secret; exit 3"}, module="raw", keywords=HIDDEN, users=("user",)),
    Case("unmet", {"_raw_params": "echo secret", "creates": "/etc/passwd"}, keywords=HIDDEN, users=("user",)),
    Case("skipped", {"_raw_params": "echo secret"}, keywords=HIDDEN, check=True),
    Case("skipped-raw", {"_raw_params": "echo secret"}, module="raw", keywords=HIDDEN, check=True, users=("user",)),
    Case("skipped-script", "{l}/s.sh creates=/etc/passwd", module="script", local={"s.sh": File()}, keywords=HIDDEN),
    Case("warned", {"_raw_params": "echo secret", "executable": "/bin/sh"}, keywords=HIDDEN, users=("user",)),
    Case("no-directory", {"_raw_params": "echo secret", "chdir": "/nope"}, keywords=HIDDEN, users=("user",)),
    Case("unreachable", {"_raw_params": "echo secret"}, keywords=HIDDEN, variables=NOWHERE, users=("user",)),
    Case("ping", module="ping", keywords=HIDDEN, users=("user",)),
    Case("copied", {"content": "secret\n", "dest": "{t}/f"}, module="copy", keywords=HIDDEN),
    Case("compared", {"content": "secret\n", "dest": "{t}/f"}, module="copy", keywords=HIDDEN, check=True, diff=True),
    Case("refused", {"content": "secret\n", "dest": "{t}/nope/f"}, module="copy", keywords=HIDDEN, users=("user",)),
    Case("off", {"_raw_params": "echo plain"}, keywords={"no_log": False}, users=("user",)),
]

test_no_log = judged("command", CASES)
