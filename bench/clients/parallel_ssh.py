"""parallel-ssh, its native (libssh2) client; it has no check of host keys."""

from job import Job, Tally, session
from pssh.clients import ParallelSSHClient


def main() -> None:
    job = Job()

    def make(hosts: list[str]) -> ParallelSSHClient:
        return ParallelSSHClient(
            hosts, user=job.user, port=job.port, pkey=job.key, pool_size=job.concurrency, allow_agent=False
        )

    def execute(client: ParallelSSHClient, tally: Tally) -> None:
        outputs = client.run_command(job.command, stop_on_errors=False)
        client.join(outputs)
        for output in outputs:
            for stream in (output.stdout, output.stderr):
                for _ in stream or ():
                    pass
            tally.add(output.exit_code == 0, output.exception or f"exit status {output.exit_code}")

    client = make(job.hosts)
    tally = Tally()
    if job.mode == "session":

        def connect(first: int | None) -> None:
            execute(make(job.hosts[:first]) if first else client, Tally())

        session(job, connect, lambda: execute(client, tally))
    else:
        execute(client, tally)
    tally.answer()


if __name__ == "__main__":
    main()
