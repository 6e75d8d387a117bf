"""What the arguments of `copy` ask for, read once a run, and the shapes of its results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sshexec.connectors.files import Found
from sshexec.errors import HostError, TransferError
from sshexec.modules.arguments import HIDDEN, Arguments
from sshexec.modules.base import Result
from sshexec.modules.destination import Question, Rights
from sshexec.modules.exchange import shown
from sshexec.modules.file_arguments import FILE_PARAMETERS, TIME_FORMAT
from sshexec.modules.local_file import Facts, LocalFile, Tree, facts_of
from sshexec.modules.mode import Mode
from sshexec.modules.placement import InvalidError, MismatchError
from sshexec.modules.wish import Context, SettingError, Wish


@dataclass(frozen=True, slots=True)
class Order:
    """One `copy`, the same for all hosts.

    Args:
        arguments: every parameter of the module.
        mode: of files; None leaves it, and so does ``preserve``.
        rights: of directories that are made, and of those of a tree.
        content: what the file shall hold; None where there is a source.
        content_facts: what is known of it.
        file: the source on this machine; None for a content, or a source on the host.
        tree: the same as a directory.
        questions: what hosts are asked, by whether nothing is to be changed; see `question`.
    """

    arguments: Arguments
    mode: Mode | None
    rights: Rights
    content: bytes | None = None
    content_facts: Facts | None = None
    file: LocalFile | None = None
    tree: Tree | None = None
    questions: dict[bool, Question] = field(default_factory=dict, compare=False, repr=False)

    def question(self, check: bool, made: Callable[[], Question]) -> Question:
        """Return what every host is asked; of a large tree that is a long script, so it is made once.

        Args:
            check: whether nothing is to be changed.
            made: makes it.
        """
        found = self.questions.get(check)
        if found is None:
            found = self.questions[check] = made()
        return found

    @property
    def preserves(self) -> bool:
        """Whether modes are those of the sources."""
        return bool(self.arguments["mode"] == "preserve")

    @property
    def sets(self) -> bool:
        """Whether anything is to be set on a file that has its content already."""
        rights = self.rights
        wished = (rights.owner, rights.group, rights.attributes, self.context, self.mode)
        return self.preserves or any(each is not None for each in wished)

    @property
    def context(self) -> Context | None:
        """The SELinux context of files."""
        return self.rights.context

    @property
    def src(self) -> str | None:
        """The source on this machine, as results show it."""
        if self.file is None:
            return None
        return f"{self.file.path}/" if self.arguments["src"].endswith("/") else str(self.file.path)

    def facts(self, file: LocalFile | None) -> Facts:
        """Return what is known of a file that is sent, or of the content.

        Raises:
            HostError: it can't be read, or is encrypted.
        """
        if file is None:
            return self.content_facts or facts_of(b"")
        return file.plain() if self.arguments["decrypt"] else file.facts()

    def bits(self, source: int, found: Found, umask: int) -> int | None:
        """Return the permission bits that are wished; None leaves them.

        Args:
            source: those of the source.
            found: what is at the place.
            umask: the host's.
        """
        if self.preserves:
            return source
        return None if self.mode is None else self.mode.bits(standing(found, umask), umask)

    def wish(self, path: str, found: Found, source: int, umask: int, *, stays: bool) -> Wish:
        """Return what is to be set on a file.

        Args:
            path: of the host.
            found: what is there.
            source: permission bits of the source.
            umask: the host's.
            stays: whether what is there stays; then what it has already is left out.
        """
        arguments = self.arguments
        owner, group = arguments["owner"], arguments["group"]
        bits = self.bits(source, found, umask)
        if stays:
            owner = None if owner in (found.owner, str(found.uid)) else owner
            group = None if group in (found.group, str(found.gid)) else group
            bits = None if bits == found.mode else bits
        return Wish(path, owner, group, bits, attributes=arguments["attributes"], context=self.context)

    def given(self) -> dict[str, Any]:
        """Return the arguments as they were given, for results of what Ansible's controller did itself."""
        return {name: HIDDEN if name == "content" else value for name, value in self.arguments.given.items()}

    def copying(self, dest: str, sha1: str | None, mode: int) -> dict[str, Any]:
        """Return the arguments as results of a copy show them.

        Args:
            dest: the destination with everything expanded.
            sha1: of the content.
            mode: permission bits of the source.
        """
        arguments = self.arguments
        shown_mode = octal(mode) if self.preserves else arguments["mode"]
        told = {"content": None, "dest": shown(dest), "checksum": arguments["checksum"] or sha1, "mode": shown_mode}
        if "local_follow" not in arguments.given:
            told["local_follow"] = None
        # Ansible decrypts on the controller, so its module does not know of that.
        return {name: value for name, value in {**arguments, **told}.items() if name != "decrypt"}

    def setting(self, dest: str, path: str, mode: int, state: str = "file") -> dict[str, Any]:
        """Return the arguments as results show them where only rights are set, as Ansible's `file` does.

        Args:
            dest: the destination with everything expanded.
            path: what it is about.
            mode: permission bits of the source.
            state: file, directory or link.
        """
        given = {each.name: self.arguments[each.name] for each in FILE_PARAMETERS}
        times = {
            name: TIME_FORMAT if name.endswith("_format") else None
            for name in ("modification_time", "modification_time_format", "access_time", "access_time_format")
        }
        place = {"path": shown(path), "src": None, "state": state}
        if state == "file":
            place["dest"] = shown(dest)
        told: dict[str, Any] = {"follow": True, "force": state == "link", "recurse": False}
        if self.preserves:
            told["mode"] = octal(mode)
        # An alias does not get that far there.
        told["attributes"] = self.arguments.given.get("attributes")
        return {**given, **times, **place, **told}

    def result(self, module_args: dict[str, Any], **values: Any) -> Result:
        """Return a result.

        Args:
            module_args: the arguments as it shows them.
            **values: what it has beside.
        """
        result: Result = {**values, "invocation": {"module_args": module_args}}
        warnings = [*self.arguments.warnings, *values.get("warnings", ())]
        return {**result, "warnings": warnings} if warnings else result

    def failed(self, error: HostError, module_args: dict[str, Any], **values: Any) -> Result:
        """Return the result of a host where it did not work.

        Args:
            error: why.
            module_args: the arguments as it shows them.
            **values: what else is known.
        """
        return self.result(module_args, **{"failed": True, "changed": False, **values, **_told(error)})


