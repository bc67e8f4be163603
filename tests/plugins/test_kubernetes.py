"""A start from a snapshot, with a chain behind the block: packets in, packets out."""

import dns.edns
import dns.message
import dns.rcode
import pytest

from clusterdns.kube.objects import Restored, Synced
from clusterdns.wire.records import Ede
from tests.kube.objects import endpoint, namespace, service, slice_of
from tests.plugins.blocks import block
from tests.support.inprocess import InProcess

REMEMBERED = [
    namespace("a"),
    service("a", "s", "10.96.0.1"),
    service("a", "h", "None"),
    service("a", "inside", external="s.a.svc.cluster.local"),
    service("a", "lost", external="nosuch.a.svc.cluster.local"),
    service("a", "outside", external="v4only.example.net"),
    service("a", "gone", external="no.such.example.net"),
    slice_of("a", "h", "h-1", *(endpoint(f"10.0.0.{n}") for n in range(1, 100))),
    Restored(1000),
]
ZONES = "cluster.local in-addr.arpa ip6.arpa"


@pytest.fixture
def server() -> InProcess:
    """What is not below the zones, and what may fall through, is forwarded."""
    options = ("manifests nowhere", "ttl 30", "fallthrough in-addr.arpa ip6.arpa")
    made = InProcess(block(f"kubernetes {ZONES} {{", *options, "}", "forward . 192.0.2.53"), synced=False)
    made.apply(REMEMBERED)
    return made


def ask(server: InProcess, name: str, rdtype: str = "A", edns: int = 0, payload: int = 1232) -> dns.message.Message:
    """From the chain, and the same from the memo. `edns` -1: without."""
    packet = dns.message.make_query(name, rdtype, use_edns=edns, payload=payload, id=7).to_wire()
    reply = server.ask(packet)
    assert server.ask(packet) == server.fresh(packet) == reply
    return dns.message.from_wire(reply)


def marks(message: dns.message.Message) -> list[int]:
    return [option.code for option in message.options if isinstance(option, dns.edns.EDEOption)]


def ttls(message: dns.message.Message) -> set[int]:
    return {rrset.ttl for section in (message.answer, message.authority, message.additional) for rrset in section}


@pytest.mark.parametrize(
    ("name", "rdtype"),
    [
        ("s.a.svc.cluster.local", "A"),
        ("s.a.svc.cluster.local", "AAAA"),
        ("_http._tcp.h.a.svc.cluster.local", "SRV"),
        ("1.0.96.10.in-addr.arpa", "PTR"),
        ("inside.a.svc.cluster.local", "A"),
        ("cluster.local", "SOA"),
        ("dns-version.cluster.local", "TXT"),
    ],
)
def test_known_names(server, name, rdtype):
    message = ask(server, name, rdtype)
    assert (message.rcode(), marks(message)) == (dns.rcode.NOERROR, [Ede.STALE_ANSWER])
    assert ttls(message) == {5}
    plain = ask(server, name, rdtype, edns=-1)
    assert (plain.edns, ttls(plain)) == (-1, {5})
    assert not server.asker.asked


@pytest.mark.parametrize(
    ("name", "rdtype"),
    [
        ("nosuch.a.svc.cluster.local", "A"),
        ("s.other.svc.cluster.local", "A"),
        ("9.0.96.10.in-addr.arpa", "PTR"),
        ("1.1.168.192.in-addr.arpa", "PTR"),
        ("1." + "0." * 31 + "ip6.arpa", "PTR"),
        ("lost.a.svc.cluster.local", "A"),
    ],
)
def test_unknown_names_are_neither_denied_nor_forwarded(server, name, rdtype):
    message = ask(server, name, rdtype)
    assert (message.rcode(), marks(message)) == (dns.rcode.SERVFAIL, [Ede.NOT_READY])
    assert ask(server, name, rdtype, edns=-1).edns == -1
    assert not server.asker.asked
    server.apply([Synced()])
    ask(server, name, rdtype)
    assert bool(server.asker.asked) is name.endswith(".arpa")


@pytest.mark.parametrize(("name", "rcode"), [("outside", dns.rcode.NOERROR), ("gone", dns.rcode.NXDOMAIN)])
def test_a_name_outside_is_looked_up_behind_a_remembered_link(server, name, rcode):
    message = ask(server, f"{name}.a.svc.cluster.local")
    assert (message.rcode(), marks(message)) == (rcode, [Ede.STALE_ANSWER])
    assert max(ttls(message)) <= 5
    assert server.asker.asked


def test_what_is_outside_of_the_zones_is_not_stale(server):
    message = ask(server, "v4only.example.net")
    assert marks(message) == []
    assert max(ttls(message)) > 5


@pytest.mark.parametrize("payload", [512, 513, 517, 518, 519, 800, 1232])
def test_a_large_answer_is_cut_to_size(server, payload):
    packet = dns.message.make_query("h.a.svc.cluster.local", "A", use_edns=0, payload=payload, id=7).to_wire()
    for _ in range(3):
        reply = server.ask(packet)
        assert payload - 16 < len(reply) <= payload
        assert marks(dns.message.from_wire(reply)) == [Ede.STALE_ANSWER]


def test_nothing_is_said_before_and_after(server):
    early = InProcess(block("kubernetes cluster.local {", "manifests nowhere", "ttl 30", "}"), synced=False)
    early.apply(REMEMBERED[:-1])
    server.apply([Synced()])
    for ready in (early, server):
        message = ask(ready, "s.a.svc.cluster.local")
        assert (ttls(message), marks(message)) == ({30}, [])
    assert marks(ask(early, "nosuch.a.svc.cluster.local")) == [Ede.NOT_READY]
    assert ask(server, "nosuch.a.svc.cluster.local").rcode() == dns.rcode.NXDOMAIN
