"""`AnsibleApi`: the class that platform code wraps around Ansible's Python API, with this project behind it.

Names, order and defaults of the arguments, and the maps of the result, are those of the class that goes round as
``pyAnsibleApi``. What is broken there does what its author meant; docs/migration.md lists the differences.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypedDict

from sshexec import expect
from sshexec.audit import AuditSink
from sshexec.authorization import Authorize
from sshexec.engine import Engine
from sshexec.errors import ArgumentError, InputError
from sshexec.inventory.members import Host
from sshexec.inventory.model import Inventory
from sshexec.inventory.ranges import split_port
from sshexec.recorder import History
from sshexec.results import HostResult, RunResult
from sshexec.scalars import boolean, whole_number
from sshexec.secret import Secret

if TYPE_CHECKING:
    from typing_extensions import Unpack

_WINRM_PORT = 5985
_PRINTED = ("success", "failed", "unreachable")
_NAMES = ("hostname", "host", "name")
"""Keys that name the host in an entry of ``host_lists`` that is a mapping."""
_ALIASES = {
    "ansible_port": ("ansible_ssh_port",),
    "ansible_user": ("ansible_ssh_user",),
    "ansible_password": ("ansible_ssh_pass", "ansible_ssh_password"),
    "ansible_private_key_file": ("ansible_ssh_private_key_file",),
    "ansible_become_password": tuple(
        f"ansible_{kind}_{end}" for kind in ("become", "sudo", "su", "doas") for end in ("pass", "password")
    ),
}
"""Variables of a host that say what an argument says: the host's own count."""


class Keeping(TypedDict, total=False):
    """Keywords about who runs tasks, may run them, and is told; `Engine` explains them."""

    history: History | None
    actor: str | None
    authorize: Authorize | None
    audit: AuditSink | Sequence[AuditSink] | None


