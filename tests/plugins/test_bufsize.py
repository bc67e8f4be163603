"""`bufsize`: no UDP reply is larger, from the chain, the memo or an upstream."""

import dns.flags
import dns.message
import pytest

from clusterdns.upstream.flights import message
from tests.plugins.blocks import block, configured, mistakes, served
from tests.support.inprocess import InProcess
from tests.support.rows import CONFORMANCE

CLUSTER = ("kubernetes cluster.local {", f"manifests {CONFORMANCE / 'manifests'}", "}", "forward . 192.0.2.53")
# 120 addresses, once as records that take turns and once as a list of targets with their addresses
CROWD = "hdls-big.edge.svc.cluster.local.", "A"
TARGETS = "hdls-big.edge.svc.cluster.local.", "SRV"
FORWARDED = "big.example.net.", "A"


def asked(server, name, rdtype, payload):
    """Octets of the reply and whether TC is set; each client has another id."""
    edns = None if payload is None else 0
    packet = dns.message.make_query(name, rdtype, use_edns=edns, payload=payload or 0).to_wire()
    wire = server.ask(packet)
    message = dns.message.from_wire(wire)
    if edns == 0:
        # What we take ourselves is another matter
        assert message.payload == 1232
    return len(wire), bool(message.flags & dns.flags.TC)


@pytest.mark.parametrize(
    ("line", "payload", "limit"),
    [
        ("bufsize", 4096, 1232),
        ("bufsize 1100", 4096, 1100),
        ("bufsize 1100", 1100, 1100),
        ("bufsize 1100", 700, 700),
        ("bufsize 1100", None, 512),
        ("bufsize 512", 1232, 512),
        ("bufsize 4096", 1400, 1400),
    ],
)
@pytest.mark.parametrize("extra", ["errors", "loadbalance"])
@pytest.mark.parametrize("question", [CROWD, TARGETS, FORWARDED], ids=["A", "SRV", "forwarded"])
def test_no_reply_is_larger(line, payload, limit, extra, question):
    server = InProcess(block(line, extra, *CLUSTER))
    for _ in range(3):
        size, truncated = asked(server, *question, payload)
        # The largest record of these replies has fewer octets
        assert limit - 90 < size <= limit
        assert truncated


@pytest.mark.parametrize("question", [CROWD, TARGETS], ids=["A", "SRV"])
def test_the_memo_gives_what_was_cut_to_it(question):
    server = InProcess(block("bufsize 1100", *CLUSTER))
    first = asked(server, *question, 4096)
    # What was cut is entered when the whole reply was found to be too large
    asked(server, *question, 4096)
    hits = server.hits()
    assert [asked(server, *question, payload) for payload in (4096, 1400, 1101)] == [first] * 3
    assert server.hits() == hits + 3


def test_one_entry_serves_those_who_take_less():
    server = InProcess(block("bufsize 1100", *CLUSTER))
    sizes = [asked(server, *CROWD, payload)[0] for payload in (4096, 600, 4096, 600)]
    assert sizes[:2] == sizes[2:]
    assert sizes[1] <= 600 < sizes[0] <= 1100


def test_over_tcp_there_is_no_such_limit():
    server = InProcess(block("bufsize 512", *CLUSTER), "tcp")
    for question in (CROWD, TARGETS, FORWARDED):
        size, truncated = asked(server, *question, 1232)
        assert size > 1900
        assert not truncated


def test_each_block_has_its_own():
    texts = (
        block("bufsize 600", *CLUSTER, key="edge.svc.cluster.local"),
        block(*CLUSTER, key="."),
    )
    server = InProcess("".join(texts))
    for _ in range(2):
        assert asked(server, *CROWD, 4096)[0] <= 600
        assert asked(server, *FORWARDED, 4096)[0] > 3900


@pytest.mark.parametrize(("line", "payload"), [("bufsize", 1232), ("bufsize 512", 512), ("bufsize 4096", 4096)])
def test_the_number(line, payload):
    assert served(configured(block(line, "whoami"))).payload == payload


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("bufsize 511", "a whole number from 512 to 4096"),
        ("bufsize 4097", "a whole number from 512 to 4096"),
        ("bufsize 1e3", "a whole number from 512 to 4096"),
        ("bufsize 1232 x", "takes 0 to 1 argument"),
        ("bufsize {\n}", "takes no block"),
        ("bufsize\nbufsize", "stands in this block twice"),
    ],
)
def test_mistakes(line, error):
    (found,) = mistakes(line, "whoami")
    assert "bufsize" in found
    assert error in found


@pytest.mark.parametrize(("line", "offered"), [("bufsize 600", 600), ("bufsize 4096", 1232), ("errors", 1232)])
def test_upstreams_are_offered_no_more(line, offered):
    server = InProcess(block(line, "forward . 192.0.2.53"))
    server.ask(dns.message.make_query("example.net.", "A", use_edns=0, payload=4096).to_wire())
    (group,) = server.asker.groups
    sent = dns.message.from_wire(b"\0\1" + message(server.asker.asked[0], group.payload))
    assert sent.payload == offered
