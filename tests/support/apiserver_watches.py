"""The open watches of the fake API server, and how a change reaches them: as it is, or spoiled."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tests.support.apiserver_faults import Fault
from tests.support.apiserver_request import Request
from tests.support.apiserver_store import Change
from tests.support.apiserver_stream import Stream

# Calls that tell the sender of a stream, in its own thread, that there is something to send.
Wake = Callable[[], None]


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """A stream, the request that opened it, and who sends it."""

    stream: Stream
    request: Request
    wake: Wake


class Watches:
    """Every watch whose connection is open. A change goes to all of its resource, in one order."""

    def __init__(self) -> None:
        self._open: list[Watch] = []
        self._held: list[Change] = []

    def add(self, watch: Watch) -> None:
        """It hears of what happens from now on."""
        self._open.append(watch)

    def remove(self, watch: Watch) -> None:
        """Its connection is gone."""
        self._open.remove(watch)

    def of(self, resource: str | None) -> Iterator[Watch]:
        """Of one resource, or (None) all."""
        return (watch for watch in self._open if resource in (None, watch.stream.resource.plural))

    def tell(self, change: Change, fault: Fault | None) -> None:
        """A change that is not DROPPED. One that is OUT_OF_ORDER waits for the next of its resource."""
        if fault is Fault.OUT_OF_ORDER:
            self._held.append(change)
            return
        late = [held for held in self._held if held.resource is change.resource]
        self._held = [held for held in self._held if held.resource is not change.resource]
        times = 2 if fault is Fault.DUPLICATED else 1
        self._deliver([change] * times + late[::-1], change.resource.plural)

    def bookmark(self, revision: int, resource: str | None) -> None:
        """To all that asked for bookmarks."""
        for watch in self.of(resource):
            watch.stream.bookmark(revision)
            watch.wake()

    def end(self, resource: str | None) -> None:
        """In good order, as timeoutSeconds ends them."""
        for watch in self.of(resource):
            watch.stream.end()
            watch.wake()

    def _deliver(self, changes: Iterable[Change], resource: str) -> None:
        for watch in self.of(resource):
            for change in changes:
                watch.stream.tell(change)
            watch.wake()
