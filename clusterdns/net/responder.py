"""Packet in, reply out, for one listener and transport: the memo first, then the chain.

`answer` is the hot path and therefore one function: on a hit it slices, looks up and joins, and calls nothing of ours.
"""

from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

import msgspec

from clusterdns.errors import ClusterDNSError, QueryError, UpstreamError
from clusterdns.memo import PLAIN, WITH_OPT, Entry, Memo, make_entry
from clusterdns.plugins.base import Context, Outcome, Peer
from clusterdns.plugins.router import Block, Router
from clusterdns.plugins.run import Pending, begin
from clusterdns.plugins.site import Classifier
from clusterdns.stats import Cells, Labels
from clusterdns.upstream.flights import Waiter
from clusterdns.upstream.group import Group
from clusterdns.wire.codes import RCode
from clusterdns.wire.encode import MAX_MESSAGE, MIN_PAYLOAD, encode, refuse, udp_limit
from clusterdns.wire.names import to_text
from clusterdns.wire.query import MAX_OPTIONS, Query, Request, Triage, parse, question_end, triage
from clusterdns.wire.records import Relay, Reply, Response

# Where a reply goes: the client's address, and what the transport wants back (ancillary data, a connection)
Address = tuple[Any, ...]
Send = Callable[[bytes, Address, Any], None]

# RFC 7828: only the parser knows whether a keepalive option is well formed
_KEEPALIVE = b"\0\x0b"


class Asker(Protocol):
    """Performs the effect `Ask`: `net.exchange.Exchange`."""

    def ask(self, group: Group, query: Query, waiter: Waiter) -> None:
        """Have `waiter` told the answer, at once or later.  Raises UpstreamError when too many wait already."""


class Plan(msgspec.Struct, frozen=True):
    """What a listener serves: its blocks, and the classifiers that join its memo's key. `local`: where it listens."""

    router: Router
    classifiers: tuple[Classifier, ...] = ()
    local: str = ""


class Service(msgspec.Struct, frozen=True):
    """What all responders of a process share. `report` is told of bugs."""

    exchange: Asker
    cells: Cells
    report: Callable[[Exception, str], None]


