from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import os, subprocess, sys
if sys.argv[1] == "gevent":
    from sshexec.runtime.patched import patch
    patch()
from sshexec.database import forks
class Kept:
    def let_go(self): print("let go", flush=True)
    def start_anew(self): print("anew", flush=True)
kept = Kept()
forks.know(kept)
subprocess.run(["true"], check=True, preexec_fn=lambda: None)
print("a fork", flush=True)
if os.fork() == 0:
    os._exit(0)
os.wait()
"""


def test_a_command_of_this_machine_disturbs_no_database_and_waits_for_none():
    for kind in ("gevent", "plain"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, kind], capture_output=True, text=True, timeout=60, env={**os.environ}
        )
        assert (done.stdout, done.stderr) == ("a fork\nlet go\nanew\n", "")
