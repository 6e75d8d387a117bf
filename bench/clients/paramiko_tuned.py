"""Paramiko and gevent with everything shared and no engine around it: what sshexec could reach at best."""

from gevent import monkey

monkey.patch_all()

import socket  # noqa: E402

import paramiko  # noqa: E402
from gevent.pool import Pool  # noqa: E402
from job import Job, Tally, session  # noqa: E402


class Transport(paramiko.Transport):
    """A transport that does not wake ten times a second."""

    _active_check_timeout = 5.0
    _preferred_kex = ("curve25519-sha256@libssh.org",)
    _preferred_ciphers = ("aes128-gcm@openssh.com",)
    _preferred_keys = ("ssh-ed25519",)


def known(path: str) -> dict[str, str]:
    """Return the base64 keys of a known_hosts by name; it holds plain names, one a line."""
    with open(path) as file:
        return {line.split(" ", 1)[0]: line.split(" ", 2)[2].strip() for line in file}


def connect(job: Job, host: str, keys: dict[str, str], pkey: paramiko.PKey) -> Transport:
    sock = socket.create_connection((host, job.port), 30)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = Transport(sock)
        transport.start_client(timeout=30)
        if transport.get_remote_server_key().get_base64() != keys.get(f"[{host}]:{job.port}"):
            transport.close()
            raise paramiko.SSHException(f"unknown host key of {host}")
        transport.auth_publickey(job.user, pkey)
    except BaseException:
        sock.close()
        raise
    return transport


def execute(transport: Transport, command: str) -> int:
    channel = transport.open_session()
    channel.exec_command(command)
    while channel.recv(65536):
        pass
    status = channel.recv_exit_status()
    channel.close()
    return status


def main() -> None:
    job = Job()
    tally = Tally()
    keys = known(job.known_hosts)
    pkey = paramiko.Ed25519Key.from_private_key_file(job.key)
    pool = Pool(job.concurrency)
    transports: list[Transport] = []

    def once(host: str) -> None:
        try:
            transport = connect(job, host, keys, pkey)
            try:
                status = execute(transport, job.command)
            finally:
                transport.close()
        except Exception as error:
            tally.add(False, f"{type(error).__name__}: {error}")
        else:
            tally.add(status == 0, f"exit status {status}")

    def connect_all(first: int | None) -> None:
        transports.extend(pool.map(lambda host: connect(job, host, keys, pkey), job.hosts[len(transports) : first]))

    def run() -> None:
        for status in pool.imap_unordered(lambda transport: execute(transport, job.command), transports):
            tally.add(status == 0, f"exit status {status}")

    if job.mode == "session":
        session(job, connect_all, run)
        for transport in transports:
            transport.close()
    else:
        for _ in pool.imap_unordered(once, job.hosts):
            pass
    tally.answer()


if __name__ == "__main__":
    main()
