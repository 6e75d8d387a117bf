"""The ``copy`` module: files and trees of this machine, or a given content, brought to a host.

One round trip asks what is there; where the SHA-1 is the same nothing is sent. A file is replaced atomically by
`Connector.put`, and one more round trip sets what a transfer can't and reads back what is there now.
"""

from __future__ import annotations

import contextlib
import functools
import json
import secrets
import shlex
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from sshexec.connectors.base import Capability, Connector, Upload
from sshexec.connectors.files import Found
from sshexec.connectors.source import Source
from sshexec.errors import ArgumentError, BecomeError, HostError, TransferError
from sshexec.modules.arguments import Parameter, quoted, readable
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.destination import Answer, Question, ask
from sshexec.modules.exchange import shown
from sshexec.modules.local_file import Facts, LocalFile, Tree, facts_of, shared
from sshexec.modules.mode import Mode
from sshexec.modules.wish import InvalidError, Wish, discard, settle

_LARGEST_DIFF = 104448
"""Bytes up to which Ansible shows a file's content in a difference."""
_HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
_NOT_YET = ("remote_src", "unsafe_writes")


@dataclass(frozen=True, slots=True)
class _Job:
    """One file that is to be at a place of the host.

    Args:
        path: the place.
        source: its content.
        facts: what is known of the content.
        found: what is there.
    """

    path: str
    source: Source
    facts: Facts
    found: Found

    @property
    def differs(self) -> bool:
        """Whether the content has to be sent."""
        return self.found.kind != "file" or self.found.sha1 != self.facts.sha1


