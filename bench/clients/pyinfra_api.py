"""pyinfra by its API as its documentation shows it: a `server.shell` operation, host keys checked strictly."""

from gevent import monkey

monkey.patch_all()

from job import Job, Tally  # noqa: E402
from pyinfra.api import Config, Inventory, State  # noqa: E402
from pyinfra.api.connect import connect_all, disconnect_all  # noqa: E402
from pyinfra.api.operation import add_op  # noqa: E402
from pyinfra.api.operations import run_ops  # noqa: E402
from pyinfra.api.state import StateStage  # noqa: E402
from pyinfra.operations import server  # noqa: E402


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
    connect_all(state)
    state.current_stage = StateStage.Prepare
    add_op(state, server.shell, commands=[job.command])
    state.current_stage = StateStage.Execute
    run_ops(state)
    for host in state.inventory:
        tally.add(state.results[host].success_ops == 1, f"{host}: not connected, or the operation failed")
    disconnect_all(state)
    tally.answer()


if __name__ == "__main__":
    main()
