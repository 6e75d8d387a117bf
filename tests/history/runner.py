"""A process of a platform that runs a command on every host and prints what it is told, a line of JSON each event.

``python runner.py URL INVENTORY COMMAND PROCESSES`` runs on workers, as any process that gevent has not patched.
"""

from __future__ import annotations

import json
import logging
import sys

from sshexec import Engine, Inventory
from sshexec.history.history import History

CONCURRENCY = 6


def main() -> None:
    """Run the task as the command line says."""
    url, inventory, command, processes = sys.argv[1:]
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    with (
        History(url) as history,
        Engine(Inventory.load(inventory), concurrency=CONCURRENCY, processes=int(processes), history=history) as engine,
    ):
        for event in engine.stream("all", "shell", command):
            print(json.dumps(event.to_dict()), flush=True)


if __name__ == "__main__":
    main()
