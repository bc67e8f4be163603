"""One open watch: which lines it has still to send, and how it ends.

API concepts: Efficient detection of changes, Watch bookmarks, Streaming lists.
"""

from collections import deque
from collections.abc import Callable

import msgspec

from tests.support.apiserver_faults import Fault
from tests.support.apiserver_objects import EventType, Stored, bookmark, line, restamped, whole
from tests.support.apiserver_options import Options
from tests.support.apiserver_resources import Resource
from tests.support.apiserver_status import StatusError, too_large, watch_expired
from tests.support.apiserver_store import Change, CompactedError, Store

# Lines that wait for a slow client; then the server ends the watch, as a real one does.
BACKLOG = 200_000

_NO_JSON = b'{"type":"MODIFIED","object":{"kind":\n'


class Stream:
    """The lines of a watch in `pending`, at its start and with each change.

    `take` draws the fault of a line. Once `ended`, nothing is added, and after the last line it ends as
    `ending` says (CUT, STALLED; None: in good order). Raises StatusError when it cannot start.
    """

    def __init__(self, store: Store, resource: Resource, asked: Options, take: Callable[[], Fault | None]) -> None:
        self.resource = resource
        self.asked = asked
        self.pending: deque[bytes] = deque()
        self.ended = False
        self.ending: Fault | None = None
        self._take = take
        # Changes up to here are in the initial events or known to the client.
        self._since = store.revision
        self._start(store)

    def tell(self, change: Change) -> None:
        """A change, if this watch is about it."""
        if change.resource is not self.resource or change.revision <= self._since:
            return
        before, after = self._selected(change.before), self._selected(change.after)
        if after is not None:
            kind = EventType.ADDED if before is None else EventType.MODIFIED
            self._push(line(kind, whole(after, self.asked.form)))
        elif before is not None:
            self._push(line(EventType.DELETED, whole(restamped(before, change.revision), self.asked.form)))

    def bookmark(self, revision: int, initial_events_end: bool = False) -> None:
        """A bookmark, if the client asked for them."""
        if self.asked.bookmarks:
            shown = bookmark(self.resource, revision, self.asked.form, initial_events_end)
            self._push(line(EventType.BOOKMARK, shown))

    def end(self, ending: Fault | None = None) -> None:
        """After what is pending."""
        if not self.ended:
            self.ending = ending
            self.ended = True

    def _start(self, store: Store) -> None:
        # sendInitialEvents not given: resourceVersion unset or 0 begins with the state all the same.
        legacy = self.asked.initial is None and not self.asked.revision
        if self.asked.initial or legacy:
            self._send_state(store)
        elif self.asked.revision:
            self._resume(store, self.asked.revision)

    def _send_state(self, store: Store) -> None:
        wanted = self.asked.revision or 0
        if wanted > store.revision:
            raise too_large(wanted, store.revision)
        for version in filter(self.asked.selects, store.at(self.resource, store.revision)):
            self._push(line(EventType.ADDED, whole(version, self.asked.form)))
        if self.asked.initial:
            self.bookmark(store.revision, initial_events_end=True)

    def _resume(self, store: Store, revision: int) -> None:
        self._since = revision
        try:
            missed = store.since(self.resource, revision)
        except CompactedError:
            self._fail(watch_expired(revision, store.oldest))
            return
        for change in missed:
            self.tell(change)
        # A change held back for OUT_OF_ORDER is among the missed; it is not told again.
        self._since = max(revision, store.revision)

    def _selected(self, version: Stored | None) -> Stored | None:
        return version if version is not None and self.asked.selects(version) else None

    def _fail(self, error: StatusError) -> None:
        self.pending.append(line(EventType.ERROR, msgspec.Raw(msgspec.json.encode(error.status))))
        self.end()

    def _push(self, text: bytes) -> None:
        if self.ended:
            return
        fault = self._take()
        if fault is Fault.EXPIRED_EVENT:
            self._fail(watch_expired(self._since, self._since + 1))
        elif fault is Fault.STALLED:
            self.end(fault)
        elif fault is Fault.CUT:
            self.pending.append(text[: len(text) // 2])
            self.end(fault)
        else:
            self.pending.append(_NO_JSON if fault is Fault.INVALID_JSON else text)
        if len(self.pending) > BACKLOG:
            self.end()
