"""An engine's callback objects, and the calls to them."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import logging
import threading
from collections.abc import Sequence
from typing import Any

from sshexec.callbacks.subjects import Host, TaskResult
from sshexec.errors import ArgumentError, SshexecError

log = logging.getLogger(__name__)

CALLED: dict[str, tuple[int, tuple[str, ...]]] = {
    "v2_playbook_on_start": (1, ()),
    "v2_playbook_on_play_start": (1, ()),
    "v2_playbook_on_task_start": (1, ("is_conditional",)),
    "v2_runner_on_start": (2, ()),
    "v2_runner_on_ok": (1, ()),
    "v2_runner_on_failed": (1, ("ignore_errors",)),
    "v2_runner_on_skipped": (1, ()),
    "v2_runner_on_unreachable": (1, ()),
    "v2_on_file_diff": (1, ()),
    "v2_playbook_on_stats": (1, ()),
}
"""What is called, with how many arguments by position, and which by name where the method takes them."""

ANY = "v2_on_any"
"""Is called after each of these, with the same arguments."""

_BASE = "CallbackBase."
"""Where Ansible's own methods are, of which those below do nothing."""

_NO_METHODS = (
    (inspect.iscoroutinefunction, "a coroutine function"),
    (inspect.isgeneratorfunction, "a generator function"),
    (inspect.isasyncgenfunction, "an asynchronous generator function"),
)
"""What does nothing where it is called as a method."""

_inside: contextvars.ContextVar[Callbacks | None] = contextvars.ContextVar("sshexec_callback", default=None)


class Callbacks:
    """Calls an engine's callback objects, one at a time, whatever they raise.

    Args:
        objects: each with some of the methods of `CALLED`: a subclass of Ansible's CallbackBase, or any class.

    Raises:
        ArgumentError: one has none of them, or a method can't be called as Ansible calls it.
    """

    def __init__(self, objects: Sequence[object]) -> None:
        self._objects = list(objects)
        for each in self._objects:
            _check(each)
        self._lock = threading.Lock()
        self._keywords = [
            {name: _accepted(getattr(each, name, None), keywords) for name, (_, keywords) in CALLED.items()}
            for each in self._objects
        ]
        self.wants_starts = any(_own(each, name) for each in self._objects for name in ("v2_runner_on_start", ANY))
        """Whether anybody wants to know when a host's turn comes."""

    @classmethod
    def of(cls, callback: object) -> Callbacks | None:
        """Return the callbacks of what an engine was given: an object, a list of them, or None.

        Raises:
            ArgumentError: as the constructor.
        """
        objects = list(callback) if isinstance(callback, (list, tuple)) else [callback]
        return cls(objects) if callback is not None and objects else None

    def call(self, name: str, *arguments: Any, **keywords: Any) -> None:
        """Call a method of every object that has it, and is not ``disabled``; what it raises is logged."""
        for each, accepted in zip(self._objects, self._keywords, strict=True):
            self._call(each, name, arguments, {key: keywords[key] for key in accepted[name]})
            self._call(each, ANY, arguments, keywords)

    def _call(self, callback: object, name: str, arguments: Sequence[Any], keywords: dict[str, Any]) -> None:
        with self._lock:
            token = _inside.set(self)
            try:
                # To look a method up may run code of the callback's own, too.
                method = None if getattr(callback, "disabled", False) is True else getattr(callback, name, None)
                if method is not None:
                    method(*[each.again() if isinstance(each, TaskResult) else each for each in arguments], **keywords)
            except BaseException:
                # Whatever it is, SystemExit too: it is the callback's own, and the run has to come to its end. So it
                # has where a handler of the platform's log fails.
                with contextlib.suppress(Exception):
                    log.exception("callback %s.%s failed%s", type(callback).__name__, name, _about(arguments))
            finally:
                _inside.reset(token)

    def refuse_inside(self) -> None:
        """Refuse to start a run from within a call: the run's own calls would wait for that one's end.

        Raises:
            SshexecError: this is such a call.
        """
        if _inside.get() is self:
            raise SshexecError("a callback can't start a run on the engine that calls it: use another engine")

    def after_fork(self) -> None:
        """In a forked child: forget who was calling."""
        self._lock = threading.Lock()


def _about(arguments: Sequence[Any]) -> str:
    first = arguments[0]
    host = first.host if isinstance(first, TaskResult) else first if isinstance(first, Host) else None
    return "" if host is None else f" (host {host})"


def _check(callback: object) -> None:
    kind = type(callback).__name__
    if isinstance(callback, type):
        raise ArgumentError(f"callback: expected an object, got the class {callback.__name__}")
    methods = {name: method for name in (*CALLED, ANY) if callable(method := getattr(callback, name, None))}
    if not methods:
        raise ArgumentError(f"callback: {kind} has none of the methods that are called: {', '.join(CALLED)}, {ANY}")
    for name, method in methods.items():
        other = next((words for test, words in _NO_METHODS if test(method)), None)
        if other is not None:
            raise ArgumentError(f"callback: {kind}.{name} is {other}; callbacks are plain methods")
        if name == ANY:
            continue
        try:
            signature = inspect.signature(method)
        except ValueError:
            continue  # written in C: nobody knows
        count, keywords = CALLED[name]
        try:
            signature.bind(*[None] * count, **dict.fromkeys(_accepted(method, keywords)))
        except TypeError as error:
            raise ArgumentError(
                f"callback: {kind}.{name}{signature} can't be called as Ansible does: {error}"
            ) from None


def _accepted(method: Any, keywords: Sequence[str]) -> list[str]:
    """Return those of the keywords that a method takes."""
    if method is None or not keywords:
        return []
    try:
        parameters = inspect.signature(method).parameters
    except ValueError:
        return list(keywords)
    everything = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    return [name for name in keywords if everything or name in parameters]


def _own(callback: object, name: str) -> bool:
    """Return whether an object has a method that does something."""
    method = getattr(callback, name, None)
    return method is not None and not getattr(method, "__qualname__", "").startswith(_BASE)
