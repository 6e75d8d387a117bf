"""The ``copy`` module: files and trees of this machine, a given content, or files of the host, brought to a place."""

from __future__ import annotations

from typing import Any

from sshexec.connectors.base import Capability, Connector
from sshexec.errors import ArgumentError, HostError
from sshexec.modules.arguments import Parameter, quoted, readable
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.copy_order import Order
from sshexec.modules.destination import Rights
from sshexec.modules.exchange import is_answer
from sshexec.modules.file_arguments import FILE_PARAMETERS
from sshexec.modules.file_copy import FileCopy
from sshexec.modules.local_file import Tree, facts_of, given_content, shared
from sshexec.modules.mode import Mode
from sshexec.modules.remote_copy import RemoteCopy
from sshexec.modules.splitting import split_words
from sshexec.modules.tree_copy import TreeCopy
from sshexec.modules.wish import Context


class Copy(Module):
    """Bring a file, a directory or a content to the host."""

    name = "copy"
    called = "ansible.legacy.copy"
    parameters = (
        Parameter("src", "path", help="file or directory of this machine; `src/` means what is in it"),
        Parameter("content", "raw", help="what the file shall hold, in place of `src`; a structure becomes JSON"),
        Parameter("dest", "path", help="where to; a directory where it is one or ends in `/`; must be given"),
        Parameter("backup", "bool", default=False, help="keep a file that is replaced under another name"),
        Parameter("force", "bool", default=True, help="replace a file that differs; if not, only add missing ones"),
        Parameter("mode", "raw", help="permissions of files: octal, symbolic (`u=rw,g=r`), or `preserve`"),
        Parameter("directory_mode", "raw", help="permissions of directories that are made, and of those of a tree"),
        Parameter("follow", "bool", default=False, help="write to what a link at `dest` points to, not over the link"),
        Parameter("local_follow", "bool", default=True, help="follow links in a tree of this machine"),
        Parameter("remote_src", "bool", default=False, help="`src` is on the host"),
        Parameter("checksum", help="SHA-1 that the source must have"),
        Parameter("validate", help="command that must accept the file, `%s`, before it takes its place"),
        Parameter("decrypt", "bool", default=True, help="refuse a file that is encrypted with Ansible Vault"),
        *(parameter for parameter in FILE_PARAMETERS if parameter.name != "mode"),
    )
    needs = Capability.POSIX | Capability.FILES

    def check_arguments(self) -> None:
        """Check that source and destination are given and that every argument is one that works."""
        arguments = self.arguments
        src, content, dest = arguments["src"], arguments["content"], arguments["dest"]
        if not src and content is None:
            raise self._wrong("src (or content) is required")
        if not dest:
            raise self._wrong("dest is required")
        if src and content is not None:
            raise self._wrong("src and content are mutually exclusive")
        if content is not None and dest.endswith("/"):
            raise self._wrong("can not use content with a dir as dest")
        self._check_validate()
        try:
            given = None if content is None else given_content(content)
        except ValueError as error:
            raise self._wrong(str(error)) from None
        self._order = self._ordered(given)

    def _ordered(self, content: bytes | None) -> Order:
        arguments = self.arguments
        rights = Rights(
            self._read_mode("directory_mode"),
            arguments["owner"],
            arguments["group"],
            arguments["attributes"],
            Context.of(arguments),
        )
        local = content is None and not arguments["remote_src"]
        file = shared(arguments["src"]) if local else None
        return Order(
            arguments,
            None if arguments["mode"] == "preserve" else self._read_mode("mode"),
            rights,
            content,
            None if content is None else facts_of(content),
            file,
            Tree(file.path, follow=arguments["local_follow"]) if file is not None else None,
        )

    def _check_validate(self) -> None:
        validate = self.arguments["validate"]
        if not validate:
            return
        if "%s" not in validate:
            raise self._wrong(f"validate must contain %s: {readable(validate)}")
        try:
            split_words(validate)
        except ValueError as error:
            raise self._wrong(f"validate: {error}: {quoted(validate)}") from None

    def _wrong(self, message: str) -> ArgumentError:
        return ArgumentError(f"{self.name}: {message}")

    def _read_mode(self, name: str) -> Mode | None:
        value = self.arguments[name]
        try:
            return None if value in (None, "") else Mode(value)
        except ValueError as error:
            raise self._wrong(str(error)) from None

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Bring it there, or in check mode say what would change."""
        order = self._order
        try:
            if order.arguments["remote_src"] and order.content is None:
                return RemoteCopy(order, connector, invocation).run()
            if order.tree is not None and order.file is not None and order.file.is_directory:
                return TreeCopy(order, order.tree, connector, invocation).run()
            return FileCopy(order, connector, invocation).run()
        except HostError as error:
            if not is_answer(error):
                raise
            return order.failed(error, order.given())
