"""The feed as a whole, without a socket: whatever happens between a table and those that follow it, each of them ends
with what the table has, and none of them loses anything on the way."""

from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from clusterdns.kube.packed import SYNCED, Packed
from clusterdns.sources.feed import (
    LENGTH,
    MAX_OBJECTS,
    MAX_OCTETS,
    Changes,
    Follower,
    Listing,
    Message,
    Subscription,
    Told,
    Want,
    frame,
    message,
    want,
)
from clusterdns.sources.table import State, Table

SOURCE = b"one"
KEYS = [f"s/a/{number}".encode() for number in range(12)]
# Three objects fill a message, so that a listing has many
OBJECT = MAX_OCTETS // 3 + 1
SOME_KEYS = st.lists(st.sampled_from(KEYS), min_size=1, max_size=6)
WHO = st.integers(0, 1)


def payload(version: int) -> bytes:
    return version.to_bytes(4, "big") + bytes(OBJECT)


class Sent(NamedTuple):
    """A message on its way. `state` and `keys`: of the table when it was sent."""

    raw: bytes
    state: State
    keys: frozenset[bytes]


class Connection:
    """Messages arrive in order, and some time after they were sent; so do subscriptions. `close` loses them all."""

    def __init__(self, table: Table) -> None:
        self.table, self.subscription = table, Subscription(SOURCE, table, lambda: None)
        self.under_way: deque[Sent] = deque()
        self.again = False

    def hear(self) -> None:
        """The other side learns that everything must be told again."""
        if self.again:
            self.again = False
            self.subscription.again()

    def send(self, count: int) -> None:
        if self.subscription and count:
            for found in islice(self.subscription.messages(), count):
                self.under_way.append(Sent(frame(found)[LENGTH:], self.table.state, frozenset(self.table.objects)))


class Side:
    """One that follows. `stores`: all that ever joined; what is passed on goes to each of them."""

    def __init__(self, hold: bool) -> None:
        self.held_from_start, self.follower = hold, Follower(hold)
        self.stores: list[dict[bytes, bytes]] = [{}]
        self.connection: Connection | None = None
        # The most that was ever told completely
        self.reached = State.EMPTY

    def connect(self, table: Table) -> Connection:
        """Who is connected stays so."""
        self.connection = self.connection or Connection(table)
        return self.connection

    def lose(self) -> None:
        if self.connection is not None:
            self.connection.subscription.close()
            self.connection = None

    def join(self) -> None:
        """A store that was told nothing yet."""
        self.stores.append({})
        self.follower.forget()
        if self.connection is not None:
            self.connection.again = True

    def receive(self, count: int) -> None:
        while self.connection and self.connection.under_way and count:
            self._take(self.connection.under_way.popleft())
            count -= 1

    def _take(self, sent: Sent) -> None:
        # Who never lost sight of what all its stores have is told nothing twice
        strict = self.follower.whole or len(self.stores) == 1
        found, passed = message(sent.raw), self.follower.take(message(sent.raw))
        if sent.state < self.reached or sent.state is State.EMPTY:
            assert passed == [], "the other side knows less"
        if isinstance(found, Told):
            assert self.follower.heard
            self.reached = max(self.reached, State(found.state))
        if self.held_from_start and self.reached is State.EMPTY:
            assert passed == [], "the first listing is not whole"
        for key, content in passed:
            assert content or key not in sent.keys, "it is still there"
            assert self._apply(key, content) or not content or not strict, "it was passed on before"
        if isinstance(found, Told) and self.follower.whole:
            assert all(store == self.stores[0] for store in self.stores), "one of them was told less"

    def _apply(self, key: bytes, content: bytes) -> bool:
        """Does it change any store?"""
        changed = False
        for store in self.stores:
            changed |= store.get(key, b"") != content
            store[key] = content
            if not content:
                del store[key]
        return changed


