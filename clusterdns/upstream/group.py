"""A group of upstream servers, as one `forward` line names them, and the order in which a query tries them."""

from collections.abc import Callable
from enum import Enum

import msgspec

from clusterdns.wire.encode import OUR_PAYLOAD

# An integer from 0 up to but not including the argument, unpredictable
Draw = Callable[[int], int]

# Seconds that one try may take, and all tries of a query together: CoreDNS's 2 and 5. A stub resolver gives up after 5.
TRY_TIMEOUT, QUERY_TIMEOUT = 2.0, 5.0


class Transport(Enum):
    """How an upstream is spoken to, as the scheme in the Corefile."""

    DNS = "dns"
    TLS = "tls"


class Policy(Enum):
    """`policy`: which upstream is tried first."""

    RANDOM = "random"
    ROUND_ROBIN = "round_robin"
    SEQUENTIAL = "sequential"


class Upstream(msgspec.Struct, frozen=True):
    """One server: numeric address, port, transport; `name` is what its certificate must say (TLS)."""

    address: str
    port: int
    transport: Transport = Transport.DNS
    name: str = ""

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.transport.value}://{host}:{self.port}"


class Group(msgspec.Struct, eq=False):
    """The upstreams of one `forward` line.

    `timeout`: seconds for one try. `max_concurrent`: queries waiting at once, 0 for no limit of its own. `force_tcp`:
    never UDP. `failover`: RCODEs that count as a failed try while another upstream is left. `payload`: octets of a UDP
    reply that queries with EDNS offer to take.
    """

    upstreams: tuple[Upstream, ...]
    policy: Policy = Policy.RANDOM
    timeout: float = TRY_TIMEOUT
    max_concurrent: int = 0
    force_tcp: bool = False
    failover: frozenset[int] = frozenset()
    payload: int = OUR_PAYLOAD
    waiting: int = 0
    turn: int = -1

    def order(self, draw: Draw) -> tuple[Upstream, ...]:
        """The upstreams in the order in which one query tries them."""
        ups, count = self.upstreams, len(self.upstreams)
        if count == 1 or self.policy is Policy.SEQUENTIAL:
            return ups
        if self.policy is Policy.ROUND_ROBIN:
            self.turn = first = (self.turn + 1) % count
            return ups[first:] + ups[:first]
        left = list(ups)
        return tuple([left.pop(draw(len(left))) for _ in range(count)])
