"""An interpreter that stands for one with ansible-core, and a module that it "builds"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HEAD = "import json, os, sys\narguments = json.loads("
TAIL = ")['ANSIBLE_MODULE_ARGS']\n"
ECHO = "print(json.dumps({'changed': False, 'arguments': arguments}))\n"


def answer(does: str = ECHO, **more: Any) -> dict[str, Any]:
    """Return what `sshexec.modules.ansible.build` says of a module.

    Args:
        does: Python text that runs on the host; ``arguments`` are its arguments.
        **more: what is otherwise.
    """
    return {
        "version": "2.19.14",
        "head": HEAD,
        "tail": TAIL + does,
        "private": {"_ansible_version": "2.19.14", "_ansible_no_log": False},
        "action": "",
        "documented": False,
        "parameters": [],
        "watched": [],
        **more,
    }


def interpreter(folder: Path, says: object, *, before: str = "") -> Path:
    """Return an interpreter that answers every request alike, and counts them in the file ``asked``.

    Args:
        folder: where it is made.
        says: what it answers; a text as it is.
        before: shell text that it runs first.
    """
    text = says if isinstance(says, str) else json.dumps(says)
    (folder / "says").write_text(text)
    program = folder / "python"
    program.write_text(f'#!/bin/sh\ncat >> "{folder}/asked"\necho >> "{folder}/asked"\n{before}\ncat "{folder}/says"\n')
    program.chmod(0o755)
    return program


def asked(folder: Path) -> int:
    """Return how often that interpreter was asked."""
    path = folder / "asked"
    return len(path.read_text().splitlines()) if path.exists() else 0
