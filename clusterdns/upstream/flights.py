"""Questions on their way to upstreams: sent once however many clients ask, tried in turn, bounded."""

from collections import defaultdict, deque
from collections.abc import Callable
from struct import Struct
from typing import Any

from clusterdns.errors import UpstreamError
from clusterdns.upstream.group import QUERY_TIMEOUT, Draw, Group, Upstream
from clusterdns.wire.codes import Type
from clusterdns.wire.encode import OUR_PAYLOAD
from clusterdns.wire.query import Query
from clusterdns.wire.records import Relay
from clusterdns.wire.survey import survey

# Told how a flight ended
Waiter = Callable[[Relay | UpstreamError], None]

# Questions in flight at once, over all groups. 10,000 of them are about 10 MB, and 2,000 a second that all time out.
MAX_FLIGHTS = 10_000
# Clients that wait for one and the same question. A stub repeats itself some five times within its timeout; more than
# this many come from a flood, and the reply is sent to each of them at once.
MAX_WAITERS = 1_000

_HEADER = Struct("!HHHHH")
_QUESTION = Struct("!HH")
_OPT = Struct("!BHHIH")


class Flight:
    """One question to one group. `wire` is the message without its id, `question` its question section. `tries` counts
    the upstreams asked; `attempt` also TCP after TC. `places` is for whoever sends: where replies may come in."""

    __slots__ = (
        "attempt",
        "deadline",
        "error",
        "group",
        "landed",
        "order",
        "places",
        "question",
        "tries",
        "upstream",
        "waiters",
        "wire",
    )

    def __init__(self, group: Group, wire: bytes, end: int, order: tuple[Upstream, ...], now: float) -> None:
        """`end`: offset behind the question in `wire`."""
        self.group, self.order, self.wire, self.question = group, order, wire, wire[10:end]
        self.waiters: list[Waiter] = []
        self.landed = False
        self.places: list[Any] = []
        self.attempt = self.tries = 0
        self.deadline = now + QUERY_TIMEOUT
        self.upstream: Upstream | None = None
        self.error = "none was tried"


class Flights:
    """All questions in flight, and when their tries run out."""

    def __init__(self) -> None:
        # By group and message: the message holds all that makes two questions identical
        self._flights: dict[tuple[int, bytes], Flight] = {}
        # Tries by their length in seconds, in the order in which they run out
        self._running: defaultdict[float, deque[tuple[float, Flight, int]]] = defaultdict(deque)

    def __len__(self) -> int:
        return len(self._flights)

    def join(self, group: Group, query: Query, waiter: Waiter, draw: Draw, now: float) -> Flight | None:
        """Wait for an answer.  Returns the flight if it must be started, None if it is on its way.

        Raises UpstreamError when too many wait already.
        """
        if group.max_concurrent and group.waiting >= group.max_concurrent:
            raise UpstreamError(f"forward: more than max_concurrent {group.max_concurrent} queries wait")
        key = (id(group), message(query, group.payload))
        flight, fresh = self._flights.get(key), False
        if flight is None:
            if len(self._flights) >= MAX_FLIGHTS:
                raise UpstreamError(f"forward: more than {MAX_FLIGHTS} questions are in flight")
            flight, fresh = Flight(group, key[1], 14 + len(query.name), group.order(draw), now), True
            self._flights[key] = flight
        if len(flight.waiters) >= MAX_WAITERS:
            raise UpstreamError(f"forward: more than {MAX_WAITERS} clients wait for this question")
        flight.waiters.append(waiter)
        group.waiting += 1
        return flight if fresh else None

    def next_try(self, flight: Flight, now: float) -> Upstream | None:
        """The upstream to ask now, None when the flight has failed: each is tried twice at most, in turn."""
        if flight.tries >= 2 * len(flight.order) or now >= flight.deadline or flight.landed:
            return None
        flight.upstream = flight.order[flight.tries % len(flight.order)]
        flight.tries += 1
        self.renew(flight, now)
        return flight.upstream

    def renew(self, flight: Flight, now: float) -> None:
        """A new try begins, with a time-out of its own."""
        flight.attempt += 1
        timeout = flight.group.timeout
        # A last try that the deadline cuts short has a length of its own, so that each queue stays in order
        if now + timeout > flight.deadline:
            timeout = max(round(flight.deadline - now, 1), 0.1)
        runs_out = min(now + timeout, flight.deadline)
        running = self._running[timeout]
        # What has landed is let go as soon as it comes to the front, not when it would have run out
        while running and running[0][1].landed:
            running.popleft()
        running.append((runs_out, flight, flight.attempt))

    def expired(self, now: float) -> list[Flight]:
        """The flights whose current try has run out."""
        found = []
        for running in self._running.values():
            while running and running[0][0] <= now:
                _, flight, attempt = running.popleft()
                if flight.attempt == attempt and not flight.landed:
                    flight.error = "timed out"
                    found.append(flight)
        return found

    def land(self, flight: Flight) -> list[Waiter]:
        """The flight is over; returns who waits for it."""
        if not flight.landed:
            flight.landed = True
            del self._flights[id(flight.group), flight.wire]
            flight.group.waiting -= len(flight.waiters)
        waiters, flight.waiters = flight.waiters, []
        return waiters


def message(query: Query, payload: int = OUR_PAYLOAD) -> bytes:
    """The message to send, without its id; `payload`: octets of a UDP reply that its OPT record offers to take."""
    opt = _OPT.pack(0, Type.OPT, payload, query.do << 15, 0) if query.edns else b""
    question = _QUESTION.pack(query.qtype, query.qclass)
    return _HEADER.pack(query.flags, 1, 0, 0, 1 if opt else 0) + query.name + question + opt


def accept(flight: Flight, wire: bytes) -> Relay | None:
    """A message under the flight's id -> the reply; None for one that is no answer to this question, which is to be
    ignored: the real one may still come (RFC 5452 section 9)."""
    try:
        return survey(wire, flight.question)
    except UpstreamError:
        return None


def wants_next(flight: Flight, relay: Relay) -> bool:
    """Does `failover` ask to try the next upstream, and is there one that was not tried?"""
    return relay.rcode in flight.group.failover and flight.tries < len(flight.order)


def failure(flight: Flight) -> UpstreamError:
    """Why the flight failed, for the log."""
    return UpstreamError(f"forward: no answer from {flight.upstream or 'any upstream'}: {flight.error}")
