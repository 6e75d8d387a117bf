"""A directory of this machine on its way to a Windows host.

One exchange asks what is there and makes directories (a large tree takes several); only files that differ are sent.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from sshexec.connectors.base import Connector, Upload
from sshexec.errors import HostError
from sshexec.modules.arguments import Arguments
from sshexec.modules.base import Invocation, Result
from sshexec.modules.exchange import is_answer, shown
from sshexec.modules.local_file import Entry, Facts, LocalFile, Tree
from sshexec.modules.windows.destination import Answer, Question
from sshexec.modules.windows.file_copy import CHECKED_BACKUP
from sshexec.modules.windows.names import below, folded, is_possible, unnamable

_MOST = 1_000
"""Files that one question is about: ConvertFrom-Json of PowerShell 3 and 4 takes 2,097,152 characters."""


class TreeCopy:
    """A `win_copy` of a directory, the same for all hosts.

    Args:
        arguments: the module's.
        tree: the directory.
    """

    def __init__(self, arguments: Arguments, tree: Tree) -> None:
        self._arguments = arguments
        self._tree = tree

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Ask what is there and bring the tree there, or in check mode say whether something would go.

        Raises:
            HostError: it does not work.
        """
        arguments = self._arguments
        told: Result = {
            "changed": False,
            "src": arguments["src"],
            "dest": arguments["dest"],
            "operation": "folder_copy",
        }
        links = [shown(entry.name) for entry in self._tree.entries() if entry.link is not None]
        if links:
            told["warnings"] = [f"links are not copied: {', '.join(links[:10])}{', ...' if links[10:] else ''}"]
        if len(links) == len(self._tree.entries()):
            return told
        sending, made, backup = self._asked(connector, invocation)
        told["changed"] = bool(sending or made)
        if invocation.diff and told["changed"]:
            told["diff"] = {"prepared": _listed(sending, made)}
        if not invocation.check and sending:
            self._send(connector, invocation, sending)
        if backup:
            told["backup_file"] = backup
        return told

    @functools.cached_property
    def _files(self) -> list[tuple[str, Facts, LocalFile]]:
        """The files by their names below ``dest``."""
        decrypt = self._arguments["decrypt"]
        return [
            (name, entry.file.plain() if decrypt else entry.file.facts(), entry.file)
            for name, entry in self._named()
            if entry.file is not None
        ]

    @functools.cached_property
    def _folders(self) -> list[str]:
        """The directories below ``dest``, with those that Ansible's archive brings along."""
        top = ["", self._top] if self._top else [""]
        return top + [name for name, entry in self._named() if entry.file is None and entry.link is None]

    @property
    def _top(self) -> str:
        return "" if self._arguments["src"].endswith("/") else self._tree.path.name

    def _named(self) -> Iterator[tuple[str, Entry]]:
        """Yield everything below the directory by its name on the host.

        Raises:
            HostError: two would be one there, or a name is none of Windows.
        """
        seen: dict[str, str] = {}
        if self._top and not is_possible(self._top):
            raise HostError(unnamable(self._top))
        for entry in self._tree.entries():
            if not all(map(is_possible, entry.name.split("/"))):
                raise HostError(unnamable(entry.name))
            other = seen.setdefault(folded(entry.name), entry.name)
            if other != entry.name:
                raise HostError(f"{other!r} and {entry.name!r} are one file on Windows")
            yield below(self._top, entry.name.replace("/", "\\")) if self._top else entry.name.replace("/", "\\"), entry

    @functools.cached_property
    def _making(self) -> list[Question]:
        return list(self._questions(make=True))

    @functools.cached_property
    def _checking(self) -> list[Question]:
        return list(self._questions(make=False))

    def _questions(self, make: bool) -> Iterator[Question]:
        arguments, files = self._arguments, [(name, facts) for name, facts, _ in self._files]
        folders = self._folders
        single = len(files) <= _MOST and len(folders) <= _MOST
        while files or folders:
            # Directories come first: files go into them.
            now, folders = folders[:_MOST], folders[_MOST:]
            here, files = ([], files) if folders else (files[:_MOST], files[_MOST:])
            yield Question(
                arguments["dest"],
                tree=True,
                folders=now,
                files=here,
                compare=arguments["force"],
                make=make,
                backup=arguments["backup"] and single,
            )

    def _asked(
        self, connector: Connector[Any, Any], invocation: Invocation
    ) -> tuple[list[tuple[str, str, Facts, LocalFile]], list[str], str]:
        """Return what is to be sent (place, what is there, facts, file), directories that were missing, the backup."""
        sending: list[tuple[str, str, Facts, LocalFile]] = []
        made: list[str] = []
        backup = ""
        at = 0
        for question in self._checking if invocation.check else self._making:
            answer = question.ask(connector, invocation)
            made += self._missing(question.folders, answer)
            files = self._files[at : at + len(question.files)]
            at += len(files)
            for (name, facts, file), there in zip(files, answer.files, strict=True):
                path = below(answer.path, name)
                if there == "directory":
                    raise HostError(f"cannot copy file to dest '{path}': object at path is already a directory")
                if there in ("absent", "differs"):
                    sending.append((path, there, facts, file))
            backup = answer.backup
        alone = len(sending) == 1 and not made and sending[0][1] == "differs"
        if invocation.check:
            backup = CHECKED_BACKUP if alone and self._arguments["backup"] else ""
        return sending, made, backup

    def _missing(self, folders: Sequence[str], answer: Answer) -> list[str]:
        missing = []
        for name, there in zip(folders, answer.folders, strict=True):
            path = below(answer.path, name)
            if there == "file":
                raise HostError(f"cannot copy folder to dest '{path}': object at path is already a file")
            if there == "absent":
                missing.append(path)
        return missing

    def _send(
        self,
        connector: Connector[Any, Any],
        invocation: Invocation,
        sending: Sequence[tuple[str, str, Facts, LocalFile]],
    ) -> None:
        uploads = [Upload(file.path, path, None, facts.sha1) for path, _, facts, file in sending]
        size = sum(facts.size for _, _, facts, _ in sending)
        progress = invocation.progress(self._arguments["dest"], size)
        try:
            connector.put_all(uploads, invocation.deadline, progress=progress)
        except HostError as error:
            if not is_answer(error):
                raise
            path = getattr(error, "path", "")
            source = next((file.path for place, _, _, file in sending if place == path), self._tree.path)
            raise HostError(f"failed to copy file {source}: {error.message}") from error


def _listed(sending: Sequence[tuple[str, str, Facts, LocalFile]], made: Sequence[str]) -> str:
    """Return what changes, as win_copy lists it for files of the host."""
    lines = [f"+{path.rstrip(chr(92))}\\\n" for path in made]
    for path, there, _, _ in sending:
        lines += ([f"-{path}\n"] if there == "differs" else []) + [f"+{path}\n"]
    return "".join(lines)
