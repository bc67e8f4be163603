"""A server of objects given as events: no files, no upstreams, no sockets."""

from collections.abc import Iterable

from clusterdns.corefile.parser import parse_text
from clusterdns.kube.objects import Event
from clusterdns.kube.store import Store
from clusterdns.net.machine import Machine
from clusterdns.net.responder import Plan, Responder, Service
from clusterdns.plugins.build import build
from clusterdns.stats import Cells
from clusterdns.upstream.flights import Waiter
from clusterdns.upstream.group import Group
from clusterdns.wire.query import Query

ZONES = "cluster.local in-addr.arpa ip6.arpa"
_CLIENT = ("127.0.0.1", 40000)


class _NoUpstreams:
    def ask(self, group: Group, query: Query, waiter: Waiter) -> None:
        raise AssertionError("nothing is forwarded here")


class Served:
    """One `kubernetes` block with these `options`, `head` before it. Its store takes `apply`."""

    def __init__(self, options: str = "", head: str = "") -> None:
        block = f"kubernetes {ZONES} {{\nmanifests nowhere\n{options}\n}}"
        text = f"{ZONES} {{\nbind 10.96.0.53\n{head}\n{block}\n}}"
        config = build(parse_text(text, "Corefile", Machine()), Machine(), 53, self._unwritten)
        (self.store,) = config.shared.stores.values()
        self.cells = Cells()
        (listener,) = config.listeners
        plan = Plan(listener.router, listener.classifiers, "127.0.0.1")
        self.responder = Responder(plan, Service(_NoUpstreams(), self.cells, self._bug), "udp", 4096)
        self.now = 1

    def apply(self, *events: Event) -> set[bytes]:
        """Take events as the server does: what they changed goes out of the memo. Returns the keys."""
        changed: set[bytes] = set()
        for event in events:
            keys = self.store.apply(event, self.now)
            self.responder.memo.drop(id(self.store), keys)
            changed |= keys
        return changed

    def ask(self, packet: bytes) -> bytes:
        reply = self.responder.answer(packet, _CLIENT, self._late)
        assert reply is not None
        return reply

    @property
    def hits(self) -> int:
        """Replies that the memo gave."""
        return self.cells.total(memo=True)

    @staticmethod
    def _bug(error: Exception, _: str) -> None:
        raise error

    @staticmethod
    def _late(reply: bytes, _: object) -> None:
        raise AssertionError("nothing has to wait here")

    @staticmethod
    def _unwritten(line: str) -> None:
        raise AssertionError(line)


def filled(events: Iterable[Event], options: str = "", head: str = "") -> Served:
    """A server that has taken these events."""
    served = Served(options, head)
    served.apply(*events)
    return served


def store_of(events: Iterable[Event]) -> Store:
    """A store alone."""
    store = Store()
    for event in events:
        store.apply(event, 1)
    return store
