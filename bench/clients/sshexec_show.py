"""``sshexec history show``: a run of many hosts, as an operator looks at it."""

import subprocess
import sys
from pathlib import Path

from job import Job, answer, mark

RUN = """
from gevent import monkey
monkey.patch_all()
import sys
from sshexec import Engine, Inventory
from sshexec.history.history import History
with History(sys.argv[2]) as history, Engine(Inventory.load(sys.argv[1]), history=history) as engine:
    done = engine.run("all", "command", "true")
    assert done.recorded == "database", done.recorded
    print(done.id)
"""


def main() -> None:
    job = Job()
    url = f"sqlite:///{job.scratch}/history.db"
    made = subprocess.run(
        [sys.executable, "-c", RUN, job.inventory, url], stdout=subprocess.PIPE, text=True, check=True
    )
    run = made.stdout.split()[-1]
    program = str(Path(sys.executable).with_name("sshexec"))
    mark("ready")
    done = subprocess.run([program, "history", "show", run, "--history", url], stdout=subprocess.PIPE, text=True)
    mark("done")
    good = job.count if done.returncode == 0 and str(job.count) in done.stdout.replace(",", "") else 0
    answer(good, job.count - good, f"exit status {done.returncode}: {done.stdout[:200]}")


if __name__ == "__main__":
    main()
