"""The ``file`` module: files, directories and links of a host, and what may be done with them.

Everything is one round trip: the host's shell looks, decides, changes and tells (`modules/file_script.py`); here its
answer becomes Ansible's result.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from sshexec.connectors.base import Connector
from sshexec.connectors.posix import quote
from sshexec.errors import ArgumentError, HostError
from sshexec.modules.arguments import Parameter, readable
from sshexec.modules.base import Invocation, Module, Result
from sshexec.modules.exchange import run_script, said, shown
from sshexec.modules.file_arguments import FILE_PARAMETERS
from sshexec.modules.file_script import BEGIN, END, FUNCTIONS, INSIDE, PREPARE, STATES
from sshexec.modules.mode import Mode
from sshexec.modules.wish import NO_TARGET, Context, SettingError, attribute_script, identity, system_error
from sshexec.modules.words import expanding

_FORMAT = "%Y%m%d%H%M.%S"
_STATES = ("absent", "directory", "file", "hard", "link", "touch")
_TIME = "`now`, `preserve`, or a time"
_REMOVED = re.compile(r"rm: (?:cannot remove |can't remove )?'?(.*?)'?: ([^:]*)\Z")


class File(Module):
    """Make a file, directory or link, remove it, or set whose it is and what may be done with it."""

    name = "file"
    parameters = (
        Parameter("path", "path", required=True, aliases=("dest", "name"), help="what it is about"),
        Parameter(
            "state",
            choices=_STATES,
            help="`file`, `directory`, `link`, `hard`, `touch` or `absent`; not given, it is what is there",
        ),
        Parameter("src", "path", help="what a `link` or `hard` link points to"),
        Parameter("recurse", "bool", default=False, help="set attributes of everything below a directory too"),
        Parameter("force", "bool", default=False, help="link to what is not there, and in place of what is there"),
        Parameter("follow", "bool", default=True, help="of a link, set the attributes of what it points to"),
        Parameter("modification_time", help=f"{_TIME}; `now` is the default of `touch`, else it is `preserve`"),
        Parameter("modification_time_format", default=_FORMAT, help="how that time is written (strftime)"),
        Parameter("access_time", help=f"{_TIME}; likewise"),
        Parameter("access_time_format", default=_FORMAT, help="how that time is written (strftime)"),
        *FILE_PARAMETERS,
    )

    def check_arguments(self) -> None:
        """Check the mode and the times."""
        arguments = self.arguments
        try:
            self._mode = None if arguments["mode"] is None else Mode(arguments["mode"])
        except ValueError as error:
            raise ArgumentError(f"{self.name}: {error}") from None
        self._times = {name: self._time(f"{name}_time") for name in ("modification", "access")}
        self._script: Callable[[bool, bool], str] = functools.cache(self._write)

    def _time(self, name: str) -> time.struct_time | str:
        """Return the time to set; ``now``, or "" where it stays."""
        value, form = self.arguments[name], self.arguments[f"{name}_format"]
        if value is None:
            return "now" if self.arguments["state"] == "touch" else ""
        if value in ("now", "preserve"):
            return value if value == "now" else ""
        try:
            return time.strptime(value, form)
        except ValueError as error:
            about = f"time {readable(value)} using format {readable(form)}: {readable(str(error))}"
            raise ArgumentError(f"{self.name}: Error while obtaining timestamp for {about}") from None

    def run(self, connector: Connector[Any, Any], invocation: Invocation) -> Result:
        """Do it, or in check mode say what would change."""
        script = self._script(invocation.check, invocation.diff)
        about = ("file", self.arguments["path"], self.arguments["state"] or "")
        rc, output = run_script(connector, invocation, script, about)
        fields = output.stdout.decode("utf-8", "surrogateescape").split("\0")
        records = [tuple(fields[at : at + 3]) for at in range(0, len(fields) - 2, 3)]
        if not any(record[0] in ("end", "fail", "twins") for record in records):
            raise HostError(f"the host's shell broke off: {said(output) or f'exit status {rc}'}")
        answer = _Answer(records)
        result = self._answered(answer, diff=invocation.diff)
        if answer.crashed:
            return result
        told = self._result(**result)
        warnings = [*told.get("warnings", []), *result.get("warnings", [])]
        if warnings:
            told["warnings"] = list(dict.fromkeys(warnings))
        arguments = told["invocation"]["module_args"]
        arguments.update(path=shown(answer.first["main"]), state=answer.last("main", 1))
        if self.arguments["src"] is not None:
            arguments["src"] = shown(answer.first["src"])
        return told

    def _write(self, check: bool, diff: bool) -> str:
        """Return the script; the same for every host."""
        arguments = self.arguments
        src, state = arguments["src"], arguments["state"]
        # What is the host's to expand comes first: the script's own variables would be in its way.
        words = f"sshexec_p={expanding(arguments['path'])}\nsshexec_s={expanding(src or '')}\n"
        functions = FUNCTIONS + self._settings(check, diff)
        if arguments["recurse"]:
            functions = f'all={quote(functions)}\neval "$all"\n'
        begin = (
            "P=$sshexec_p src=$sshexec_s depth=0 uid= gid= quiet= do=\nbase=${src##*/}\n"
            f"sources={_flag(src is not None)}\n{functions}state={state or ''}\n"
        )
        default = ""
        if state is None:
            missing = "directory" if arguments["recurse"] else "file"
            default = f'kind "$P"\n[ "$k" = absent ] && state={missing} || state=$k\n'
        body = [words, begin, INSIDE, default, BEGIN, PREPARE]
        if state is not None:
            body.append(STATES[state])
        else:
            cases = (f"{each}) {STATES[each]} ;;\n" for each in ("file", "directory", "link", "hard"))
            body.append(f"case $state in\n{''.join(cases)}esac\n")
        return "".join([*body, END])

    def _settings(self, check: bool, diff: bool) -> str:
        arguments = self.arguments
        context, attributes = Context.of(arguments), arguments["attributes"]
        owner, group = arguments["owner"], arguments["group"]
        lines = [
            f"doing={_flag(not check)} diffs={_flag(diff)} told= made=",
            *(f"{name}={_flag(arguments[name])}" for name in ("follow", "force", "recurse")),
            f"owns={_flag(owner is not None)} owner={quote(identity(owner or ''))}",
            f"groups={_flag(group is not None)} group={quote(identity(group or ''))}",
            f"modes={_flag(self._mode is not None)} attributes={_flag(attributes)} contexts={_flag(context)}",
            "u=$((0$(umask)))",
            f"wanted() {{\n{'' if self._mode is None else self._mode.script()}:\n}}",
            f"attributes_of() {{\n{attribute_script(attributes or '')}}}",
            f"context_of() {{\n{'' if context is None else context.script()}:\n}}",
        ]
        for letter, value in (("m", self._times["modification"]), ("a", self._times["access"])):
            if isinstance(value, str):
                lines.append(f"{letter}time={value}")
                continue
            year, month, day, hour, minute, second = value[:6]
            stamp = f"{year:04}{month:02}{day:02}{hour:02}{minute:02}.{second:02}"
            moment = f"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"
            lines.append(f"epoch '{moment}' {stamp}; {letter}time=$v {letter}stamp={stamp}")
        return "".join(f"{line}\n" for line in lines)

    def _answered(self, answer: _Answer, *, diff: bool) -> Result:
        path, state = answer.last("main"), answer.last("main", 1)
        if "fail" in answer.first:
            return {"failed": True, "changed": False, **answer.failure()}
        if "twins" in answer.first:
            return {"path": shown(path), "changed": False, **answer.facts()}
        result: Result = {"changed": "changed" in answer.first}
        if state in ("link", "hard", "touch"):
            result["dest"] = shown(path)
        else:
            result["path"] = shown(path)
        if state in ("link", "hard"):
            result["src"] = shown(answer.last("src")) if "src" in answer.first else None
        if state == "absent":
            result["state"] = "absent"
        if diff and "was" in answer.first:
            result["diff"] = answer.difference(path, state)
        if "unset" in answer.first:
            result["warnings"] = [NO_TARGET]
        return {**result, **answer.facts()}


def _flag(value: object) -> str:
    return "1" if value else ""


class _Answer:
    """What a host told.

    Args:
        records: what, and two values.
    """

    def __init__(self, records: list[tuple[str, ...]]) -> None:
        self._records = records
        self.first: dict[str, str] = {}
        for what, value, _ in records:
            self.first.setdefault(what, value)

    @property
    def crashed(self) -> bool:
        """Whether Ansible's own module breaks off here, without a word about its arguments."""
        return self.first.get("fail") in ("chmod", "system")

    def last(self, what: str, column: int = 0) -> str:
        """Return what was told last of something."""
        values = [record[1 + column] for record in self._records if record[0] == what]
        return values[-1] if values else ""

    def facts(self) -> dict[str, Any]:
        """Return what Ansible tells of the path that a result is about."""
        stat = self.first.get("stat", "")
        if not stat:
            return {}
        links, _, raw, uid, gid, size, owner, group = stat.split(":", 7)
        mode = int(raw, 16 if raw.startswith("0x") else 8)
        kinds = {0o120000: "link", 0o040000: "directory"}
        facts: dict[str, Any] = {
            "uid": int(uid),
            "gid": int(gid),
            "owner": uid if owner == "UNKNOWN" else shown(owner),
            "group": gid if group == "UNKNOWN" else shown(group),
            "mode": f"0{mode & 0o7777:03o}",
            "state": kinds.get(mode & 0o170000) or ("hard" if int(links) > 1 else "file"),
            "size": int(size),
        }
        if "secontext" in self.first:
            facts["secontext"] = self.first["secontext"]
        return facts

    def difference(self, path: str, state: str) -> dict[str, dict[str, Any]]:
        """Return Ansible's ``diff``."""
        before: dict[str, Any] = {"path": shown(path)}
        after: dict[str, Any] = {"path": shown(path)}
        if self.first["was"] != state:
            before["state"], after["state"] = self.first["was"], state
            if state == "absent" and self.first["was"] == "directory":
                listed = {"directories": "directory", "files": "file"}
                before["path_content"] = {
                    name: [shown(record[1]) for record in self._records if record[0] == what]
                    for name, what in listed.items()
                }
        for what, old, new in self._records:
            kind, _, key = what.partition(" ")
            if kind == "diff":
                before[key], after[key] = _READ.get(key, shown)(old), _READ.get(key, shown)(new)
        return {"before": before, "after": after}

    def failure(self) -> dict[str, Any]:
        """Return message and keys of a failure, as Ansible has them."""
        what, text = next((record[1], record[2]) for record in self._records if record[0] == "fail")
        at, main, src = self.first["at"], self.last("main"), self.first.get("src", "")
        facts = self.facts()
        if what in _MESSAGES:
            values = {"at": shown(at), "text": shown(text)}
            message = _MESSAGES[what].format(**values)
        elif what in _SYSTEM:
            lead, about = _SYSTEM[what]
            paths = {
                "at": [at],
                "made": [self.first.get("made", "")],
                "link": [self.first.get("linked", src), at],
                "temporary": [self.first.get("linked", src), self.first.get("temporary", "")],
                "": [],
            }
            said_so = system_error(text, *paths[about])
            message = lead.format(made=shown(self.first.get("made", ""))) + said_so
        elif what == "rmtree":
            message = f"rmtree failed: {_not_removed(text, main)}"
        else:
            error = SettingError.of(what, text, at)
            more = {} if error.path is None else {"path": shown(at), **facts}
            return {"msg": error.message, **error.values, **more}
        if what in _BARE:
            return {"msg": message}
        if what in _OF_DEST:
            return {"dest": shown(main), "src": shown(src), "msg": message, **facts}
        result = {"path": shown(at), "msg": message, **facts}
        if what == "dangling":
            result["src"] = shown(src)
        if what == "state":
            result["state"] = facts.get("state", text)
        return result


