"""Answers from a snapshot: what it knows, for 5 seconds and marked; of what it does not know, neither yes nor no."""

import dns.edns
import dns.message
import dns.rcode
import pytest

from clusterdns.kube.objects import Restored, Synced
from clusterdns.kube.store import SERIAL, SYNC, Store
from clusterdns.wire.codes import Type
from clusterdns.wire.names import from_text
from clusterdns.wire.records import Ede
from tests.kube.objects import endpoint, gone, namespace, service, slice_of
from tests.kube.served import Served, filled
from tests.kube.test_not_synced import (
    CANNOT_EXIST,
    EXISTS,
    MAY_EXIST,
    REVERSE_CANNOT,
    REVERSE_EXISTS,
    REVERSE_MAY,
    SOME,
)
from tests.wire.packets import opt, query

OPTIONS = "pods verified\nttl 30"
REMEMBERED = [*SOME, service("a", "alias", external="s.a.svc.cluster.local"), Restored(1000)]


@pytest.fixture(scope="module")
def restored() -> Served:
    return filled(REMEMBERED, OPTIONS)


def asked(served: Served, name: str, qtype: Type = Type.A, edns: bytes = b"") -> dns.message.Message:
    """The same from the chain and from the memo."""
    packet = query(from_text(name), qtype, edns=edns)
    first = served.ask(packet)
    assert served.ask(packet) == first
    return dns.message.from_wire(first)


def ttls(message: dns.message.Message) -> set[int]:
    return {rrset.ttl for section in (message.answer, message.authority, message.additional) for rrset in section}


def codes(message: dns.message.Message) -> list[int]:
    """Of the extended errors."""
    return [option.code for option in message.options if isinstance(option, dns.edns.EDEOption)]


KNOWN = [*(f"{left}.cluster.local".lstrip(".") for left in EXISTS), *REVERSE_EXISTS, "alias.a.svc.cluster.local"]
UNKNOWN = [*(f"{left}.cluster.local" for left in (*MAY_EXIST, "x.alias.a.svc")), *REVERSE_MAY]


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("qtype", [Type.A, Type.SRV, Type.SOA, Type.PTR, Type.TXT])
def test_what_is_known_is_good_for_five_seconds(restored, name, qtype):
    """Answers and NODATA alike, the SOA record and the addresses of targets too."""
    plain, marked = asked(restored, name, qtype), asked(restored, name, qtype, opt())
    assert plain.rcode() == marked.rcode() == dns.rcode.NOERROR
    assert plain.sections == marked.sections
    assert ttls(plain)
    assert max(ttls(plain)) <= 5
    assert (plain.edns, codes(marked)) == (-1, [Ede.STALE_ANSWER])


def test_the_addresses_of_the_name_server_too():
    server = service("kube-system", "kube-dns", "10.96.0.10")
    message = asked(filled([server, Restored(1000)], OPTIONS), "cluster.local", Type.NS, opt())
    assert [rrset.ttl for rrset in (*message.answer, *message.additional)] == [5, 5]
    assert codes(message) == [Ede.STALE_ANSWER]


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("qtype", [Type.A, Type.SRV, Type.PTR])
def test_what_is_not_known_is_servfail(restored, name, qtype):
    plain, marked = asked(restored, name, qtype), asked(restored, name, qtype, opt())
    assert plain.rcode() == marked.rcode() == dns.rcode.SERVFAIL
    assert (plain.edns, codes(marked), ttls(marked)) == (-1, [Ede.NOT_READY], set())


@pytest.mark.parametrize("name", [*(f"{left}.cluster.local" for left in CANNOT_EXIST), *REVERSE_CANNOT])
def test_what_no_object_could_create_is_nxdomain_and_not_stale(restored, name):
    message = asked(restored, name, edns=opt())
    assert (message.rcode(), codes(message)) == (dns.rcode.NXDOMAIN, [])
    assert max(ttls(message)) <= 5


