"""Who sees a session: one owner at most, and those who watch."""

from __future__ import annotations

from sshexec.errors import LimitError, TerminalError
from sshexec.terminal.events import Answered, Asked, Detached, Role, ViewerEvent, Watching
from sshexec.terminal.viewer import Viewer


class Audience:
    """The viewers of one session. All of it is called with the session's lock held.

    Args:
        watchers: viewers beside the owner, at most.
    """

    def __init__(self, watchers: int) -> None:
        self._limit = watchers
        self._viewers: dict[str, Viewer] = {}
        self._count = 0
        self.owner: Viewer | None = None

    def next_id(self) -> str:
        """Return the identifier of the next viewer."""
        self._count += 1
        return f"v{self._count}"

    def check(self, role: Role) -> None:
        """Check that there is room for one more.

        Raises:
            LimitError: there are as many watchers as there may be.
        """
        if role == "watcher" and sum(each.role == "watcher" for each in self._viewers.values()) >= self._limit:
            raise LimitError(f"the session has {self._limit} watchers, as many as it may have")

    def admit(self, viewer: Viewer) -> None:
        """Add a viewer; as the owner it takes the place of the one before."""
        if viewer.role == "owner":
            if self.owner is not None:
                self._remove(self.owner, Detached("stolen"))
            self.owner = viewer
        self._viewers[viewer.id] = viewer
        self.announce()

    def dismiss(self, viewer: Viewer, why: Detached) -> bool:
        """Take a viewer out; return whether it was one."""
        if self._viewers.get(viewer.id) is not viewer:
            return False
        self._remove(viewer, why)
        self.announce()
        return True

    def _remove(self, viewer: Viewer, why: Detached) -> None:
        del self._viewers[viewer.id]
        if self.owner is viewer:
            self.owner = None
        viewer.tell(why)

    def promote(self, identifier: str, standing: Asked | None) -> Viewer:
        """Make another viewer the owner; the one before watches on.

        Args:
            identifier: whose turn it is.
            standing: the question that waits for the owner.

        Raises:
            TerminalError: there is no such viewer.
        """
        viewer = self.find(identifier)
        before = self.owner
        if before is not viewer:
            if before is not None:
                before.role = "watcher"
                if standing is not None:
                    before.tell(Answered(standing.id))
            viewer.role, self.owner = "owner", viewer
            if standing is not None:
                viewer.tell(standing)
            self.announce()
        return viewer

    def find(self, identifier: str) -> Viewer:
        """Return a viewer by its identifier.

        Raises:
            TerminalError: there is none.
        """
        try:
            return self._viewers[identifier]
        except KeyError:
            raise TerminalError("there is no such viewer") from None

    def tell(self, event: ViewerEvent) -> None:
        """Tell everybody."""
        for viewer in self._viewers.values():
            viewer.tell(event)

    def wake(self) -> None:
        """Have everybody look again."""
        for viewer in self._viewers.values():
            viewer.wake()

    def listed(self) -> tuple[tuple[str, str, Role], ...]:
        """Return identifier, user and role of each."""
        return tuple((viewer.id, viewer.user, viewer.role) for viewer in self._viewers.values())

    def announce(self) -> None:
        """Tell everybody who is there."""
        listed = self.listed()
        for viewer in self._viewers.values():
            viewer.tell(Watching(listed, viewer.id, viewer.role))
