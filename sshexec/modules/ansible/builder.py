"""Has Ansible's modules built by an ansible-core that is installed beside, in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sshexec.errors import UnknownModuleError
from sshexec.modules.ansible.payload import Payload, Shelf, state

SETTING = "SSHEXEC_ANSIBLE_PYTHON"
"""Environment variable: the interpreter that has ansible-core, where it is not the running one."""

HOW_TO_GET = "pip install 'sshexec[ansible]' brings Ansible's own modules"

BUILD_WITHIN = 60.0
"""Seconds for building one module; it takes less than one."""

CHECKED_FOR = 1.0
"""Seconds for which a payload that was up to date is taken for it: one look serves all hosts of a run."""

_PROGRAM = Path(__file__).with_name("build.py")
_LONGEST_SAID = 300


class Builder:
    """Gives the payloads of Ansible's modules; each is built once, and again when what it was made of has changed.

    Args:
        shelf: where they are kept for other processes; None is the user's cache directory.
    """

    def __init__(self, shelf: Shelf | None = None) -> None:
        self._shelf = shelf
        self._held: dict[tuple[str | None, str], _Held] = {}
        self._lock = threading.Lock()

    def payload(self, name: str) -> Payload:
        """Return the payload of a module, by the name that Ansible knows it by.

        Raises:
            UnknownModuleError: it can't be had, and the message says why.
        """
        asked = os.environ.get(SETTING), name
        held = self._held.get(asked)
        if held is None or time.monotonic() >= held.until:
            with self._lock:
                held = self._held[asked] = self._current(name, self._held.get(asked))
        return held.payload

    def _current(self, name: str, held: _Held | None) -> _Held:
        python = interpreter()
        if python is None:
            raise UnknownModuleError(f"no module named {name!r} here: {HOW_TO_GET}")
        key = _key(python, name)
        payload = held.payload if held is not None and held.key == key and held.payload.fresh else None
        shelf = self._shelf or Shelf.of_user()
        payload = payload or shelf.get(key)
        if payload is None:
            with shelf.alone(BUILD_WITHIN):
                # Another process may have built it meanwhile.
                payload = shelf.get(key)
                if payload is None:
                    answer = _built(python, name)
                    payload = Payload.from_answer(answer)
                    shelf.put(key, answer)
        return _Held(key, payload, time.monotonic() + CHECKED_FOR)


@dataclass(frozen=True, slots=True)
class _Held:
    """A payload in memory, and until when it is taken for up to date without a look."""

    key: str
    payload: Payload
    until: float


def interpreter() -> str | None:
    """Return the interpreter that has ansible-core, as far as can be told without starting one; None where none has."""
    python = os.environ.get(SETTING)
    if python:
        return os.path.expanduser(python)
    found = importlib.util.find_spec("ansible")
    # Without an origin it is a mere directory of that name, such as many a repository has.
    return sys.executable if found is not None and found.origin is not None else None


def _key(python: str, name: str) -> str:
    """Return what an answer depends on, apart from the files it names itself."""
    settings = sorted((key, value) for key, value in os.environ.items() if key.startswith(("ANSIBLE_", "PYTHON")))
    configured = os.environ.get("ANSIBLE_CONFIG", "")
    # A directory there means the ansible.cfg in it.
    places = [configured, os.path.join(configured, "ansible.cfg"), os.path.join(_here(), "ansible.cfg")]
    places += [os.path.expanduser("~/.ansible.cfg"), "/etc/ansible/ansible.cfg"]
    read = [(path, *state(path)) for path in places if os.path.isfile(path)]
    return json.dumps([python, *state(python), *state(str(_PROGRAM)), name, os.path.expanduser("~"), settings, read])


def _here() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        # The current directory was removed: what is started gets one that is there.
        return "/"


def _built(python: str, name: str) -> dict[str, Any]:
    """Ask a fresh interpreter."""
    try:
        # -P: what is beside the program is not for ansible-core to import.
        done = subprocess.run(
            [python, "-P", str(_PROGRAM)],
            input=json.dumps({"module": name}).encode("ascii"),
            capture_output=True,
            timeout=BUILD_WITHIN,
            cwd=_here(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UnknownModuleError(f"module {name!r}: ansible-core did not build it within {BUILD_WITHIN:g} s") from None
    except OSError as error:
        origin = f"{SETTING}: " if os.environ.get(SETTING) else ""
        raise UnknownModuleError(f"module {name!r}: {origin}{python}: {error.strerror}") from None
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
        problem = answer.get("error")
        if problem is None:
            Payload.from_answer(answer)
    except (LookupError, TypeError, ValueError, AttributeError):
        if re.search(rb"nknown option:? -P", done.stderr):
            raise UnknownModuleError(
                f"module {name!r}: {python} is older than Python 3.11, which ansible-core 2.18 needs"
            ) from None
        said = " ".join(done.stderr.decode("utf-8", "replace").split())[-_LONGEST_SAID:]
        how = f"exit status {done.returncode}" if done.returncode >= 0 else f"signal {-done.returncode}"
        raise UnknownModuleError(
            f"module {name!r}: {python} ended before it was built ({how}): {said or 'it said nothing'}"
        ) from None
    if problem is None:
        return answer
    message = str(answer.get("message"))
    if problem == "absent":
        how = f"install ansible-core there, or unset {SETTING}" if os.environ.get(SETTING) else HOW_TO_GET
        raise UnknownModuleError(f"no module named {name!r} here, and {message}: {how}")
    if problem == "unknown":
        raise UnknownModuleError(f"no module named {name!r}: {message}")
    raise UnknownModuleError(f"module {name!r} can't be used: {message}")
