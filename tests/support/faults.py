"""What a broken or forging upstream sends, as a function of the honest reply."""

import struct
from enum import Enum, auto
from typing import Literal

import dns.message
import dns.name
import dns.rrset

from tests.support.upstream_zone import truncated, udp_reply

Transport = Literal["udp", "tcp"]

# Above what any EDNS client of ours announces, below what loopback carries in one datagram.
_OVERSIZED_RECORDS = 400


class Fault(Enum):
    """What is wrong with one reply."""

    HONEST = auto()
    WRONG_ID = auto()
    WRONG_QUESTION = auto()
    # Sent from a socket the client did not ask; over TCP, where that means nothing, honest.
    ANOTHER_PORT = auto()
    # The right id, then octets that are no message.
    GARBAGE = auto()
    # Nothing is sent.
    SILENT = auto()
    # TC over UDP; over TCP half a frame and then the end of the stream.
    CLOSE_MID_FRAME = auto()
    # About 6,500 octets and no TC, whatever payload the client announced.
    OVERSIZED = auto()
    # TC over TCP too.
    ALWAYS_TRUNCATED = auto()


def spoil(fault: Fault, query: dns.message.Message, answer: dns.message.Message, transport: Transport) -> bytes:
    """The octets to send, without the length prefix of TCP."""
    if fault is Fault.CLOSE_MID_FRAME and transport == "udp":
        return octets(truncated(answer))
    fitting = udp_reply(query, answer) if transport == "udp" else answer
    return _SPOILERS.get(fault, octets)(fitting)


def octets(reply: dns.message.Message) -> bytes:
    """A message of any size that has a wire form."""
    return reply.to_wire(max_size=65535)


def _wrong_id(reply: dns.message.Message) -> bytes:
    return struct.pack("!H", reply.id ^ 1) + octets(reply)[2:]


def _wrong_question(reply: dns.message.Message) -> bytes:
    forged = dns.message.from_wire(octets(reply))
    asked = forged.question[0]
    forged.question = [dns.rrset.RRset(dns.name.from_text("forged.test."), asked.rdclass, asked.rdtype)]
    return octets(forged)


def _garbage(reply: dns.message.Message) -> bytes:
    return struct.pack("!H", reply.id) + b"\xff" * 10


def _oversized(reply: dns.message.Message) -> bytes:
    padded = dns.message.from_wire(octets(reply))
    addresses = [f"198.18.{i // 250}.{i % 250 + 1}" for i in range(_OVERSIZED_RECORDS)]
    padded.answer = [dns.rrset.from_text(padded.question[0].name, 300, "IN", "A", *addresses)]
    return octets(padded)


def _truncated(reply: dns.message.Message) -> bytes:
    return octets(truncated(reply))


_SPOILERS = {
    Fault.WRONG_ID: _wrong_id,
    Fault.WRONG_QUESTION: _wrong_question,
    Fault.GARBAGE: _garbage,
    Fault.OVERSIZED: _oversized,
    Fault.ALWAYS_TRUNCATED: _truncated,
}
