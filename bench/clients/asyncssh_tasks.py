"""asyncssh, tuned: key and known_hosts read once, no agent, the cheap key exchange and cipher."""

import asyncio

import asyncssh
from job import SETTLE_SECONDS, Job, Tally, mark


async def main() -> None:
    job = Job()
    tally = Tally()
    limit = asyncio.Semaphore(job.concurrency)
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

    async def once(host: str) -> None:
        async with limit:
            try:
                async with asyncssh.connect(host, job.port, options=options) as connection:
                    done = await connection.run(job.command)
            except (OSError, asyncssh.Error) as error:
                tally.add(False, f"{type(error).__name__}: {error}")
            else:
                tally.add(done.exit_status == 0, f"exit status {done.exit_status}")

    async def connect(host: str) -> asyncssh.SSHClientConnection:
        async with limit:
            return await asyncssh.connect(host, job.port, options=options)

    async def execute(connection: asyncssh.SSHClientConnection) -> None:
        async with limit:
            done = await connection.run(job.command)
        tally.add(done.exit_status == 0, f"exit status {done.exit_status}")

    if job.mode == "session":
        connections = await asyncio.gather(*(connect(host) for host in job.hosts[: job.warm]))
        mark("ready")
        connections += await asyncio.gather(*(connect(host) for host in job.hosts[job.warm :]))
        mark("connected")
        for _ in range(job.repeat):
            await asyncio.gather(*(execute(connection) for connection in connections))
        mark("commands")
        if job.idle:
            await asyncio.sleep(SETTLE_SECONDS)
            mark("idle")
            await asyncio.sleep(job.idle)
            mark("end")
        for connection in connections:
            connection.close()
    else:
        await asyncio.gather(*(once(host) for host in job.hosts))
    tally.answer()


if __name__ == "__main__":
    asyncio.run(main())
