"""Paramiko's own SFTP client and channels, tuned as far as its public settings go."""

import time

import paramiko
from job import Job, Tally, mark, round_trips, speed_kept


class Transport(paramiko.Transport):
    """A transport that asks for the quick algorithms."""

    _preferred_kex = ("curve25519-sha256@libssh.org",)
    _preferred_ciphers = ("aes128-gcm@openssh.com",)
    _preferred_keys = ("ssh-ed25519",)


def main() -> None:
    job = Job()
    tally = Tally()
    with open(job.known_hosts) as file:
        keys = {line.split(" ", 1)[0]: line.split(" ", 2)[2].strip() for line in file}
    pkey = paramiko.Ed25519Key.from_private_key_file(job.key)

    def connect(port: int) -> Transport:
        transport = Transport((job.hosts[0], port))
        transport.sock.setsockopt(6, 1, 1)
        transport.start_client(timeout=30)
        if transport.get_remote_server_key().get_base64() != keys.get(f"[{job.hosts[0]}]:{port}"):
            transport.close()
            raise paramiko.SSHException("unknown host key")
        transport.auth_publickey(job.user, pkey)
        return transport

    def fresh(port: int) -> float:
        begun = time.perf_counter()
        transport = connect(port)
        channel = transport.open_session()
        channel.exec_command(job.command)
        while channel.recv(65536):
            pass
        status = channel.recv_exit_status()
        seconds = time.perf_counter() - begun
        transport.close()
        tally.add(status == 0, f"exit status {status}")
        return seconds

    def move(transport: Transport, mode: str) -> float:
        target = f"{job.target}/{mode}"
        begun = time.perf_counter()
        client = transport.open_sftp_client()
        if mode == "put":
            client.put(job.file, target)
        else:
            client.get(job.file, target)
        seconds = time.perf_counter() - begun
        tally.sized(target, job.size)
        return seconds

    def transfer(port: int, mode: str) -> float:
        transport = connect(port)
        seconds = move(transport, mode)
        transport.close()
        return seconds

    if job.mode == "latency":
        round_trips(job, tally, fresh)
    elif job.mode.startswith("latency-"):
        speed_kept(job, tally, lambda port: transfer(port, job.mode.removeprefix("latency-")))
    elif job.mode == "fresh":
        for _ in job.hosts:
            fresh(job.port)
    else:
        transport = connect(job.port)
        mark("ready")
        move(transport, job.mode)
        mark("done")
        transport.close()
    tally.answer()


if __name__ == "__main__":
    main()
