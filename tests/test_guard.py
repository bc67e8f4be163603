"""The guard: what the memo answers is what the chain would have answered, octet by octet.

A reply of the chain is one made with the memo emptied before. The memo's is one to a packet whose sibling was asked
before: the same question and flags, but another id, spelling, payload size and other options. Without `loadbalance`
and without events in between, there is nothing left in which the two may differ.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product

import dns.flags
import dns.message
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterdns.wire.codes import Option, RCode, Type
from clusterdns.wire.names import from_text
from tests.support.inprocess import InProcess, same_but_order
from tests.support.rows import CONFORMANCE, Row, corefile, packet_rows, query_bytes, query_rows, setups
from tests.wire.packets import AD, CD, COOKIE, PADDING, RD, opt, query, spelled

SOURCE = f"manifests {CONFORMANCE / 'manifests'}"
SETUPS = (
    *sorted(name for name in setups() if name[1] == "-" and "A" <= name[0] <= "M"),
    *("chain-zones", "chain-noroot", "chain-cidr", "chain-fwd-edns"),
)
ROWS = [row for row in query_rows() if row.setup in SETUPS]
# RFC 7828: only the parser knows whether it is well formed, so a query with it always goes there
KEEPALIVE = (Option.TCP_KEEPALIVE, b"")
OPTIONS = [
    (),
    (COOKIE,),
    (PADDING,),
    ((Option.NSID, b""), COOKIE, PADDING),
    (KEEPALIVE,),
    (COOKIE, KEEPALIVE),
    (COOKIE,) * 40,
]
CAP = 4096


@dataclass(frozen=True, slots=True)
class Shape:
    """How a question is asked. `payload` None: without OPT; `upper`: which letters are in upper case."""

    flags: int = RD
    payload: int | None = None
    do: bool = False
    options: tuple[tuple[int, bytes], ...] = ()
    upper: int = 0
    ident: bytes = field(default=b"\x12\x34")

    def packet(self, name: bytes, qtype: int, qclass: int) -> bytes:
        edns = b"" if self.payload is None else opt(self.payload, self.do, self.options)
        return self.ident + spelled(query(name, qtype, qclass, self.flags, edns), self.upper)[2:]

    def sibling(self) -> "Shape":
        """Another packet that the memo must not tell from this one."""
        payload = None if self.payload is None else 1400
        return replace(self, payload=payload, options=(), upper=self.upper ^ 0x2AAAA, ident=b"\xab\xcd")

    @property
    def kept(self) -> bool:
        """Are there no options that keep the memo from taking it?"""
        return KEEPALIVE not in self.options and len(self.options) <= 32


def shapes() -> Iterator[Shape]:
    bits = [sum(chosen) for chosen in product((0, RD), (0, AD), (0, CD))]
    for at, flags in enumerate(bits):
        yield Shape(flags, upper=at * 0x1357)
        for do in (False, True):
            yield Shape(flags, (512, 1232, 4096)[at % 3], do, (COOKIE,), at * 0x2468)
    for payload, options in product((0, 512, 1232, 4096, 65535), OPTIONS):
        yield Shape(payload=payload, options=options, do=len(options) == 1, upper=0x155555, ident=b"\0\0")


SHAPES = list(shapes())


def text(setup: str, extra: str = "") -> str:
    """The setup's Corefile, `extra` put at the head of each block."""
    filled = corefile(setups()[setup], SOURCE, "127.0.0.1:5300", str(CONFORMANCE / "hosts"))
    return filled.replace(" {\n    kubernetes", f" {{\n{extra}    kubernetes").replace(
        " {\n    forward", f" {{\n{extra}    forward"
    )


@pytest.fixture(scope="module")
def servers() -> dict[tuple[str, str], InProcess]:
    return {}


def server_for(servers: dict[tuple[str, str], InProcess], setup: str, protocol: str, extra: str = "") -> InProcess:
    key = (setup + extra, protocol)
    if key not in servers:
        servers[key] = InProcess(text(setup, extra), protocol)
    return servers[key]


def parts(row: Row) -> tuple[bytes, int, int]:
    """Name, type and class of a row's question."""
    packet = query_bytes(row)
    end = packet.index(0, 12) + 1
    return packet[12:end].lower(), *(int.from_bytes(packet[at : at + 2], "big") for at in (end, end + 2))


def primed(server: InProcess, packet: bytes) -> bool:
    """Ask with an empty memo. Must the reply be in it now? The store alone made it."""
    asked = len(server.asker.asked)
    reply = server.fresh(packet)
    assert reply is not None
    local = len(server.asker.asked) == asked and reply[3] & 0xF in (RCode.NOERROR, RCode.NXDOMAIN)
    assert len(server.responder.memo) >= local
    return local


def limit(server: InProcess, shape: Shape) -> int:
    """Octets of the largest reply to such a packet."""
    return 65535 if server.responder.cap is None else min(max(shape.payload or 0, 512), CAP)


