"""A patched process that records run after run as fast as it can, and prints how each was recorded.

``python writer.py URL INVENTORY RUNS`` prints ``{"id": ..., "recorded": ..., "hosts": {host: its output}}`` a run.
"""

# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import json
import logging
import os
import sys

from sshexec import Engine, Inventory
from sshexec.history.history import History


def main() -> None:
    """Run the tasks as the command line says."""
    url, inventory, runs = sys.argv[1:]
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    print(json.dumps("ready"), flush=True)
    sys.stdin.readline()
    with History(url) as history, Engine(Inventory.load(inventory), concurrency=20, history=history) as engine:
        for number in range(int(runs)):
            result = engine.run("all", "command", f"say {os.getpid()} {number}")
            hosts = {host: each.stdout for host, each in result.items()}
            print(json.dumps({"id": result.id, "recorded": result.recorded, "hosts": hosts}), flush=True)


if __name__ == "__main__":
    main()
