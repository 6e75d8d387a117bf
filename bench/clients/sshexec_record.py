"""What a record costs: the same run with and without one, in turns, in one process that gevent has patched.

The CPU is the whole process's, up to the moment when the database has everything. A run that is not measured has made
the tables and loaded what there is to load.
"""

from gevent import monkey

monkey.patch_all()

import time  # noqa: E402

from job import Job, Tally, mark  # noqa: E402

from sshexec import Engine, Inventory  # noqa: E402
from sshexec.history.history import History  # noqa: E402


def main() -> None:
    job = Job()
    tally = Tally()
    inventory = Inventory.load(job.inventory)
    spent = {False: 0.0, True: 0.0}

    def run(recorded: bool, pattern: str = "all") -> float:
        history = History(f"sqlite:///{job.scratch}/history.db") if recorded else None
        try:
            with Engine(inventory, concurrency=job.concurrency, keep=0, history=history) as engine:
                begun = time.process_time()
                done = engine.run(pattern, "command", job.command)
                used = time.process_time() - begun
        finally:
            if history is not None:
                history.close()
        for result in done.values():
            tally.add(result.status == job.status, result.msg or result.status)
        if recorded and done.recorded != "database":
            tally.add(False, f"recorded: {done.recorded}")
        return used

    for recorded in (True, False):
        run(recorded, "all[0:1]")
    tally.ok = tally.failed = 0
    mark("ready")
    for number in range(1, job.repeat + 1):
        for recorded in (True, False) if number % 2 else (False, True):
            spent[recorded] += run(recorded)
    mark("done")
    hosts = job.repeat * len(inventory.select("all"))
    extra = (spent[True] - spent[False]) * 1000 / hosts
    without = spent[False] * 1000 / hosts
    tally.figures = {
        "record_ms_host": extra,
        "without_ms_host": without,
        "share": extra / (without + extra),
    }
    tally.answer()


if __name__ == "__main__":
    main()
