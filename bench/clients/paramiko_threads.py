"""Paramiko as its tutorials show it: an `SSHClient` for each host, on a pool of threads."""

from concurrent.futures import ThreadPoolExecutor

import paramiko
from job import Job, Tally, session


def connect(job: Job, host: str) -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    client.load_host_keys(job.known_hosts)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    try:
        client.connect(host, job.port, job.user, key_filename=job.key, timeout=30)
    except BaseException:
        client.close()
        raise
    return client


def execute(client: paramiko.SSHClient, command: str) -> int:
    _, stdout, stderr = client.exec_command(command)
    stdout.read()
    stderr.read()
    return stdout.channel.recv_exit_status()


def once(job: Job, host: str) -> str:
    try:
        with connect(job, host) as client:
            status = execute(client, job.command)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return f"exit status {status}" if status else ""


def main() -> None:
    job = Job()
    tally = Tally()
    with ThreadPoolExecutor(job.concurrency) as pool:
        if job.mode == "session":
            clients: list[paramiko.SSHClient] = []

            def connect_all(first: int | None) -> None:
                clients.extend(pool.map(lambda host: connect(job, host), job.hosts[len(clients) : first]))

            def run() -> None:
                for status in pool.map(lambda client: execute(client, job.command), clients):
                    tally.add(status == 0, f"exit status {status}")

            session(job, connect_all, run)
            for client in clients:
                client.close()
        else:
            for error in pool.map(lambda host: once(job, host), job.hosts):
                tally.add(not error, error)
    tally.answer()


if __name__ == "__main__":
    main()
