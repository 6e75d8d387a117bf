"""The module contract: arguments in, Ansible's result dictionary out."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from sshexec.connectors.base import Capability, Connector
from sshexec.connectors.deadline import Deadline
from sshexec.connectors.output import Output
from sshexec.errors import HostError
from sshexec.modules.arguments import HIDDEN, Arguments, Parameter, Rules, parse

Result = dict[str, Any]
"""Ansible's result of a task: ``changed``, ``rc``, ``stdout`` ... and ``failed``/``skipped`` where they are true."""


def _no_connector() -> Connector[Any, Any]:
    raise HostError("no connection can be made here")


@dataclass(frozen=True, slots=True)
class Invocation:
    """What is particular to one host of a run.

    Args:
        host: inventory name.
        output: where the task's output goes; modules read it back from there.
        deadline: by when the task must end.
        check: change nothing, say what would change (Ansible's check mode).
        diff: report differences (Ansible's diff mode).
        environment: variables for the commands that the task runs.
        on_progress: called during transfers with what is transferred, bytes so far, and bytes in all.
        settings: those of the host's variables that the module `reads`.
        no_log: keep what the task does out of the host's own logs too.
        fresh: returns a new connector to this host that is not open; the caller closes it.
        sleep: waits so many seconds, while the host's slot may be lent to others.
        begun: when the host's turn began, on the monotonic clock; the same where `run` is called again, since the slot
            was somebody else's when the host answered (for a module that does not leave opening to the runtime).

    ``fresh`` and ``sleep`` raise CancelledError where the run is cancelled.
    """

    host: str
    output: Output
    deadline: Deadline
    check: bool = False
    diff: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    on_progress: Callable[[str, int, int | None], None] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    no_log: bool = False
    fresh: Callable[[], Connector[Any, Any]] = _no_connector
    sleep: Callable[[float], None] = time.sleep
    begun: float = field(default_factory=time.monotonic)

    def progress(self, path: str, total: int | None, before: int = 0) -> Callable[[int], None] | None:
        """Return what a connector tells the progress of a transfer; None where nobody listens.

        Args:
            path: what is transferred.
            total: its bytes in all; None where that is not known.
            before: bytes of it that were transferred by earlier calls.
        """
        listener = self.on_progress
        if listener is None:
            return None
        return lambda done: listener(path, before + done, total)


class Module(ABC):
    """One module with one set of arguments: made once for a run, run on many hosts at once.

    Args:
        arguments: validated, every parameter present (`parse`).
    """

    name: ClassVar[str]
    """Short name; ``ansible.builtin.NAME`` and ``ansible.legacy.NAME`` work too."""
    parameters: ClassVar[tuple[Parameter, ...]]
    rules: ClassVar[Rules] = Rules()
    called: ClassVar[str] = ""
    """What Ansible calls the module where it lists its parameters; empty is `name`."""
    free_form: ClassVar[bool] = False
    """Whether a text that is not ``key=value`` is the command itself (``_raw_params``)."""
    needs: ClassVar[Capability] = Capability.POSIX
    """What the connector must be able to do."""
    reads: ClassVar[tuple[str, ...]] = ()
    """Variables of a host that `run` looks at: `Invocation.settings`."""
    opens: ClassVar[bool] = True
    """Whether the runtime opens the connection before `run`; else the module does, and gets none that was kept."""
    contacts: ClassVar[bool] = True
    """Whether it has to do with the host at all; else a connection that was kept stays for the next task."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self.arguments = arguments if isinstance(arguments, Arguments) else Arguments(arguments)

    @classmethod
    def from_args(cls, args: str | Mapping[str, Any] | None) -> Module:
        """Parse and check arguments as Ansible does.

        Args:
            args: a text (free form, ``key=value``) or a mapping (a free-form text in it as ``_raw_params``).

        Raises:
            ArgumentError: an argument is unknown, missing or wrong; nothing was contacted.
        """
        module = cls(parse(cls.name, cls.parameters, args, free_form=cls.free_form, rules=cls.rules, called=cls.called))
        module.check_arguments()
        return module

    def check_arguments(self) -> None:  # noqa: B027 - most modules have nothing to add
        """Check what the parameters' types alone don't say.

        Raises:
            ArgumentError: arguments exclude each other, or one has a bad value.
        """

    @abstractmethod
    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Do the work on one host; called from many threads or greenlets at once.

        What is the same for all hosts (reading a local file, its checksum) is done once, by whoever comes first.

        Returns:
            Ansible's result; ``failed: True`` where the host answered that it did not work.

        Raises:
            HostError: unreachable, timed out, cancelled; the runtime makes the result, with the output so far.
        """

    def _result(self, **values: Any) -> Result:
        """Return a result that tells the arguments too, as most of Ansible's modules do."""
        result = {**values, "invocation": {"module_args": self._module_args()}}
        warnings = self.arguments.warnings
        return {**result, "warnings": [*warnings]} if warnings else result

    def _failed(self, message: str, **values: Any) -> Result:
        return self._result(failed=True, changed=False, msg=message, **values)

    def _module_args(self) -> dict[str, Any]:
        """Return the arguments as results show them: aliases that were given too, secrets not."""
        return dict(self._shown_arguments)

    @cached_property
    def _shown_arguments(self) -> dict[str, Any]:
        given = self.arguments.given
        shown = dict(self.arguments)
        for parameter in self.parameters:
            shown.update({alias: given[alias] for alias in parameter.aliases if alias in given})
            if parameter.no_log:
                names = (parameter.name, *parameter.aliases)
                shown.update({name: HIDDEN for name in names if shown.get(name)})
        return shown
