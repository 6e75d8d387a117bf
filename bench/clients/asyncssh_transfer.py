"""asyncssh's SFTP client and processes, tuned as `asyncssh_tasks.py`."""

import asyncio
import time

import asyncssh
from job import Job, Tally, mark, round_trips, speed_kept


def main() -> None:
    job = Job()
    tally = Tally()
    options = asyncssh.SSHClientConnectionOptions(
        username=job.user,
        client_keys=[asyncssh.read_private_key(job.key)],
        known_hosts=asyncssh.read_known_hosts(job.known_hosts),
        agent_path=None,
        config=None,
        kex_algs=["curve25519-sha256"],
        encryption_algs=["aes128-gcm@openssh.com"],
        server_host_key_algs=["ssh-ed25519"],
    )
    loop = asyncio.new_event_loop()

    async def fresh(port: int) -> float:
        begun = time.perf_counter()
        async with asyncssh.connect(job.hosts[0], port, options=options) as connection:
            done = await connection.run(job.command)
            seconds = time.perf_counter() - begun
        tally.add(done.exit_status == 0, f"exit status {done.exit_status}")
        return seconds

    async def move(connection: asyncssh.SSHClientConnection, mode: str) -> float:
        target = f"{job.target}/{mode}"
        begun = time.perf_counter()
        if mode == "stdout":
            done = await connection.run(f"cat {job.file}", encoding=None)
            tally.add(done.exit_status == 0 and len(done.stdout) == job.size, f"{len(done.stdout)} bytes")
            return time.perf_counter() - begun
        async with connection.start_sftp_client() as client:
            if mode == "put":
                await client.put(job.file, target)
            else:
                await client.get(job.file, target)
        tally.sized(target, job.size)
        return time.perf_counter() - begun

    async def once() -> None:
        async with asyncssh.connect(job.hosts[0], job.port, options=options) as connection:
            await connection.run("true")
            mark("ready")
            await move(connection, job.mode)
            mark("done")

    async def timed(port: int, mode: str) -> float:
        async with asyncssh.connect(job.hosts[0], port, options=options) as connection:
            return await move(connection, mode)

    async def spread() -> None:
        limit = asyncio.Semaphore(job.concurrency)

        async def one(number: int, host: str) -> None:
            async with limit:
                try:
                    async with (
                        asyncssh.connect(host, job.port, options=options) as connection,
                        connection.start_sftp_client() as client,
                    ):
                        await client.put(job.file, f"{job.target}/{number}")
                except (OSError, asyncssh.Error) as error:
                    tally.add(False, error)
                else:
                    tally.sized(f"{job.target}/{number}", job.size)

        mark("ready")
        await asyncio.gather(*(one(number, host) for number, host in enumerate(job.hosts)))
        mark("done")

    if job.mode == "spread":
        loop.run_until_complete(spread())
    elif job.mode == "latency":
        round_trips(job, tally, lambda port: loop.run_until_complete(fresh(port)))
    elif job.mode.startswith("latency-"):
        mode = job.mode.removeprefix("latency-")
        speed_kept(job, tally, lambda port: loop.run_until_complete(timed(port, mode)))
    else:
        loop.run_until_complete(once())
    tally.answer()


if __name__ == "__main__":
    main()
