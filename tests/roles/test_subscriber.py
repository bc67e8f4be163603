"""Which tables a subscriber hears of, and the feed within one process."""

import asyncio
import time

from clusterdns.kube.packed import SYNCED, Packed
from clusterdns.roles.subscriber import LocalFeed, Subscriber
from clusterdns.sources.feed import Changes, Follower, Listing, Message, Told, Want
from clusterdns.sources.table import Table


def filled(count: int = 1) -> Table:
    table = Table()
    table.apply([*(Packed(f"s/a/{number}".encode(), b"1") for number in range(count)), SYNCED], 1)
    return table


class Tables:
    """Tables that come and go, and a subscriber of them. `calls`: how often something was due."""

    def __init__(self, **tables: Table) -> None:
        self.now = {source.encode(): table for source, table in tables.items()}
        self.calls = 0
        self.subscriber = Subscriber(lambda: self.now, self._due)

    def want(self, *sources: bytes, again: tuple[bytes, ...] = ()) -> None:
        self.subscriber.want(Want(1, sources, again))

    def listed(self) -> list[bytes]:
        """Sources of which all is told anew, in what is due."""
        return [found.source for found in self.subscriber.messages() if isinstance(found, Listing)]

    def _due(self) -> None:
        self.calls += 1


def test_only_what_is_wanted_is_told_and_only_once():
    tables = Tables(one=filled(), two=filled())
    tables.want(b"two", b"none")
    assert tables.calls == 1
    assert tables.listed() == [b"two"]
    tables.want(b"two", b"one")
    assert tables.listed() == [b"one"]
    tables.want(b"two", b"one")
    assert list(tables.subscriber.messages()) == []


def test_again_is_from_the_start():
    tables = Tables(one=filled(), two=filled())
    tables.want(b"one", b"two", again=(b"one", b"two"))
    assert tables.listed() == [b"one", b"two"]
    tables.want(b"one", b"two", again=(b"two", b"none"))
    assert tables.listed() == [b"two"]


def test_a_table_that_comes_later_is_told():
    tables = Tables()
    tables.want(b"one")
    assert list(tables.subscriber.messages()) == []
    tables.now[b"one"] = filled()
    tables.subscriber.refresh()
    assert tables.listed() == [b"one"]


def test_of_a_table_that_is_gone_or_not_wanted_nothing_is_told():
    one, two = filled(), filled()
    tables = Tables(one=one, two=two)
    tables.want(b"one", b"two")
    tables.want(b"one")
    del tables.now[b"one"]
    tables.subscriber.refresh()
    assert list(tables.subscriber.messages()) == []
    assert one.watchers == two.watchers == []


def test_a_table_in_the_place_of_another_is_told():
    """A source that was stopped and started again has another one."""
    old, new = filled(), filled(2)
    tables = Tables(one=old)
    tables.want(b"one")
    list(tables.subscriber.messages())
    tables.now[b"one"] = new
    tables.subscriber.refresh()
    assert tables.listed() == [b"one"]
    assert (old.watchers, len(new.watchers)) == ([], 1)


def test_nothing_is_watched_after_the_end():
    table = filled()
    tables = Tables(one=table)
    tables.want(b"one")
    tables.subscriber.close()
    calls = tables.calls
    table.apply([Packed(b"s/a/x", b"1")], 1)
    assert (table.watchers, tables.calls, list(tables.subscriber.messages())) == ([], calls, [])


class Taker:
    """In the place of an intake. Each message takes it so many seconds."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.taken: list[Message] = []
        self.objects: dict[bytes, bytes] = {}
        self._follower, self._seconds = Follower(), seconds

    def take(self, message: Message) -> None:
        self.taken.append(message)
        self.objects.update(self._follower.take(message))
        until = time.monotonic() + self._seconds
        while time.monotonic() < until:
            pass

    @property
    def done(self) -> bool:
        return bool(self.taken) and isinstance(self.taken[-1], Told)


async def rounds(condition) -> int:
    """Rounds of the loop until it holds."""
    count = 0
    while not condition():
        assert count < 1000
        count += 1
        await asyncio.sleep(0)
    return count


def test_within_one_process_everything_arrives():
    async def main() -> None:
        table, taker = filled(1000), Taker()
        feed = LocalFeed(lambda: {b"one": table}, taker)
        feed.subscriber.want(Want(0, (b"one",)))
        await rounds(lambda: taker.done)
        assert taker.objects == table.objects
        for number in range(3):
            table.apply([Packed(b"s/a/new", str(number).encode())], 1)
        before = len(taker.taken)
        await rounds(lambda: len(taker.taken) > before)
        # Three changes of one object while the loop did something else are one
        assert taker.taken[before:] == [Changes(b"one", [b"s/a/new", b"2"], 4)]
        feed.subscriber.close()

    asyncio.run(main())


def test_queries_are_looked_at_between_messages():
    """Of 20 messages that take long, each is taken in a round of its own."""

    async def main() -> None:
        table, taker = filled(1000), Taker(0.003)
        feed = LocalFeed(lambda: {b"one": table}, taker)
        feed.subscriber.want(Want(0, (b"one",)))
        assert await rounds(lambda: taker.done) >= 20
        assert taker.objects == table.objects
        feed.subscriber.close()

    asyncio.run(main())