class AnsibleApi:
    """Runs a module on a list of hosts and answers in three maps by host: success, failed, unreachable.

    The arguments up to ``start_at_task`` are the original's. ``module_path``, ``listhosts``, ``listtasks``,
    ``listtags``, ``verbosity``, ``syntax`` and ``start_at_task`` are taken and have no effect, as there.

    Args:
        host_lists: names or addresses, each with a port if need be (``"web1:2222"``); or mappings, each with the name
            as ``hostname``, if need be a ``port``, variables of the host in ``vars`` or beside it; or one mapping of
            names to variables; or a text with commas.
        iswin: Windows hosts: connection winrm, port 5985, and every module is ``raw``, which PowerShell takes.
        port: of hosts that have none of their own.
        connection: ``smart``, ``ssh`` and ``paramiko`` are this project's SSH; ``local``; or another connector.
        remote_user: login name.
        remote_password: its password, a text or a `Secret`.
        private_key_file: its key.
        sudo: the old name of ``become``.
        sudo_user: the old name of ``become_user``.
        ask_sudo_pass: the password for sudo itself; or True where sudo asks for the login's password.
        become: whether tasks run as another user.
        become_method: ``sudo``, ``su`` or ``doas``; None is sudo.
        become_user: as whom; None is root.
        check: change nothing, say what would change.
        diff: report differences.
        forks: hosts at once.
        become_password: what sudo, su or doas ask for, a text or a `Secret`.
        variables: variables that win over every host's own (``ansible_host_key_checking``, ``ansible_timeout`` ...).
        **kept: ``history``, ``actor``, ``authorize`` and ``audit``, as `Engine` takes them.

    Raises:
        InputError: there is no host, or a value is wrong; nothing was contacted.
    """

    def __init__(
        self,
        host_lists: Iterable[str | Mapping[str, Any]] | Mapping[str, Mapping[str, Any] | None] | str | None = None,
        iswin: bool = False,
        port: int = 22,
        connection: str = "smart",
        remote_user: str | None = None,
        remote_password: str | Secret | None = None,
        private_key_file: str | None = None,
        sudo: bool | str | None = None,
        sudo_user: str | None = None,
        ask_sudo_pass: bool | str | Secret | None = None,
        module_path: Any = None,
        become: bool | str | None = None,
        become_method: str | None = None,
        become_user: str | None = None,
        check: bool = False,
        diff: bool = False,
        listhosts: Any = None,
        listtasks: Any = None,
        listtags: Any = None,
        verbosity: int = 3,
        syntax: Any = None,
        start_at_task: Any = None,
        *,
        forks: int = 100,
        become_password: str | Secret | None = None,
        variables: Mapping[str, Any] | None = None,
        **kept: Unpack[Keeping],
    ) -> None:
        expect.count("forks", forks, "hosts")
        expect.mapping("variables", variables)
        self._windows = _yes("iswin", iswin)
        self._options: dict[str, Any] = {
            "check": _yes("check", check),
            "diff": _yes("diff", diff),
            "become": _yes("sudo" if become is None else "become", sudo if become is None else become),
            "become_method": become_method,
            "become_user": become_user or sudo_user,
        }
        password = _secret("become_password", become_password)
        if password is None:
            password = _asked_password(ask_sudo_pass, become_method, remote_password)
        defaults = {
            "ansible_connection": "winrm" if self._windows else connection,
            "ansible_port": _WINRM_PORT if self._windows else port,
            "ansible_user": remote_user,
            "ansible_password": _secret("remote_password", remote_password),
            "ansible_private_key_file": private_key_file,
            "ansible_become_password": password,
        }
        own = _hosts(host_lists)
        winning = variables or {}
        hosts = [Host(name, _completed({**given}, defaults, winning)) for name, given in own.items()]
        self._engine = Engine(Inventory.from_hosts(hosts), concurrency=forks, variables=winning, **kept)
        # The original needed no end, so there may be one such object for each request of a web server.
        self._close = weakref.finalize(self, self._engine.close)
        self._close.atexit = False
        self._hosts = list(own)
        self._result: RunResult | None = None

    def run(self, args: Any, gether_facts: str = "no", module: str = "shell", task_time: int = 0) -> None:
        """Run a module on every host; `get_result` has the results.

        Args:
            args: the module's arguments: a text, as behind ``-a`` of the ``ansible`` command, or a mapping.
            gether_facts: taken and without effect: no result ever showed the facts.
            module: its name; on Windows it is ``raw``, whatever is said here.
            task_time: 0; a task that goes on in the background of its host (Ansible's ``async``) is not supported.

        Raises:
            InputError: the module, an argument or a connection setting is wrong; nothing was contacted.
        """
        self._result = None
        _yes("gether_facts", gether_facts)
        if task_time and str(task_time).strip() != "0":
            raise ArgumentError(
                f"task_time: got {task_time!r}, and tasks in the background of a host (async) are not supported; 0 "
                "waits for the task"
            )
        self._result = self._engine.run(self._hosts, "raw" if self._windows else module, args, **self._options)

    def playbook(self, playbooks: Iterable[str]) -> None:
        """Refuse: playbooks are not supported yet.

        Raises:
            InputError: always.
        """
        raise InputError("playbook: playbooks are not supported yet; run their tasks one by one with run()")

    def get_result(self) -> dict[str, dict[str, Any]]:
        """Print the results of the last run as JSON, and return them.

        Returns:
            ``success``, ``failed`` and ``unreachable``, each by host, as they are printed; and ``skipped``, which is
            not printed, since the original's text has three maps.
        """
        maps: dict[str, dict[str, Any]] = {name: {} for name in (*_PRINTED, "skipped")}
        for host, result in (self._result or {}).items():
            maps[_map(result)][host] = result.to_callback()
        print(json.dumps({name: maps[name] for name in _PRINTED}, indent=4))
        return maps

    def close(self) -> None:
        """Close every connection and end the worker processes; so does the end of the object."""
        self._close()

    def __enter__(self) -> AnsibleApi:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        """Tell how many hosts there are, and no setting: there are passwords among them."""
        return f"<AnsibleApi {len(self._hosts)} host{'s'[len(self._hosts) == 1 :]}>"


