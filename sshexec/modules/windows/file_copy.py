"""One file, or a content, on its way to its place on a Windows host.

One exchange asks what is there; where the SHA-1 is the same nothing is sent. What is sent takes its place in whole
(`Connector.put`).
"""

from __future__ import annotations

import functools
from typing import Any

from sshexec.connectors.base import Connector
from sshexec.connectors.files import Found
from sshexec.errors import HostError, TransferError
from sshexec.modules import difference
from sshexec.modules.arguments import Arguments
from sshexec.modules.base import Invocation, Result
from sshexec.modules.exchange import is_answer
from sshexec.modules.local_file import Facts, LocalFile, facts_of
from sshexec.modules.windows.destination import Answer, Question
from sshexec.modules.windows.names import above, ends_in_separator, is_possible, last, unnamable

CHECKED_BACKUP = "check-mode-backup-file.bak"
"""What Ansible calls a backup that check mode does not make."""


class FileCopy:
    """A `win_copy` of one file, the same for all hosts.

    Args:
        arguments: the module's.
        file: the source; None for a content.
        content: what the file shall hold; None for a source.
    """

    def __init__(self, arguments: Arguments, file: LocalFile | None, content: bytes | None) -> None:
        self._arguments = arguments
        self._file = file
        self._content = content or b""
        self._content_facts = facts_of(self._content)

    def _facts(self) -> Facts:
        if self._file is None:
            return self._content_facts
        return self._file.plain() if self._arguments["decrypt"] else self._file.facts()

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Ask what is there and bring the file there, or in check mode say whether it would go.

        Raises:
            HostError: it does not work.
        """
        arguments, facts = self._arguments, self._facts()
        question = self._checking if invocation.check else self._making
        answer = question.ask(connector, invocation)
        there = answer.files[0]
        if there == "directory":
            if self._file is not None and not question.base:
                raise HostError(unnamable(self._file.path.name))
            raise HostError(f"cannot copy file to dest '{answer.path}': object at path is already a directory")
        told: Result = {
            "changed": there in ("absent", "differs"),
            "src": arguments["src"],
            "dest": answer.path if answer.within else arguments["dest"],
            "operation": "file_copy",
            "original_basename": last(arguments["dest"]) if self._file is None else self._file.path.name,
            "checksum": facts.sha1,
            "size": facts.size,
        }
        if told["changed"]:
            told.update(self._bring(connector, invocation, answer, facts))
        return told

    @functools.cached_property
    def _making(self) -> Question:
        return self._question(make=True)

    @functools.cached_property
    def _checking(self) -> Question:
        return self._question(make=False)

    def _question(self, make: bool) -> Question:
        arguments = self._arguments
        return Question(
            arguments["dest"],
            base=self._base(),
            files=[("", self._facts())],
            compare=arguments["force"],
            make=make,
            backup=arguments["backup"],
        )

    def _base(self) -> str:
        """Return the name that the file gets in a directory."""
        if self._file is None:
            return ""
        name = self._file.path.name
        if is_possible(name):
            return name
        if ends_in_separator(self._arguments["dest"]):
            raise HostError(unnamable(name))
        return ""  # then it must not go into one

    def _bring(
        self, connector: Connector[Any, Any], invocation: Invocation, answer: Answer, facts: Facts
    ) -> dict[str, Any]:
        """Send the content; return what the result has because of it."""
        told: dict[str, Any] = {}
        replaces = answer.files[0] == "differs"
        if invocation.diff:
            found = Found("file" if replaces else "absent")
            new = None
            if facts.size <= difference.LARGEST:
                new = self._content if self._file is None else self._file.content()
            source = answer.path if self._file is None else str(self._file.path)
            told["diff"] = difference.of_content(connector, invocation, answer.path, found, new, source)
        if invocation.check:
            return {**told, **({"backup_file": CHECKED_BACKUP} if self._arguments["backup"] and replaces else {})}
        try:
            self._send(connector, invocation, answer, facts)
        except HostError as error:
            if not is_answer(error):
                raise
            source = "content" if self._file is None else str(self._file.path)
            raise HostError(f"failed to copy file {source}: {_why(error, answer.path)}") from error
        return {**told, **({"backup_file": answer.backup} if answer.backup else {})}

    def _send(self, connector: Connector[Any, Any], invocation: Invocation, answer: Answer, facts: Facts) -> None:
        if answer.parent == "file":
            raise HostError(f"object at destination parent dir '{above(answer.path)}' is currently a file")
        if answer.parent == "absent":
            raise TransferError("", path=answer.path, reason="missing")
        connector.put(
            self._content if self._file is None else self._file.path,
            answer.path,
            invocation.deadline,
            progress=invocation.progress(answer.path, facts.size),
            sha1=facts.sha1,
        )


def _why(error: HostError, path: str) -> str:
    if isinstance(error, TransferError) and error.reason == "missing":
        return f"Destination directory '{above(path)}' does not exist"
    return error.message