class Feed(RuleBasedStateMachine):
    """`real`: the objects of the cluster. The table has what its source has said of them."""

    def __init__(self) -> None:
        super().__init__()
        self.real = {key: payload(0) for key in KEYS[:9]}
        # A snapshot, older than anything that happens here
        self.remembered = {key: payload(1) for key in KEYS[3:]}
        self.versions = 1
        self.sides: list[Side] = []
        self.restart(False)

    @initialize(holds=st.tuples(st.booleans(), st.booleans()), complete=st.booleans())
    def begin(self, holds: tuple[bool, ...], complete: bool) -> None:
        """`complete`: everybody knows everything."""
        self.sides = [Side(hold) for hold in holds]
        if complete:
            self.say_all()
            for who in range(len(self.sides)):
                self.flow(who, 50, 50)

    @rule(keys=SOME_KEYS, gone=st.booleans())
    def change(self, keys: list[bytes], gone: bool) -> None:
        """Something happens in the cluster; the source tells of what it has told before, or of all."""
        for key in keys:
            self.versions += 1
            if gone:
                self.real.pop(key, None)
            else:
                self.real[key] = payload(self.versions)
        synced = self.table.state is State.SYNCED
        self.say([key for key in keys if synced or key in self.said])

    @rule(keys=SOME_KEYS)
    def say(self, keys: Iterable[bytes]) -> None:
        """A part of what there is."""
        self.said.update(keys)
        self.table.apply([Packed(key, self.real.get(key, b"")) for key in keys], 1)

    @rule()
    def say_all(self) -> None:
        self.said.update(self.real)
        self.table.apply([*(Packed(key, self.real[key]) for key in self.real), SYNCED], 1)

    @rule()
    def settle(self) -> None:
        self.table.settle()

    @rule(restored=st.booleans())
    def restart(self, restored: bool) -> None:
        """Another table, of which nobody has heard yet."""
        self.table, self.said = Table(), set[bytes]()
        for side in self.sides:
            side.lose()
        if restored:
            self.table.restore([Packed(*each) for each in self.remembered.items()], 1)

    @rule(who=WHO)
    def lose(self, who: int) -> None:
        self.sides[who].lose()

    @rule(who=WHO, sent=st.integers(0, 5) | st.just(50), received=st.integers(0, 5) | st.just(50))
    def flow(self, who: int, sent: int, received: int) -> None:
        side = self.sides[who]
        side.connect(self.table).send(sent)
        side.receive(received)

    @rule(who=WHO)
    def join(self, who: int) -> None:
        self.sides[who].join()

    @rule(who=WHO)
    def hear(self, who: int) -> None:
        if connection := self.sides[who].connection:
            connection.hear()

    @rule(who=WHO)
    def hold(self, who: int) -> None:
        self.sides[who].follower.hold = True

    @invariant()
    def is_bounded(self) -> None:
        for side in self.sides:
            held = side.follower._held
            assert held is None or len(held) <= len(KEYS)
            if connection := side.connection:
                assert len(connection.subscription._owed) <= len(connection.table.objects) + MAX_OBJECTS

    def teardown(self) -> None:
        """In the end everything is said, and everybody reads it."""
        self.say_all()
        assert self.table.objects == self.real
        for side in self.sides:
            connection = side.connect(self.table)
            connection.hear()
            connection.send(1000)
            side.receive(1000)
            assert not connection.subscription
            assert side.follower.heard
            assert side.follower.whole
            assert side.follower.state is State.SYNCED
            assert all(store == self.real for store in side.stores)


Feed.TestCase.settings = settings(max_examples=400, stateful_step_count=30, deadline=None)
TestFeed = Feed.TestCase


def told(table: Table) -> list[Message]:
    return list(Subscription(SOURCE, table, lambda: None).messages())


