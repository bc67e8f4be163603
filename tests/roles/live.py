"""A live cluster for the tests of the roles: a network of its own, an API server, clients, clusterdns between them."""

import http.client
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import dns.edns
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype

from bench.clients import Report, paced
from bench.packets import Query
from tests.sources.apiserver_followed import NAMESPACE, endpoint_slice, service
from tests.support.apiserver import FakeAPIServer
from tests.support.netns import Namespace
from tests.support.process import Server, eventually

HOST, PORT, HEALTH, READY = "127.0.0.1", 1053, 8080, 8181
ZONE = "svc.cluster.local."
# Queries a second of the clients that run beside a test
RATE = 500
# Seconds for one reply: as long as a stub resolver waits (resolv.conf(5), `timeout`)
TIMEOUT = 5.0

_BLOCK = Template("""\
.:$port {
    bind 127.0.0.1
    errors
$directives
    kubernetes cluster.local in-addr.arpa {
        $source
        ttl $ttl
$options
    }
}
""")


@dataclass(frozen=True, slots=True)
class Block:
    """A server block of a Corefile. `source`: the line that says where objects come from. `directives`: further lines,
    and `options` those of `kubernetes`."""

    source: str
    ttl: int = 30
    directives: tuple[str, ...] = (f"health {HOST}:{HEALTH}", f"ready {HOST}:{READY}")
    options: tuple[str, ...] = ()
    port: int = PORT

    def __str__(self) -> str:
        lines = {"directives": "\n".join(self.directives), "options": "\n".join(self.options)}
        return _BLOCK.substitute(lines, source=self.source, ttl=self.ttl, port=self.port)


class Place:
    """A folder with a Corefile, and a network that the calling thread has entered, so that whatever it starts or asks
    is there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.corefile = folder, folder / "Corefile"

    def write(self, *blocks: Block | str) -> None:
        """As a whole, as a ConfigMap is replaced."""
        unfinished = self.folder / "Corefile.new"
        unfinished.write_text("".join(map(str, blocks)))
        unfinished.replace(self.corefile)

    def serve(self, *arguments: str, probe: str = f"web.default.{ZONE}") -> Server:
        """Entered, `probe` was answered. Without arguments, by one of two workers."""
        return Server(self.corefile, *(arguments or ("--workers", "2")), address=(HOST, PORT), probe=probe)


@contextmanager
def placed(folder: Path) -> Iterator[Place]:
    with Namespace(addresses=()) as namespace, namespace.entered():
        yield Place(folder)


@contextmanager
def api_server(**options: Any) -> Iterator[FakeAPIServer]:
    """With a Service, its endpoint, and a headless one."""
    objects = [NAMESPACE, service("web"), service("db", "None"), endpoint_slice("db-1", "10.1.0.1", "db")]
    with FakeAPIServer(objects, **options) as api:
        yield api


@contextmanager
def clients() -> Iterator[Report]:
    """Ask what `api_server` has, for as long as the context is open. The report is complete when it is closed."""
    with paced(PORT, RATE, [Query(f"{name}.default.{ZONE}") for name in ("web", "db")]) as report:
        yield report


def ask(name: str, rdtype: str = "A", port: int = PORT, **options: Any) -> dns.message.Message:
    """One query over UDP; a name without a dot at its end is one of the namespace `default`."""
    where = name if name.endswith(".") else f"{name}.default.{ZONE}"
    return dns.query.udp(dns.message.make_query(where, rdtype, **options), HOST, timeout=TIMEOUT, port=port)


def rcode(reply: dns.message.Message) -> str:
    return dns.rcode.to_text(reply.rcode())


def addresses(reply: dns.message.Message) -> list[str]:
    """Of the answer section, and its RCODE where there are none."""
    found = [record.to_text() for rrset in reply.answer for record in rrset]
    return found or [rcode(reply)]


def ttl(reply: dns.message.Message) -> int:
    return reply.answer[0].ttl if reply.answer else -1


def ede(reply: dns.message.Message) -> list[int]:
    """RFC 8914: the codes of extended errors."""
    return [int(option.code) for option in reply.options if isinstance(option, dns.edns.EDEOption)]


def page(port: int, path: str) -> tuple[int, str]:
    """Status and text; status 0 while nobody listens there."""
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except ConnectionRefusedError:
        return 0, ""
    finally:
        connection.close()


def everybody_says(server: Server, name: str, expected: list[str], rdtype: str = "A", port: int = PORT) -> bool:
    """Do all workers answer so, soon? A name as for `ask`, an answer as from `addresses`."""

    def agreed() -> bool:
        found = server.by_each_worker(lambda: addresses(ask(name, rdtype, port)))
        return found == [expected] * len(found)

    return eventually(agreed)


def none_lost(report: Report) -> None:
    """Every query was answered, and rightly."""
    assert report.sent == report.answered > 0
    assert (report.lost, report.wrong_replies) == (0, [])


def kill(pid: int) -> None:
    """Until it is gone and its parent knows."""
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not Path(f"/proc/{pid}").exists())
