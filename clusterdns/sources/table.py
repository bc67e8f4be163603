"""All objects of one source, packed: what the feed tells the workers and the snapshot keeps. Pure."""

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum

from clusterdns.kube.packed import SYNCED, Packed


class State(IntEnum):
    """How much of a source is known."""

    EMPTY = 0
    """Nothing as a whole: what there is of it is not told to anyone."""

    PARTIAL = 1
    """Some of it, and the rest cannot be had for now."""

    RESTORED = 2
    """What a snapshot remembered."""

    SYNCED = 3
    """All that there was when the source began, and every change since."""


# Told of a state that was reached (True: everything is to be told again) or of keys that changed
Watcher = Callable[[Sequence[bytes], bool], None]


class Table:
    """`objects`: key -> payload. `serial`: the SOA serial of the newest change, max(last + 1, unix seconds)."""

    def __init__(self) -> None:
        self.objects: dict[bytes, bytes] = {}
        self.state = State.EMPTY
        self.serial = 0
        self.watchers: list[Watcher] = []
        # Keys that only the snapshot has vouched for
        self._unconfirmed: set[bytes] = set()

    def restore(self, objects: Iterable[Packed], serial: int) -> None:
        """The state of a snapshot, for a table that was told nothing yet."""
        self.objects = dict(objects)
        self._unconfirmed = set(self.objects)
        self.serial = serial
        self.state = State.RESTORED
        self._tell((), True)

    def settle(self) -> None:
        """What was said up to here is all that can be had for now, if it is not everything."""
        if self.state is State.EMPTY:
            self.state = State.PARTIAL
            self._tell((), True)

    def apply(self, changes: Iterable[Packed], now: int) -> None:
        """What the source says; `now` in unix seconds. SYNCED among it: everything was said."""
        changed: list[bytes] = []
        complete = False
        for change in changes:
            if change == SYNCED:
                complete = True
            elif self._take(change):
                changed.append(change.key)
        if complete and self.state is not State.SYNCED:
            changed += self._confirmed()
            self.state = State.SYNCED
        else:
            complete = False
        if changed:
            self.serial = max(self.serial + 1, now)
        if complete or (changed and self.state is not State.EMPTY):
            self._tell(changed, complete)

    def _take(self, change: Packed) -> bool:
        """Does it change anything?"""
        key, payload = change
        self._unconfirmed.discard(key)
        if self.objects.get(key, b"") == payload:
            return False
        if payload:
            self.objects[key] = payload
        else:
            del self.objects[key]
        return True

    def _confirmed(self) -> list[bytes]:
        """What the snapshot knew and the source did not name is gone."""
        gone = sorted(self._unconfirmed)
        self._unconfirmed = set()
        for key in gone:
            del self.objects[key]
        return gone

    def _tell(self, keys: Sequence[bytes], whole: bool) -> None:
        for watcher in list(self.watchers):
            watcher(keys, whole)
