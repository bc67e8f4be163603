"""One resource of the API server: lists and watch events in, packed events out. Decides, and does no I/O.

Of an object it keeps the version alone; of a list that is being read, what is to be sent of it, packed.
"""

from collections.abc import Mapping

import msgspec

from clusterdns.errors import SourceError
from clusterdns.kube.manifest import from_json
from clusterdns.kube.objects import Endpoint, Kind, Object, Service, ServiceType, Slice, Upsert, slice_of
from clusterdns.kube.packed import Packed, key, pack
from clusterdns.kube.stream import Change, Head, Line, Page, head, number
from clusterdns.sources.complaints import MAX_LENGTH, MAX_LINES

# HTTP 410 Gone: the resourceVersion is too old
GONE = 410
# Deletions that are remembered against older events that come late; a bookmark ends their time, some each minute
_MAX_BURIED = 10_000


class Expired(Exception):
    """The watch cannot go on from where it was: list again."""


class Broken(Exception):
    """The server reports an error, or sends what is no event."""


class _Listing(msgspec.Struct):
    """A list that is being read. `known` and `unsent` are what the reflector's are to be, `packed` what to send."""

    known: dict[bytes, int] = {}
    unsent: set[bytes] = set()
    packed: list[Packed] = []


class Audit:
    """A list of versions against what a watch knows as of the same version. `lost`: how many objects differ."""

    def __init__(self, kind: Kind, known: Mapping[bytes, int]) -> None:
        self._kind, self._known = kind, known
        self._wrong, self._found = 0, 0

    def take(self, page: Page) -> None:
        """Raises Broken for an item that is no object."""
        for raw in page.items:
            found = _head(raw)
            version = self._known.get(key(self._kind, found.namespace, found.name))
            self._found += version is not None
            self._wrong += version != found.version

    @property
    def lost(self) -> int:
        return self._wrong + len(self._known) - self._found


