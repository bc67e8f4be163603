"""What differs between a reply and its conformance row, by the rules of tests/conformance/README.md."""

from collections import Counter
from collections.abc import Iterable, Mapping

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.SOA
import dns.rdtypes.IN.SRV
import dns.rrset

from tests.support.rows import QUERY_ID, SECTIONS, PacketRow, Row

# Owners of the SOAs in upstream.yaml: an authority section with one of them was made upstream.
UPSTREAM_ZONES = frozenset({"example.net.", "."})


def differences(row: Row, reply: bytes | None) -> list[str]:
    """What is wrong with a row's reply, a line each; None is no reply."""
    if reply is None:
        return ["no reply"]
    try:
        message = dns.message.from_wire(reply, one_rr_per_rrset=True)
    except dns.exception.DNSException as error:
        return [f"the reply does not parse: {error!r}"]
    found = [*_header_differences(row, message), *_question_differences(row, message)]
    for section in SECTIONS:
        found += _section_differences(row, section, getattr(message, section))
    return found


def packet_differences(row: PacketRow, reply: bytes | None) -> list[str]:
    """What is wrong with the reply to a raw datagram, a line each; None is no reply."""
    if row.rcode is None:
        return [] if reply is None else [f"a reply, expected none: {reply.hex()}"]
    if reply is None:
        return ["no reply"]
    try:
        message = dns.message.from_wire(reply)
    except dns.exception.DNSException as error:
        return [f"the reply does not parse: {error!r}"]
    seen = {
        "id": (message.id, int.from_bytes(row.query[:2], "big")),
        "QR": (bool(message.flags & dns.flags.QR), True),
        "RCODE": (dns.rcode.to_text(message.rcode()), row.rcode),
        "opcode": (int(message.opcode()), row.opcode),
    }
    return _unequal(seen)


def is_forwarded(row: Row) -> bool:
    """Did the end of the reply, and so its authority section, come from an upstream?"""
    if authority := row.sections["authority"]:
        return any(line.split()[0].lower() in UPSTREAM_ZONES for line in authority)
    return row.aa is False and row.rcode in ("NOERROR", "NXDOMAIN")


def _header_differences(row: Row, message: dns.message.Message) -> list[str]:
    seen = {
        "id": (message.id, QUERY_ID),
        "QR": (bool(message.flags & dns.flags.QR), True),
        "RCODE": (dns.rcode.to_text(message.rcode()), row.rcode),
        "AA": (bool(message.flags & dns.flags.AA), row.aa),
        "TC": (bool(message.flags & dns.flags.TC), row.tc),
        # RFC 6891 6.1.1
        "OPT": (message.edns >= 0, row.opts.has_opt),
    }
    return _unequal({what: pair for what, pair in seen.items() if pair[1] is not None})


def _unequal(seen: Mapping[str, tuple[object, object]]) -> list[str]:
    return [f"{what}: {got}, expected {wanted}" for what, (got, wanted) in seen.items() if got != wanted]


def _question_differences(row: Row, message: dns.message.Message) -> list[str]:
    """Stubs that randomise the case of their query drop a reply that spells it otherwise."""
    asked = f"{row.name} {row.opts.cls} {row.rdtype}"
    echoed = [
        f"{question.name} {dns.rdataclass.to_text(question.rdclass)} {dns.rdatatype.to_text(question.rdtype)}"
        for question in message.question
    ]
    return [] if echoed == [asked] else [f"question: {echoed}, expected {asked}"]


def _section_differences(row: Row, section: str, records: Iterable[dns.rrset.RRset]) -> list[str]:
    if section == "authority" and is_forwarded(row):
        return []
    seen = Counter(_record(str(rrset.name), rrset.ttl, rrset[0]) for rrset in records)
    found = [f"{section} has {times} times {record}" for record, times in seen.items() if times > 1]
    found += _weight_differences(section, records)
    expected = row.sections[section]
    if expected is None:
        return found + _unequal({f"records in {section}": (seen.total(), row.counts[section])})
    wanted = {_parsed(line) for line in expected}
    found += [f"{section} lacks {record}" for record in sorted(wanted - seen.keys())]
    return found + [f"{section} has besides {record}" for record in sorted(seen.keys() - wanted)]


def _weight_differences(section: str, records: Iterable[dns.rrset.RRset]) -> list[str]:
    weights = {rrset[0].weight for rrset in records if rrset.rdtype == dns.rdatatype.SRV}
    return [f"SRV weights in {section}: {sorted(weights)}"] if len(weights) > 1 or 0 in weights else []


def _parsed(line: str) -> str:
    owner, ttl, rdtype, text = line.split(maxsplit=3)
    # The serial of an SOA.
    rdata = dns.rdata.from_text("IN", rdtype, text.replace(" * ", " 0 "))
    return _record(owner, int(ttl), rdata)


def _record(owner: str, ttl: int, rdata: dns.rdata.Rdata) -> str:
    """A record as one line: names in lower case, without what is not compared."""
    if isinstance(rdata, dns.rdtypes.ANY.SOA.SOA):
        rdata = rdata.replace(serial=0)
    elif isinstance(rdata, dns.rdtypes.IN.SRV.SRV):
        rdata = rdata.replace(weight=0)
    # RFC 4034 6.2: the canonical form has the names in RDATA in lower case, and nothing else.
    canonical = rdata.to_digestable()
    lower = dns.rdata.from_wire(rdata.rdclass, rdata.rdtype, canonical, 0, len(canonical))
    return f"{owner.lower()} {ttl} {dns.rdatatype.to_text(rdata.rdtype)} {lower}"
