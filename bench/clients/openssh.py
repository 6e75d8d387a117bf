"""OpenSSH's own ``ssh`` and ``sftp``: one process for each connection, nothing read from any settings file."""

import subprocess
import time

from job import Job, Tally, mark, round_trips, speed_kept


class Client:
    """Command lines of OpenSSH and what they do."""

    def __init__(self, job: Job, tally: Tally) -> None:
        self.job = job
        self.tally = tally
        settings = {
            "User": job.user,
            "IdentityFile": job.key,
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": job.known_hosts,
            "GlobalKnownHostsFile": "none",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "Ciphers": "aes128-gcm@openssh.com",
            "KexAlgorithms": "curve25519-sha256",
            "HostKeyAlgorithms": "ssh-ed25519",
        }
        self.options = ["-F", "none", *(word for item in settings.items() for word in ("-o", "=".join(item)))]

    def fresh(self, port: int) -> float:
        begun = time.perf_counter()
        command = ["ssh", *self.options, "-o", f"Port={port}", self.job.hosts[0], self.job.command]
        status = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
        seconds = time.perf_counter() - begun
        self.tally.add(status == 0, f"exit status {status}")
        return seconds

    def move(self, port: int, mode: str) -> float:
        """Transfer once on a connection that is open, and return the seconds of the transfer alone."""
        job = self.job
        target = f"{job.target}/{mode}"
        source = job.file
        # sftp takes its commands from a pipe, so that it can be told to begin when it is connected.
        command = ["sftp", "-q", "-b", "-", *self.options, "-o", f"Port={port}", job.hosts[0]]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None

            def wait_for(word: str) -> None:
                for line in process.stdout or ():
                    if line.strip() == word:
                        return
                raise SystemExit("sftp ended")

            process.stdin.write("!echo ready\n")
            process.stdin.flush()
            wait_for("ready")
            begun = self._begin()
            process.stdin.write(f"{mode} {source} {target}\n!echo done\n")
            process.stdin.flush()
            wait_for("done")
            seconds = self._end(begun)
            process.stdin.close()
        self.tally.sized(target, job.size)
        return seconds

    def stream(self) -> None:
        """Let ssh write a file of the host to nowhere; it begins when the session is open."""
        job = self.job
        line = f"echo ready >&2; read go; exec cat {job.file}"
        command = ["ssh", *self.options, "-o", f"Port={job.port}", job.hosts[0], line]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=0
        )
        assert process.stdin is not None
        assert process.stderr is not None
        process.stderr.readline()
        begun = self._begin()
        process.stdin.write(b"go\n")
        status = process.wait()
        self._end(begun)
        self.tally.add(status == 0, f"exit status {status}")

    def _begin(self) -> float:
        if not self.job.rtt:
            mark("ready")
        return time.perf_counter()

    def _end(self, begun: float) -> float:
        seconds = time.perf_counter() - begun
        if not self.job.rtt:
            mark("done")
        return seconds


def main() -> None:
    job = Job()
    tally = Tally()
    client = Client(job, tally)
    if job.mode == "latency":
        round_trips(job, tally, client.fresh)
    elif job.mode.startswith("latency-"):
        speed_kept(job, tally, lambda port: client.move(port, job.mode.removeprefix("latency-")))
    elif job.mode == "stdout":
        client.stream()
    elif job.mode in ("get", "put"):
        client.move(job.port, job.mode)
    else:
        for _ in job.hosts:
            client.fresh(job.port)
    tally.answer()


if __name__ == "__main__":
    main()
