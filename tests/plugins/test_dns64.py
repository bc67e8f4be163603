"""`dns64`: who gets synthesised addresses, which, for how long, and when the real ones stand (RFC 6147, RFC 6052)."""

import ipaddress

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterdns.errors import UpstreamError
from clusterdns.kube.objects import Synced
from clusterdns.plugins.dns64 import LENGTHS, embedded
from clusterdns.wire.codes import RCode, Type
from clusterdns.wire.names import from_text
from clusterdns.wire.records import Ede, Response, RRset, name_rrset, soa
from tests.kube.objects import namespace, service
from tests.kube.served import filled
from tests.plugins.blocks import Run, a_records, block, configured, mistakes
from tests.support.inprocess import InProcess
from tests.support.rows import CONFORMANCE

CLUSTER = ("kubernetes cluster.local {", f"manifests {CONFORMANCE / 'manifests'}", "}", "forward . 192.0.2.53")
ANYONE = ("dns64 {", "allow_ipv4", "}")
ALL = ("dns64 {", "allow_ipv4", "translate_all", "}")
V4, V6 = ("192.0.2.7", 40000), ("fd00::7", 40000)
SVC1 = "svc1.testns.svc.cluster.local."

NAME = "www.example.net."
WWW = from_text(NAME)
SOA = RRset(from_text("example.net"), Type.SOA, 60, (soa(b"\0", b"\0", 1, (1, 1, 1, 60)),))
NODATA = Response(authority=(SOA,), ra=True)
# TTL 300
A = Response(answer=(a_records(NAME, "192.0.2.1", "192.0.2.2"),), ra=True)
NATIVE, MAPPED = (ipaddress.IPv6Address(text).packed for text in ("2001:db8::1", "::ffff:192.0.2.1"))
UNKNOWN = Response(RCode.NXDOMAIN, authority=(SOA,))


def aaaa(*packed):
    return RRset(WWW, Type.AAAA, 300, packed)


def packet(name, rdtype="AAAA", **options):
    return dns.message.make_query(name, rdtype, **options).to_wire()


def lines(section):
    """Each record as text, in order."""
    return [line.replace(" IN ", " ") for rrset in section for line in str(rrset).splitlines()]


def answer(server, name, client=V4, rdtype="AAAA", **options):
    return dns.message.from_wire(server.ask(packet(name, rdtype, **options), client))


def run(*replies, head=ANYONE, name=NAME, rdtype="AAAA"):
    """A query whose upstream questions are answered with these, one after the other."""
    made = Run(configured(block(*head, "forward . 192.0.2.53")), name, rdtype)
    for reply in replies:
        made.reply(reply)
    return made


def shown(response):
    """TTL and address of each record of the answer."""
    assert all(rrset.rtype == Type.AAAA for rrset in response.answer)
    return [(rrset.ttl, str(ipaddress.IPv6Address(rdata))) for rrset in response.answer for rdata in rrset.rdatas]


# Addresses

# RFC 6052 2.4
IN_RFC_6052 = [
    ("2001:db8::/32", "2001:db8:c000:221::"),
    ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
    ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
    ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
    ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
    ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
]


@pytest.mark.parametrize(("prefix", "address"), IN_RFC_6052)
def test_an_address_stands_where_the_rfc_puts_it(prefix, address):
    made = embedded(ipaddress.IPv6Network(prefix), bytes((192, 0, 2, 33)))
    assert made == ipaddress.IPv6Address(address).packed