def test_a_ttl_below_five_seconds_stays():
    assert ttls(asked(filled(REMEMBERED, "ttl 2"), "s.a.svc.cluster.local")) == {2}
    assert ttls(asked(filled(REMEMBERED, "ttl 0"), "s.a.svc.cluster.local")) == {0}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("x.alias.a.svc", ""),
        ("alias.a.svc", "noendpoints"),
        ("h.a.svc", "noendpoints"),
        ("s.a.svc", "ignore empty_service"),
    ],
    ids=["below an ExternalName", "an IP literal", "headless without endpoints", "without a ready endpoint"],
)
def test_what_an_object_may_have_become_since(name, options):
    """Once the list is complete it is NXDOMAIN: the Service has no such name as it is remembered."""
    served = filled([*SOME, service("a", "alias", external="10.0.0.1"), Restored(1000)], options)
    assert asked(served, f"{name}.cluster.local").rcode() == dns.rcode.SERVFAIL
    served.apply(Synced())
    assert asked(served, f"{name}.cluster.local").rcode() == dns.rcode.NXDOMAIN


def test_nothing_is_forwarded():
    """`Served` has nobody to pass anything on to."""
    served = filled(REMEMBERED, "fallthrough")
    for name in (*UNKNOWN, "9.0.0.10.in-addr.arpa"):
        if ".pod." not in name:
            assert asked(served, name, Type.PTR).rcode() == dns.rcode.SERVFAIL


def test_before_a_snapshot_and_after_the_list_nothing_is_marked():
    served = filled(SOME, OPTIONS)
    for event, expected, marks in (
        (namespace("z"), 30, []),
        (Restored(1000), 5, [Ede.STALE_ANSWER]),
        (Synced(), 30, []),
        (Restored(2000), 30, []),
    ):
        served.apply(event)
        message = asked(served, "s.a.svc.cluster.local", edns=opt())
        assert (ttls(message), codes(message)) == ({expected}, marks)


def test_a_changed_object_shows_at_once():
    served = filled(REMEMBERED, OPTIONS)
    assert str(asked(served, "s.a.svc.cluster.local").answer[0][0]) == "10.96.0.1"
    served.apply(service("a", "s", "10.96.0.9"))
    assert str(asked(served, "s.a.svc.cluster.local").answer[0][0]) == "10.96.0.9"
    served.apply(gone(service("a", "s", "10.96.0.9")))
    assert asked(served, "s.a.svc.cluster.local").rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize("head", ["", "loadbalance"])
def test_a_large_answer_is_cut_with_its_mark(head):
    """The mark counts: no reply is longer than the client takes."""
    many = [endpoint(f"10.1.{n // 250}.{n % 250}") for n in range(400)]
    served = filled([*SOME, slice_of("a", "h", "h-2", *many), Restored(1)], "", head)
    for payload in range(512, 640):
        packet = query(from_text("h.a.svc.cluster.local"), Type.A, edns=opt(payload))
        for _ in range(2):
            reply = served.ask(packet)
            assert payload - 16 < len(reply) <= payload
            assert dns.message.from_wire(reply).edns == 0


@pytest.mark.parametrize(
    ("events", "keys", "serial"),
    [
        ([Restored(5)], {SYNC, SERIAL}, 5),
        ([Restored(0)], {SYNC}, 0),
        ([Restored(5), Restored(5)], set(), 5),
        ([Restored(5), Restored(4)], set(), 5),
        ([Restored(5), Restored(6)], {SERIAL}, 6),
        ([Restored(5), Synced()], {SYNC}, 5),
        ([Restored(5), Synced(), Synced()], set(), 5),
        ([Synced(), Restored(5)], {SERIAL}, 5),
    ],
)
def test_what_a_restored_state_changes(events, keys, serial):
    """The keys of the last event."""
    store = Store()
    for event in events[:-1]:
        store.apply(event, 1)
    assert store.apply(events[-1], 1) == keys
    assert (store.synced, store.restored) == (Synced() in events, Synced() not in events)
    assert store.serial == serial


def test_the_serial_goes_on_from_the_snapshot():
    served = filled([*SOME, Restored(2**32 - 1)])
    soa = asked(served, "cluster.local", Type.SOA).answer[0][0]
    assert soa.serial == 2**32 - 1
    served.apply(namespace("b"), Synced())
    # RFC 1982: behind the largest comes 0
    assert asked(served, "cluster.local", Type.SOA).answer[0][0].serial == 0
