"""pywinrm as it is: a Protocol a host, under a gevent pool."""

from gevent import monkey

monkey.patch_all()


from gevent.pool import Pool  # noqa: E402
from job import Job, Tally, beside_slow, counters, mark  # noqa: E402
from winrm.protocol import Protocol  # noqa: E402

PIECE = 100_000
"""Bytes of a file in one message: in base64, with its envelope, below 150 KB."""


def main() -> None:
    job = Job()
    tally = Tally()

    def protocol(host: str) -> Protocol:
        url = f"http://{host}:{job.port}/wsman"
        return Protocol(url, "ntlm", job.user, job.password, message_encryption="always", proxy=None)

    def execute(client: Protocol, shell: str, line: str) -> tuple[int, int]:
        command = client.run_command(shell, line)
        out, _, rc = client.get_command_output(shell, command)
        client.cleanup_command(shell, command)
        return rc, len(out)

    def fresh(host: str, line: str) -> None:
        try:
            client = protocol(host)
            shell = client.open_shell()
            rc, _ = execute(client, shell, line)
            client.close_shell(shell)
        except Exception as error:
            tally.add(False, repr(error))
        else:
            tally.add(rc == 0, f"exit status {rc}")

    def put(client: Protocol, shell: str) -> None:
        command = client.run_command(shell, job.sink, console_mode_stdin=False)
        with open(job.file, "rb") as file:
            sent = 0
            while sent < job.size:
                piece = file.read(PIECE)
                sent += len(piece)
                client.send_command_input(shell, command, piece, end=sent == job.size)
        _, _, rc = client.get_command_output(shell, command)
        client.cleanup_command(shell, command)
        tally.add(rc == 0, f"exit status {rc}")

    def one(mode: str) -> None:
        client = protocol(job.hosts[0])
        shell = client.open_shell()
        execute(client, shell, job.line)
        mark("ready")
        if mode == "winrm-second":
            before = counters(job)["requests"]
            rc, _ = execute(client, shell, job.line)
            tally.figures = {"requests": counters(job)["requests"] - before}
            tally.add(rc == 0, f"exit status {rc}")
        elif mode == "winrm-put":
            counters(job)
            put(client, shell)
            tally.figures = {"largest_kib": counters(job)["largest"] / 1024}
        else:
            rc, size = execute(client, shell, job.source)
            tally.add(rc == 0 and size == job.size, f"{size} bytes, exit status {rc}")
        mark("done")
        client.close_shell(shell)

    if job.mode == "fresh":
        mark("ready")
        Pool(job.concurrency).map(lambda host: fresh(host, job.line), job.hosts)
        mark("done")
    elif job.mode == "winrm-slow":
        beside_slow(job, tally, fresh, Pool(job.concurrency).imap_unordered)
    else:
        one(job.mode)
    tally.answer()


if __name__ == "__main__":
    main()