def filled(count: int, size: int = 1) -> Table:
    table = Table()
    table.apply([*(Packed(f"s/a/{number:04}".encode(), bytes(size)) for number in range(count)), SYNCED], 7)
    return table


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [
        (0, 1, []),
        (1, 1, [1]),
        (MAX_OBJECTS, 1, [MAX_OBJECTS]),
        (MAX_OBJECTS + 1, 1, [MAX_OBJECTS, 1]),
        (3, MAX_OCTETS, [2, 1]),
        (3, MAX_OCTETS + 1, [1, 1, 1]),
        (4, OBJECT, [3, 1]),
    ],
)
def test_a_listing_is_cut_into_messages(count, size, expected):
    first, *changes, last = told(filled(count, size))
    assert first == Listing(SOURCE, State.SYNCED)
    assert [len(each.objects) // 2 for each in changes if isinstance(each, Changes)] == expected
    assert last == Told(SOURCE, State.SYNCED, 7 if count else 0)


def test_of_an_empty_table_there_is_nothing_to_tell():
    table = Table()
    table.apply([Packed(b"s/a/s", b"1")], 1)
    assert told(table) == [Told(SOURCE, State.EMPTY, 1)]


def test_a_change_is_told_once_and_as_it_is_now():
    table, calls = filled(1), []
    subscription = Subscription(SOURCE, table, lambda: calls.append(1))
    list(subscription.messages())
    for content in (b"2", b"3"):
        table.apply([Packed(b"s/a/s", content)], 9)
    assert (len(calls), bool(subscription)) == (3, True)
    # The serial goes with it: that everything was told is said once
    assert list(subscription.messages()) == [Changes(SOURCE, [b"s/a/s", b"3"], 10)]
    subscription.close()
    table.apply([Packed(b"s/a/s", b"")], 11)
    assert (len(calls), bool(subscription)) == (3, False)


def test_what_came_and_went_while_nobody_read_is_not_kept():
    """Pods come and go for ever; a subscriber that reads nothing costs no more than the table."""
    table, follower = filled(100), Follower()
    subscription, store = Subscription(SOURCE, table, lambda: None), dict[bytes, bytes]()
    for number in range(1000):
        if number == 10:
            store.update(each for found in subscription.messages() for each in follower.take(found))
        for content in (b"1", b""):
            table.apply([Packed(f"p/a/{number}".encode(), content)], 1)
        assert len(subscription._owed) <= 100 + MAX_OBJECTS
    store.update(each for found in subscription.messages() for each in follower.take(found))
    assert {key: content for key, content in store.items() if content} == table.objects


def test_a_listing_that_was_cut_off_deletes_nothing():
    """The controller died in the middle of it, and the next one knows nothing yet."""
    follower = Follower()
    for found in told(filled(200)):
        follower.take(found)
    for found in told(filled(200))[:2]:
        assert follower.take(found) == []
    assert follower.take(Told(SOURCE, State.EMPTY, 0)) == []
    assert [each for found in told(filled(200)) for each in follower.take(found)] == []


def test_half_of_a_first_listing_is_not_passed_on_by_a_controller_that_knows_nothing():
    follower = Follower(hold=True)
    for found in (*told(filled(200))[:2], *told(Table())):
        assert follower.take(found) == []
    assert (follower.heard, follower.whole, follower.state) == (True, False, State.EMPTY)
    passed = [follower.take(found) for found in told(filled(200))]
    assert [len(each) for each in passed if each] == [200]
    assert follower.whole


def test_what_is_under_way_when_a_source_is_followed_again_is_of_no_use():
    """Without the listing that it belongs to, nobody knows what is missing."""
    follower = Follower(hold=True)
    for found in told(filled(200))[1:]:
        assert follower.take(found) == []
    assert (follower.whole, follower.state) == (False, State.EMPTY)


def test_a_changed_object_that_is_held_is_passed_on_once():
    follower = Follower(hold=True)
    follower.take(Listing(SOURCE, State.SYNCED))
    for number in range(100):
        assert follower.take(Changes(SOURCE, [b"s/a/s", str(number).encode()], number)) == []
    assert follower.take(Told(SOURCE, State.SYNCED, 100)) == [Packed(b"s/a/s", b"99")]


def test_messages_come_back_as_they_were():
    for sent in (*told(filled(1)), Listing(b"", 0)):
        raw = frame(sent)
        assert int.from_bytes(raw[:LENGTH], "big") == len(raw) - LENGTH
        assert message(raw[LENGTH:]) == sent
    asked = Want(3, (b"one", b"two"), (b"two",))
    assert want(frame(asked)[LENGTH:]) == asked


@pytest.mark.parametrize("raw", [b"", b"\xc0", b"\x93\xa1x\xc4\x00\x01", frame(Want(1, ()))[LENGTH:]])
def test_what_is_no_message_is_an_error(raw):
    with pytest.raises(msgspec.MsgspecError):
        message(raw)
    with pytest.raises(msgspec.MsgspecError):
        want(raw[:-1])
