"""Packet in, reply out, for one listener and transport: the memo first, then the chain.

`answer` is the hot path and therefore one function: on a hit it slices, looks up and joins, and calls nothing of ours.
"""

from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

import msgspec

from clusterdns.errors import ClusterDNSError, QueryError, UpstreamError
from clusterdns.memo import PLAIN, WITH_OPT, Entry, Memo
from clusterdns.plugins.base import Context, Observer, Outcome, Peer
from clusterdns.plugins.router import Block, Router
from clusterdns.plugins.run import Pending, begin
from clusterdns.plugins.site import Classifier
from clusterdns.stats import Cells, Labels
from clusterdns.upstream.flights import Waiter
from clusterdns.upstream.group import Group
from clusterdns.wire.codes import Option, RCode
from clusterdns.wire.encode import MAX_MESSAGE, MIN_PAYLOAD, Encoder, encode, refuse, udp_limit
from clusterdns.wire.names import to_text
from clusterdns.wire.query import MAX_OPTIONS, Query, Request, Triage, parse, question_end, triage
from clusterdns.wire.records import Relay, Reply, Response

# A client's address as the socket gives it, and what sends a reply to it that had to wait
Address = tuple[Any, ...]
# (False: it was too large for the interface, and `cap` is lower now)
Route = Callable[[bytes, Address], bool]

