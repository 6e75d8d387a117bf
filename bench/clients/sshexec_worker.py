"""sshexec as a library in a process like any other: a worker does the work."""

from job import Job, Tally, mark, session

from sshexec import Engine, Inventory


def main() -> None:
    job = Job()
    tally = Tally()
    more = {"processes": job.processes} if job.processes > 1 else {}

    def connect(first: int | None) -> None:
        engine.run(f"all[0:{first - 1}]" if first else "all", job.module, job.command)

    def run() -> None:
        for result in engine.run("all", job.module, job.command).values():
            tally.add(result.status == job.status, result.msg or result.status)

    keep = 60 if job.mode in ("session", "warm") else 0
    with Engine(Inventory.load(job.inventory), concurrency=job.concurrency, keep=keep, **more) as engine:
        if job.mode == "session":
            session(job, connect, run)
        elif job.mode == "warm":
            connect(None)
            mark("ready")
            run()
            mark("done")
        else:
            mark("ready")
            run()
            mark("done")
    tally.answer()


if __name__ == "__main__":
    main()
