"""List and watch between our own processes. Pure: messages in, messages out.

A subscriber is owed keys, not events: what it has not been sent yet is a set that a newer change only adds to, so a
subscriber that is slow gets the newest state later and the queue is hardly longer than the table.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

import msgspec

from clusterdns.kube.packed import Packed
from clusterdns.sources.table import State, Table

# Objects and octets in one message. Taking in 50 objects keeps a worker from its queries for about 1 ms.
MAX_OBJECTS, MAX_OCTETS = 50, 32 * 1024


class Listing(msgspec.Struct, frozen=True, tag="l", array_like=True):
    """All objects of `source` follow, up to the next `Told`; what is not among them is gone."""

    source: bytes
    state: int


class Changes(msgspec.Struct, frozen=True, tag="c", array_like=True):
    """Objects as they are now: keys and payloads in turn, an empty payload for one that is gone."""

    source: bytes
    objects: list[bytes]
    serial: int


class Told(msgspec.Struct, frozen=True, tag="t", array_like=True):
    """Everything of `source` was told, in this state; EMPTY: there is nothing to tell yet."""

    source: bytes
    state: int
    serial: int


class Want(msgspec.Struct, frozen=True, tag="w", array_like=True):
    """A worker's subscription: all sources that it wants from now on, and those to be told again from the start.
    `serial`: the highest that it has shown to anybody."""

    worker: int
    sources: tuple[bytes, ...]
    again: tuple[bytes, ...] = ()
    serial: int = 0


Message = Listing | Changes | Told
_encode = msgspec.msgpack.Encoder().encode
_messages: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
_wants = msgspec.msgpack.Decoder(Want)
# Octets of the length before each message
LENGTH = 4


def frame(message: Message | Want) -> bytes:
    raw = _encode(message)
    return len(raw).to_bytes(LENGTH, "big") + raw


def message(raw: bytes) -> Message:
    """Raises msgspec.MsgspecError."""
    return _messages.decode(raw)


def want(raw: bytes) -> Want:
    """Raises msgspec.MsgspecError."""
    return _wants.decode(raw)


class Subscription:
    """What one subscriber is owed of one table. `due` is called when that becomes more than nothing."""

    def __init__(self, source: bytes, table: Table, due: Callable[[], None]) -> None:
        self._source, self.table, self._due = source, table, due
        # Not a dict: taking the first of one costs a look at every place that was taken before
        self._owed: OrderedDict[bytes, None] = OrderedDict()
        self._listing = self._told = False
        table.watchers.append(self._changed)
        self._changed((), True)

    def close(self) -> None:
        self.table.watchers.remove(self._changed)

    def again(self) -> None:
        """Tell everything anew."""
        self._changed((), True)

    def __bool__(self) -> bool:
        return bool(self._owed) or not self._told

    def messages(self) -> Iterator[Message]:
        """What is owed, until the caller has enough of it."""
        if self._listing:
            self._listing = False
            yield Listing(self._source, self.table.state)
        while self._owed:
            yield self._some()
        if not self._told:
            self._told = True
            yield Told(self._source, self.table.state, self.table.serial)

    def _some(self) -> Changes:
        objects: list[bytes] = []
        size = 0
        while self._owed and len(objects) < 2 * MAX_OBJECTS:
            key, _ = self._owed.popitem(last=False)
            payload = self.table.objects.get(key, b"")
            objects += (key, payload)
            size += len(payload)
            if size > MAX_OCTETS:
                break
        return Changes(self._source, objects, self.table.serial)

    def _changed(self, keys: Sequence[bytes], whole: bool) -> None:
        self._owed.update(dict.fromkeys(keys))
        # Of objects that came and went while nobody read, there is no end
        whole |= len(self._owed) > len(self.table.objects) + MAX_OBJECTS
        if whole and self.table.state is not State.EMPTY:
            self._listing = True
            self._owed = OrderedDict.fromkeys(self.table.objects)
        if whole:
            self._told = False
        self._due()


class Follower:
    """What one subscriber knows of one table.

    `take` gives what is to be applied. `state`: of what was told. `heard`: the other side has said all that it knows,
    be it nothing; `whole`: and it was everything. `hold`: keep a first listing until it is complete, because queries
    are answered meanwhile.
    """

    def __init__(self, hold: bool = False) -> None:
        self.hold = hold
        self.state = State.EMPTY
        self.heard = self.whole = False
        # Digests, to skip what is known when everything is told again
        self._known: dict[bytes, int] = {}
        self._unseen: set[bytes] | None = None
        self._held: dict[bytes, bytes] | None = None
        # What is told is not for us: it is of no listing, or of one of somebody who knows less
        self._ignore = True
        # The next listing is for a store that has nothing yet
        self._blank = False

    @property
    def settled(self) -> bool:
        """Is there something to answer from, in every store?"""
        return self.state is not State.EMPTY and not self._blank

    def forget(self) -> None:
        """There is a store that was told nothing yet: the next listing is to be taken in whole."""
        # A digest that no object has, so that what is gone by then is still known to have been there
        self._known = dict.fromkeys(self._known, -1)
        self._blank, self.whole = True, False

    def take(self, message: Message) -> list[Packed]:
        if isinstance(message, Listing):
            self._begin(State(message.state))
            return []
        if isinstance(message, Told):
            self.heard = True
        # EMPTY ends no listing: one that was cut off goes on being unfinished
        if self._ignore or (isinstance(message, Told) and message.state == State.EMPTY):
            return []
        if isinstance(message, Told):
            return self._end(State(message.state))
        found = self._fresh(message.objects)
        if self._held is None:
            return found
        self._held |= found
        return []

    def _begin(self, state: State) -> None:
        # A controller that started from a snapshot knows less than we do
        self._ignore = state < self.state
        if not self._ignore:
            self._unseen, self._blank = set(self._known), False
            # What an interrupted listing left is held on to
            if self.hold and self.state is State.EMPTY and self._held is None:
                self._held = {}

    def _fresh(self, flat: list[bytes]) -> list[Packed]:
        found = []
        pairs = iter(flat)
        for key, payload in zip(pairs, pairs, strict=True):
            if self._unseen is not None:
                self._unseen.discard(key)
            digest = hash(payload) if payload else 0
            if self._known.get(key, 0) != digest:
                found.append(Packed(key, payload))
                if payload:
                    self._known[key] = digest
                else:
                    del self._known[key]
        return found

    def _end(self, state: State) -> list[Packed]:
        found, self._held = [Packed(*each) for each in (self._held or {}).items()], None
        if self._unseen is not None:
            gone, self._unseen = sorted(self._unseen), None
            for key in gone:
                del self._known[key]
            found += [Packed(key, b"") for key in gone]
        self.state = max(self.state, state)
        self.whole = self.state >= State.RESTORED and not self._blank
        return found
