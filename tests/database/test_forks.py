from __future__ import annotations

import os
import subprocess
import sys
import threading

from sshexec.database import forks

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


def test_nothing_is_remembered_of_those_whose_transactions_are_over():
    known = set(forks._open)
    everybody = threading.Barrier(20)

    def transaction():
        forks.enter()
        everybody.wait(30)  # so that none has the number of another
        forks.leave()

    threads = [threading.Thread(target=transaction) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(forks._open) == known