def standing(found: Found, umask: int) -> int:
    """Return the permission bits that a file at a place has, or would get."""
    return found.mode if found.kind in ("file", "other") and found.mode is not None else 0o666 & ~umask


def octal(bits: int) -> str:
    """Return permission bits as Ansible writes them."""
    return f"0{bits:03o}"


def about(found: Found) -> dict[str, Any]:
    """Return what results tell of what is at a path: owner, group, mode, size, kind."""
    if found.mode is None:
        return {}
    kinds = {"directory": "directory", "link": "link"}
    return {
        "gid": found.gid,
        "group": found.group,
        "mode": octal(found.mode),
        "owner": found.owner,
        "size": found.size,
        "state": kinds.get(found.kind, "file"),
        "uid": found.uid,
    }


def _told(error: HostError) -> dict[str, Any]:
    if isinstance(error, InvalidError):
        texts: dict[str, Any] = {"stdout": error.stdout, "stderr": error.stderr}
        texts |= {f"{name}_lines": text.splitlines() for name, text in texts.items()}
        if error.command is not None:
            return {"msg": error.message, "cmd": shown(error.command), "rc": 2, **texts}
        return {"msg": error.message, "exit_status": error.rc, **texts}
    if isinstance(error, MismatchError):
        place = {} if error.path is None else {"path": shown(error.path)}
        return {"msg": error.message, "checksum": error.found, "expected_checksum": error.expected, **place}
    if isinstance(error, SettingError):
        place = {} if error.path is None else {"path": shown(error.path)}
        found = {} if error.found is None else about(error.found)
        return {"msg": error.message, **error.values, **place, **found}
    if isinstance(error, TransferError):
        folder = shown(error.path).rpartition("/")[0] or "/"
        if error.reason == "permission":
            return {"msg": f"Destination {folder} not writable"}
        if error.reason == "missing":
            return {"msg": f"Destination directory {folder} does not exist"}
    return {"msg": error.message}
