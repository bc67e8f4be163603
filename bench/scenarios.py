"""What is measured: the Corefiles, the queries, and how much each may cost."""

import random
from dataclasses import dataclass
from string import Template

from bench.load import Load
from bench.objects import SERVICES, service_name
from bench.packets import NXDOMAIN, Query

# of the DNS Flag Day 2020, what current resolvers announce
PAYLOAD = 1232
# changes of the store and queries a second, of the scenario that has both
EVENTS = 500
EVENTS_QUERIES = 20_000

PLAIN = Load()
UNIQUE = Load(count_names=True)
TCP = Load(tcp=True)


@dataclass(frozen=True, slots=True)
class Setup:
    """A server to start: `$` names in the Corefile are ports, and the directory of the manifests.

    `events` is how many Services a second change while it answers.
    """

    name: str
    corefile: Template
    events: int = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """Queries, how they are sent, and the target: at most this many times the CPU time of the baseline.

    The baseline is the floor under the same load, or the scenario of that name.
    """

    name: str
    setup: Setup
    queries: tuple[Query, ...]
    load: Load = PLAIN
    target: float | None = None
    baseline: str = ""


_BARE = """
.:$port {
    $bind
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests $manifests
    }
    forward . 127.0.0.1:$upstream
}
"""

# the block kubeadm installs, with `manifests`, an upstream on this machine, and ports that are free
_STOCK = """
.:$port {
    errors
    health 127.0.0.1:$health {
        lameduck 5s
    }
    ready 127.0.0.1:$ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
        manifests $manifests
    }
    prometheus 127.0.0.1:$metrics
    forward . 127.0.0.1:$upstream {
        max_concurrent 1000
    }
    cache 30 {
        disable success cluster.local
        disable denial cluster.local
    }
    loop
    reload
    loadbalance
}
"""

BOUND = Setup("bound", Template(_BARE.replace("$bind", "bind 127.0.0.1")))
WILDCARD = Setup("wildcard", Template(_BARE.replace("    $bind\n", "")))
STOCK = Setup("stock", Template(_STOCK))
CHANGING = Setup("changing", BOUND.corefile, events=EVENTS)


def _service_query(index: int, **fields) -> Query:
    return Query(f"{service_name(index)}.svc.cluster.local.", **fields)


def _search_path_query(index: int) -> Query:
    """The first name a resolver tries, of `service.namespace` and of a name outside, with a cluster's search path."""
    service, namespace = service_name(index).split(".")
    asked = f"{service}.{namespace}" if index % 2 else f"host-{index}.example.com"
    return Query(f"{asked}.{namespace}.svc.cluster.local.", rcode=NXDOMAIN, answers=0)


def _mix() -> tuple[Query, ...]:
    queries = [make(index) for index in range(SERVICES) for make in (_service_query, _search_path_query)]
    # a fixed seed: every run asks in the same order
    random.Random(2000).shuffle(queries)
    return tuple(queries)


def _headless(size: int, **fields) -> tuple[Query, ...]:
    return (Query(f"headless-{size}.ns-0.svc.cluster.local.", **fields),)


HIT = tuple(_service_query(index) for index in range(100))
COOKIES = tuple(_service_query(index, payload=PAYLOAD, cookie=True) for index in range(100))
NODATA = tuple(_service_query(index, type="AAAA", answers=0) for index in range(100))
SRV = tuple(Query(f"_http._tcp.{service_name(index)}.svc.cluster.local.", "SRV") for index in range(100))
UNKNOWN = tuple(Query(f"00000000.ns-{index}.svc.cluster.local.", rcode=NXDOMAIN, answers=0) for index in range(8))
FORWARDED = tuple(Query(f"00000000.host-{index}.example.com.") for index in range(8))
MIX = _mix()

SCENARIOS = (
    Scenario("hit", BOUND, HIT, target=1.7),
    Scenario("hit, random case and cookie", BOUND, COOKIES, Load(mix_case=True, cookie=True), 1.2, "hit"),
    Scenario("mix of 2,000 names, half NXDOMAIN", BOUND, MIX),
    Scenario("NXDOMAIN, unique names", BOUND, UNKNOWN, UNIQUE, target=5.0),
    Scenario("headless, 10 addresses", BOUND, _headless(10, answers=10)),
    Scenario("headless, 100 addresses, truncated", BOUND, _headless(100, truncated=True, answers=0, payload=PAYLOAD)),
    Scenario("headless, 100 addresses, TCP", BOUND, _headless(100, answers=100), TCP),
    Scenario("SRV", BOUND, SRV),
    Scenario("AAAA, NODATA", BOUND, NODATA),
    Scenario("hit, pipelined TCP", BOUND, HIT, TCP, target=2.0),
    Scenario("forwarded, unique names", BOUND, FORWARDED, UNIQUE, target=7.0),
    Scenario("hit, wildcard bind", WILDCARD, HIT, target=2.0),
    Scenario("hit, stock Corefile", STOCK, HIT),
    Scenario("mix, stock Corefile", STOCK, MIX),
    Scenario("mix at 20,000/s", BOUND, MIX, Load(rate=EVENTS_QUERIES)),
    Scenario("mix at 20,000/s, 500 events/s", CHANGING, MIX, Load(rate=EVENTS_QUERIES), target=2.2),
)