def fits(server: InProcess, shape: Shape) -> bool:
    """Does such a client take the whole reply that was entered first?"""
    return next(iter(server.responder.memo.young.values())).size <= limit(server, shape)


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_every_row_in_every_shape(row, protocol, servers):
    server = server_for(servers, row.setup, protocol)
    # The other transport differs in its limit only, which the rows themselves need not show in every shape
    for shape in SHAPES if protocol == ("tcp" if row.opts.tcp else "udp") else SHAPES[::5]:
        packet = shape.packet(*parts(row))
        expected = server.fresh(packet)
        local = primed(server, shape.sibling().packet(*parts(row)))
        if not local:
            continue
        hits = server.hits()
        assert server.ask(packet) == expected
        if fits(server, shape):
            # Or the test would compare the chain with itself
            assert server.hits() - hits == shape.kept
        else:
            # What was cut may be kept as well
            assert server.ask(packet) == expected


def test_what_an_upstream_said_is_never_kept(servers):
    forwarded = 0
    for row in ROWS:
        server, packet = server_for(servers, row.setup, "udp"), query_bytes(row)
        before = len(server.asker.asked)
        server.fresh(packet)
        asked, hits = len(server.asker.asked) - before, server.hits()
        if asked:
            forwarded += 1
            server.ask(packet)
            assert (len(server.asker.asked), server.hits()) == (before + 2 * asked, hits)
    assert forwarded


TURNING = [
    row for row in ROWS if row.setup in ("A-defaults", "E-endpoint-pod-names", "chain-zones") and not row.opts.tcp
]


@pytest.mark.parametrize("row", TURNING, ids=lambda row: row.id)
def test_with_loadbalance_only_the_order_differs(row, servers):
    turning = server_for(servers, row.setup, "udp", "    loadbalance\n")
    plain = server_for(servers, row.setup, "udp")
    for shape in (Shape(), Shape(payload=512, options=(COOKIE,)), Shape(payload=4096, do=True, upper=0x5555)):
        packet = shape.packet(*parts(row))
        expected = plain.fresh(packet)
        if not primed(turning, shape.sibling().packet(*parts(row))):
            continue
        for _ in range(3):
            hits = turning.hits()
            reply = turning.ask(packet)
            if fits(turning, shape):
                assert same_but_order(reply, expected)
                assert turning.hits() == hits + 1
            else:
                # Other records may be those that are cut off
                assert (len(reply), reply[2:12]) == (len(expected), expected[2:12])


@pytest.mark.parametrize("payload", [0, 512, 513, 1232, 1500, 2500, 4096, 65535])
@pytest.mark.parametrize("extra", ["", "    loadbalance\n"], ids=["", "loadbalance"])
def test_one_entry_serves_clients_of_every_size(payload, extra, servers):
    """Who takes less than the whole reply gets what the encoder cuts, with TC (RFC 2181 section 9)."""
    server = server_for(servers, "A-defaults", "udp", extra)
    question = from_text("hdls-big.edge.svc.cluster.local"), Type.A, 1
    server.fresh(Shape(payload=4096).packet(*question))
    shape = Shape(payload=payload)
    for _ in range(3):
        reply = server.ask(shape.packet(*question))
        message, whole = dns.message.from_wire(reply), fits(server, shape)
        assert whole or limit(server, shape) - 16 < len(reply)
        assert len(reply) <= limit(server, shape)
        assert (len(message.answer[0]) == 120) is whole
        assert bool(message.flags & dns.flags.TC) is not whole


# Lower case makes the second of the first, in one octet or the other
TYPES = [
    (65, 97),
    (0x4101, 0x6101),
    (0x0141, 0x0161),
    (0x4142, 0x6162),
    (0x5A5A, 0x7A7A),
    (90, 122),
    (1, 0x4101),
    (28, 0x1C41),
]
CLASSES = [(1, 0x4101), (1, 65), (1, 97), (65, 97), (0x4101, 0x6101), (1, 3), (1, 255), (1, 254)]


@pytest.mark.parametrize("edns", [b"", opt(), opt(do=True, options=[COOKIE])], ids=["plain", "edns", "do"])
@pytest.mark.parametrize("pair", TYPES + [pair[::-1] for pair in TYPES])
def test_types_that_lower_case_would_confuse(pair, edns, servers):
    server = server_for(servers, "A-defaults", "udp")
    for name in ("svc1.testns.svc.cluster.local", "no.such.svc.cluster.local", "external.testns.svc.cluster.local"):
        first, second = (query(from_text(name), qtype, edns=edns) for qtype in pair)
        expected = server.fresh(second)
        server.fresh(first)
        hits = server.hits()
        assert server.ask(second) == expected
        assert server.hits() == hits
        server.ask(first)
        assert server.ask(second) == expected


@pytest.mark.parametrize("edns", [b"", opt()], ids=["plain", "edns"])
@pytest.mark.parametrize("pair", CLASSES + [pair[::-1] for pair in CLASSES])
def test_classes_that_lower_case_would_confuse(pair, edns, servers):
    server = server_for(servers, "A-defaults", "udp")
    first, second = (query(from_text("svc1.testns.svc.cluster.local"), Type.A, qclass, edns=edns) for qclass in pair)
    expected = server.fresh(second)
    server.fresh(first)
    assert server.ask(second) == expected
    assert (expected[3] & 0xF == RCode.REFUSED) is (pair[1] != 1)


