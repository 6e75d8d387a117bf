"""sshexec's engine in a patched process: the module `copy`, and hosts that do not answer."""

from gevent import monkey

monkey.patch_all()

import time  # noqa: E402

from job import Job, Tally, mark  # noqa: E402

from sshexec import Engine, Inventory  # noqa: E402
from sshexec.events import HostFinished  # noqa: E402


def spread(job: Job, tally: Tally) -> None:
    """Copy the file to every host, which asks what is there and checks what came."""
    mark("ready")
    with Engine(Inventory.load(job.inventory), concurrency=job.concurrency, keep=0) as engine:
        arguments = {"src": job.file, "dest": f"{job.target}/{{{{ inventory_hostname }}}}"}
        for result in engine.run("all", "copy", arguments).values():
            tally.add(result.good, result.msg)
    mark("done")


def live_seconds(job: Job, tally: Tally, inventory: str) -> float:
    """Return how long it takes until the last host that answers is done."""
    live = set(job.hosts)
    with Engine(Inventory.load(inventory), concurrency=job.concurrency, keep=0) as engine:
        begun = time.perf_counter()
        run = engine.start("all", "raw", job.command)
        for event in run.events():
            if isinstance(event, HostFinished) and event.result.host in live:
                tally.add(event.result.good, event.result.msg)
                live.discard(event.result.host)
                if not live:
                    break
        seconds = time.perf_counter() - begun
        run.cancel()
        run.wait()
    return seconds


def main() -> None:
    job = Job()
    tally = Tally()
    if job.mode == "dead":
        live_seconds(job, Tally(), job.inventory)  # what is loaded at the first connection is in neither
        beside = live_seconds(job, tally, job.inventory_dead)
        alone = live_seconds(job, tally, job.inventory)
        tally.figures = {"live_s": alone, "live_with_dead_s": beside, "slowdown": beside / alone}
    else:
        spread(job, tally)
    tally.answer()


if __name__ == "__main__":
    main()
