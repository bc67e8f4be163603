"""Random requests and replies. Names share suffixes, so that there is something to compress."""

from hypothesis import strategies as st

from clusterdns.wire.codes import RCode, Type
from clusterdns.wire.names import from_labels
from clusterdns.wire.query import Request, parse
from clusterdns.wire.records import Ede, Names, Response, RRset, soa, srv, txt
from tests.wire.packets import AD, CD, COOKIE, RD, opt, query, spelled

_LABEL = st.sampled_from([b"a", b"b", b"web", b"svc", b"cluster", b"local", b"\0", b".", b"\xc0\x0c", b"x" * 63])
NAMES = st.lists(_LABEL, max_size=5).map(lambda labels: from_labels(labels[:3] + [b"z"] * (len(labels) > 3)))
_U16 = st.integers(0, 65535)
_ONE_NAME = st.builds(lambda name: Names(b"", (name,)), NAMES)

_RDATA = {
    Type.A: st.binary(min_size=4, max_size=4),
    Type.AAAA: st.binary(min_size=16, max_size=16),
    Type.CNAME: _ONE_NAME,
    Type.NS: _ONE_NAME,
    Type.PTR: _ONE_NAME,
    Type.SRV: st.builds(srv, _U16, _U16, _U16, NAMES),
    Type.SOA: st.builds(lambda m, r, n: soa(m, r, n, (7200, 1800, 86400, 5)), NAMES, NAMES, st.integers(0, 2**32 - 1)),
    Type.MX: st.builds(lambda n, name: Names(n.to_bytes(2, "big"), (name,)), _U16, NAMES),
    Type.TXT: st.binary(max_size=255).map(txt),
}
# RFC 2181 section 8: the top bit of a TTL is not used
_TTL = st.integers(0, 2**31 - 1)


@st.composite
def _rrsets(draw: st.DrawFn) -> RRset:
    rtype = draw(st.sampled_from(list(_RDATA)))
    rdatas = draw(st.lists(_RDATA[rtype], min_size=1, max_size=6, unique=True))
    return RRset(draw(NAMES), rtype, draw(_TTL), tuple(rdatas))


_SECTION = st.lists(_rrsets(), max_size=4).map(tuple)
RRSETS = _rrsets()
# Above 15 they need the OPT record's upper bits
RCODES = st.sampled_from([*RCode, 23])
EDES = st.none() | st.sampled_from(Ede)
RESPONSES = st.builds(
    Response, RCODES, _SECTION, _SECTION, _SECTION, aa=st.booleans(), ra=st.booleans(), rotate=st.booleans(), ede=EDES
)

_EDNS = st.builds(
    opt, st.sampled_from([0, 512, 1232, 4096, 65535]), st.booleans(), st.sampled_from([(), (COOKIE,), (COOKIE,) * 2])
)
_FLAGS = st.sets(st.sampled_from([RD, AD, CD, 0x0400, 0x2000])).map(sum)


@st.composite
def _requests(draw: st.DrawFn) -> Request:
    packet = query(draw(NAMES), draw(st.sampled_from([1, 5, 28, 33, 255])), 1, draw(_FLAGS), draw(st.just(b"") | _EDNS))
    return parse(spelled(packet, draw(st.integers(0, 2**20)))) if draw(st.booleans()) else parse(packet)


REQUESTS = _requests()
LIMITS = st.sampled_from([512, 700, 1232, 4096, 65535])
