"""What a plugin is given and what it gives: handlers, effects, the context of one query, observers."""

from collections.abc import Callable, Generator
from typing import Any, Protocol

import msgspec

from clusterdns.errors import ClusterDNSError
from clusterdns.kube.store import Store
from clusterdns.upstream.group import Group
from clusterdns.wire.query import Query, Request
from clusterdns.wire.records import Reply

# Links that one query may follow through the whole server, over all CNAMEs together. CoreDNS stops in-zone chains
# at 10 too.
MAX_LINKS = 10


class Ask(msgspec.Struct, frozen=True):
    """Effect: ask these upstreams. Its result is a `Relay`; if none answers, UpstreamError is thrown in."""

    group: Group
    query: Query


class Resolve(msgspec.Struct, frozen=True):
    """Effect: the whole server again, for a name that `origin` points at. Its result is a reply, None where no
    server block serves that name."""

    origin: Query
    query: Query


Effect = Ask | Resolve
Step = Generator[Effect, Reply | None, Reply]
Handler = Callable[[Query, "Context"], Step]
Layer = Callable[[Handler], Handler]


class Peer(msgspec.Struct, frozen=True):
    """Where a packet came from and to, and over what: addresses as text."""

    address: str
    port: int
    protocol: str
    local: str = ""


class Context(msgspec.Struct, gc=False):
    """One query's surroundings. What is read here outside of the stores is not in the memo's key, so reading it bars
    the result from the memo (`pure` turns false).

    The hidden fields are for the properties: the request, the client's address as the socket gives it, protocol and
    address of the listener. `reads`: by store (its `id`) the keys that the answer was made from. `error`: what went
    wrong on the way, for the observers. `links` and `followed`: what is left of the budget for CNAMEs, and the names
    that were followed.
    """

    hidden_request: Request
    hidden_address: tuple[Any, ...]
    hidden_listener: tuple[str, str]
    pure: bool = True
    reads: list[tuple[int, list[bytes]]] = msgspec.field(default_factory=list)
    error: Exception | None = None
    links: int = MAX_LINKS
    followed: set[tuple[bytes, int]] | None = None

    @property
    def peer(self) -> Peer:
        """The client's address, port and protocol."""
        self.pure = False
        return self.peer_for_observers()

    def peer_for_observers(self) -> Peer:
        """The same for those who only look on: the reply does not depend on them."""
        return Peer(self.hidden_address[0], self.hidden_address[1], *self.hidden_listener)

    @property
    def options(self) -> tuple[tuple[int, bytes], ...]:
        """The EDNS options of the query."""
        self.pure = False
        return self.hidden_request.options

    def read(self, store: Store, keys: list[bytes]) -> None:
        """Note that the answer depends on these keys of this store."""
        self.reads.append((id(store), keys))


class Outcome(msgspec.Struct, frozen=True):
    """One answered query, as an observer sees it after the reply was sent.

    `started` and `finished` are monotonic seconds; `error` is what a plugin failed with.
    """

    packet: bytes
    reply: bytes
    peer: Peer
    started: float
    finished: float
    error: Exception | None = None


class Observer(Protocol):
    """Told of every reply, memo hits included. Bars nothing, wraps nothing."""

    def observe(self, outcome: Outcome) -> None:
        """Take note; must not raise."""


class ChainError(ClusterDNSError):
    """The chain ended without an answer."""


def end_of_chain(query: Query, ctx: Context) -> Step:
    """The last handler: nothing took the query. CoreDNS answers SERVFAIL too."""
    raise ChainError("no plugin of the server block answers this name; add `forward`, or a zone that covers it")
    yield
