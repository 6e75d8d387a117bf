"""Both answers to a case: real Ansible's and ours, each on a fresh copy of the same target behind the same sshd."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Host, Inventory
from sshexec.errors import InputError
from sshexec.modules.ansible.builder import SETTING
from tests.oracle.accepted import ACCEPTED
from tests.oracle.case import Case, build, filled, seen
from tests.oracle.compare import differences, dropped, facts_compared, normalised, replaced
from tests.oracle.process import AnsibleProcess
from tests.testbed import Sshd

BECOME = {"become": True, "become_method": "sudo", "become_user": "root"}
DRIVER = Path(__file__).with_name("driver.py")


class Ansible(AnsibleProcess):
    """Real Ansible's tasks.

    Args:
        python: interpreter of its virtual environment.
        home: its home directory.
    """

    def __init__(self, python: str, home: Path) -> None:
        super().__init__(python, DRIVER, home, "interpreter_python=/usr/bin/python3\n")


class Oracle:
    """Puts cases to both.

    Args:
        ansible: real Ansible.
        sshd: the server that both use.
        user: the login user; may become root by sudo without a password.
        folder: scratch directory of this machine that everybody may enter.
    """

    HOST = "target"

    def __init__(self, ansible: Ansible, sshd: Sshd, user: str, folder: Path) -> None:
        self._ansible = ansible
        self._user = user
        self._folder = folder
        self._target = Path(f"~{user}").expanduser() / "t"
        self._local = folder / "l"
        self.places = {"t": str(self._target), "l": str(self._local)}
        self.variables = sshd.variables(
            ansible_host="127.0.0.1",
            ansible_user=user,
            ansible_python_interpreter="/usr/bin/python3",
            ansible_pipelining=True,
            ansible_ssh_use_tty=False,
        )
        self._engine = Engine(Inventory.from_hosts([Host(self.HOST, self.variables)]))
        # Both take their modules from the same ansible-core. Only our worker gets to know: other tests need none.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(SETTING, ansible.python)
            patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
            # Modules warn of it where it is missing; whoever came first would be the one to be warned.
            self._engine.run(self.HOST, "shell", "umask 077; mkdir -p ~/.ansible/tmp")

    def ansible(self, case: Case, who: str) -> tuple[str, dict[str, Any], Any]:
        """Return Ansible's status, result and the target afterwards."""
        self._build(case)
        inventory = self._folder / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": {self.HOST: {**self.variables, **case.variables}}}}))
        answer = self._ansible.ask(
            inventory=str(inventory),
            basedir=str(self._local),
            module=case.module,
            args=filled(case.args or {}, self.places),
            check=case.check,
            diff=case.diff,
            keywords={**case.keywords, **(BECOME if who == "root" else {})},
        )
        return answer["status"], answer["result"], self._seen(case)

    def ours(self, case: Case, who: str) -> tuple[str, dict[str, Any], Any]:
        """Return our status, result and the target afterwards; bad input is a failure that has a message only."""
        self._build(case)
        keywords = {**case.keywords, "check": case.check, "diff": case.diff, "become": who == "root"}
        args = filled(case.args, self.places)
        before = Path.cwd()
        os.chdir(self._local)
        try:
            run = self._engine.run(self.HOST, case.module, args, variables=case.variables, **keywords)
            result = run[self.HOST]
        except InputError as error:
            return "failed", {"msg": str(error), "_input": True}, self._seen(case)
        finally:
            os.chdir(before)
        status = {"changed": "ok", "timeout": "failed"}.get(result.status, result.status)
        return status, result.to_ansible(), self._seen(case)

    def compare(self, case: Case, who: str) -> dict[str, tuple[Any, Any]]:
        """Return what differs between both answers to a case: ours, Ansible's."""
        their_status, theirs, their_tree = self.ansible(case, who)
        our_status, ours, our_tree = self.ours(case, who)
        arguments = [
            (each.get("invocation") or {}).get("module_args", {}) if isinstance(each, dict) else {}
            for each in (ours, theirs)
        ]
        if ours.pop("_input", False):
            # Found before any host was contacted: there is nothing but the message to compare, details included.
            said = [theirs[name] for name in ("msg", "details") if name in theirs]
            theirs, arguments = {"msg": ": ".join(said)}, [{}, {}]
        elif their_status == "failed" and "invocation" not in theirs:
            # Its controller gave up before any module did; ours tells what was given all the same.
            ours.pop("invocation", None)
        short = case.module.rpartition(".")[2]
        pairs = [
            {"status": status, "tree": replaced(tree), **normalised(short, result, other)}
            for status, tree, result, other in (
                (our_status, our_tree, ours, arguments[1]),
                (their_status, their_tree, theirs, arguments[0]),
            )
        ]
        if case.facts:
            given, gathered = (facts_compared(side.pop("ansible_facts", {})) for side in pairs)
            pairs[0].update({f"facts.{name}": value for name, value in given.items()})
            pairs[1].update({f"facts.{name}": value for name, value in gathered.items() if name in given})
        for side in pairs:
            # Ansible leaves these two out of what it hands to callbacks.
            for name in (*case.ignore, "failed", "skipped"):
                dropped(side, name)
        return differences(*pairs)

    def check(self, case: Case, who: str) -> bool:
        """Compare both answers; True where they agree, False where every difference is accepted.

        Raises:
            AssertionError: there is a difference that is not accepted, or one that is accepted and is none.
        """
        found = self.compare(case, who)
        name = f"{case.module}:{case.name}"
        there = [each for each in ACCEPTED if each.case == name and (each.users is None or who in each.users)]
        accepted = {key for each in there for key in each.keys}
        left = {key: pair for key, pair in found.items() if key not in accepted}
        assert not left, "\n".join(
            [f"{name} as {who}: ours and Ansible's differ", *(f"{k}:\n  {a!r}\n  {b!r}" for k, (a, b) in left.items())]
        )
        gone = sorted(accepted - found.keys())
        assert not gone, f"{name} as {who}: accepted differences that are none any more: {gone}"
        return not found

    def _build(self, case: Case) -> None:
        build(self._target, case.target, self._user, self.places)
        build(self._local, case.local, "root", self.places)

    def _seen(self, case: Case) -> Any:
        found: Any = seen(self._target, times=case.times)
        return {"target": found, "controller": seen(self._local)} if case.fetched else found

    def close(self) -> None:
        """Close what is open."""
        self._engine.close()
        self._ansible.close()
        shutil.rmtree(self._folder, ignore_errors=True)
