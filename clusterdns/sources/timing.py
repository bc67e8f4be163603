"""The clocks of the API source, and how long it waits for what."""

import time
from collections.abc import Callable

import msgspec


class Clock(msgspec.Struct, frozen=True):
    """Seconds. `wall` since 1970, for what others wrote down; `monotonic` for ages and pauses."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


class Timing(msgspec.Struct, frozen=True):
    """Seconds.

    `silence`: bookmarks come every minute, so a watch without a line for longer is dead. `page`: for one page of a
    list. `watch`: the server ends a watch after a random time between these, so that not all clients come back at
    once. `audit`: the least time between two looks for what a watch has lost, below the shortest watch.
    `first_pause`, `longest_pause`: after failures, doubled each time, then drawn from the upper half.
    """

    silence: float = 90.0
    page: float = 60.0
    watch: tuple[int, int] = (300, 600)
    audit: float = 240.0
    first_pause: float = 0.5
    longest_pause: float = 30.0

    def pause(self, failures: int, drawn: float) -> float:
        """Seconds to wait after that many failures in a row; `drawn` from 0 to 1 spreads the clients of one server."""
        longest = min(self.first_pause * 2.0 ** min(failures - 1, 16), self.longest_pause)
        return longest * (0.5 + drawn / 2)
