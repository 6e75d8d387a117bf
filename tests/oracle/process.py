"""Real Ansible in a process of its own, since it is of another environment and another licence."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sshexec.secret import Secret

ANSWER_WITHIN = 60.0
"""Seconds for Ansible to answer one request."""


class AnsibleProcess:
    """A program that is run by Ansible's interpreter, reads requests and answers them, a line of JSON each.

    Args:
        python: interpreter of Ansible's virtual environment.
        program: the program.
        home: its home directory; short, since the control sockets of ssh are below it.
        defaults: lines of ansible.cfg.
        more: of its environment.
    """

    def __init__(
        self, python: str, program: Path, home: Path, defaults: str = "", more: Mapping[str, str] | None = None
    ) -> None:
        self.python = python
        self.home = home
        (home / "ansible.cfg").write_text(f"[defaults]\ndeprecation_warnings=False\n{defaults}")
        environment = {
            "PATH": f"{Path(python).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(home / "ansible.cfg"),
            "ANSIBLE_HOME": str(home / "a"),
            **(more or {}),
        }
        self._log = (home / f"{program.stem}.log").open("wb")
        self._process = subprocess.Popen(
            [python, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=environment
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Put one request to the program and return its answer."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request, default=Secret.reveal).encode() + b"\n")
        process.stdin.flush()
        line, until = b"", time.monotonic() + ANSWER_WITHIN
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, until - time.monotonic())):
                    raise TimeoutError(f"Ansible did not answer: {request}")
                piece = os.read(process.stdout.fileno(), 2**20)
                if not piece:
                    raise RuntimeError(f"it ended: {Path(self._log.name).read_text()[-2000:]}")
                line += piece
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()
