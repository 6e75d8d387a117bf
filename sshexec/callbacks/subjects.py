"""What callbacks are handed, under the names that ansible-core 2.19 has for it."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sshexec.errors import InputError
from sshexec.modules.arguments import FREE_FORM, split
from sshexec.modules.registry import module_class, short_name
from sshexec.results import HostResult
from sshexec.task import Target
from sshexec.task import Task as Order

ADHOC = "__adhoc_playbook__"
"""What Ansible calls the playbook of a run that has none."""


def resolved(module: str) -> str:
    """Return a module's name with its collection, as Ansible resolves it: ``ansible.builtin.command``."""
    short = short_name(module)
    if short.startswith("win_"):
        return f"ansible.windows.{short}"
    name = module.removeprefix("ansible.legacy.")
    return name if "." in name else f"ansible.builtin.{name}"


class Host:
    """A host.

    Args:
        target: the host, and its variables.
    """

    def __init__(self, target: Target) -> None:
        self.name = target.host
        self._uuid = str(uuid.uuid4())
        self._variables = target.variables
        self.address = str(target.variables.get("ansible_host", target.host))

    def get_name(self) -> str:
        """Return the inventory name."""
        return self.name

    @functools.cached_property
    def vars(self) -> dict[str, Any]:
        """The host's variables, with those of its groups and of the run."""
        return dict(self._variables)

    def get_vars(self) -> dict[str, Any]:
        """Return a copy of `vars`."""
        return dict(self.vars)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return self.name


class Task:
    """The run's task.

    Args:
        order: what is to be done.
        no_log: whether results are hidden.
    """

    name = ""
    ignore_errors = None
    ignore_unreachable = None
    any_errors_fatal = False
    implicit = False
    run_once = False
    async_val = 0
    loop = None
    loop_control = None
    when: tuple[()] = ()
    tags: tuple[()] = ()
    delegate_to = None
    register = None
    _role = None
    _parent = None

    def __init__(self, order: Order, *, no_log: bool = False) -> None:
        self._order = order
        self._uuid = str(uuid.uuid4())
        self.action = order.module
        self.resolved_action = resolved(order.module)
        self.check_mode = order.check
        self.diff = order.diff
        self.environment = dict(order.environment)
        self.timeout = order.timeout
        self.become = order.become.become
        self.become_user = order.become.user
        self.become_method = order.become.method
        self.no_log = no_log

    @functools.cached_property
    def args(self) -> dict[str, Any]:
        """The arguments as they were given, expressions in them not filled in; a free-form text as ``_raw_params``."""
        given = self._order.args
        if given is None or isinstance(given, Mapping):
            return dict(given or {})
        try:
            kind = module_class(self._order.module)
            return dict(split(kind.name, given, free_form=kind.free_form))
        except InputError:
            return {FREE_FORM: given}

    def get_name(self, include_role_fqcn: bool = True) -> str:
        """Return the task's name: the module's."""
        return self.name or self.action

    def get_path(self) -> str:
        """Return the place in a playbook: none."""
        return ""

    def __str__(self) -> str:
        return self.get_name()

    @property
    def fields(self) -> dict[str, Any]:
        """What Ansible hands on as ``task_fields``."""
        return {
            "name": self.name,
            "action": self.action,
            "args": dict(self.args),
            "check_mode": self.check_mode,
            "diff": self.diff,
            "ignore_errors": self.ignore_errors,
            "no_log": self.no_log,
            "timeout": self.timeout or 0,
        }


class Play:
    """The play that a run is: one task on the hosts of a pattern.

    Args:
        pattern: which hosts; a list of names is joined by commas.
        hosts: their names.
        order: what is to be done.
    """

    strategy = "free"
    tags: tuple[()] = ()

    def __init__(self, pattern: str | Sequence[str], hosts: Sequence[str], order: Order) -> None:
        self._uuid = str(uuid.uuid4())
        self.name = pattern if isinstance(pattern, str) else ",".join(pattern)
        self.hosts = list(hosts)
        self.check_mode = order.check
        self.diff = order.diff

    def get_name(self) -> str:
        """Return the pattern, as for a play without a name."""
        return self.name

    def __str__(self) -> str:
        return self.name


class Playbook:
    """The playbook that Ansible makes up for a run that has none.

    Args:
        play: its only play.
    """

    _file_name = ADHOC
    _basedir = "."

    def __init__(self, play: Play) -> None:
        self._play = play

    def get_plays(self) -> list[Play]:
        """Return the play."""
        return [self._play]


class TaskResult:
    """How the task ended on one host.

    Args:
        host: the host.
        task: the task.
        ended: the result; a callback may change what it is handed, and not this.
    """

    def __init__(self, host: Host, task: Task, ended: HostResult) -> None:
        self.host = self._host = host
        self.task = self._task = task
        self._ended = ended

    def again(self) -> TaskResult:
        """Return another one, for the next who may change it."""
        return TaskResult(self.host, self.task, self._ended)

    @functools.cached_property
    def result(self) -> dict[str, Any]:
        """Ansible's result; see `HostResult.to_callback`."""
        copied: dict[str, Any] = _copied(self._ended.to_callback())
        return copied

    @property
    def _result(self) -> dict[str, Any]:
        return self.result

    @property
    def task_name(self) -> str:
        """The task's name."""
        return self.task.get_name()

    @property
    def task_fields(self) -> dict[str, Any]:
        """The task as plain data."""
        return self.task.fields

    @property
    def _task_fields(self) -> dict[str, Any]:
        return self.task.fields

    @property
    def exception(self) -> None:
        """A traceback of the module: none is kept."""
        return

    @property
    def warnings(self) -> list[Any]:
        """What the module warns of."""
        return list(self._ended.data.get("warnings") or ())

    @property
    def deprecations(self) -> list[Any]:
        """What the module calls deprecated."""
        return list(self._ended.data.get("deprecations") or ())

    def is_changed(self) -> bool:
        """Whether the task changed the host, or may have."""
        return self._ended.changed

    def is_skipped(self) -> bool:
        """Whether there was nothing to do."""
        return self._ended.status == "skipped"

    def is_failed(self) -> bool:
        """Whether it failed, timed out or was cancelled."""
        return self._ended.status in ("failed", "timeout", "cancelled")

    def is_unreachable(self) -> bool:
        """Whether the host was."""
        return self._ended.status == "unreachable"


def _copied(value: Any) -> Any:
    """Return a copy of what JSON can hold; nothing else is in a result."""
    if isinstance(value, Mapping):
        return {name: _copied(each) for name, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, (list, tuple)) else value
