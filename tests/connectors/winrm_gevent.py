"""Hosts that are asked at once in a process that gevent has patched; run by test_winrm_wire."""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

import gevent  # noqa: E402

from sshexec.connectors.deadline import Deadline  # noqa: E402
from sshexec.connectors.winrm.context import WinrmContext  # noqa: E402
from sshexec.connectors.winrm.options import WinrmOptions  # noqa: E402
from sshexec.connectors.winrm.wire import Wire  # noqa: E402

given = json.load(sys.stdin)
message = given.pop("message").encode()
context = WinrmContext()


def host(name: str) -> str:
    wire = wires.setdefault(name, Wire(name, WinrmOptions.from_vars(given[name.split()[0]], name), context))
    try:
        wire.open(Deadline.after(30), 30, 30)
        return type(wire.send(message, Deadline.after(30), once=True)).__name__
    except Exception as error:
        return type(error).__name__
    finally:
        wire.close()


wires: dict[str, Wire] = {}
slow = {name: gevent.spawn(host, name) for name in given if name != "good"}
good = [gevent.spawn(host, f"good {number}") for number in range(20)]
gevent.joinall(good, timeout=20)
answers: dict[str, object] = {"good": [each.value for each in good]}
time.sleep(0.3)
assert not any(each.ready() for each in slow.values()), [each.value for each in slow.values()]
for name, waiting in slow.items():
    wires[name].abort()
    waiting.join(5)
    answers[name] = waiting.value
print(json.dumps(answers))
