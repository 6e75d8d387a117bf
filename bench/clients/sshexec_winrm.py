"""sshexec's WinRM connector in a patched process."""

from gevent import monkey

monkey.patch_all()

import os  # noqa: E402

from gevent.pool import Pool  # noqa: E402
from job import Job, Tally, beside_slow, counters, mark  # noqa: E402

from sshexec.connectors.base import Command, Deadline, Form, Timeouts  # noqa: E402
from sshexec.connectors.output import Output  # noqa: E402
from sshexec.connectors.winrm.connector import WinrmConnector  # noqa: E402
from sshexec.secret import Secret  # noqa: E402


def main() -> None:
    job = Job()
    tally = Tally()
    context = WinrmConnector.Context()

    def connector(host: str) -> WinrmConnector:
        variables = {
            "ansible_host": host,
            "ansible_port": job.port,
            "ansible_user": job.user,
            "ansible_password": Secret(job.password),
            "ansible_winrm_scheme": "http",
            "ansible_winrm_transport": "ntlm",
        }
        options = WinrmConnector.Options.from_vars(variables, host)
        context.check(options)
        return WinrmConnector(host, options, context, Timeouts())

    def execute(connection: WinrmConnector, line: str, output: Output | None = None) -> int:
        done = connection.execute(Command(line, form=Form.CMD), output or Output(), Deadline.after(120))
        return done.rc

    def fresh(host: str, line: str) -> None:
        connection = connector(host)
        try:
            connection.open(Deadline.after(60))
            rc = execute(connection, line)
        except Exception as error:
            tally.add(False, repr(error))
        else:
            tally.add(rc == 0, f"exit status {rc}")
        finally:
            connection.close()

    def second(connection: WinrmConnector) -> None:
        before = counters(job)["requests"]
        rc = execute(connection, job.line)
        tally.figures = {"requests": counters(job)["requests"] - before}
        tally.add(rc == 0, f"exit status {rc}")

    def put(connection: WinrmConnector) -> None:
        target = os.path.join(job.drive, "put")
        counters(job)
        with open(job.file, "rb") as file:
            connection.put(file, "C:\\put", Deadline.after(120))
        tally.figures = {"largest_kib": counters(job)["largest"] / 1024}
        tally.sized(target, job.size)
        os.unlink(target)

    def printed(connection: WinrmConnector) -> None:
        seen = 0

        def count(stream: str, data: bytes) -> None:
            nonlocal seen
            seen += len(data)

        rc = execute(connection, job.source, Output(tee=count))
        tally.add(rc == 0 and seen == job.size, f"{seen} bytes, exit status {rc}")

    if job.mode == "fresh":
        mark("ready")
        Pool(job.concurrency).map(lambda host: fresh(host, job.line), job.hosts)
        mark("done")
    elif job.mode == "winrm-slow":
        beside_slow(job, tally, fresh, Pool(job.concurrency).imap_unordered)
    else:
        connection = connector(job.hosts[0])
        connection.open(Deadline.after(60))
        execute(connection, job.line)
        mark("ready")
        {"winrm-second": second, "winrm-put": put, "winrm-output": printed}[job.mode](connection)
        mark("done")
        connection.close()
    context.close()
    tally.answer()


if __name__ == "__main__":
    main()
