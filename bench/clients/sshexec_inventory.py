"""sshexec's inventory as a library: a process that loads one, selects hosts and asks for the variables of each.

The process that is measured is started between the marks; what it finds in SQLite is put there before.
"""

import json
import subprocess
import sys

from job import Job, answer, mark

FILL = """
import sys
from sshexec import Inventory
from sshexec.inventory.cmdb.cmdb import Cmdb
with Cmdb(sys.argv[2]) as cmdb:
    cmdb.add(Inventory.load(sys.argv[1]))
"""

LOAD = """
import json, sys, time
begun = time.perf_counter()
from sshexec import Inventory
inventory = Inventory.load(sys.argv[1])
some = inventory.select(sys.argv[2])
hosts = inventory.select("all")
count = sum(len(inventory.variables(host.name)) > 6 for host in hosts)
print(json.dumps({"count": count, "some": len(some), "load_s": time.perf_counter() - begun}))
"""


def source(job: Job) -> str:
    """Return where the inventory is read from: the job's file, or a database that is filled with it now."""
    if job.mode == "inventory-yaml":
        return job.inventory
    url = f"sqlite:///{job.scratch}/cmdb.db"
    subprocess.run([python(), "-c", FILL, job.inventory, url], check=True)
    return url


def python() -> str:
    """Return the interpreter that has sshexec."""
    return sys.executable


def main() -> None:
    job = Job()
    where = source(job)
    mark("ready")
    done = subprocess.run([python(), "-c", LOAD, where, "g0000:&region0"], stdout=subprocess.PIPE)
    mark("done")
    said = json.loads(done.stdout or b"{}")
    good = said.get("count", 0) if said.get("some") else 0
    answer(good, job.count - good, f"exit status {done.returncode}", {"load_s": said.get("load_s", 0.0)})


if __name__ == "__main__":
    main()
