"""Differences as Ansible shows them: of a file's content, and of what is set on it."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from sshexec.connectors.base import Connector
from sshexec.connectors.files import Found
from sshexec.errors import TransferError
from sshexec.modules.base import Invocation
from sshexec.modules.exchange import shown

LARGEST = 104448
"""Bytes up to which Ansible shows a file's content."""


class _LargeError(OSError):
    pass


class _Limited(BytesIO):
    """Memory that takes no more than is shown."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > LARGEST:
            raise _LargeError
        return super().write(data)


def of_content(
    connector: Connector[Any, Any], invocation: Invocation, path: str, found: Found, new: bytes | None, source: str
) -> list[dict[str, Any]]:
    """Return what a file's content was, and what it becomes.

    Args:
        connector: the host.
        invocation: the task's.
        path: of the file on the host.
        found: what is there.
        new: its new content; None where that is too large to be shown.
        source: where that is from.

    Raises:
        HostError: the connection broke.
    """
    diff = _before(connector, invocation, path, found)
    if new is None:
        diff["src_larger"] = LARGEST
    elif b"\0" in new:
        diff["src_binary"] = 1
    else:
        diff["after_header"] = source
        diff["after"] = new.decode("utf-8", "backslashreplace")
    return [diff]


def _before(connector: Connector[Any, Any], invocation: Invocation, path: str, found: Found) -> dict[str, Any]:
    if found.kind not in ("file", "link"):
        return {"before": ""}
    if (found.size or 0) > LARGEST:
        return {"dst_larger": LARGEST}
    held = _Limited()
    try:
        connector.get(path, held, invocation.deadline)
    except _LargeError:
        return {"dst_larger": LARGEST}
    except TransferError as error:
        # A link that leads nowhere is replaced; what can't be read is not shown.
        return {"before": ""} if error.reason == "missing" else {}
    if b"\0" in held.getvalue():
        return {"dst_binary": 1}
    return {"before_header": shown(path), "before": held.getvalue().decode("utf-8", "backslashreplace")}


def of_rights(path: str, changes: Mapping[str, tuple[Any, Any]]) -> dict[str, dict[str, Any]]:
    """Return what is set on a path.

    Args:
        path: of the host.
        changes: what it was and what it becomes, by key.
    """
    before, after = ({key: pair[side] for key, pair in changes.items()} for side in (0, 1))
    return {"before": {**before, "path": shown(path)}, "after": {**after, "path": shown(path)}}
