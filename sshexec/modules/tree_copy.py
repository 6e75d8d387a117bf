"""A directory of this machine on its way to a host.

One round trip asks what is there, and makes directories; only files that differ are sent, several at once, and one more
round trip sets what a transfer can't.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sshexec.connectors.base import Connector, Upload
from sshexec.connectors.files import Found
from sshexec.errors import HostError
from sshexec.modules.base import Invocation, Result
from sshexec.modules.copy_order import Order, about
from sshexec.modules.destination import Answer, Place, Question, ask
from sshexec.modules.exchange import is_answer, shown
from sshexec.modules.file_copy import FileCopy, Job, beside, content_of, placed, unreached
from sshexec.modules.local_file import Entry, Facts, Tree
from sshexec.modules.mode import Mode
from sshexec.modules.placement import MismatchError
from sshexec.modules.wish import NO_TARGET, SettingError, Wish, discard, settle


class TreeCopy:
    """A `copy` of a directory on one host.

    Args:
        order: what is asked for.
        tree: the directory.
        connector: the host.
        invocation: the task's.
    """

    def __init__(self, order: Order, tree: Tree, connector: Connector[Any, Any], invocation: Invocation) -> None:
        self._order = order
        self._tree = tree
        self._connector = connector
        self._invocation = invocation

    def run(self) -> Result:
        """Ask what is there and bring the tree there, or in check mode say what would change."""
        order, arguments = self._order, self._order.arguments
        entries = self._tree.entries()
        if not entries:
            return self._result(arguments["dest"], changed=False)
        facts = [None if entry.file is None else order.facts(entry.file) for entry in entries]
        question = order.question(self._invocation.check, lambda: self._question(entries, facts))
        first = next((each for each in facts if each is not None), None)
        sending = {} if first is None else {"checksum": first.sha1, "diff": []}
        try:
            answer = ask(self._connector, self._invocation, question)
        except SettingError as error:
            told = order.given() if first is None else order.copying(_folder(arguments["dest"]), first.sha1, first.mode)
            return order.failed(error, told, **sending)
        jobs = [
            Job(f"{answer.path.rstrip('/')}/{entry.name}", entry.file, of, found, answer.umask)
            for entry, of, found in zip(entries, facts, answer.founds, strict=True)
            if of is not None
        ]
        for job in jobs:
            unreached(job)
        changed = self._directories(entries, answer)
        links = self._links(entries, answer)
        dest = _folder(answer.top(question))
        if len(jobs) == 1 and (arguments["force"] or not jobs[0].found.exists):
            return self._one(jobs[0], entries, answer, dest, links, changed=changed)
        try:
            changed |= self._several(answer.path, jobs, links)
        except HostError as error:
            if not is_answer(error):
                raise
            path = getattr(error, "path", None) or ""
            if path in [wish.path for wish in links]:
                return order.failed(error, order.setting(path, path, 0, "link"))
            of = {job.path: job.facts for job in jobs}.get(path)
            if of is None:
                return order.failed(error, order.given())
            return order.failed(error, order.copying(dest, of.sha1, of.mode), checksum=of.sha1, diff=[])
        return self._result(dest, changed=changed)

    def _question(self, entries: Sequence[Entry], facts: Sequence[Facts | None]) -> Question:
        order, arguments = self._order, self._order.arguments
        return Question(
            arguments["dest"],
            basename="" if arguments["src"].endswith("/") else self._tree.path.name,
            places=tuple(map(self._place, entries, facts)),
            make=not self._invocation.check and not self._refused(facts),
            rights=order.rights,
        )

    def _result(self, dest: str, *, changed: bool) -> Result:
        order = self._order
        return order.result(order.given(), changed=changed, dest=shown(_folder(dest)), src=order.src)

    def _refused(self, facts: Sequence[Facts | None]) -> bool:
        """Return whether a file is not what it must be: then nothing is made on its way."""
        expected = self._order.arguments["checksum"]
        return bool(expected) and any(each is not None and each.sha1 != expected for each in facts)

    def _place(self, entry: Entry, facts: Facts | None) -> Place:
        if facts is not None:
            keeps = self._order.arguments["backup"] and self._order.arguments["force"] and not self._invocation.check
            return Place(entry.name, sha1=facts.sha1 if keeps else "")
        return Place(entry.name, "directory") if entry.link is None else Place(entry.name, "link", entry.link)

    def _directories(self, entries: tuple[Entry, ...], answer: Answer) -> bool:
        """Return whether directories were made or changed, or in check mode would be."""
        changed = False
        for number, (entry, found) in enumerate(zip(entries, answer.founds, strict=True)):
            if entry.file is not None or entry.link is not None:
                continue
            if found.exists and found.kind != "directory":
                path = f"{answer.path.rstrip('/')}/{entry.name}"
                raise HostError(f"{shown(path)} already exists as a {found.kind}")
            differs = self._invocation.check and found.exists and self._differs(found, answer.umask)
            changed |= not found.exists or number in answer.set or differs
        return changed

    def _differs(self, found: Found, umask: int) -> bool:
        rights = self._order.rights
        mode: Mode | None = rights.mode
        return (
            (mode is not None and mode.bits(found.mode or 0, umask, directory=True) != found.mode)
            or rights.owner not in (None, found.owner, str(found.uid))
            or rights.group not in (None, found.group, str(found.gid))
        )

    def _links(self, entries: tuple[Entry, ...], answer: Answer) -> list[Wish]:
        """Return the links that are to be made."""
        arguments = self._order.arguments
        return [
            Wish(f"{answer.path.rstrip('/')}/{entry.name}", arguments["owner"], arguments["group"], link=entry.link)
            for entry, found in zip(entries, answer.founds, strict=True)
            if entry.link is not None and found.sha1 != "="
        ]

    def _one(
        self, job: Job, entries: tuple[Entry, ...], answer: Answer, dest: str, links: list[Wish], *, changed: bool
    ) -> Result:
        """Bring a tree with one file: as in Ansible, the result is that of the last thing that was done."""
        order = self._order
        result = FileCopy(order, self._connector, self._invocation).bring(job, answer, dest)
        if result.get("failed"):
            return result
        changed |= bool(result["changed"]) or bool(links)
        above = answer.path.rstrip("/")
        founds = {f"{above}/{entry.name}": found for entry, found in zip(entries, answer.founds, strict=True)}
        if links and not self._invocation.check:
            settled = settle(self._connector, self._invocation, links)
            founds.update({wish.path: found for wish, found in zip(links, settled, strict=True)})
        last = [entry for entry in entries if entry.link is not None][-1:]
        last = last or [entry for entry in entries if entry.file is None][-1:]
        if not last:
            return {**result, "changed": changed}
        path = f"{above}/{last[0].name}"
        if last[0].link is not None:
            told = about(founds[path]) if founds[path].kind == "link" else {}
            if founds[path].kind == "link" and not told:
                told["warnings"] = [NO_TARGET]
            setting = order.setting(path, path, job.facts.mode, "link")
            return order.result(setting, changed=changed, dest=shown(path), src=shown(last[0].link), **told)
        if not founds[path].exists and not self._invocation.check:
            founds[path] = settle(self._connector, self._invocation, [Wish(path)])[0]
        setting = order.setting(path, path, job.facts.mode, "directory")
        return order.result(setting, changed=changed, dest=shown(path), path=shown(path), **about(founds[path]))

    def _several(self, path: str, jobs: list[Job], links: list[Wish]) -> bool:
        """Bring files and links; return whether anything changes."""
        order, arguments = self._order, self._order.arguments
        wishes: list[Wish] = []
        uploads: list[Upload] = []
        size, sets = 0, order.sets
        for job in jobs:
            if job.found.exists and not arguments["force"]:
                continue
            if not job.differs:
                if not sets:
                    continue
                wish = order.wish(job.path, job.found, job.facts.mode, job.umask, stays=True)
                if wish != Wish(job.path):
                    wishes.append(wish)
                continue
            self._check(job)
            # Only what waits for its validation arrives elsewhere: a lost connection leaves whole files in their place.
            temporary = beside(job) if arguments["validate"] else job.path
            wish = placed(order, job, temporary)
            if not arguments["validate"] and wish.placement is not None:
                wish = replace(wish, bits=wish.placement.bits, keep=job.keep, placement=None)
            wishes.append(wish)
            mode = 0o600 if arguments["validate"] else wish.bits
            uploads.append(Upload(content_of(order, job), temporary, mode, job.facts.sha1))
            size += job.facts.size
        if not self._invocation.check and (wishes or links):
            self._send(path, uploads, size)
            self._settle([*wishes, *links], {upload.path: upload.sha1 or "" for upload in uploads})
        return bool(wishes or links)

    def _check(self, job: Job) -> None:
        expected = self._order.arguments["checksum"]
        if expected and expected != job.facts.sha1 and not self._invocation.check:
            raise MismatchError(job.facts.sha1, expected)
        if job.found.kind == "directory":
            raise HostError(f"{shown(job.path)} is a directory, a file can't take its place")

    def _send(self, path: str, uploads: list[Upload], size: int) -> None:
        if not uploads:
            return
        progress = self._invocation.progress(path, size)
        try:
            self._connector.put_all(uploads, self._invocation.deadline, progress=progress)
        except HostError:
            if self._order.arguments["validate"]:
                with contextlib.suppress(HostError):  # the connection may be gone
                    discard(self._connector, [upload.path for upload in uploads])
            raise

    def _settle(self, wishes: list[Wish], expected: dict[str, str]) -> None:
        for wish, found in zip(wishes, settle(self._connector, self._invocation, wishes), strict=True):
            sha1 = expected.get(wish.path)
            if sha1 and found.sha1 and found.sha1 != sha1:  # the source has changed meanwhile, say
                raise MismatchError(found.sha1, sha1, wish.path)


def _folder(path: str) -> str:
    return path if path.endswith("/") else f"{path}/"
