"""``ansible-inventory --list`` of a file."""

import json
import os
import subprocess
import sys
from pathlib import Path

from job import Job, answer, mark


def main() -> None:
    job = Job()
    listed = Path(job.scratch) / "listed.json"
    program = str(Path(sys.executable).with_name("ansible-inventory"))
    environment = {**os.environ, "ANSIBLE_HOME": job.scratch, "ANSIBLE_NOCOLOR": "1"}
    with listed.open("wb") as file:
        mark("ready")
        done = subprocess.run([program, "-i", job.inventory, "--list"], stdout=file, env=environment)
        mark("done")
    count = len(json.loads(listed.read_bytes() or b"{}").get("_meta", {}).get("hostvars", {}))
    answer(count, job.count - count, f"exit status {done.returncode}")


if __name__ == "__main__":
    main()
