"""Ansible's ad-hoc command line as fast as it goes: with pipelining, and without a search for the host's Python.

Where it is warm its second run finds OpenSSH's masters, which hold the connections of the first.
"""

import os
import subprocess
import sys
from pathlib import Path

from job import Job, answer, mark

PYTHON = "/usr/bin/python3"
WORDS = {"changed": "CHANGED", "ok": "SUCCESS"}


def main() -> None:
    job = Job()
    program = str(Path(sys.executable).with_name("ansible"))
    arguments = ["all", "-i", job.inventory, "-m", job.module, "-a", job.command, "-f", str(job.concurrency), "-o"]
    environment = {
        **os.environ,
        "ANSIBLE_HOME": job.scratch,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_PYTHON_INTERPRETER": PYTHON if os.path.exists(PYTHON) else "auto_silent",
    }

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *arguments], stdout=subprocess.PIPE, text=True, env=environment)

    if job.mode == "warm":
        run()
    mark("ready")
    done = run()
    mark("done")
    lines = [line for line in done.stdout.splitlines() if " | " in line]
    bad = [line for line in lines if line.split(" | ")[1].split()[0] != WORDS[job.status]]
    answer(len(lines) - len(bad), len(bad), bad[0] if bad else f"exit status {done.returncode}")


if __name__ == "__main__":
    main()