# UDP payload sizes that stubs and caches announce: none, the DNS Flag Day's, an Ethernet frame's, and older defaults
_COMMON_PAYLOADS = frozenset({MIN_PAYLOAD, 1220, 1232, 1400, 1452, 1472, 2048, 4096})
# Names whose turns are remembered; after them all begin again
_MAX_TURNS = 4096
# RFC 7828: only the parser knows whether a keepalive option is well formed
_KEEPALIVE = Option.TCP_KEEPALIVE.value


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
    """One listener and transport. `cap`: the largest UDP reply in octets, None for TCP. `after` holds what observers
    are to be told once the replies at hand are sent (`settle`)."""

    def __init__(self, plan: Plan, service: Service, protocol: str, cap: int | None) -> None:
        self.memo = Memo()
        self.cap = cap
        self.after: list[tuple[tuple[Observer, ...], Outcome]] = []
        self._plan, self._service, self._protocol = plan, service, protocol
        self._listener = (protocol, plan.local)
        self._counts = service.cells.counts
        self._classifiers = plan.classifiers
        self._encode = Encoder()
        self._known_cells: dict[tuple[bytes, int, int], tuple[int, int]] = {}
        # Whose turn it is in replies that are not kept, by name and type
        self._turns: dict[tuple[bytes, int], int] = {}

    def answer(self, packet: bytes, address: Address, route: Route) -> bytes | None:
        """The reply to send now; None when there is none, or it is sent later by `route`."""
        # The low octet of ARCOUNT: most queries without EDNS have 0, all others with at least one record
        if packet[11:12] == b"\0":
            # The question is all there is behind the header, so that the octets are the key but for the name's case.
            # Lower case turns some types into others: those share a key, and the entry says whose it is.
            key, stop = packet[2:].lower(), len(packet)
            if self._classifiers:
                key += self._class(address)
            entry = self.memo.young.get(key) or self.memo.promote(key)
            if entry is None or packet[-4:] != entry.ending:
                return self._miss(packet, address, route, key if packet[2:12] in PLAIN else b"", stop)
        else:
            # A label may hold a NUL octet: then the key ends early, and no entry was ever made under such a key
            stop = packet.find(0, 12) + 5
            key = self._key_with_opt(packet, stop)
            if key and self._classifiers:
                key += self._class(address)
            entry = self.memo.young.get(key) or self.memo.promote(key)
            if entry is None:
                return self._miss(packet, address, route, key, stop)
        if entry.special:
            return self._special(entry, packet, address, route, key, stop)
        self._counts[entry.cell] += 1
        return packet[:2] + entry.head + packet[12:stop] + entry.body

    def _key_with_opt(self, packet: bytes, stop: int) -> bytes:
        """The key of a query with an OPT record: name in lower case, type, class, and of OPT what is not the payload
        size or an option. Empty for a packet that the memo does not take."""
        flags = WITH_OPT.get(packet[2:12])
        if flags is None:
            return b""
        rest = len(packet) - stop - 11
        if not rest:
            return packet[12 : stop - 5].lower() + packet[stop - 5 : stop + 3] + packet[stop + 5 :] + flags
        # One short option, as a cookie is; else whatever fits
        if (
            3 < rest < 256
            and packet[stop + 10] == rest
            and packet[stop + 14] == rest - 4
            and packet[stop + 12] != _KEEPALIVE
            and not packet[stop + 9]
            and not packet[stop + 13]
        ) or _options_fit(packet, stop + 9):
            fixed = packet[stop - 5 : stop + 3] + packet[stop + 5 : stop + 9]
            return packet[12 : stop - 5].lower() + fixed + b"\0\0" + flags
        return b""

    def _class(self, address: Address) -> bytes:
        """The class of clients that this one belongs to."""
        return bytes([classify(address[0]) for classify in self._classifiers])

    def settle(self) -> None:
        """Tell the observers what was sent."""
        told, self.after = self.after, []
        now = monotonic()
        for observers, outcome in told:
            seen = msgspec.structs.replace(outcome, finished=now)
            for observer in observers:
                observer.observe(seen)

    def _special(
        self, entry: Entry, packet: bytes, address: Address, route: Route, key: bytes, stop: int
    ) -> bytes | None:
        """A hit whose reply takes turns, is large, or is observed."""
        if entry.size > MIN_PAYLOAD and self.cap is not None:
            payload = packet[stop + 3] << 8 | packet[stop + 4] if len(packet) > stop else 0
            cap = min(self.cap, entry.owner.payload)
            limit = min(max(payload, MIN_PAYLOAD), cap)
            if entry.size > limit and entry.runs:
                parts = entry.cut(stop - 12, limit)
                if parts is None:
                    return self._miss(packet, address, route, b"", stop)
                return self._given(entry, packet, address, packet[:2] + parts[0] + packet[12:stop] + parts[1])
            if entry.size > limit:
                # Cut by the encoder; for the payload sizes that clients do send, once
                kept = limit == cap or limit in _COMMON_PAYLOADS
                key = key + limit.to_bytes(2, "big") if kept else b""
                cut = self.memo.young.get(key) or self.memo.promote(key)
                if cut is None or cut.ending != entry.ending:
                    return self._miss(packet, address, route, key, stop, limit)
                entry = cut
        body = entry.rotated() if entry.runs else entry.body
        return self._given(entry, packet, address, packet[:2] + entry.head + packet[12:stop] + body)

    def _given(self, entry: Entry, packet: bytes, address: Address, reply: bytes) -> bytes:
        """A reply that the memo gave: count it, note it for the observers."""
        self._counts[entry.cell] += 1
        block: Block = entry.owner
        if block.observers:
            now = monotonic()
            self.after.append(
                (block.observers, Outcome(packet, reply, Peer(address[0], address[1], *self._listener), now, now))
            )
        return reply

    def _miss(
        self, packet: bytes, address: Address, route: Route, key: bytes, stop: int, limit: int = MAX_MESSAGE
    ) -> bytes | None:
        """A packet that the memo did not answer. `key`: what to enter the reply under, empty for what is no ordinary
        query: most of that gets a refusal. `limit`: the size in octets of what is entered."""
        verdict = Triage.ACCEPT if key else triage(packet)
        if verdict is Triage.DROP:
            return None
        if verdict is not Triage.ACCEPT:
            return refuse(packet, RCode.NOTIMP if verdict is Triage.NOTIMP else RCode.FORMERR, question_end(packet))
        try:
            return self._chain(packet, address, route, key, stop, limit)
        except Exception as error:
            return self._failed(packet, error)

    def _failed(self, packet: bytes, error: Exception) -> bytes:
        """A bug of ours costs one query, not the server."""
        self._service.report(error, "while answering a query")
        return refuse(packet, RCode.SERVFAIL, question_end(packet))

    def _chain(self, packet: bytes, address: Address, route: Route, key: bytes, stop: int, limit: int) -> bytes | None:
        """Have the chain answer. `key`: what to enter the reply under, empty for what the memo does not take."""
        try:
            request = parse(packet)
        except QueryError as error:
            return refuse(packet, error.rcode, error.question_end)
        query = request.query
        block = self._plan.router.find(query)
        if block is None or block.handler is None:
            return encode(request, Response(RCode.REFUSED)).wire(request)
        context = Context(request, address, self._listener)
        # A NUL octet in a label: the key is not that of this name
        job = _Job(
            request, packet, address, route, key if len(request.question) + 12 == stop else b"", block, context, limit
        )
        if block.observers:
            job.started = monotonic()
        result = begin(block.handler(query, context), self._plan.router, context)
        if isinstance(result, Pending):
            self._wait(job, result)
            return None
        return self._finish(job, result)

    def _wait(self, job: "_Job", pending: Pending) -> None:
        """Have the upstreams asked, and come back with what they say."""

        def waiter(result: Relay | UpstreamError) -> None:
            try:
                self._resume(job, pending, result)
            except Exception as error:
                job.route(self._failed(job.packet, error), job.address)
            if self.after:
                self.settle()

        try:
            self._service.exchange.ask(pending.ask.group, pending.ask.query, waiter)
        except UpstreamError as error:
            waiter(error)

    def _resume(self, job: "_Job", pending: Pending, result: Relay | UpstreamError) -> None:
        """Send the reply, or wait once more."""
        following = pending.fail(result) if isinstance(result, UpstreamError) else pending.resume(result)
        if isinstance(following, Pending):
            self._wait(job, following)
        elif not job.route(self._finish(job, following), job.address):
            job.route(self._encoded(job, following), job.address)

    def _finish(self, job: "_Job", result: Reply) -> bytes:
        """Encode, enter into the memo what may be entered, note it for the observers."""
        context = job.context
        try:
            reply = self._encoded(job, result)
        except UpstreamError as error:
            # A relayed reply that had to be taken apart, and could not be
            context.error, context.pure = error, False
            reply = self._encoded(job, Response(RCode.SERVFAIL))
        if context.error is not None and not isinstance(context.error, ClusterDNSError | QueryError):
            self._service.report(context.error, f"while answering {to_text(job.request.query.name)}")
        observers = job.block.observers
        if context.error is not None:
            observers += job.block.reporters
        if observers:
            outcome = Outcome(job.packet, reply, context.peer_for_observers(), job.started, job.started, context.error)
            self.after.append((observers, outcome))
        return reply

    def _encoded(self, job: "_Job", result: Reply) -> bytes:
        request, block, context = job.request, job.block, job.context
        missed, hit = self._cells(block, request.query.qtype, result.rcode)
        self._counts[missed] += 1
        if not context.pure or not job.key:
            turn = self._turn(request.query) if result.rotate else 0
            encoded = self._encode(request, result, self._limit(request, block), turn, block.recursive)
            return encoded.wire(request)
        encoded = self._encode(request, result, job.limit, 0, block.recursive)
        body = encoded.body
        size = len(request.question) + len(body) + 12
        special = size > MIN_PAYLOAD or bool(encoded.runs or block.observers)
        ending = request.question[-4:]
        entry = Entry(encoded.head, body, hit, special, ending, size, context.reads, block, encoded.runs)
        self.memo.put(job.key, entry)
        if size > MIN_PAYLOAD and size > (limit := self._limit(request, block)):
            encoded = self._encode(request, result, limit, 0, block.recursive)
        return encoded.wire(request)

    def _turn(self, query: Query) -> int:
        if len(self._turns) >= _MAX_TURNS:
            self._turns.clear()
        turn = self._turns[query.name, query.qtype] = self._turns.get((query.name, query.qtype), -1) + 1
        return turn

    def _cells(self, block: Block, qtype: int, rcode: int) -> tuple[int, int]:
        """The cells that count such a reply: made by the chain, and given by the memo."""
        known = self._known_cells.get((block.zone, qtype, rcode))
        if known is None:
            labels = Labels(block.zone, self._protocol, qtype, rcode, False)
            cells = self._service.cells
            known = cells.cell(labels), cells.cell(msgspec.structs.replace(labels, memo=True))
            if len(self._known_cells) < Cells.LIMIT:
                self._known_cells[block.zone, qtype, rcode] = known
        return known

    def _limit(self, request: Request, block: Block) -> int:
        return MAX_MESSAGE if self.cap is None else udp_limit(request, min(self.cap, block.payload))


class _Job(msgspec.Struct, gc=False):
    """A query that the chain is answering. `limit`: the size of what the memo keeps. `started`: monotonic seconds, 0
    where nobody observes."""

    request: Request
    packet: bytes
    address: Address
    route: Route
    key: bytes
    block: Block
    context: Context
    limit: int
    started: float = 0.0


def _options_fit(packet: bytes, at: int) -> bool:
    """Do the options of the OPT record whose length stands at `at` fill the rest of the packet exactly?"""
    end, at = at + 2 + (int.from_bytes(packet[at : at + 2], "big")), at + 2
    if end != len(packet):
        return False
    for _ in range(MAX_OPTIONS):
        if at + 4 > end or packet[at + 1] == _KEEPALIVE:
            return False
        at += 4 + int.from_bytes(packet[at + 2 : at + 4], "big")
        if at >= end:
            return at == end
    return False
