"""One file, or a content, on its way to its place on a host.

One round trip asks what is there; where the SHA-1 is the same nothing is sent. What is sent arrives beside its place,
and one more round trip checks it, gives it mode and owner, and moves it there.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from dataclasses import dataclass, replace
from typing import Any

from sshexec.connectors.base import Connector
from sshexec.connectors.files import Found
from sshexec.connectors.source import RESUMABLE, Source
from sshexec.errors import HostError, TransferError
from sshexec.modules import difference
from sshexec.modules.base import Invocation, Result
from sshexec.modules.copy_order import Order, about, octal, standing
from sshexec.modules.destination import Answer, Question, ask
from sshexec.modules.exchange import is_answer, shown
from sshexec.modules.local_file import Facts, LocalFile
from sshexec.modules.placement import InvalidError, MismatchError, Placement, not_replaced
from sshexec.modules.wish import SettingError, Wish, discard, settle

_UNREACHED = {"not_directory": "Not a directory", "denied": "Permission denied"}


@dataclass(frozen=True, slots=True)
class Job:
    """One file that is to be at a place of the host.

    Args:
        path: the place.
        file: the source on this machine; None for a content.
        facts: what is known of it.
        found: what is at the place.
        umask: the host's.
    """

    path: str
    file: LocalFile | None
    facts: Facts
    found: Found
    umask: int

    @property
    def differs(self) -> bool:
        """Whether the content has to be sent."""
        return self.found.kind != "file" or self.found.sha1 != self.facts.sha1

    @property
    def keep(self) -> tuple[int, int] | None:
        """Owner and group numbers of what is replaced."""
        found = self.found
        if found.kind not in ("file", "other") or found.uid is None or found.gid is None:
            return None
        return found.uid, found.gid


class FileCopy:
    """A `copy` of one file on one host.

    Args:
        order: what is asked for.
        connector: the host.
        invocation: the task's.
    """

    def __init__(self, order: Order, connector: Connector[Any, Any], invocation: Invocation) -> None:
        self._order = order
        self._connector = connector
        self._invocation = invocation

    def run(self) -> Result:
        """Ask what is there and bring the file there, or in check mode say what would change."""
        order, invocation, arguments = self._order, self._invocation, self._order.arguments
        facts = order.facts(order.file)
        question = order.question(invocation.check, lambda: self._question(facts))
        try:
            answer = ask(self._connector, invocation, question)
        except SettingError as error:
            return order.failed(error, order.copying(arguments["dest"], facts.sha1, facts.mode), **_sending(facts, []))
        job = Job(answer.path, order.file, facts, answer.founds[0], answer.umask)
        return self.bring(job, answer, answer.top(question))

    def _question(self, facts: Facts) -> Question:
        order, check, arguments = self._order, self._invocation.check, self._order.arguments
        keeps = arguments["backup"] and arguments["force"] and not check
        return Question(
            arguments["dest"],
            basename=order.file.path.name if order.file else "",
            follow=arguments["follow"],
            backup=facts.sha1 if keeps else None,
            make=not check,
            rights=order.rights,
            attributes=arguments["attributes"],
            context=order.context,
        )

    def bring(self, job: Job, answer: Answer, dest: str) -> Result:
        """Bring the file to its place.

        Args:
            job: what goes where.
            answer: what the host said.
            dest: the destination that was asked for, with everything expanded.
        """
        order, found = self._order, job.found
        if not order.arguments["force"] and found.exists:
            src = None if job.file is None else str(job.file.path)
            return order.result(order.given(), changed=False, dest=shown(job.path), src=src)
        unreached(job)
        if found.kind == "directory" and job.file is None:
            return order.failed(HostError("can not use content with a dir as dest"), order.given(), diff=[])
        if not job.differs:
            return self._stays(job, answer, dest)
        source = shown(dest) if job.file is None else str(job.file.path)
        diff: list[dict[str, Any]] = []
        if self._invocation.diff:
            small = job.facts.size <= difference.LARGEST
            new = (order.content if job.file is None else job.file.content()) if small else None
            diff = difference.of_content(self._connector, self._invocation, job.path, found, new, source)
            if answer.linked and "before_header" in diff[0]:
                diff[0]["before_header"] = shown(answer.linked)
        if self._invocation.check:
            return order.result(order.given(), changed=True, diff=diff)
        copying = order.copying(dest, job.facts.sha1, job.facts.mode)
        try:
            settled, temporary = self._replace(job)
        except HostError as error:
            if not is_answer(error):
                raise
            # A directory in the way is met by Ansible's controller, which knows no more than what was given.
            told = order.given() if found.kind == "directory" else copying
            return order.failed(error, told, **_sending(job.facts, diff))
        return order.result(
            copying,
            changed=True,
            **_sending(job.facts, diff),
            dest=shown(job.path),
            src=shown(temporary),
            md5sum=job.facts.md5,
            **about(settled),
            **({"backup_file": shown(job.path + answer.backup)} if answer.backup else {}),
        )

    def _stays(self, job: Job, answer: Answer, dest: str) -> Result:
        """Set what is not as it shall be on a file that has the right content."""
        order, check = self._order, self._invocation.check
        dest = job.path if answer.linked else dest
        wish = order.wish(job.path, job.found, job.facts.mode, job.umask, stays=True)
        changes: dict[str, tuple[Any, Any]] = dict(answer.noted)
        if wish.bits is not None:
            changes["mode"] = (octal(job.found.mode or 0), octal(wish.bits))
        found: Found = job.found
        setting = order.setting(dest, job.path, job.facts.mode)
        names = [name for name in (wish.owner, wish.group) if name is not None]
        if names or (changes and not check):
            try:
                settled = settle(self._connector, self._invocation, [replace(wish, doing=not check)])[0]
            except SettingError as error:
                told = _looking_up(error.message) if check else {}
                return order.failed(error, setting, **_sending(job.facts, []), **told)
            found = job.found if check else settled
            if wish.owner is not None:
                changes["owner"] = (job.found.uid, int(settled.after["owner"]) if check else settled.uid)
            if wish.group is not None:
                changes["group"] = (job.found.gid, int(settled.after["group"]) if check else settled.gid)
        diff: Any = difference.of_rights(job.path, changes) if self._invocation.diff else []
        path = shown(job.path)
        told = {"checksum": job.facts.sha1, "dest": path, "path": path, "diff": diff}
        return order.result(setting, changed=bool(changes), **told, **about(found))

    def _replace(self, job: Job) -> tuple[Found, str]:
        """Send the content and put it in its place; return what is there then, and where it was before."""
        expected = self._order.arguments["checksum"]
        if expected and expected != job.facts.sha1:
            raise MismatchError(job.facts.sha1, expected)
        if job.found.kind == "no_parent":
            raise TransferError("", path=job.path, reason="missing")
        temporary = beside(job)
        if job.found.kind == "directory":
            raise not_replaced(job.path, temporary)
        temporary = self._send(job, temporary)
        wish = placed(self._order, job, temporary)
        try:
            return settle(self._connector, self._invocation, [wish])[0], temporary
        except (InvalidError, MismatchError, SettingError):
            raise
        except HostError:
            with contextlib.suppress(HostError):  # the connection may be gone
                discard(self._connector, [temporary])
            raise

    def _send(self, job: Job, temporary: str) -> str:
        progress = self._invocation.progress(job.path, job.facts.size)
        source = content_of(self._order, job)
        options: dict[str, Any] = {"mode": 0o600, "progress": progress, "sha1": job.facts.sha1}
        try:
            self._connector.put(source, temporary, self._invocation.deadline, **options)
        except TransferError as error:
            if error.reason != "permission" or not self._order.arguments["unsafe_writes"]:
                raise TransferError(
                    error.message.replace(temporary, job.path), path=job.path, reason=error.reason
                ) from error
            # What may be written over need not be in a directory that takes another file.
            temporary = f"/tmp/.sshexec-{secrets.token_hex(8)}"  # noqa: S108 - of an unforeseeable name, and opened anew
            self._connector.put(source, temporary, self._invocation.deadline, **options)
        return temporary


def unreached(job: Job) -> None:
    """Fail where the host can't tell what is at a place.

    Raises:
        HostError: it can't.
    """
    why = _UNREACHED.get(job.found.kind)
    if why:
        raise HostError(f"Failed to get information on remote file ({shown(job.path)}): {why}")


def content_of(order: Order, job: Job) -> Source:
    """Return what is sent."""
    return (order.content or b"") if job.file is None else job.file.path


def beside(job: Job) -> str:
    """Return where a file arrives before it takes its place.

    The name of a large one is decided by place and content, so that the next copy goes on where a lost connection
    broke it off.
    """
    folder, slash, _ = job.path.rpartition("/")
    token = secrets.token_hex(8)
    if job.facts.size >= RESUMABLE:
        text = f"{job.path}\0{job.facts.sha1}".encode("utf-8", "surrogateescape")
        token = hashlib.sha256(text).hexdigest()[:16]
    return f"{folder}{slash}.sshexec-{token}"


def placed(order: Order, job: Job, temporary: str) -> Wish:
    """Return the wish that a file which has arrived takes its place."""
    wish = order.wish(job.path, job.found, job.facts.mode, job.umask, stays=False)
    bits = standing(job.found, job.umask) if wish.bits is None else wish.bits
    unsafe, validate = order.arguments["unsafe_writes"], order.arguments["validate"] or ""
    placement = Placement(temporary, job.facts.sha1, bits, job.keep, validate, unsafe)
    return replace(wish, placement=placement)


def _sending(facts: Facts, diff: list[dict[str, Any]]) -> dict[str, Any]:
    return {"checksum": facts.sha1, "diff": diff}


def _looking_up(message: str) -> dict[str, Any]:
    found, _, text = message.partition(": failed to look up ")
    kind = text.partition(" ")[0]
    what = f"failed to look up {text}. Create {kind} up to this point in real play"
    return {"warnings": [what]} if found and text else {}
