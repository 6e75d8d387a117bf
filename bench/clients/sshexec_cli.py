"""The command line ``sshexec run``, started as an operator starts it."""

import json
import subprocess
import sys
from pathlib import Path

from job import Job, answer, mark


def main() -> None:
    job = Job()
    program = str(Path(sys.executable).with_name("sshexec"))
    arguments = [
        "run",
        "all",
        "-i",
        job.inventory,
        "-m",
        "raw",
        "-a",
        job.command,
        "-f",
        str(job.concurrency),
        "--json",
    ]
    mark("start")
    done = subprocess.run([program, *arguments], stdout=subprocess.PIPE)
    mark("end")
    hosts = json.loads(done.stdout or b"{}").get("hosts", {}).values()
    bad = [host for host in hosts if host["status"] not in ("ok", "changed")]
    error = str(bad[0]["result"].get("msg", "")) if bad else ""
    answer(len(hosts) - len(bad), len(bad), error or f"exit status {done.returncode}")


if __name__ == "__main__":
    main()
