"""A patched process that goes on with run after run.

Each line of its input is ``{"url": ..., "inventory": ..., "run": ..., "unknown": true or false}``; each line of its
output says which hosts that came to, and how they ended.
"""

# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import json
import sys

from sshexec import Engine, Inventory
from sshexec.history.history import History


def main() -> None:
    """Answer line by line."""
    for line in sys.stdin:
        asked = json.loads(line)
        inventory = Inventory.load(asked["inventory"])
        with History(asked["url"]) as history, Engine(inventory, concurrency=10, history=history) as engine:
            try:
                result = engine.resume(asked["run"], unknown=asked["unknown"])
                answer = {
                    "id": result.id,
                    "recorded": result.recorded,
                    "hosts": {host: each.status for host, each in result.items()},
                }
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