class Responder:
    """One listener and transport. `cap`: the largest UDP reply in octets, None for TCP. `send` is for replies that had
    to wait; `after` holds what observers are to be told once the replies at hand are sent (`settle`)."""

    def __init__(self, plan: Plan, service: Service, protocol: str, send: Send, cap: int | None) -> None:
        self.memo = Memo()
        self.cap = cap
        self.after: list[tuple[Block, Outcome]] = []
        self._plan, self._service, self._protocol, self._send = plan, service, protocol, send
        self._counts = service.cells.counts
        self._classifiers = plan.classifiers
        self._turn = 0

    def answer(self, packet: bytes, address: Address, route: Any = None) -> bytes | None:  # noqa: ANN401
        """The reply to send now; None when there is none, or it comes later through `send`."""
        # A label may hold a NUL octet: then the key ends early, and no entry was ever made under such a key
        stop = packet.find(0, 12) + 5
        flags = PLAIN.get(packet[2:12])
        if flags is not None:
            key = packet[12 : stop - 5].lower() + packet[stop - 5 :] + flags
        else:
            flags = WITH_OPT.get(packet[2:12])
            if flags is None:
                return self._miss(packet, address, route, b"", stop)
            if len(packet) == stop + 11:
                key = packet[12 : stop - 5].lower() + packet[stop - 5 : stop + 3] + packet[stop + 5 :] + flags
            elif _options_fit(packet, stop + 9):
                key = packet[12 : stop - 5].lower() + packet[stop - 5 : stop + 3] + packet[stop + 5 : stop + 9]
                key += b"\0\0" + flags
            else:
                return self._miss(packet, address, route, b"", stop)
        if self._classifiers:
            key += bytes([classify(address[0]) for classify in self._classifiers])
        entry = self.memo.young.get(key) or self.memo.promote(key)
        if entry is None:
            return self._miss(packet, address, route, key, stop)
        if entry.special:
            return self._special(entry, packet, address, route, stop)
        self._counts[entry.cell] += 1
        return packet[:2] + entry.head + packet[12:stop] + entry.body

    def settle(self) -> None:
        """Tell the observers what was sent."""
        told, self.after = self.after, []
        now = monotonic()
        for block, outcome in told:
            seen = msgspec.structs.replace(outcome, finished=now)
            for observer in block.observers:
                observer.observe(seen)

    def _special(self, entry: Entry, packet: bytes, address: Address, route: Any, stop: int) -> bytes | None:  # noqa: ANN401
        """A hit whose reply takes turns, is large, or is observed."""
        if entry.size > MIN_PAYLOAD and self.cap is not None:
            payload = packet[stop + 3] << 8 | packet[stop + 4] if len(packet) > stop else 0
            if entry.size > min(max(payload, MIN_PAYLOAD), self.cap):
                # The chain's encoder knows how to cut
                return self._miss(packet, address, route, b"", stop)
        self._counts[entry.cell] += 1
        body = entry.rotated() if entry.runs else entry.body
        reply = packet[:2] + entry.head + packet[12:stop] + body
        block: Block = entry.owner
        if block.observers:
            self._note(block, packet, reply, self._peer(address), monotonic(), None)
        return reply

    def _miss(self, packet: bytes, address: Address, route: Any, key: bytes, stop: int) -> bytes | None:  # noqa: ANN401
        """`key`: what to enter the reply under, empty for a packet that the memo does not take."""
        verdict = triage(packet)
        if verdict is not Triage.ACCEPT:
            if verdict is Triage.DROP:
                return None
            rcode = RCode.NOTIMP if verdict is Triage.NOTIMP else RCode.FORMERR
            return refuse(packet, rcode, question_end(packet))
        try:
            request = parse(packet)
        except QueryError as error:
            return refuse(packet, error.rcode, error.question_end)
        if len(request.question) + 12 != stop:
            key = b""
        job = _Job(request, packet, address, route, key)
        block = self._plan.router.find(request.query)
        if block is None or block.handler is None:
            return encode(request, Response(RCode.REFUSED), self._limit(request)).wire
        started = monotonic() if block.observers else 0.0
        context = Context(request, self._peer(address))
        result = begin(block.handler(request.query, context), self._plan.router, context)
        if isinstance(result, Pending):
            self._wait(job, block, context, result, started)
            return None
        return self._finish(job, block, context, result, started)

    def _wait(self, job: "_Job", block: Block, context: Context, pending: Pending, started: float) -> None:
        """Have the upstreams asked, and come back with what they say."""

        def waiter(result: Relay | UpstreamError) -> None:
            following = pending.fail(result) if isinstance(result, UpstreamError) else pending.resume(result)
            if isinstance(following, Pending):
                self._wait(job, block, context, following, started)
                return
            reply = self._finish(job, block, context, following, started)
            self._send(reply, job.address, job.route)
            if self.after:
                self.settle()

        try:
            self._service.exchange.ask(pending.ask.group, pending.ask.query, waiter)
        except UpstreamError as error:
            waiter(error)

    def _finish(self, job: "_Job", block: Block, context: Context, result: Reply, started: float) -> bytes:
        """Encode, enter into the memo what may be entered, note it for the observers."""
        try:
            reply = self._encode(job, block, context, result)
        except UpstreamError as error:
            # A relayed reply that had to be taken apart, and could not be
            context.error, context.pure = error, False
            reply = self._encode(job, block, context, Response(RCode.SERVFAIL))
        if context.error is not None and not isinstance(context.error, ClusterDNSError | QueryError):
            self._service.report(context.error, f"while answering {to_text(job.request.query.name)}")
        if block.observers:
            self._note(block, job.packet, reply, context._peer, started, context.error)
        return reply

    def _encode(self, job: "_Job", block: Block, context: Context, result: Reply) -> bytes:
        request, limit = job.request, self._limit(job.request)
        cell = self._cell(block, request, result, False)
        self._counts[cell] += 1
        if not context.pure or not job.key:
            self._turn += 1
            return encode(request, result, limit, self._turn, block.recursive).wire
        encoded = encode(request, result, MAX_MESSAGE, 0, block.recursive)
        reads = tuple([(id(store), key) for store, keys in context.reads for key in keys])
        hits = self._cell(block, request, result, True)
        entry = make_entry(encoded, len(request.question) + 12, hits, reads, block, bool(block.observers))
        self.memo.put(job.key, entry)
        if len(encoded.wire) <= limit:
            return encoded.wire
        return encode(request, result, limit, 0, block.recursive).wire

    def _cell(self, block: Block, request: Request, result: Reply, memo: bool) -> int:
        labels = Labels(block.zone, self._protocol, request.query.qtype, result.rcode, memo)
        return self._service.cells.cell(labels)

    def _limit(self, request: Request) -> int:
        return MAX_MESSAGE if self.cap is None else udp_limit(request, self.cap)

    def _peer(self, address: Address) -> Peer:
        return Peer(address[0], address[1], self._protocol, self._plan.local)

    def _note(
        self, block: Block, packet: bytes, reply: bytes, peer: Peer, started: float, error: Exception | None
    ) -> None:
        self.after.append((block, Outcome(packet, reply, peer, started, started, error)))


class _Job(msgspec.Struct):
    """A query that is being answered by the chain."""

    request: Request
    packet: bytes
    address: Address
    route: Any
    key: bytes


def _options_fit(packet: bytes, at: int) -> bool:
    """Do the options of the OPT record whose length stands at `at` fill the rest of the packet exactly?"""
    end, at = at + 2 + (int.from_bytes(packet[at : at + 2], "big")), at + 2
    if end != len(packet):
        return False
    for _ in range(MAX_OPTIONS):
        if at + 4 > end or packet[at : at + 2] == _KEEPALIVE:
            return False
        at += 4 + int.from_bytes(packet[at + 2 : at + 4], "big")
        if at >= end:
            return at == end
    return False
