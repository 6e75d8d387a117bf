"""pypsrp's shell of cmd.exe (WinRS): a client a host, under a gevent pool."""

from gevent import monkey

monkey.patch_all()

from gevent.pool import Pool  # noqa: E402
from job import Job, Tally, beside_slow, mark  # noqa: E402
from pypsrp.shell import Process, WinRS  # noqa: E402
from pypsrp.wsman import WSMan  # noqa: E402


def main() -> None:
    job = Job()
    tally = Tally()

    def fresh(host: str, line: str) -> None:
        try:
            client = WSMan(
                host,
                port=job.port,
                username=job.user,
                password=job.password,
                ssl=False,
                auth="ntlm",
                encryption="always",
                no_proxy=True,
            )
            with client, WinRS(client) as shell:
                process = Process(shell, line)
                process.invoke()
                process.signal("http://schemas.microsoft.com/wbem/wsman/1/windows/shell/signal/terminate")
        except Exception as error:
            tally.add(False, repr(error))
        else:
            tally.add(process.rc == 0, f"exit status {process.rc}")

    if job.mode == "fresh":
        mark("ready")
        Pool(job.concurrency).map(lambda host: fresh(host, job.line), job.hosts)
        mark("done")
    else:
        beside_slow(job, tally, fresh, Pool(job.concurrency).imap_unordered)
    tally.answer()


if __name__ == "__main__":
    main()
