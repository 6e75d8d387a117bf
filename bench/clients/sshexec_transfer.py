"""sshexec's SSH connector in a patched process: transfers, streams and round trips of one host."""

from gevent import monkey

monkey.patch_all()

import time  # noqa: E402

from gevent.pool import Pool  # noqa: E402
from job import Job, Tally, mark, round_trips, speed_kept  # noqa: E402

from sshexec.connectors.base import Command, Deadline, Timeouts  # noqa: E402
from sshexec.connectors.output import Output  # noqa: E402
from sshexec.connectors.ssh.connector import SshConnector  # noqa: E402
from sshexec.connectors.ssh.context import SshContext  # noqa: E402


class Client:
    """Connectors that share a context, as those of an engine do."""

    def __init__(self, job: Job, tally: Tally) -> None:
        self.job = job
        self.tally = tally
        self.context = SshContext()

    def connector(self, host: str, port: int) -> SshConnector:
        job = self.job
        variables = {
            "ansible_host": host,
            "ansible_port": port,
            "ansible_user": job.user,
            "ansible_private_key_file": job.key,
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={job.known_hosts}",
        }
        options = SshConnector.Options.from_vars(variables, host)
        self.context.check(options)
        return SshConnector(host, options, self.context, Timeouts())

    def opened(self, port: int) -> SshConnector:
        connector = self.connector(self.job.hosts[0], port)
        connector.open(Deadline.after(30))
        connector.execute(Command("true"), Output(), Deadline.after(30))
        return connector

    def move(self, connector: SshConnector, mode: str) -> None:
        """Transfer the file once."""
        job, limit = self.job, Deadline.after(120)
        target = f"{job.target}/{mode}"
        if mode == "put":
            with open(job.file, "rb") as file:
                connector.put(file, target, limit)
            self.tally.sized(target, job.size)
        elif mode == "get":
            with open(target, "wb") as file:
                connector.get(job.file, file, limit)
            self.tally.sized(target, job.size)
        else:
            seen = 0

            def count(stream: str, data: bytes) -> None:
                nonlocal seen
                seen += len(data)

            done = connector.execute(Command(f"cat {job.file}", verbatim=True), Output(tee=count), limit)
            self.tally.add(done.rc == 0 and seen == job.size, f"{seen} bytes, exit status {done.rc}")

    def once(self, mode: str) -> None:
        connector = self.opened(self.job.port)
        mark("ready")
        self.move(connector, mode)
        mark("done")
        connector.close()

    def timed(self, port: int, mode: str) -> float:
        connector = self.opened(port)
        begun = time.perf_counter()
        self.move(connector, mode)
        seconds = time.perf_counter() - begun
        connector.close()
        return seconds

    def fresh(self, port: int) -> float:
        connector = self.connector(self.job.hosts[0], port)
        begun = time.perf_counter()
        connector.open(Deadline.after(30))
        done = connector.execute(Command("true", verbatim=True), Output(), Deadline.after(30))
        seconds = time.perf_counter() - begun
        self.tally.add(done.rc == 0, f"exit status {done.rc}")
        connector.close()
        return seconds

    def spread(self) -> None:
        """Put the file to every host."""
        mark("ready")
        with open(self.job.file, "rb") as file:
            data = file.read()

        def one(number: int) -> None:
            connector = self.connector(self.job.hosts[number], self.job.port)
            target = f"{self.job.target}/{number}"
            try:
                connector.open(Deadline.after(60))
                connector.put(data, target, Deadline.after(60))
            except Exception as error:
                self.tally.add(False, error)
            else:
                self.tally.sized(target, self.job.size)
            finally:
                connector.close()

        Pool(self.job.concurrency).map(one, range(len(self.job.hosts)))
        mark("done")


def main() -> None:
    job = Job()
    tally = Tally()
    client = Client(job, tally)
    if job.mode == "spread":
        client.spread()
    elif job.mode == "latency":
        round_trips(job, tally, client.fresh)
    elif job.mode.startswith("latency-"):
        speed_kept(job, tally, lambda port: client.timed(port, job.mode.removeprefix("latency-")))
    else:
        client.once(job.mode)
    tally.answer()


if __name__ == "__main__":
    main()