def _map(result: HostResult) -> str:
    if result.status == "unreachable":
        return "unreachable"
    if not result.good:
        return "failed"
    return "skipped" if result.status == "skipped" else "success"


def _yes(name: str, value: object) -> bool:
    if value is None:
        return False
    try:
        return boolean(value)
    except ValueError:
        raise ArgumentError(f"{name}: expected yes or no, got {value!r}") from None


def _secret(name: str, value: object) -> Secret | None:
    if value is None or isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise ArgumentError(f"{name}: expected a text, got {type(value).__name__}")
    return Secret(value)


def _asked_password(asked: object, method: str | None, login: str | Secret | None) -> Secret | None:
    """Return what ``ask_sudo_pass`` stands for: a password, or whether sudo wants the login's."""
    if isinstance(asked, str) and asked.lower() in ("yes", "no", "true", "false"):
        asked = boolean(asked)
    if asked is None or asked is False:
        return None
    if asked is not True:
        return _secret("ask_sudo_pass", asked)
    if login is None or method == "su":
        # su asks for the other user's password. Nobody sits before a program that uses this class.
        raise ArgumentError("ask_sudo_pass: nobody can be asked here: give the password, here or as become_password")
    return _secret("remote_password", login)


def _hosts(given: Any) -> dict[str, dict[str, Any]]:
    """Return the variables that each host has of its own, by name, in the order they were given."""
    if isinstance(given, str):
        given = [part.strip() for part in given.split(",") if part.strip()]
    if isinstance(given, Mapping):
        entries: list[Any] = [{"vars": content, "hostname": name} for name, content in given.items()]
    elif isinstance(given, Iterable) and not isinstance(given, bytes):
        entries = list(given)
    else:
        raise ArgumentError(f"host_lists: expected a list of hosts, got {given!r}")
    if not entries:
        raise ArgumentError("host_lists: names no host")
    hosts: dict[str, dict[str, Any]] = {}
    for entry in entries:
        name, variables = _host({"hostname": entry} if isinstance(entry, str) else entry)
        if hosts.setdefault(name, variables) != variables:
            raise ArgumentError(f"host_lists: {name!r} is there twice, and not with the same settings")
    return hosts


def _host(entry: Any) -> tuple[str, dict[str, Any]]:
    """Return the name and the variables of a host."""
    if not isinstance(entry, Mapping):
        raise ArgumentError(f"host_lists: expected names, or mappings of them, got {type(entry).__name__}")
    named = [name for name in _NAMES if name in entry]
    if len(named) != 1 or not isinstance(entry[named[0]], str):
        raise ArgumentError(f"host_lists: a mapping needs the host's name as 'hostname', got {sorted(map(str, entry))}")
    try:
        name, port = split_port(entry[named[0]])
        if entry.get("port") is not None:
            port = whole_number(entry["port"])
    except ValueError as error:
        raise ArgumentError(f"host_lists: the port of {entry[named[0]]!r}: {error}") from None
    inner = entry.get("vars")
    expect.mapping(f"host_lists: the variables of {name!r}", inner)
    beside = {key: value for key, value in entry.items() if key not in (named[0], "port", "vars")}
    return name, {**({} if port is None else {"ansible_port": port}), **beside, **(inner or {})}


def _completed(own: dict[str, Any], defaults: Mapping[str, Any], winning: Mapping[str, Any]) -> dict[str, Any]:
    """Return a host's variables with those settings that it has no own of, under any name."""
    for name, value in defaults.items():
        names = (name, *_ALIASES.get(name, ()))
        if value is not None and not any(each in own or each in winning for each in names):
            own[name] = value
    return own
