"""The server without sockets: a configuration, its stores filled, and a responder to hand packets to."""

import contextlib
from collections.abc import Callable, Iterable, Sequence

import dns.flags
import dns.message

from clusterdns.corefile.parser import parse_text
from clusterdns.errors import UpstreamError
from clusterdns.kube.objects import Event
from clusterdns.net.machine import Machine
from clusterdns.net.responder import Plan, Responder, Service
from clusterdns.plugins.build import Config, build
from clusterdns.plugins.site import SourceSpec
from clusterdns.sources.manifests import Manifests
from clusterdns.stats import Cells
from clusterdns.upstream.flights import Flight, Waiter, accept, message
from clusterdns.upstream.group import Group
from clusterdns.wire.query import Query
from tests.support.upstream_zone import Zone

CLIENT = ("127.0.0.1", 40000)
# Any: the rows' serials are not compared.
NOW = 1_700_000_000


class ZoneAsker:
    """Answers `Ask` at once from the test upstream's zone, as its server would over TCP. Counts the questions.

    `spoil` is what a hostile upstream makes of its reply.
    """

    def __init__(self, zone: Zone | None = None) -> None:
        self._zone = zone or Zone()
        self.asked: list[Query] = []
        self.groups: set[Group] = set()
        self.spoil: Callable[[bytes], bytes] = bytes

    def ask(self, group: Group, query: Query, waiter: Waiter) -> None:
        self.asked.append(query)
        self.groups.add(group)
        flight = Flight(group, message(query), 14 + len(query.name), group.upstreams, 0.0)
        asked = dns.message.from_wire(b"\0\7" + flight.wire)
        relay = accept(flight, self.spoil(self._zone.answer(asked).to_wire(max_size=65535, want_shuffle=False)))
        waiter(relay or UpstreamError("the test upstream's reply is broken"))


class InProcess:
    """`corefile` loaded, the first lists of its `manifests` applied; `bugs` must stay empty."""

    def __init__(self, corefile: str, protocol: str = "udp", synced: bool = True) -> None:
        self.asker = ZoneAsker()
        self.bugs: list[Exception] = []
        self.lines: list[str] = []
        self.cells = Cells()
        parsed = parse_text(corefile, "Corefile", Machine())
        self.config: Config = build(parsed, Machine(), 53, self.lines.append)
        self._replies: list[bytes] = []
        service = Service(self.asker, self.cells, lambda error, _: self.bugs.append(error))
        listener = self.config.listeners[0]
        plan = Plan(listener.router, listener.classifiers, "127.0.0.1")
        cap = 4096 if protocol == "udp" else None
        self.responder = Responder(plan, service, protocol, cap)
        for source in {spec for spec, _ in self.config.shared.stores}:
            if source.manifests and synced:
                self.apply(Manifests(source.manifests).scan().events, source)

    def apply(self, events: Iterable[Event], source: SourceSpec | None = None) -> None:
        """Events into the stores of a source (None: of all), and what they changed out of the memo."""
        for (spec, _), store in self.config.shared.stores.items():
            if source in (None, spec):
                for event in events:
                    self.responder.memo.drop(id(store), store.apply(event, NOW))

    def ask(self, packet: bytes, client: tuple[str, int] = CLIENT) -> bytes | None:
        """The reply, or None for a packet that gets none."""
        reply = self.responder.answer(packet, client, lambda reply, _: not self._replies.append(reply))
        if reply is None and self._replies:
            reply = self._replies.pop()
        if self.responder.after:
            self.responder.settle()
        assert not self._replies
        if self.bugs:
            raise self.bugs[0]
        return reply

    def fresh(self, packet: bytes, client: tuple[str, int] = CLIENT) -> bytes | None:
        """As `ask`, with the memo emptied first: the chain's own reply."""
        self.responder.memo.clear()
        return self.ask(packet, client)

    def hits(self) -> int:
        """Replies that the memo gave."""
        return self.cells.total(memo=True)


def same_but_order(one: bytes | None, other: bytes | None) -> bool:
    """Equal but for id, SOA serial, spelling of the question and order of address records."""
    return _normal(one) == _normal(other)


def _normal(wire: bytes | None) -> Sequence[object]:
    if wire is None:
        return ()
    message = dns.message.from_wire(wire)
    sections = [sorted(_texts(section)) for section in (message.answer, message.authority, message.additional)]
    return (message.flags, message.rcode(), message.ednsflags, [str(q).lower() for q in message.question], sections)


def _texts(section: Iterable[object]) -> Iterable[str]:
    for rrset in section:
        for line in str(rrset).lower().splitlines():
            words = line.split()
            with contextlib.suppress(ValueError, IndexError):
                # owner ttl class SOA mname rname serial ...
                if words[3] == "soa":
                    words[6] = "*"
            yield " ".join(words)
