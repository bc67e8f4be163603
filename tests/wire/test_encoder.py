"""The encoder that remembers negative replies says what the one that does not would."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterdns.wire.codes import RCode, Type
from clusterdns.wire.encode import MAX_MESSAGE, Encoder, encode
from clusterdns.wire.names import from_text
from clusterdns.wire.query import Request, parse
from clusterdns.wire.records import Reply, Response, RRset, name_rrset, soa
from tests.wire.packets import RD, query
from tests.wire.replies import EDES, LIMITS, RCODES, REQUESTS, RRSETS

ZONE = from_text("cluster.local")
SOA = RRset(ZONE, Type.SOA, 5, (soa(b"\2ns\3dns" + ZONE, b"\x0ahostmaster" + ZONE, 7, (7200, 1800, 86400, 5)),))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_an_encoder_that_remembers_says_the_same(data):
    """Negative replies of all kinds, one after the other through one `Encoder`."""
    encoder = Encoder()
    known = [SOA, *data.draw(st.lists(RRSETS, min_size=1, max_size=2))]
    for _ in range(12):
        request = data.draw(REQUESTS)
        reply = Response(
            data.draw(RCODES),
            (),
            (data.draw(st.sampled_from(known)),),
            (),
            *data.draw(st.tuples(*[st.booleans()] * 3)),
            ede=data.draw(EDES),
        )
        limit, recursive = data.draw(LIMITS), data.draw(st.booleans())
        assert encoder(request, reply, limit, 0, recursive) == encode(request, reply, limit, 0, recursive)


def negative(text: str, authority: RRset, rcode: int = RCode.NXDOMAIN, flags: int = RD) -> tuple[Request, Reply]:
    return parse(query(from_text(text), flags=flags)), Response(rcode, (), (authority,), (), True)


MANY_NS = name_rrset(ZONE, Type.NS, 5, tuple(from_text("n" * 60 + str(n)) for n in range(10)))


@pytest.mark.parametrize(
    ("first", "limit", "second"),
    [
        # Cut for a client that takes little, then whole for one that takes it all
        (negative("a.cluster.local", MANY_NS), 512, negative("b.cluster.local", MANY_NS)),
        # A name of the same length that is not in the zone has no zone to point at
        (negative("a.cluster.local", SOA), MAX_MESSAGE, negative("a.exampl2.other", SOA)),
        # The zone's own names may stand in a question: what points at them is good for that question alone
        (negative("a.ns.dns.cluster.local", SOA), MAX_MESSAGE, negative("b.xx.yyy.cluster.local", SOA)),
        # RCODE 16 and the CD bit are the same bit of different fields
        (negative("a.cluster.local", SOA, 0, RD | 0x10), MAX_MESSAGE, negative("a.cluster.local", SOA, RCode.BADVERS)),
    ],
    ids=["limit", "zone", "names", "rcode"],
)
def test_what_an_encoder_remembers_is_for_the_same_question_only(first, limit, second):
    encoder = Encoder()
    encoder(*first, limit)
    assert encoder(*second) == encode(*second)


def test_what_an_encoder_remembers_is_bounded(monkeypatch):
    monkeypatch.setattr(Encoder, "LIMIT", 8)
    encoder = Encoder()
    made = set()
    for length in range(1, 60):
        request, reply = negative("x" * length + ".cluster.local", SOA)
        made.add(id(encoder(request, reply)))
        assert encoder(request, reply) == encode(request, reply)
    assert len(encoder._negative) <= 8
