"""Fabric's `ThreadingGroup`: a thread for every host, and every host key accepted."""

from fabric import ThreadingGroup
from fabric.exceptions import GroupException
from job import Job, Tally, session


def main() -> None:
    job = Job()

    def make(hosts: list[str]) -> ThreadingGroup:
        return ThreadingGroup(*hosts, user=job.user, port=job.port, connect_kwargs={"key_filename": job.key})

    def execute(group: ThreadingGroup, tally: Tally) -> None:
        try:
            results = group.run(job.command, hide=True, in_stream=False)
        except GroupException as error:
            results = error.result
        for _ in results.succeeded:
            tally.add(True)
        for connection, error in results.failed.items():
            tally.add(False, f"{connection.host}: {error}")

    tally = Tally()
    with make(job.hosts) as group:
        if job.mode == "session":

            def connect(first: int | None) -> None:
                if first:
                    with make(job.hosts[:first]) as trial:
                        execute(trial, Tally())
                else:
                    execute(group, Tally())

            session(job, connect, lambda: execute(group, tally))
        else:
            execute(group, tally)
    tally.answer()


if __name__ == "__main__":
    main()
