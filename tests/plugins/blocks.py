"""Server blocks set up without any file or socket, and one query at a time through their chains."""

from collections.abc import Sequence

import dns.message
import pytest

from clusterdns.corefile.parser import parse_text
from clusterdns.errors import ClusterDNSError, ConfigErrors
from clusterdns.plugins.base import Context, Handler, Outcome, Peer
from clusterdns.plugins.build import Config, build
from clusterdns.plugins.router import Block
from clusterdns.plugins.run import Pending, begin
from clusterdns.upstream.group import Group
from clusterdns.wire.codes import Type
from clusterdns.wire.names import from_text, to_text
from clusterdns.wire.query import parse
from clusterdns.wire.query import question as ask
from clusterdns.wire.records import Names, Reply, Response, RRset
from tests.corefile.files import Files

PEER = Peer("192.0.2.7", 40000, "udp", "192.0.2.1")
_INTERFACES = {"lo": ("127.0.0.1", "::1"), "eth0": ("192.0.2.1", "fd00::1")}


class Host(Files):
    """A machine with two interfaces."""

    def interface(self, name: str) -> list[str]:
        return list(_INTERFACES.get(name, ()))

    def resolve(self, host: str) -> list[str]:
        return ["192.0.2.53", "fd00::53"] if host == "dns.test" else []


def configured(text: str, lines: list[str] | None = None) -> Config:
    """`text` built; what plugins write is appended to `lines`."""
    reader = Host({"/etc/resolv.conf": "nameserver 192.0.2.53\nsearch x\nnameserver fd00::53\n", "empty": "# none\n"})
    return build(parse_text(text, "Corefile", reader), reader, 53, [].append if lines is None else lines.append)


def block(*lines: str, key: str = ".:53") -> str:
    return "\n".join((f"{key} {{", *lines, "}", ""))


def mistakes(*lines: str) -> list[str]:
    """What is wrong with a block of these lines, each with `line:column: ` in front."""
    with pytest.raises(ConfigErrors) as raised:
        configured(block(*lines))
    return [str(error).removeprefix("Corefile:") for error in raised.value.errors]


def served(config: Config, zone: str = ".") -> Block:
    """That zone's block on the first listener."""
    found = config.listeners[0].router.find(ask(from_text(zone), Type.SOA))
    assert found is not None
    return found


def handler(config: Config, zone: str = ".") -> Handler:
    """Its chain."""
    found = served(config, zone).handler
    assert found is not None
    return found


def context(name: str = "x.test.", rdtype: str = "A", peer: Peer = PEER) -> Context:
    packet = dns.message.make_query(name, rdtype).to_wire()
    return Context(parse(packet), (peer.address, peer.port), (peer.protocol, peer.local))


class Run:
    """One query through a configuration: each upstream's answer is handed in by the test.

    `result` is the reply, or None while an upstream is awaited (`asked` is then its name).
    """

    def __init__(self, config: Config, name: str, rdtype: str = "A") -> None:
        self.context = context(name, rdtype)
        query, router = self.context.hidden_request.query, config.listeners[0].router
        found = router.find(query)
        assert found is not None
        assert found.handler is not None
        self._take(begin(found.handler(query, self.context), router, self.context))

    @property
    def asked(self) -> str:
        assert self._pending is not None
        return to_text(self._pending.ask.query.name)

    @property
    def group(self) -> Group:
        assert self._pending is not None
        return self._pending.ask.group

    @property
    def upstreams(self) -> list[str]:
        return [str(upstream) for upstream in self.group.upstreams]

    def reply(self, reply: Reply) -> "Run":
        assert self._pending is not None
        self._take(self._pending.resume(reply))
        return self

    def fail(self, error: ClusterDNSError) -> "Run":
        assert self._pending is not None
        self._take(self._pending.fail(error))
        return self

    def done(self) -> Response:
        assert isinstance(self.result, Response)
        return self.result

    def _take(self, result: Reply | Pending) -> None:
        self._pending = result if isinstance(result, Pending) else None
        self.result = None if isinstance(result, Pending) else result


def a_records(name: str, *addresses: str) -> RRset:
    packed = tuple(bytes(map(int, address.split("."))) for address in addresses)
    return RRset(from_text(name), Type.A, 300, packed)


def shown(section: Sequence[RRset]) -> list[str]:
    """`owner TYPE data` of each record in order: addresses and names as text."""
    return [
        f"{to_text(rrset.owner)} {Type(rrset.rtype).name} {_data(rdata)}" for rrset in section for rdata in rrset.rdatas
    ]


def _data(rdata: object) -> str:
    if isinstance(rdata, Names):
        return " ".join(to_text(name) for name in rdata.names)
    assert isinstance(rdata, bytes)
    return ".".join(map(str, rdata))


def outcome(
    name: str = "x.test.",
    rdtype: str = "A",
    error: str = "",
    at: float = 0.0,
    rcode: int = 0,
    answers: int = 0,
    packet: bytes = b"",
) -> Outcome:
    """A query that was answered at `at` seconds; `error` is what a plugin failed with."""
    packet = packet or dns.message.make_query(name, rdtype, id=1234).to_wire()
    reply = packet[:2] + bytes((packet[2] | 0x80, rcode)) + packet[4:6] + bytes((0, answers)) + packet[8:]
    return Outcome(packet, reply, PEER, at, at, ClusterDNSError(error) if error else None)
