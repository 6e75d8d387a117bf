"""pyinfra without its operations: `Host.run_shell_command` on its pool, host keys checked strictly."""

from gevent import monkey

monkey.patch_all()

from job import Job, Tally, session  # noqa: E402
from pyinfra.api import Config, Host, Inventory, State, StringCommand  # noqa: E402
from pyinfra.api.connect import connect_all, disconnect_all  # noqa: E402


def main() -> None:
    job = Job()
    tally = Tally()
    data = {
        "ssh_user": job.user,
        "ssh_port": job.port,
        "ssh_key": job.key,
        "ssh_known_hosts_file": job.known_hosts,
        "ssh_strict_host_key_checking": "yes",
    }
    state = State(Inventory(([(host, {}) for host in job.hosts], data)), Config(PARALLEL=job.concurrency))
    command = StringCommand(job.command)

    def connect(first: int | None) -> None:
        hosts = list(state.inventory)[len(state.active_hosts) : first]
        state.pool.map(Host.connect, hosts)
        for host in hosts:
            if host.connected:
                state.activate_host(host)

    def execute(host: Host) -> bool:
        good, _ = host.run_shell_command(command)
        return good

    def run() -> None:
        for good in state.pool.imap_unordered(execute, state.active_hosts):
            tally.add(good, "the command failed")

    if job.mode == "session":
        session(job, connect, run)
    else:
        connect_all(state)
        run()
    disconnect_all(state)
    tally.answer()


if __name__ == "__main__":
    main()