class Reflector:
    """`version`: the resourceVersion to watch from, empty when everything must be listed. `listed`: it was once.
    `headless`: keys of Services without a ClusterIP. `pod_names` False: endpoints do not keep the name of their pod."""

    def __init__(self, kind: Kind, pod_names: bool = True) -> None:
        self.kind = kind
        self.version = ""
        self.listed = False
        self.headless: set[bytes] = set()
        self._pod_names = pod_names
        self._complaints: list[str] = []
        # Key -> resourceVersion of all that was heard of; of these, what the receiver has no good state of
        self._known: dict[bytes, int] = {}
        self._unsent: set[bytes] = set()
        self._buried: dict[bytes, int] = {}
        # The version of the last list: what happened before it is in it
        self._since = 0
        self._list: _Listing | None = None

    def __contains__(self, where: bytes) -> bool:
        """Is there an object of this key (`kube.packed.key`)?"""
        return where in self._known

    @property
    def listing(self) -> bool:
        """A list was begun and not ended."""
        return self._list is not None

    def begin_list(self) -> None:
        """What follows is everything there is."""
        self._list = _Listing()

    def take_page(self, page: Page) -> None:
        """Raises Broken for an item that is no object."""
        for raw in page.items:
            self._take_listed(_head(raw), raw)

    def end_list(self, version: str) -> list[Packed]:
        """The list as a whole: what is new or has another version, and what is gone. The watch goes on from
        `version`."""
        found, self._list = self._list or _Listing(), None
        gone = [where for where in self._known if where not in found.known]
        sent = [Packed(where, b"") for where in gone if where not in self._unsent]
        self.headless.difference_update(gone)
        self._known, self._unsent = found.known, found.unsent
        self._buried.clear()
        self.version, self.listed, self._since = version, True, number(version)
        return found.packed + sent

    def take_line(self, line: Line) -> list[Packed]:
        """A watch event.  Raises Expired, or Broken for any other error event."""
        if line.change is Change.ERROR:
            raise Expired(line.message) if line.code == GONE else Broken(f"{line.code}: {line.message}")
        if line.change is Change.BOOKMARK:
            return self._bookmark(line)
        if self._list is not None:
            self._take_listed(line.head, line.raw)
            return []
        self._reached(line.version)
        return self._changed(line)

    def audit(self) -> Audit:
        """For a list of exactly the version that was watched up to."""
        return Audit(self.kind, self._known)

    def expire(self) -> None:
        """List again; what is known stays until the list says otherwise."""
        self.version, self._list = "", None

    def complaints(self) -> list[str]:
        """What cannot be used, each naming object and field, and other complaints, since the last time."""
        said, self._complaints = self._complaints, []
        return said

    def _bookmark(self, line: Line) -> list[Packed]:
        if self._list is not None:
            return self.end_list(line.version) if line.ends_list else []
        self._reached(line.version)
        self._buried.clear()
        return []

    def _reached(self, version: str) -> None:
        """Events may come out of order: the watch goes on behind the newest."""
        if number(version) >= number(self.version):
            self.version = version

    def _take_listed(self, found: Head, raw: bytes | msgspec.Raw) -> None:
        listing = self._list or _Listing()
        where = key(self.kind, found.namespace, found.name)
        listing.known[where] = found.version
        if found.version and found.version == self._known.get(where):
            sent = where not in self._unsent
        else:
            changes, sent = self._changes(where, raw)
            listing.packed += changes
        if not sent:
            listing.unsent.add(where)

    def _changed(self, line: Line) -> list[Packed]:
        where, version = key(self.kind, line.head.namespace, line.head.name), line.head.version
        known = max(self._known.get(where, 0), self._buried.get(where, 0))
        # A server or proxy that repeats itself, or mixes up the order: the newer state stays
        if version < known or 0 < version <= self._since:
            return []
        if line.change is Change.DELETED:
            return self._gone(where, version)
        if version and version == known:
            return []
        changes, sent = self._changes(where, line.raw)
        self._known[where] = version
        if sent:
            self._unsent.discard(where)
        else:
            self._unsent.add(where)
        return changes

    def _gone(self, where: bytes, version: int) -> list[Packed]:
        if len(self._buried) < _MAX_BURIED:
            self._buried[where] = version
        sent = self._sent(where)
        self._known.pop(where, None)
        self._unsent.discard(where)
        self.headless.discard(where)
        return [Packed(where, b"")] if sent else []

    def _sent(self, where: bytes) -> bool:
        return where in self._known and where not in self._unsent

    def _changes(self, where: bytes, raw: bytes | msgspec.Raw) -> tuple[list[Packed], bool]:
        """What to send of an object, and whether the receiver has a state of it then: its last good one if this one is
        not usable, none if it has lost its meaning for DNS."""
        sent = self._sent(where)
        try:
            event = from_json(self.kind, raw)
        except SourceError as error:
            self.complain(f"{error}; its last good state stays")
            return [], sent
        if event is None:
            return ([Packed(where, b"")] if sent else []), False
        for remark in event.remarks:
            self.complain(remark)
        return [self._packed(where, event)], True

    def _packed(self, where: bytes, event: Upsert) -> Packed:
        obj: Object = event.object
        if isinstance(obj, Service):
            (self.headless.add if obj.type is ServiceType.HEADLESS else self.headless.discard)(where)
        if isinstance(obj, Slice) and not self._pod_names:
            return pack(Upsert(_without_pods(obj), event.labels))
        return pack(event)

    def complain(self, text: str) -> None:
        """Something to say with the next changes. Bounded: a list may hold 100,000 wrong objects."""
        if len(self._complaints) < MAX_LINES:
            self._complaints.append(text[:MAX_LENGTH])
        elif len(self._complaints) == MAX_LINES:
            self._complaints.append(f"more complaints about {self.kind.value}s are not shown; mend these first")


def _without_pods(part: Slice) -> Slice:
    endpoints = [Endpoint(each.address, each.hostname, b"", each.fqdn) for each in part.endpoints]
    return slice_of(part.namespace, part.name, part.service, part.ports, [*endpoints, *map(Endpoint, part.addresses)])


def _head(raw: msgspec.Raw) -> Head:
    try:
        return head(raw)
    except msgspec.MsgspecError as error:
        raise Broken(f"an item of the list is no object: {error}") from error
