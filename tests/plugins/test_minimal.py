"""`minimal`: what is left out, and what is kept because it says something."""

import dns.message
import dns.rdatatype
import pytest
from msgspec.structs import replace

from clusterdns.plugins.minimal import smaller
from clusterdns.wire.codes import RCode, Type
from clusterdns.wire.encode import encode
from clusterdns.wire.names import from_text
from clusterdns.wire.query import parse
from clusterdns.wire.records import Ede, Response, name_rrset, soa
from clusterdns.wire.records import RRset as Records
from clusterdns.wire.survey import survey
from tests.plugins.blocks import Run, a_records, block, configured, mistakes
from tests.support.inprocess import InProcess
from tests.support.rows import CONFORMANCE
from tests.wire.packets import opt, query, reply
from tests.wire.walk import walked

NAME = from_text("www.example.net")
CNAME = name_rrset(NAME, Type.CNAME, 60, (from_text("a.example.net"),))
NS = name_rrset(from_text("example.net"), Type.NS, 60, (from_text("ns.example.net"),))
SOA = Records(from_text("example.net"), Type.SOA, 60, (soa(b"\0", b"\0", 1, (1, 1, 1, 60)),))
ADDRESS = a_records("www.example.net", "192.0.2.1", "192.0.2.2")
GLUE = a_records("ns.example.net", "192.0.2.99")

POSITIVE = [
    Response(answer=(ADDRESS,), authority=(NS,), additional=(GLUE,)),
    Response(answer=(CNAME,), additional=(GLUE,)),
    Response(answer=(ADDRESS,), authority=(NS,), aa=True),
]
UNTOUCHED = [
    Response(answer=(ADDRESS,)),
    Response(RCode.NXDOMAIN, (), (SOA,), (GLUE,)),
    Response(RCode.NXDOMAIN, (CNAME,), (SOA,)),
    Response(RCode.SERVFAIL, (ADDRESS,), (NS,)),
    Response(authority=(SOA,), additional=(GLUE,)),
    # No data behind the alias (RFC 2308 2.2), and a referral
    Response(answer=(CNAME,), authority=(SOA,)),
    Response(authority=(NS,), additional=(GLUE,)),
    Response(additional=(GLUE,)),
]


def relayed(response, theirs=True):
    """The same as an upstream's octets, `theirs`: with an OPT record."""
    request = parse(query(NAME, edns=opt() if theirs else b""))
    return survey(encode(request, response).wire(request), request.question)


def sent(made, edns=b""):
    request = parse(query(NAME, edns=edns))
    return dns.message.from_wire(encode(request, made).wire(request))


@pytest.mark.parametrize("response", POSITIVE)
def test_answers_stand_alone(response):
    made = smaller(response)
    assert (made.answer, made.authority, made.additional) == (response.answer, (), ())
    assert made.aa == response.aa


@pytest.mark.parametrize("response", POSITIVE)
@pytest.mark.parametrize("theirs", [True, False], ids=["with opt", "without opt"])
@pytest.mark.parametrize("edns", [b"", opt()], ids=["plain", "edns"])
def test_so_do_those_of_upstreams_and_opt_is_ours(response, theirs, edns):
    relay = relayed(response, theirs)
    made = smaller(relay)
    was, now = sent(relay, edns), sent(made, edns)
    assert now.answer == was.answer
    assert (now.authority, now.additional) == ([], [])
    assert (now.flags, now.rcode(), now.edns) == (was.flags, was.rcode(), was.edns)
    request = parse(query(NAME, edns=edns))
    assert walked(encode(request, made).wire(request))


@pytest.mark.parametrize("response", UNTOUCHED)
@pytest.mark.parametrize("theirs", [True, False], ids=["with opt", "without opt"])
def test_everything_else_is_the_very_same(response, theirs):
    assert smaller(response) is response
    relay = relayed(response, theirs)
    assert smaller(relay) is relay


def test_what_is_said_beside_the_records_stays():
    made = smaller(Response(answer=(ADDRESS,), authority=(NS,), rotate=True, ra=True, ad=True, ede=Ede.STALE_ANSWER))
    assert (made.rotate, made.ra, made.ad, made.ede) == (True, True, True, Ede.STALE_ANSWER)
    assert sent(made, opt()).options


def test_records_of_an_upstream_still_take_turns():
    relay = Run(configured(block("minimal", "loadbalance", "forward . 192.0.2.53")), "www.example.net.")
    made = relay.reply(relayed(POSITIVE[0])).result
    assert made.rotate
    assert sent(made).authority == []
    assert smaller(replace(relayed(POSITIVE[0]), rotate=True)).rotate


def test_a_reply_without_an_answer_section_is_not_read():
    """Its counts say that there is nothing to leave out."""
    empty = survey(reply(query(NAME)[12:]), query(NAME)[12:])
    assert smaller(empty) is empty


@pytest.fixture(scope="module")
def cluster():
    return InProcess(block("minimal", "kubernetes cluster.local {", f"manifests {CONFORMANCE / 'manifests'}", "}"))


@pytest.mark.parametrize(
    ("name", "rdtype", "authority"),
    [
        ("_http._tcp.svc1.testns.svc.cluster.local.", "SRV", 0),
        ("cluster.local.", "NS", 0),
        ("svc1.testns.svc.cluster.local.", "TXT", 1),
        ("nosuch.testns.svc.cluster.local.", "A", 1),
    ],
)
def test_names_of_the_cluster(cluster, name, rdtype, authority):
    """From the chain, and then from the memo."""
    packet = dns.message.make_query(name, rdtype, use_edns=0).to_wire()
    first, hits = cluster.ask(packet), cluster.hits()
    found = dns.message.from_wire(first)
    assert len(found.answer) == 1 - authority
    assert [each.rdtype for each in found.authority] == [dns.rdatatype.SOA] * authority
    assert found.additional == []
    assert found.edns == 0
    assert cluster.ask(packet) == first
    assert cluster.hits() == hits + 1


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("minimal yes", "takes no arguments"),
        ("minimal {\n}", "takes no block"),
        ("minimal\nminimal", "stands in this block twice"),
    ],
)
def test_mistakes(line, error):
    (found,) = mistakes(line, "whoami")
    assert "minimal" in found
    assert error in found
