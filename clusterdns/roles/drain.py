"""When the end may come: as soon as nobody asks any more, and when `lameduck` is over at the latest. Pure."""

# Seconds without a query after which all clients have gone elsewhere: longer than the time-out of any common stub
QUIET = 5.0
# Seconds that queries in hand have after that: as long as one may wait for its upstreams
GRACE = 5.0


class Drain:
    """`begun` and all `now` in monotonic seconds; `lameduck` in seconds; `queries`: a counter of those that came."""

    def __init__(self, begun: float, lameduck: float, queries: int) -> None:
        self._end = begun + lameduck
        self._queries, self._last = queries, begun

    def over(self, now: float, queries: int) -> bool:
        if queries != self._queries:
            self._queries, self._last = queries, now
        return now >= self._end or now - self._last >= QUIET
