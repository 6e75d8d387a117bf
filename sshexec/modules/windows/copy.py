"""The ``win_copy`` module: files and trees of this machine, a content, or files of the host, brought to a place."""

from __future__ import annotations

from typing import Any

from sshexec.connectors.base import Capability, Connector
from sshexec.errors import ArgumentError, HostError
from sshexec.modules.arguments import Parameter
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.exchange import is_answer
from sshexec.modules.local_file import Tree, given_content, shared
from sshexec.modules.windows.file_copy import FileCopy
from sshexec.modules.windows.names import check_paths, ends_in_separator
from sshexec.modules.windows.remote_copy import remote_copy
from sshexec.modules.windows.tree_copy import TreeCopy


class WinCopy(Module):
    """Bring a file, a directory or a content to the host; keys and messages are those of ansible.windows 3."""

    name = "win_copy"
    parameters = (
        Parameter("src", "path", help="file or directory of this machine; `src/` means what is in it"),
        Parameter(
            "content",
            "raw",
            no_log=True,
            help="what the file shall hold, in place of `src`; a structure becomes JSON",
        ),
        Parameter("dest", "path", help="where to; a directory where it is one or ends in `\\`; must be given"),
        Parameter("backup", "bool", default=False, help="keep a file that is replaced, if it is the only one"),
        Parameter("force", "bool", default=True, help="replace a file that differs; if not, only add missing ones"),
        Parameter("remote_src", "bool", default=False, help="`src` is on the host"),
        Parameter("local_follow", "bool", default=True, help="follow links in a tree; if not, they are left out"),
        Parameter("decrypt", "bool", default=True, help="refuse a file that is encrypted with Ansible Vault"),
    )
    needs = Capability.WINDOWS | Capability.FILES

    def check_arguments(self) -> None:
        """Check that source and destination are given and fit each other."""
        arguments = self.arguments
        src, content, dest = arguments["src"], arguments["content"], arguments["dest"]
        if (not src and content is None) or not dest:
            raise self._wrong("src (or content) and dest are required")
        if src and content is not None:
            raise self._wrong("src and content are mutually exclusive")
        if content is not None and ends_in_separator(dest):
            raise self._wrong("dest must be a file if content is defined")
        check_paths(self.name, arguments, "dest", *(["src"] if arguments["remote_src"] else []))
        try:
            given = None if content is None else given_content(content)
        except ValueError as error:
            raise self._wrong(str(error)) from None
        self._file = shared(src) if given is None and not arguments["remote_src"] else None
        self._copy = FileCopy(arguments, self._file, given)
        self._tree = None
        if self._file is not None:
            self._tree = TreeCopy(arguments, Tree(self._file.path, follow=arguments["local_follow"]))

    def _wrong(self, message: str) -> ArgumentError:
        return ArgumentError(f"{self.name}: {message}")

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Bring it there, or in check mode say whether something would change."""
        try:
            if self._file is None and self.arguments["content"] is None:
                told = remote_copy(self.arguments, connector, invocation)
            elif self._file is not None and self._tree is not None and self._file.is_directory:
                told = self._tree.run(connector, invocation)
            else:
                told = self._copy.run(connector, invocation)
        except HostError as error:
            if not is_answer(error):
                raise
            return self._failed(error.message, src=self.arguments["src"], dest=self.arguments["dest"])
        return self._result(**told)