@pytest.mark.parametrize("flags", [0x0400, 0x0200, 0x0080, 0x0040, 0x0003, 0x2000, 0x0800, 0x7800])
@pytest.mark.parametrize("edns", [b"", opt()], ids=["plain", "edns"])
def test_header_bits_that_no_client_should_set(flags, edns, servers):
    """AA, TC, RA, Z, an RCODE, other opcodes: the chain decides, whatever the memo holds."""
    server = server_for(servers, "A-defaults", "udp")
    name = from_text("svc1.testns.svc.cluster.local")
    odd, usual = query(name, flags=RD | flags, edns=edns), query(name, edns=edns)
    expected = server.fresh(odd)
    server.fresh(usual)
    hits = server.hits()
    assert server.ask(odd) == expected
    assert server.hits() == hits


NAMES_WITH_NUL = [
    b"\3a\0b\7cluster\5local\0",
    b"\1\0\4svc1\6testns\3svc\7cluster\5local\0",
    # Up to its NUL octet it is the whole question for a name that is there
    b"\4svc1\6testns\3svc\7cluster\5local\5\0\0\1\0\1\0",
]


@pytest.mark.parametrize("name", NAMES_WITH_NUL)
@pytest.mark.parametrize("edns", [b"", opt(), opt(options=[COOKIE])], ids=["plain", "edns", "cookie"])
def test_a_nul_octet_does_not_end_a_name(name, edns, servers):
    server = server_for(servers, "A-defaults", "udp")
    expected = server.fresh(query(name, edns=edns))
    for known in (b"\4svc1\6testns\3svc\7cluster\5local\0", b"\1a\0"):
        server.fresh(query(known, edns=edns))
        assert server.ask(query(name, edns=edns)) == expected
    assert server.ask(query(name, edns=edns)) == expected


def disguised(tail: bytes, qtype: int) -> bytes:
    """A query whose first label, up to a NUL octet in it, reads as a whole question with an OPT record of one option:
    as if all the rest, the end of the name and its type, were that option's data."""
    rest = 22 + len(tail)
    fake = b"a\0\0\1\0\1" + b"\0\0\x29\4\xd0\0\0\0\0" + bytes([0, rest]) + b"\xff\xfe\0" + bytes([rest - 4]) + b"xyz"
    return query(bytes([len(fake)]) + fake + tail, qtype, edns=opt())


def test_what_looks_like_an_option_is_part_of_the_question(servers):
    server = server_for(servers, "A-defaults", "udp")
    cluster, other = b"\7cluster\5local\0", b"\7exampl2\5other\0"
    packets = [disguised(cluster, Type.A), disguised(other, Type.A), disguised(cluster, 255)]
    # The length that the label gives to the option is right
    assert {len(packet) - 30 for packet in packets} == {packets[0][29]}
    for first in packets:
        for second in packets:
            expected = server.fresh(second)
            server.fresh(first)
            assert server.ask(second) == expected


@pytest.fixture(scope="module")
def warm_and_cold() -> tuple[InProcess, InProcess]:
    """Two servers of one setup; the memo of the first holds every row in many shapes."""
    warm, cold = InProcess(text("A-defaults")), InProcess(text("A-defaults"))
    for row in ROWS:
        if row.setup == "A-defaults":
            for shape in SHAPES[::3]:
                warm.ask(shape.packet(*parts(row)))
    return warm, cold


SEEDS = [
    *[row.query for row in packet_rows()],
    *[shape.packet(*parts(row)) for row in ROWS[::12] if row.setup == "A-defaults" for shape in SHAPES[::4]],
]


@settings(max_examples=700, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(
        st.tuples(st.integers(2, 200), st.integers(0, 255) | st.integers(0, 255).map(lambda n: -1 - n)), max_size=3
    ),
    st.sampled_from([0, 0, 0, 1, 5, 11, 30]),
    st.sampled_from([b"", b"", b"", b"\0", b"\0\0\x29", opt(), bytes(11)]),
)
def test_a_full_memo_changes_no_answer(warm_and_cold, seed, edits, cut, tail):
    """Mutated packets: an octet set (0 to 255) or one bit of it turned (below 0)."""
    packet = bytearray(seed)
    for at, what in edits:
        if packet:
            at %= len(packet)
            packet[at] = what if what >= 0 else packet[at] ^ 1 << (-1 - what) % 8
    mutated = bytes(packet[: max(len(packet) - cut, 0)]) + tail
    warm, cold = warm_and_cold
    assert warm.ask(mutated) == cold.fresh(mutated)


@pytest.mark.parametrize("row", packet_rows(), ids=lambda row: row.id)
def test_conformance_packets_cut_short_and_with_junk(row, warm_and_cold):
    warm, cold = warm_and_cold
    for packet in [row.query[:length] for length in range(len(row.query))] + [
        row.query + b"x" * n for n in (1, 11, 300)
    ]:
        assert warm.ask(packet) == cold.fresh(packet)
        assert warm.ask(packet) == cold.fresh(packet)
