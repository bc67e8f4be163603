"""What the test upstream answers: tests/conformance/upstream.yaml as a function of the query.

No socket here. `Zone.answer` makes the honest reply; upstream.py decides how, when and whether it is sent.
"""

import itertools
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset
import yaml

ZONE_FILE = Path(__file__).parent.parent / "conformance" / "upstream.yaml"

# RFC 9715: what this upstream announces in its OPT.
PAYLOAD = 1232

Key = tuple[dns.name.Name, dns.rdatatype.RdataType]


class Special(Enum):
    """What `special:` of the zone file says of a name, by its text there."""

    SERVFAIL = "SERVFAIL"
    REFUSED = "REFUSED"
    NOTIMP = "NOTIMP"
    DROPPED = "no reply"
    SLOW = "reply after 1 s"
    EMPTY_WITHOUT_SOA = "NOERROR, empty, no SOA"
    NXDOMAIN_WITHOUT_SOA = "NXDOMAIN without SOA"
    FLIP = "alternates A 198.51.100.60 ttl 10 and SERVFAIL"
    # These two hold for every name of the zone, so nothing is special about the name.
    ALIAS = "CNAME plus SOA in authority (NODATA at the target)"
    BIG = "TC and empty when it does not fit the client payload"


_RCODES = {
    Special.SERVFAIL: dns.rcode.SERVFAIL,
    Special.REFUSED: dns.rcode.REFUSED,
    Special.NOTIMP: dns.rcode.NOTIMP,
    Special.EMPTY_WITHOUT_SOA: dns.rcode.NOERROR,
    Special.NXDOMAIN_WITHOUT_SOA: dns.rcode.NXDOMAIN,
}
_GENERATE = re.compile(r"(\d+) A records 198\.18\.\(i//250\)\.\(i%250\+1\), ttl (\d+)")


class Zone:
    """The zone file, loaded. Names of no record are NXDOMAIN: this upstream knows no empty non-terminals."""

    def __init__(self, path: Path = ZONE_FILE) -> None:
        content = yaml.safe_load(path.read_text())
        self._soas = [_rrset(line) for line in content["soa"]]
        self._special = {dns.name.from_text(who.split()[0]): Special(text) for who, text in content["special"]}
        self._answers = dict(_answers(content["records"]))
        self._answers |= {(soa.name, dns.rdatatype.SOA): [soa] for soa in self._soas}
        self._names = {name for name, _ in self._answers} | set(self._special)
        self._flip = itertools.cycle((True, False))

    def special(self, name: dns.name.Name) -> Special | None:
        """What is odd about the name, if anything."""
        return self._special.get(name)

    def answer(self, query: dns.message.Message) -> dns.message.Message:
        """The whole reply: id, question and RD of the query, RA set, AA clear, OPT when the query has one."""
        reply = dns.message.make_response(query, recursion_available=True, our_payload=PAYLOAD)
        if query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
            reply.set_rcode(dns.rcode.NOTIMP)
            return reply
        self._fill(reply, query.question[0].name, query.question[0].rdtype)
        return reply

    def _fill(self, reply: dns.message.Message, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> None:
        special = self.special(name)
        if special in _RCODES:
            reply.set_rcode(_RCODES[special])
        elif special is Special.FLIP and rdtype == dns.rdatatype.A:
            self._alternate(reply, name)
        else:
            self._look_up(reply, name, rdtype)

    def _alternate(self, reply: dns.message.Message, name: dns.name.Name) -> None:
        if next(self._flip):
            reply.answer = [_rrset(f"{name} 10 A 198.51.100.60")]
        else:
            reply.set_rcode(dns.rcode.SERVFAIL)

    def _look_up(self, reply: dns.message.Message, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> None:
        alias = self._answers.get((name, dns.rdatatype.CNAME), [])
        reply.answer = self._answers.get((name, rdtype), alias)
        if name not in self._names:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        # The last RRset is the end of a chain of aliases.
        if not any(rdtype in (end.rdtype, dns.rdatatype.ANY) for end in reply.answer[-1:]):
            reply.authority = [self._enclosing_soa(name)]

    def _enclosing_soa(self, name: dns.name.Name) -> dns.rrset.RRset:
        return max((soa for soa in self._soas if name.is_subdomain(soa.name)), key=lambda soa: len(soa.name.labels))


def truncated(reply: dns.message.Message) -> dns.message.Message:
    """The same reply with TC set and its sections empty."""
    short = dns.message.from_wire(reply.to_wire(max_size=65535))
    short.answer, short.authority, short.additional = [], [], []
    short.flags |= dns.flags.TC
    return short


def udp_limit(query: dns.message.Message) -> int:
    """Octets of UDP payload this query's sender takes (RFC 6891 6.2.3)."""
    return max(query.payload, 512) if query.edns >= 0 else 512


def udp_reply(query: dns.message.Message, reply: dns.message.Message) -> dns.message.Message:
    """The reply as it leaves over UDP: whole, or TC and empty when it does not fit."""
    wire = reply.to_wire(max_size=65535)
    return reply if len(wire) <= udp_limit(query) else truncated(reply)


def _answers(records: list[dict[str, Any]]) -> Iterator[tuple[Key, list[dns.rrset.RRset]]]:
    for record in records:
        name, rdtype = record["q"]
        key = dns.name.from_text(name), dns.rdatatype.from_text(rdtype)
        lines = record.get("answer") or _generated(name, record["generate"])
        yield key, _rrsets(lines)


def _generated(name: str, rule: str) -> list[str]:
    match = _GENERATE.match(rule)
    if match is None:
        raise ValueError(f"upstream.yaml: {name} has a generate rule that is not known here: {rule}")
    count, ttl = map(int, match.groups())
    return [f"{name} {ttl} A 198.18.{i // 250}.{i % 250 + 1}" for i in range(count)]


def _rrset(line: str) -> dns.rrset.RRset:
    return _rrsets([line])[0]


def _rrsets(lines: list[str]) -> list[dns.rrset.RRset]:
    """Records `owner ttl TYPE rdata` -> their RRsets, in the order of the first of each."""
    rdatas: dict[tuple[str, str, str], list[str]] = {}
    for line in lines:
        owner, ttl, rdtype, rdata = line.split(maxsplit=3)
        rdatas.setdefault((owner, ttl, rdtype), []).append(rdata)
    return [
        dns.rrset.from_text(owner, int(ttl), "IN", rdtype, *texts) for (owner, ttl, rdtype), texts in rdatas.items()
    ]
