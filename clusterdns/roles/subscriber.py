"""One subscriber of the feed: what it wants, and what it is owed."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping

from clusterdns.roles.intake import Intake, take_guarded
from clusterdns.sources.feed import Message, Subscription, Want
from clusterdns.sources.table import Table

# Seconds that a process which answers queries itself spends on changes before it looks at queries again
_SLICE = 0.002


class Subscriber:
    """`tables`: those there are now, by source id. `due` is called when there is something to tell."""

    def __init__(self, tables: Callable[[], Mapping[bytes, Table]], due: Callable[[], None]) -> None:
        self._tables, self._due = tables, due
        self._wanted: tuple[bytes, ...] = ()
        self._subscriptions: dict[bytes, Subscription] = {}

    def want(self, want: Want) -> None:
        self._wanted = want.sources
        for table in self._tables().values():
            # A controller that was started again must not go back behind what its workers have shown
            table.serial = max(table.serial, want.serial)
        for source in self._subscriptions.keys() - set(want.sources):
            self._subscriptions.pop(source).close()
        for source in want.again:
            if source in self._subscriptions:
                self._subscriptions[source].again()
        self.refresh()

    def refresh(self) -> None:
        """Tables have come or gone, or a new one is in the place of another."""
        tables = self._tables()
        for source, subscription in list(self._subscriptions.items()):
            if tables.get(source) is not subscription.table:
                self._subscriptions.pop(source).close()
        for source in self._wanted:
            if source in tables and source not in self._subscriptions:
                self._subscriptions[source] = Subscription(source, tables[source], self._due)

    def messages(self) -> Iterator[Message]:
        """What is owed, until the caller has enough of it."""
        for subscription in list(self._subscriptions.values()):
            if subscription:
                yield from subscription.messages()

    def close(self) -> None:
        for subscription in self._subscriptions.values():
            subscription.close()
        self._subscriptions.clear()


class LocalFeed:
    """Tables and stores in one process: the feed without a socket."""

    def __init__(self, tables: Callable[[], Mapping[bytes, Table]], intake: Intake) -> None:
        self._loop, self._intake = asyncio.get_running_loop(), intake
        self._scheduled = False
        self.subscriber = Subscriber(tables, self._wake)

    def _wake(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._scheduled = False
        until = time.monotonic() + _SLICE
        for message in self.subscriber.messages():
            take_guarded(self._intake, message)
            if time.monotonic() > until:
                self._wake()
                return