class Copy(Module):
    """Bring a file, a directory or a content to the host."""

    name = "copy"
    parameters = (
        Parameter("src", "path", help="file or directory of this machine; `src/` means what is in it"),
        Parameter("content", "raw", help="what the file shall hold, in place of `src`; a structure becomes JSON"),
        Parameter("dest", "path", help="where to; a directory where it is one or ends in `/`; must be given"),
        Parameter("backup", "bool", default=False, help="keep a file that is replaced under another name"),
        Parameter("force", "bool", default=True, help="replace a file that differs; if not, only add missing ones"),
        Parameter("mode", "raw", help="permissions of files: octal, symbolic (`u=rw,g=r`), or `preserve`"),
        Parameter("directory_mode", "raw", help="permissions of directories that are made"),
        Parameter("owner", help="owner, by name or number"),
        Parameter("group", help="group, by name or number"),
        Parameter("follow", "bool", default=False, help="write to what a link at `dest` points to, not over the link"),
        Parameter("local_follow", "bool", default=True, help="follow links of this machine; `no` is not available yet"),
        Parameter("remote_src", "bool", default=False, help="not available yet: copy within the host"),
        Parameter("checksum", help="SHA-1 that the source must have"),
        Parameter("validate", help="command that must accept the file, `%s`, before it takes its place"),
        Parameter("decrypt", "bool", default=True, help="refuse a file that is encrypted with Ansible Vault"),
        Parameter("unsafe_writes", "bool", default=False, help="not available yet: write where renaming is impossible"),
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
        for name in _NOT_YET:
            if arguments[name]:
                raise self._wrong(f"{name} is not available yet")
        if not arguments["local_follow"]:
            raise self._wrong("local_follow=no is not available yet")
        self._mode = None if arguments["mode"] in (None, "preserve") else self._read_mode("mode")
        self._directory_mode = self._read_mode("directory_mode")
        try:
            self._content = None if content is None else _content(content)
        except UnicodeEncodeError:
            raise self._wrong("content holds half a surrogate pair, which no text does") from None
        except (TypeError, ValueError, RecursionError) as error:
            raise self._wrong(f"content is neither a text nor what JSON can hold: {error}") from None
        self._file = shared(src) if src else None
        self._tree = Tree(src) if src else None

    def _check_validate(self) -> None:
        validate = self.arguments["validate"]
        if not validate:
            return
        if "%s" not in validate:
            raise self._wrong(f"validate must contain %s: {readable(validate)}")
        try:
            shlex.split(validate)
        except ValueError as error:
            raise self._wrong(f"validate: {error}: {quoted(validate)}") from None

    def _wrong(self, message: str) -> ArgumentError:
        return ArgumentError(f"{self.name}: {message}")

    def _read_mode(self, name: str) -> Mode | None:
        value = self.arguments[name]
        try:
            return None if value is None else Mode(value)
        except ValueError as error:
            raise self._wrong(str(error)) from None

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Bring it there, or in check mode say what would change."""
        try:
            if self._file is not None and self._tree is not None and self._file.is_directory:
                return self._copy_tree(connector, invocation, self._tree)
            return self._copy_file(connector, invocation)
        except InvalidError as error:
            texts = {"stdout": error.stdout, "stderr": error.stderr}
            lines = {f"{name}_lines": text.splitlines() for name, text in texts.items()}
            return self._failed(error.message, exit_status=error.rc, **texts, **lines)
        except TransferError as error:
            return self._failed(_explained(error))
        except HostError as error:
            if error.status != "failed" or isinstance(error, BecomeError):
                raise
            return self._failed(error.message)

    @functools.cached_property
    def _content_facts(self) -> Facts:
        return facts_of(self._content or b"")

    def _facts(self, file: LocalFile | None) -> Facts:
        if file is None:
            return self._content_facts
        facts = file.facts()
        if facts.vault and self.arguments["decrypt"]:
            raise HostError(f"'{file.given}' is encrypted with Ansible Vault, which is not supported")
        return facts

    def _copy_file(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        arguments = self.arguments
        facts = self._facts(self._file)
        expected = arguments["checksum"]
        if expected is not None and expected != facts.sha1:
            return self._mismatch(facts.sha1, expected)
        keeps = arguments["backup"] and arguments["force"] and not invocation.check
        answer = ask(
            connector,
            invocation,
            Question(
                arguments["dest"],
                basename=self._file.path.name if self._file else "",
                follow=arguments["follow"],
                backup=facts.sha1 if keeps else None,
                make=not invocation.check,
                directory_mode=self._chmod,
            ),
        )
        source: Source = (self._content or b"") if self._file is None else self._file.path
        job = _Job(answer.path, source, facts, answer.founds[0])
        if not arguments["force"] and job.found.exists:
            return self._result(changed=False, dest=shown(job.path), src=self._source)
        self._check_place(job, made_later=invocation.check and arguments["dest"].endswith("/"))
        wish = self._wish(job, answer.umask)
        diff = self._difference(connector, invocation, job, wish) if invocation.diff else []
        if invocation.check and (job.differs or _sets(wish)):
            return self._result(changed=True, diff=diff)
        if job.differs:
            wish = self._send(connector, invocation, job, wish)
        found = job.found
        if job.differs or _sets(wish):
            found = self._settled(connector, invocation, wish)
        if found.sha1 and found.sha1 != facts.sha1:
            return self._mismatch(found.sha1, facts.sha1)
        return self._done(job, found, diff, answer, changed=job.differs or _sets(wish))

    def _done(self, job: _Job, found: Found, diff: Any, answer: Answer, *, changed: bool) -> Result:
        result = self._result(
            changed=changed,
            checksum=job.facts.sha1,
            dest=shown(job.path),
            diff=diff,
            gid=found.gid,
            group=found.group,
            mode=None if found.mode is None else f"{found.mode:04o}",
            owner=found.owner,
            size=found.size,
            state="file",
            uid=found.uid,
        )
        if not job.differs:
            return {**result, "path": shown(job.path)}
        if answer.backup is not None:
            result["backup_file"] = shown(answer.backup)
        return {**result, "src": self._source, "md5sum": job.facts.md5}

    def _check_place(self, job: _Job, *, made_later: bool) -> None:
        found, path = job.found, shown(job.path)
        if found.kind == "no_parent" and not made_later:
            raise HostError(f"Destination directory {path.rpartition('/')[0] or '/'} does not exist")
        if found.kind == "directory" and self._file is None:
            raise HostError("can not use content with a dir as dest")
        if found.kind in ("directory", "other"):
            what = "a directory" if found.kind == "directory" else "not a regular file"
            raise HostError(f"Destination {path} is {what}; it is not replaced")

    def _wish(self, job: _Job, umask: int) -> Wish:
        """Return what has to be set beside the content; on a file that stays, only what is not so already."""
        arguments, found, sends = self.arguments, job.found, job.differs
        owner, group = arguments["owner"], arguments["group"]
        if not sends:
            owner = None if owner in (None, found.owner, str(found.uid)) else owner
            group = None if group in (None, found.group, str(found.gid)) else group
        current = found.mode if found.kind == "file" and found.mode is not None else None
        bits: int | None = None
        if arguments["mode"] == "preserve":
            bits = job.facts.mode
        elif self._mode is not None:
            bits = self._mode.bits(0o666 & ~umask if current is None else current, umask)
        elif sends:
            bits = current
        if not sends and bits == current:
            bits = None
        keep = None
        if sends and found.kind == "file" and found.uid is not None and found.gid is not None:
            keep = (found.uid, found.gid)
        return Wish(job.path, owner, group, bits, keep)

    def _send(self, connector: Connector[Any, Any], invocation: Invocation, job: _Job, wish: Wish) -> Wish:
        """Send the content, and return what is left to set."""
        validate = self.arguments["validate"]
        if not validate:
            progress = invocation.progress(job.path, job.facts.size)
            connector.put(
                job.source, job.path, invocation.deadline, mode=wish.bits, progress=progress, sha1=job.facts.sha1
            )
            return wish
        folder, slash, _ = job.path.rpartition("/")
        temporary = f"{folder}{slash}.sshexec-{secrets.token_hex(8)}"
        progress = invocation.progress(job.path, job.facts.size)
        connector.put(job.source, temporary, invocation.deadline, mode=wish.bits, progress=progress)
        return Wish(wish.path, wish.owner, wish.group, wish.bits, wish.keep, temporary, validate)

    def _settled(self, connector: Connector[Any, Any], invocation: Invocation, wish: Wish) -> Found:
        """Set what is wished; what waits for its validation is removed where that does not come to pass."""
        try:
            return settle(connector, invocation, [wish])[0]
        except HostError as error:
            if wish.validated is not None and not isinstance(error, InvalidError):
                with contextlib.suppress(HostError):  # the connection may be gone
                    discard(connector, wish.validated)
            raise

    def _copy_tree(self, connector: Connector[Any, Any], invocation: Invocation, tree: Tree) -> Result:
        arguments = self.arguments
        for name in ("backup", "validate", "checksum"):
            if arguments[name]:
                return self._failed(f"{name} is for a single file, '{arguments['src']}' is a directory")
        entries = tree.entries()
        question = Question(
            arguments["dest"],
            basename="" if arguments["src"].endswith("/") else tree.path.name,
            entries=tuple((entry.name, entry.file is None) for entry in entries),
            make=not invocation.check,
            directory_mode=self._chmod,
        )
        result = self._result(changed=False, dest=_folder(arguments["dest"]), src=str(tree.path))
        if not entries:
            return result
        answer = ask(connector, invocation, question)
        result["dest"] = _folder(shown(answer.path))
        wishes: list[Wish] = []
        size = 0
        uploads: list[Upload] = []
        for entry, found in zip(entries, answer.founds, strict=True):
            if entry.file is None:
                result["changed"] |= not found.exists
                continue
            if found.exists and not arguments["force"]:
                continue
            job = _Job(f"{answer.path}/{entry.name}", entry.file.path, self._facts(entry.file), found)
            self._check_place(job, made_later=invocation.check)
            wish = self._wish(job, answer.umask)
            if not job.differs and not _sets(wish):
                continue
            result["changed"] = True
            wishes.append(wish)
            if job.differs:
                uploads.append(Upload(job.source, job.path, wish.bits, job.facts.sha1))
                size += job.facts.size
        if wishes and not invocation.check:
            if uploads:
                progress = invocation.progress(answer.path, size)
                connector.put_all(uploads, invocation.deadline, progress=progress)
            expected = {upload.path: upload.sha1 for upload in uploads}
            for wish, found in zip(wishes, settle(connector, invocation, wishes), strict=True):
                sha1 = expected.get(wish.path)
                if sha1 and found.sha1 and found.sha1 != sha1:  # the source has changed meanwhile, say
                    return self._mismatch(found.sha1, sha1, path=shown(wish.path), dest=result["dest"])
        return result

    def _mismatch(self, found: str, expected: str, **more: str) -> Result:
        text = "Copied file does not match the expected checksum. Transfer failed."
        return self._failed(text, checksum=found, expected_checksum=expected, **more)

    @property
    def _chmod(self) -> str | None:
        """The mode of new directories, as chmod takes it."""
        mode = self.arguments["directory_mode"]
        return f"{mode:o}" if isinstance(mode, int) else mode

    @property
    def _source(self) -> str | None:
        return None if self._file is None else str(self._file.path)

    def _difference(self, connector: Connector[Any, Any], invocation: Invocation, job: _Job, wish: Wish) -> Any:
        """Return the difference as Ansible shows it: of content in a list, of the mode alone as a mapping."""
        if not job.differs:
            if wish.bits is None or job.found.mode is None:
                return []
            modes = {"before": job.found.mode, "after": wish.bits}
            return {when: {"mode": f"{mode:04o}", "path": shown(job.path)} for when, mode in modes.items()}
        diff: dict[str, Any] = {}
        if job.found.kind != "file":
            diff["before"] = ""
        elif (job.found.size or 0) > _LARGEST_DIFF:
            diff["dst_larger"] = _LARGEST_DIFF
        else:
            held = BytesIO()
            connector.get(job.path, held, invocation.deadline)
            if b"\0" in held.getvalue():
                diff["dst_binary"] = 1
            else:
                diff["before_header"] = shown(job.path)
                diff["before"] = held.getvalue().decode("utf-8", "backslashreplace")
        if job.facts.size > _LARGEST_DIFF:
            diff["src_larger"] = _LARGEST_DIFF
        else:
            after = (self._content or b"") if self._file is None else self._file.content()
            if b"\0" in after:
                diff["src_binary"] = 1
            else:
                diff["after_header"] = self._source or shown(job.path)
                diff["after"] = after.decode("utf-8", "backslashreplace")
        return [diff]

    def _module_args(self) -> dict[str, Any]:
        shown_content = None if self._content is None else _HIDDEN
        return {**self.arguments, "content": shown_content}


def _sets(wish: Wish) -> bool:
    return wish.owner is not None or wish.group is not None or wish.bits is not None


def _folder(path: str) -> str:
    return path if path.endswith("/") else f"{path}/"


def _content(value: Any) -> bytes:
    """Return a content as Ansible writes it: a text as it is, anything with structure as JSON."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "surrogateescape")


def _explained(error: TransferError) -> str:
    folder = shown(error.path).rpartition("/")[0] or "/"
    if error.reason == "permission":
        return f"Destination {folder} not writable"
    if error.reason == "missing":
        return f"Destination directory {folder} does not exist"
    return error.message