@given(st.sampled_from(LENGTHS), st.ip_addresses(v=6), st.binary(min_size=4, max_size=4))
def test_an_address_is_below_its_prefix_and_can_be_had_back(length, within, address):
    network = ipaddress.IPv6Network((within, length), strict=False)
    made = embedded(network, address)
    assert len(made) == 16
    assert ipaddress.IPv6Address(made) in network
    octets = made if length > 64 else made[:8] + made[9:]
    assert octets[length // 8 :][:4] == address
    assert length > 64 or not made[8]


@pytest.mark.parametrize(
    "head",
    [
        ("dns64 2001:db8::/64 {", "allow_ipv4", "}"),
        ("dns64 {", "prefix 2001:db8::/64", "allow_ipv4", "}"),
        # Of two the last counts; what stands behind the length is ignored
        ("dns64 64:ff9b::/96 {", "prefix 2001:db8::1/64", "allow_ipv4", "}"),
    ],
)
def test_the_prefix_is_what_the_block_says(head):
    assert shown(run(NODATA, A, head=head).done())[0] == (60, "2001:db8::c0:2:100:0")


# Against the test upstream

UPSTREAM = [
    ("v4only.example.net.", ["v4only.example.net. 303 AAAA 64:ff9b::c633:6404"], 2),
    ("short.example.net.", ["short.example.net. 2 AAAA 64:ff9b::c633:6402"], 2),
    # The SOA record's TTL
    ("long.example.net.", ["long.example.net. 900 AAAA 64:ff9b::c633:6463"], 2),
    ("zero.example.net.", ["zero.example.net. 0 AAAA 64:ff9b::c633:6400"], 2),
    (
        "alias.example.net.",
        ["alias.example.net. 60 CNAME v4only.example.net.", "v4only.example.net. 303 AAAA 64:ff9b::c633:6404"],
        2,
    ),
    ("example.net.", ["example.net. 3600 AAAA 2001:db8::10"], 1),
    (SVC1, ["svc1.testns.svc.cluster.local. 5 AAAA 64:ff9b::a00:1"], 0),
    # An alias in the cluster for a name outside
    (
        "external.testns.svc.cluster.local.",
        [
            "external.testns.svc.cluster.local. 5 CNAME ext.interwebs.test.",
            "ext.interwebs.test. 303 AAAA 64:ff9b::102:304",
        ],
        2,
    ),
]


@pytest.mark.parametrize(("name", "expected", "questions"), UPSTREAM)
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_addresses(name, expected, questions, protocol):
    server = InProcess(block(*ANYONE, "loadbalance", *CLUSTER), protocol)
    reply = answer(server, name, use_edns=0)
    assert (reply.rcode(), lines(reply.answer)) == (dns.rcode.NOERROR, expected)
    assert len(server.asker.asked) == questions
    assert {query.name for query in server.asker.asked if query.qtype == Type.A} <= {
        query.name for query in server.asker.asked if query.qtype == Type.AAAA
    }


NOTHING = [
    # Neither name nor policy is asked about twice
    ("nx.example.net.", dns.rcode.NXDOMAIN, 1),
    ("refused.example.net.", dns.rcode.REFUSED, 1),
    ("servfail.example.net.", dns.rcode.SERVFAIL, 2),
    ("notimp.example.net.", dns.rcode.NOTIMP, 2),
    ("emptynosoa.example.net.", dns.rcode.NOERROR, 2),
    ("nosuch.testns.svc.cluster.local.", dns.rcode.NXDOMAIN, 0),
    ("testns.svc.cluster.local.", dns.rcode.NOERROR, 0),
]


@pytest.mark.parametrize(("name", "rcode", "questions"), NOTHING)
def test_no_addresses(name, rcode, questions):
    server = InProcess(block(*ANYONE, *CLUSTER))
    reply = answer(server, name)
    assert (reply.rcode(), reply.answer) == (rcode, [])
    assert len(server.asker.asked) == questions
    plain = answer(InProcess(block(*CLUSTER)), name)
    assert [rrset.name for rrset in reply.authority] == [rrset.name for rrset in plain.authority]


@pytest.mark.parametrize("rdtype", ["A", "TXT", "ANY", "HTTPS", "PTR"])
def test_only_aaaa_is_touched(rdtype):
    for name in ("v4only.example.net.", SVC1):
        with_it, without = (InProcess(block(*head, *CLUSTER)) for head in (ALL, ()))
        assert with_it.ask(packet(name, rdtype, id=1)) == without.ask(packet(name, rdtype, id=1))
        assert len(with_it.asker.asked) == len(without.asker.asked)


def test_many_addresses_take_turns_and_are_cut_to_what_the_client_takes():
    server = InProcess(block(*ANYONE, "loadbalance", *CLUSTER))
    name = "hdls-big.edge.svc.cluster.local."
    firsts = set()
    for _ in range(4):
        reply = answer(server, name, use_edns=0, payload=4096)
        (rrset,) = reply.answer
        firsts.add(rrset[0].address)
        assert len(rrset) == 120
        assert {address.address.rpartition("::")[0] for address in rrset} == {"64:ff9b"}
    assert len(firsts) == 4
    small = server.ask(packet(name))
    assert len(small) <= 512
    assert dns.message.from_wire(small).flags & dns.flags.TC


# Who is served


def test_clients_over_ipv6_are_and_others_are_not():
    server = InProcess(block("dns64", *CLUSTER))
    for _ in range(2):
        for name in (SVC1, "v4only.example.net."):
            assert len(answer(server, name, V6).answer) == 1
            assert answer(server, name, V4).answer == []


def test_the_memo_keeps_both_apart():
    server = InProcess(block("dns64", *CLUSTER))
    for client in (V4, V6):
        for edns in (None, 0):
            query = packet(SVC1, id=1, use_edns=edns)
            expected = server.fresh(query, client)
            server.fresh(query, V6 if client is V4 else V4)
            server.ask(query, client)
            hits = server.hits()
            assert server.ask(query, client) == expected
            assert server.hits() == hits + 1


def test_two_blocks_are_one_classifier():
    text = block("dns64", *CLUSTER, key="a.test b.test") + block("dns64 2001:db8::/96", *CLUSTER, key="cluster.local")
    (listener,) = configured(text).listeners
    assert len(listener.classifiers) == 1
    assert [listener.classifiers[0](address) for address, _ in (V4, V6)] == [0, 1]


def test_without_a_limit_nobody_is_classified():
    assert configured(block(*ANYONE, "whoami")).listeners[0].classifiers == ()


@pytest.mark.parametrize(("do", "cd", "synthesised"), [(0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_who_validates_gets_what_is_signed(do, cd, synthesised):
    """RFC 6147 5.5"""
    server = InProcess(block(*ANYONE, *CLUSTER))
    flags = dns.flags.RD | cd * dns.flags.CD
    reply = answer(server, "v4only.example.net.", want_dnssec=bool(do), flags=flags)
    assert len(reply.answer) == synthesised
    # The second question is the first one, but for its type
    assert len({(query.name, query.flags, query.edns, query.do) for query in server.asker.asked}) == 1


# What is made of what


def test_what_is_made_is_not_vouched_for():
    sections = {"authority": (SOA,), "additional": (a_records("ns.example.net.", "192.0.2.9"),)}
    made = run(NODATA, Response(answer=A.answer, **sections, aa=True, ra=True, ad=True, cut=True, rotate=True)).done()
    assert (made.aa, made.ad, made.ra, made.cut, made.rotate) == (False, False, True, True, True)
    assert (made.authority, made.additional) == (sections["authority"], sections["additional"])
    assert shown(made) == [(60, "64:ff9b::c000:201"), (60, "64:ff9b::c000:202")]


def test_signatures_of_a_records_are_left_out_and_others_are_not():
    cname = name_rrset(WWW, Type.CNAME, 60, (from_text("a.example.net"),))
    signatures = [
        RRset(cname.owner, Type.RRSIG, 60, (b"\0\5signature",)),
        RRset(from_text("a.example.net"), Type.RRSIG, 60, (b"\0\1signature",)),
    ]
    made = run(NODATA, Response(answer=(cname, signatures[0], A.answer[0], signatures[1]))).done()
    assert [rrset.rtype for rrset in made.answer] == [Type.CNAME, Type.RRSIG, Type.AAAA]


def test_without_a_soa_record_it_lives_for_ten_minutes():
    long = Response(answer=(RRset(WWW, Type.A, 86400, A.answer[0].rdatas),))
    assert {ttl for ttl, _ in shown(run(Response(), long).done())} == {600}
    assert {ttl for ttl, _ in shown(run(Response(), A).done())} == {300}


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        # An error for AAAA is often a server that does not know the type (5.1.2)
        ((Response(RCode.SERVFAIL), A), RCode.NOERROR),
        ((Response(RCode.NOTIMP), A), RCode.NOERROR),
        ((Response(RCode.FORMERR), A), RCode.NOERROR),
        # It may hide records too: no denial is made of it
        ((Response(RCode.SERVFAIL), NODATA), RCode.SERVFAIL),
        ((Response(RCode.SERVFAIL), UNKNOWN), RCode.SERVFAIL),
        # Nobody knows whether there are A records: the client must ask again (5.1.6)
        ((NODATA, Response(RCode.SERVFAIL, ede=Ede.NOT_READY)), RCode.SERVFAIL),
        ((NODATA, NODATA), RCode.NOERROR),
        ((Response(), NODATA), RCode.NOERROR),
    ],
)
def test_errors(replies, expected):
    made = run(*replies).done()
    assert made.rcode == expected
    assert bool(made.answer) is (replies[1] is A)
    assert replies[1] is not NODATA or expected or made.authority == (SOA,)


def test_an_upstream_that_is_gone_is_a_failure():
    made = run(NODATA).fail(UpstreamError("gone"))
    assert made.done().rcode == RCode.SERVFAIL
    assert str(made.context.error) == "gone"


def test_an_ipv4_mapped_address_is_none():
    """RFC 6147 5.1.4"""
    assert shown(run(Response(answer=(aaaa(MAPPED),)), A).done())[0] == (300, "64:ff9b::c000:201")
    made = run(Response(answer=(aaaa(MAPPED),)), NODATA).done()
    assert (made.answer, made.authority) == ((), (SOA,))


def test_of_several_addresses_only_the_mapped_ones_are_left_out():
    assert run(Response(answer=(aaaa(MAPPED, NATIVE),))).done().answer == (aaaa(NATIVE),)


def test_a_reply_with_addresses_is_the_very_same():
    native = Response(answer=(aaaa(NATIVE),), ad=True, aa=True)
    assert run(native).done() is native


def test_translate_all_prefers_ipv4():
    assert shown(run(Response(answer=(aaaa(NATIVE),)), A, head=ALL).done())[0] == (300, "64:ff9b::c000:201")


@pytest.mark.parametrize("second", [NODATA, UNKNOWN, Response(RCode.SERVFAIL)])
def test_translate_all_leaves_names_without_ipv4_what_they_have(second):
    native = Response(answer=(aaaa(NATIVE),), ad=True)
    assert run(native, second, head=ALL).done() is native


def test_both_questions_are_what_an_answer_was_made_from():
    """An event on the Service drops the memo's entry, whichever family it is about."""
    head = "\n".join(ANYONE)
    service_a, service_both = service("a", "s", "10.96.0.9"), service("a", "s", "10.96.0.9", "fd00::9")
    server = filled([namespace("a"), service_a, Synced()], head=head)
    query = packet("s.a.svc.cluster.local.")
    seen = []
    for event in (service_a, service_both, service("a", "s", "10.96.0.10"), service("a", "s", "None")):
        server.apply(event)
        first, hits = server.ask(query), server.hits
        assert server.ask(query) == first
        assert server.hits == hits + 1
        seen.append([rdata.address for rrset in dns.message.from_wire(first).answer for rdata in rrset])
    assert seen == [["64:ff9b::a60:9"], ["fd00::9"], ["64:ff9b::a60:a"], []]


@pytest.mark.parametrize(
    ("head", "error"),
    [
        ("dns64 1.2.3.0/24", "an IPv6 prefix with one of the lengths 32, 40, 48, 56, 64, 96"),
        ("dns64 64:ff9b::/95", "an IPv6 prefix with one of the lengths"),
        ("dns64 64:ff9b::/72", "an IPv6 prefix with one of the lengths"),
        ("dns64 64:ff9b::", "an IPv6 prefix with one of the lengths"),
        ("dns64 foo", "a network, not"),
        ("dns64 64:ff9b::/96 64:ff9b::/96", "takes 0 to 1 argument"),
        ("dns64 {\nprefix\n}", "prefix: takes 1 argument"),
        ("dns64 {\nprefix 64:ff9b::/33\n}", "an IPv6 prefix with one of the lengths"),
        ("dns64 {\ntranslate_all yes\n}", "takes no arguments"),
        ("dns64 {\nallow_ipv4 yes\n}", "takes no arguments"),
        ("dns64 {\ntranslateall\n}", "one of prefix, translate_all, allow_ipv4"),
    ],
)
def test_mistakes(head, error):
    (found,) = mistakes(head, "whoami")
    assert "dns64: " in found
    assert error in found
