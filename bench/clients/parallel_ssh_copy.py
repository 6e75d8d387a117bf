"""parallel-ssh's `copy_file` (SFTP); it has no check of host keys."""

import os

from gevent import joinall
from job import Job, Tally, mark
from pssh.clients import ParallelSSHClient


def main() -> None:
    job = Job()
    tally = Tally()
    mark("ready")
    client = ParallelSSHClient(
        job.hosts, user=job.user, port=job.port, pkey=job.key, pool_size=job.concurrency, allow_agent=False
    )
    names = [{"local_file": job.file, "remote_file": f"{job.target}/{number}"} for number in range(len(job.hosts))]
    tasks = client.copy_file("%(local_file)s", "%(remote_file)s", copy_args=names)
    joinall(tasks)
    mark("done")
    for task, name in zip(tasks, names, strict=True):
        if task.exception is not None:
            tally.add(False, task.exception)
        else:
            tally.add(os.path.getsize(name["remote_file"]) == job.size, "another size")
    tally.answer()


if __name__ == "__main__":
    main()
