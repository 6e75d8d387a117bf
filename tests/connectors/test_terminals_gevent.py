"""Terminals in a patched process, where each waiting greenlet must leave the others their turn."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.testbed import Sshd

PROGRAM = """
from gevent import monkey
monkey.patch_all()
import json, sys, threading
from sshexec.connectors.base import Deadline, Timeouts
from sshexec.connectors.local import LocalConnector, LocalContext, LocalOptions
from tests.connectors.screen import connected, rest, shell, until

def try_out(connector, path):
    terminal = shell(connector)
    answers = []
    reader = threading.Thread(target=lambda: answers.append(until(terminal, b"END")))
    reader.start()
    connector.put(b"beside", path, Deadline.after(20))
    terminal.write(b"PS1='pro''mpt'; cat " + path.encode() + b"; echo; stty size; echo 'EN''D'\\n")
    reader.join(20)
    assert b"beside" in answers[0] and b"24 80" in answers[0], answers
    reader = threading.Thread(target=lambda: answers.append(rest(terminal)))
    reader.start()
    terminal.close()
    reader.join(20)
    assert len(answers) == 2, answers

with connected(json.loads(sys.argv[1])) as connector:
    try_out(connector, sys.argv[2])
local = LocalConnector("here", LocalOptions(), LocalContext(), Timeouts())
local.open(Deadline.after(10))
try_out(local, sys.argv[2])
local.close()
print("well")
"""


def test_greenlets_read_write_and_close(sshd: Sshd, tmp_path: Path) -> None:
    variables = json.dumps(sshd.variables(ansible_host="127.0.21.8"))
    command = [sys.executable, "-c", PROGRAM, variables, str(tmp_path / "up")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "well\n", done.stderr