_MESSAGES = {
    "recurse": "recurse option requires state to be 'directory'",
    "src": "src option requires state to be 'link' or 'hard'",
    "state": "file ({at}) is {text}, cannot continue",
    "exists": "{at} already exists as a {text}",
    "dangling": "src file does not exist, use 'force=yes' if you really want to create the link: {text}",
    "full": "the directory {at} is not empty, refusing to convert it",
    "refuse": "refusing to convert from {text} to symlink for {at}",
    "missing": "src does not exist",
    "otherlink": "Cannot link, different hard link exists at destination",
    "inplace": "Cannot link, {text} exists at destination",
    "otherdir": "Cannot link: different hard link exists at destination",
    "touch": "Error, could not touch target.",
    "unlink": "Unlinking failed.",
    "depth": "Could not recursively set attributes on {at}. Original error was: '{text}'",
    "unsourced": "src is required for creating new {text}",
}
_SYSTEM = {
    "mkdir": ("There was an issue creating {made} as requested: ", "made"),
    "link": ("Error while linking: ", "link"),
    "replace": ("Error while replacing: ", "temporary"),
    "stat": ("Error while updating modification or access time: ", "at"),
    "times": ("Error while updating modification or access time: ", ""),
    "system": ("Module failed: ", "at"),
}
"""What Ansible says before what the system said, and which paths it names then."""
_BARE = ("unsourced", "rmtree", "system")
"""Failures that tell nothing of the path."""
_OF_DEST = ("missing", "otherlink", "inplace", "otherdir")


def _not_removed(text: str, main: str) -> str:
    """Return what `rm` said, as Python does: an entry by its name, the directory itself by its path."""
    found = _REMOVED.match(text.partition("\n")[0])
    if found is None:
        return shown(text)
    if found[1] == main:
        return system_error(found[2], main)
    return f"{system_error(found[2])}: {shown(found[1].rpartition('/')[2])!r}"


def _mode(text: str) -> str:
    return f"0{int(text):03o}"


def _moment(text: str) -> float:
    """Return a time as Python's `os.stat` has it."""
    whole, _, part = text.partition(".")
    # A date without %N (busybox, BSD) prints the letter, or nothing.
    return int(whole) + (1e-9 * int(part.ljust(9, "0")[:9]) if part.isdigit() else 0.0)


_READ: Mapping[str, Callable[[str], Any]] = {
    "owner": int,
    "group": int,
    "mode": _mode,
    "mtime": _moment,
    "atime": _moment,
    "secontext": lambda text: text.split(":", 3),
}
