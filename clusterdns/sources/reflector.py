"""One resource of the API server: lists and watch events in, our events out. Decides, and does no I/O."""

from collections.abc import Iterable

import msgspec

from clusterdns.errors import SourceError
from clusterdns.kube.manifest import from_json
from clusterdns.kube.objects import Delete, Event, Kind
from clusterdns.kube.stream import Change, Head, Line, Page, head

# HTTP 410 Gone: the resourceVersion is too old
GONE = 410


class Expired(Exception):
    """The watch cannot go on from where it was: list again."""


class Broken(Exception):
    """The server reports an error, or sends what is no event."""


class Reflector:
    """`version`: the resourceVersion to watch from, empty when everything must be listed. `complaints`: objects that
    cannot be used, each naming object and field; taken out by whoever reports them."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.version = ""
        self.listed = False
        self.complaints: list[str] = []
        # Namespace and name -> resourceVersion of all that was heard of; of these, what was sent on
        self._known: dict[tuple[str, str], int] = {}
        self._sent: set[tuple[str, str]] = set()
        self._list: list[Event] | None = None
        self._seen: set[tuple[str, str]] = set()

    def begin_list(self) -> None:
        """What follows is everything there is."""
        self._list, self._seen = [], set()

    def take_page(self, page: Page) -> None:
        """Raises Broken for an item that is no object."""
        for raw in page.items:
            try:
                found = head(raw)
            except msgspec.MsgspecError as error:
                raise Broken(f"an item of the list is no object: {error}") from error
            self._take_listed(found, raw)

    def end_list(self, version: str) -> list[Event]:
        """The list as a whole: changes and what is gone. The watch goes on from `version`."""
        events, self._list = self._list or [], None
        gone = [where for where in self._known if where not in self._seen]
        for where in gone:
            events += self._gone(where)
        self._seen = set()
        self.version, self.listed = version, True
        return events

    def take_line(self, line: Line) -> list[Event]:
        """A watch event.  Raises Expired, or Broken for any other error event."""
        if line.change is Change.ERROR:
            if line.code == GONE:
                raise Expired(line.message)
            raise Broken(f"the watch ended with {line.code}: {line.message}")
        if line.change is Change.BOOKMARK:
            if self._list is not None:
                return self.end_list(line.version) if line.ends_list else []
            self.version = line.version
            return []
        if self._list is not None:
            self._take_listed(line.head, line.raw)
            return []
        self.version = line.version
        return self._changed(line)

    def lost(self, heads: Iterable[Head]) -> int:
        """How many objects differ from a list as of the version that was watched up to: what the watch lost."""
        there = {(found.namespace, found.name): found.version for found in heads}
        return len({where for where, _ in there.items() ^ self._known.items()})

    def expire(self) -> None:
        """List again; what is known stays until the list says otherwise."""
        self.version, self._list = "", None

    def _take_listed(self, found: Head, raw: bytes | msgspec.Raw) -> None:
        where = (found.namespace, found.name)
        self._seen.add(where)
        if self._list is not None:
            self._list += self._upsert(found, raw)

    def _changed(self, line: Line) -> list[Event]:
        where = (line.head.namespace, line.head.name)
        # A server or proxy that repeats itself, or mixes up the order: the newer state stays
        if line.head.version < self._known.get(where, 0):
            return []
        if line.change is Change.DELETED:
            return self._gone(where)
        return self._upsert(line.head, line.raw)

    def _gone(self, where: tuple[str, str]) -> list[Event]:
        self._known.pop(where, None)
        return self._unsent(where)

    def _unsent(self, where: tuple[str, str]) -> list[Event]:
        """A Delete if the object was sent on."""
        if where not in self._sent:
            return []
        self._sent.discard(where)
        return [Delete(self.kind, *where)]

    def _upsert(self, found: Head, raw: bytes | msgspec.Raw) -> list[Event]:
        """The object's event; a Delete when it has lost its meaning for DNS, nothing when it is not usable."""
        where = (found.namespace, found.name)
        self._known[where] = found.version
        try:
            event = from_json(self.kind, raw)
        except SourceError as error:
            self.complaints.append(f"{error}; its last good state stays")
            return []
        if event is None:
            return self._unsent(where)
        self._sent.add(where)
        self.complaints += event.remarks
        return [event]
