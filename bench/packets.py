"""Queries as packets, and what a right answer to each of them is."""

import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dns.edns
import dns.message
import dns.rcode

NOERROR, NXDOMAIN = int(dns.rcode.NOERROR), int(dns.rcode.NXDOMAIN)


@dataclass(frozen=True, slots=True)
class Query:
    """A query and the reply it must get: RCODE, records in the answer section, truncated or not.

    `payload` is the UDP size of the OPT in bytes, 0 for no OPT. `cookie` puts eight bytes of client cookie
    (RFC 7873) at the end of the packet, where the load generator writes a new one each time.
    """

    name: str
    type: str = "A"
    rcode: int = NOERROR
    answers: int = 1
    truncated: bool = False
    payload: int = 0
    cookie: bool = False

    def wire(self) -> bytes:
        options = [dns.edns.CookieOption(bytes(8), b"")] if self.cookie else []
        edns = {"use_edns": 0, "payload": self.payload, "options": options} if self.payload else {}
        return dns.message.make_query(self.name, self.type, **edns).to_wire()


@dataclass(frozen=True, slots=True)
class Replies:
    """What came back, summed up. Answer records are counted in replies that are not truncated."""

    received: int
    rcodes: dict[int, int]
    answers: int
    truncated: int


def framed(queries: Iterable[Query]) -> bytes:
    """The packets as the load generator reads them: each after its length (RFC 1035 4.2.2)."""
    packets = [query.wire() for query in queries]
    return b"".join(struct.pack("!H", len(packet)) + packet for packet in packets)


def expected(queries: Sequence[Query], sent: int) -> Replies:
    """What a right server answers when the queries are sent in turn, `sent` of them in all."""
    rounds, rest = divmod(sent, len(queries))
    times = Counter(dict.fromkeys(range(len(queries)), rounds)) + Counter(range(rest))
    rcodes: Counter[int] = Counter()
    for index, count in times.items():
        rcodes[queries[index].rcode] += count
    return Replies(
        received=sent,
        rcodes=dict(rcodes),
        answers=sum(queries[index].answers * count for index, count in times.items()),
        truncated=sum(count for index, count in times.items() if queries[index].truncated),
    )
