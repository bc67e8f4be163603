"""A second reader of messages, independent of the server's: what records a message holds, octet by octet."""

import struct
from dataclasses import dataclass


class Malformed(Exception):
    """The message is not what its counts and lengths say."""


@dataclass(frozen=True, slots=True)
class Record:
    """`section`: 0 to 2 for answer, authority, additional. `at`, `end`: where the record lies in the message."""

    section: int
    owner: bytes
    rtype: int
    rclass: int
    ttl: int
    rdata: bytes
    at: int
    end: int


def walked(wire: bytes) -> list[Record]:
    """All records; every octet belongs to one.  Raises Malformed."""
    if len(wire) < 12:
        raise Malformed("no header")
    questions, *counts = struct.unpack_from("!HHHH", wire, 4)
    at = 12
    for _ in range(questions):
        at = read_name(wire, at)[1] + 4
    records = []
    for section, count in enumerate(counts):
        for _ in range(count):
            records.append(_record(wire, at, section))
            at = records[-1].end
    if at != len(wire):
        raise Malformed(f"{len(wire)} octets, of which records account for {at}")
    return records


def _record(wire: bytes, at: int, section: int) -> Record:
    owner, data = read_name(wire, at)
    data += 10
    if data > len(wire):
        raise Malformed("a record breaks off")
    rtype, rclass, ttl, length = struct.unpack_from("!HHIH", wire, data - 10)
    if data + length > len(wire):
        raise Malformed("a record's data breaks off")
    return Record(section, owner, rtype, rclass, ttl, wire[data : data + length], at, data + length)


def read_name(wire: bytes, at: int) -> tuple[bytes, int]:
    """A name in full and in lower case, and the offset behind it. Pointers lead backwards (RFC 1035 4.1.4)."""
    name, end, lowest = b"", 0, at
    while True:
        if at >= len(wire):
            raise Malformed("a name breaks off")
        length = wire[at]
        if length < 0x40:
            name += wire[at : at + 1 + length].lower()
            at += 1 + length
            if not length:
                break
        elif length >= 0xC0 and at + 1 < len(wire):
            end = end or at + 2
            at = struct.unpack_from("!H", wire, at)[0] & 0x3FFF
            # The header is no name, even where its octets would make one
            if not 12 <= at < lowest:
                raise Malformed("a pointer does not lead backwards to a name")
            lowest = at
        else:
            raise Malformed("a label is of no known type")
    if len(name) > 255:
        raise Malformed("a name is too long")
    return name, end or at
