"""The event loop: of several workers that wait for one socket one is woken; and waiting for what nobody tells."""

import asyncio
import select
import selectors
from collections.abc import Callable, Iterable
from typing import Any


class SharedSelector(selectors.EpollSelector):
    """`shared` descriptors are registered so that the kernel wakes one waiting process for a datagram, not all
    (EPOLLEXCLUSIVE of epoll_ctl(2)). One that is busy is not waiting, so the others take its work.

    A process that dies between being woken and reading takes the wake-up with it: whoever uses this reads now and
    then without being woken.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shared: set[int] = set()

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:  # noqa: ANN401
        key = super().unregister(fileobj)
        # The number is given to another file next: a connection, say, which is to be written to as well
        self.shared.discard(key.fd)
        return key

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:  # noqa: ANN401
        key = super().register(fileobj, events, data)
        if key.fd in self.shared and events == selectors.EVENT_READ:
            epoll: select.epoll = self._selector  # type: ignore[attr-defined]
            epoll.unregister(key.fd)
            epoll.register(key.fd, select.EPOLLIN | select.EPOLLEXCLUSIVE)
        return key


class SharedLoop(asyncio.SelectorEventLoop):
    """A loop with such a selector."""

    def __init__(self) -> None:
        self._shared_selector = SharedSelector()
        super().__init__(self._shared_selector)

    def share(self, descriptors: Iterable[int]) -> None:
        """Before they are watched: other processes wait for these too."""
        self._shared_selector.shared.update(descriptors)


# Seconds between looks whether a first list is in: a start is to be quick
SOON = 0.005


async def become(condition: Callable[[], object], seconds: float, every: float = 0.02) -> None:
    """Wait until `condition` is true, for so many seconds at most; it is looked at every so many."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    until = loop.time() + seconds

    def look() -> None:
        if condition() or loop.time() >= until:
            done.set()
        else:
            loop.call_later(every, look)

    look()
    await done.wait()
