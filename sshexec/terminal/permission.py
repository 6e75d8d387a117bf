"""Who may do what with terminals: asked at each step, and what nobody allows is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Action = Literal[
    "hosts",
    "open",
    "accept_host_key",
    "watch",
    "control",
    "terminate",
    "upload",
    "download",
    "replay",
    "run",
    "history",
]
"""``hosts``: see that the host is there. ``open``: a session on it. ``accept_host_key``: trust a key that is not known.
``watch``, ``control``, ``terminate``: other users' sessions there; one's own need no permission. ``upload``,
``download``: files in one's own session. ``replay``: recordings of it, one's own too. ``run``: tasks on it.
``history``: see what ran there."""

Permit = Callable[[str, Action, str], bool]
"""Gets the user, the action and the host's name. True alone allows; whatever else it returns or raises refuses."""
