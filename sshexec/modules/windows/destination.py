"""What a Windows host answers about the places where files are to go; in the same exchange it makes directories."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sshexec.connectors.base import Connector
from sshexec.connectors.powershell import Script
from sshexec.errors import HostError
from sshexec.modules.base import Invocation
from sshexec.modules.local_file import Facts
from sshexec.modules.windows.asking import NOT_UNDERSTOOD, Shape, ask

_DESTINATION = Script(__package__, "destination")
_REFUSED: Shape = {"reason": str, "said": str, "at": str}
_TOLD: Shape = {"path": str, "within": bool, "parent": str, "folders": str, "files": str, "backup": str}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host says.

    Args:
        path: the place of a single file, or the directory of a tree, in full.
        within: whether a single file goes into a directory that ``dest`` is.
        parent: what is where the directory of a single file should be; a tree has none.
        folders: what is at each directory's place.
        files: of each file ``same``, ``differs``, ``absent``, ``directory``; ``file`` where contents don't count.
        backup: where the file that will be replaced has been kept; "" for nowhere.
    """

    path: str
    within: bool
    parent: str
    folders: tuple[str, ...]
    files: tuple[str, ...]
    backup: str


@dataclass(frozen=True)
class Question:
    """What hosts are asked; the same for all of them, so it is made once.

    Args:
        dest: the destination as it was given.
        base: name of a single file that goes into a directory; "" for none.
        tree: whether the destination is a directory in any case.
        folders: directories below it, each behind what holds it; "" is itself.
        files: names below it, with what is known of their contents; of a single file the name does not count.
        compare: whether contents are looked at; else a file that is there stays.
        make: whether directories and a copy of what is replaced are made.
        backup: whether that copy is wished.
    """

    dest: str
    base: str = ""
    tree: bool = False
    folders: Sequence[str] = ()
    files: Sequence[tuple[str, Facts]] = ()
    compare: bool = True
    make: bool = True
    backup: bool = False

    @functools.cached_property
    def _script(self) -> str:
        arguments = {
            "dest": self.dest,
            "base": self.base,
            "tree": self.tree,
            "folders": list(self.folders),
            "names": [name for name, _ in self.files],
            "sizes": [facts.size for _, facts in self.files],
            "sums": [facts.sha1 for _, facts in self.files],
            "compare": self.compare,
            "make": self.make,
            "backup": self.backup,
        }
        return _DESTINATION.filled(arguments)

    def ask(self, connector: Connector[Any, Any], invocation: Invocation) -> Answer:
        """Ask the host.

        Raises:
            HostError: it can't be asked, or can't tell.
        """
        answer = ask(_DESTINATION, self._script, connector, invocation, _REFUSED, _TOLD)
        if "reason" in answer:
            raise HostError(f"cannot copy to dest '{answer['at']}': {answer['said']}")
        folders, files = (tuple(answer[name].split()) for name in ("folders", "files"))
        if len(folders) != len(self.folders) or len(files) != len(self.files):
            raise HostError(NOT_UNDERSTOOD)
        return Answer(answer["path"], answer["within"], answer["parent"], folders, files, answer["backup"])
