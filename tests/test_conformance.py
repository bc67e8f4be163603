"""The conformance rows at four levels: pure lookup, chain, memo, and live workers over UDP and TCP."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from clusterdns.corefile.directives import Directive
from clusterdns.corefile.parser import parse_text
from clusterdns.kube.lookup import find, zone_soa
from clusterdns.kube.question import Found, Miss, Question
from clusterdns.net.machine import Machine
from clusterdns.plugins.kubernetes_options import parse as parse_options
from clusterdns.plugins.site import Shared, Site
from clusterdns.wire.codes import RCode
from clusterdns.wire.encode import encode
from clusterdns.wire.query import parse
from clusterdns.wire.records import Response
from tests.support.apiserver import FakeAPIServer
from tests.support.differences import differences, is_forwarded, packet_differences
from tests.support.inprocess import InProcess
from tests.support.netns import SERVER_ADDRESSES, Namespace
from tests.support.process import Server
from tests.support.rows import CONFORMANCE, Row, corefile, packet_rows, query_bytes, query_rows, setups
from tests.support.upstream import FakeUpstream

SOURCE = f"manifests {CONFORMANCE / 'manifests'}"
# What is built: the other setups need directives of later versions.
SETUPS = (
    *sorted(name for name in setups() if name[1] == "-" and "A" <= name[0] <= "M"),
    *("chain-fwd-edns", "chain-zones", "chain-noroot", "chain-cidr"),
    *("chain-fwd-except", "chain-fwd-two", "chain-fwd-next"),
    *("chain-bufsize", "chain-dns64", "chain-minimal"),
)
ROWS = [row for row in query_rows() if row.setup in SETUPS]
# Its second upstream is down, which only a socket can show
IN_PROCESS = [row for row in ROWS if row.setup != "chain-fwd-next"]
PACKETS = packet_rows()
FIRST_PORT = 5301


def _id(row: object) -> str:
    return str(getattr(row, "id", row))


@pytest.fixture(scope="module")
def servers() -> dict[tuple[str, str], InProcess]:
    return {}


def _server(servers: dict[tuple[str, str], InProcess], setup: str, protocol: str = "udp") -> InProcess:
    if (setup, protocol) not in servers:
        text = corefile(setups()[setup], SOURCE, "127.0.0.1:5300", str(CONFORMANCE / "hosts"))
        servers[setup, protocol] = InProcess(text, protocol)
    return servers[setup, protocol]


def _is_local(row: Row) -> bool:
    """Can the store alone answer it?"""
    alone = row.setup[1] == "-" and not is_forwarded(row) and row.opts.cls == "IN" and row.rdtype != "AXFR"
    return alone and not any("CNAME" in record for record in row.sections["answer"] or ()) and "big" not in row.name


@pytest.mark.parametrize("row", [row for row in ROWS if _is_local(row)], ids=_id)
def test_lookup(row: Row, servers: dict[tuple[str, str], InProcess]) -> None:
    """The store's own answer, with no handler around it."""
    config = _server(servers, row.setup).config
    (store,) = config.shared.stores.values()
    site = Site(Shared(config.shared.reader, print), (b"\0",))
    block = corefile(setups()[row.setup], SOURCE, "127.0.0.1:5300")
    options = parse_options(_directive(block), site)
    request = parse(query_bytes(row))
    query = request.query
    depth = next(at for at, start in enumerate(query.starts) if query.name[start:] in options.zones)
    question = Question(store, options.view(site), query.name, query.starts, depth, query.qtype)
    result = find(question)
    if isinstance(result, Found):
        response = Response(RCode.NOERROR, result.answer, (), result.additional, True)
    else:
        assert isinstance(result, Miss)
        rcode = RCode.NXDOMAIN if result is Miss.NO_NAME else RCode.NOERROR
        response = Response(rcode, (), (zone_soa(question),), (), True)
    assert differences(row, encode(request, response).wire(request)) == []


def _directive(text: str) -> Directive:
    (block,) = parse_text(text, "Corefile", Machine()).blocks
    return next(directive for directive in block.directives if directive.name == "kubernetes")


@pytest.mark.parametrize("row", IN_PROCESS, ids=_id)
def test_chain(row: Row, servers: dict[tuple[str, str], InProcess]) -> None:
    server = _server(servers, row.setup, "tcp" if row.opts.tcp else "udp")
    assert differences(row, server.fresh(query_bytes(row), (row.opts.src, 40000))) == []


@pytest.mark.parametrize("row", IN_PROCESS, ids=_id)
def test_memo(row: Row, servers: dict[tuple[str, str], InProcess]) -> None:
    """The same query again, with another id: the memo's answer where it may keep one."""
    server = _server(servers, row.setup, "tcp" if row.opts.tcp else "udp")
    packet = query_bytes(row)
    first = server.fresh(packet)
    before = server.hits()
    again = server.ask(packet)
    assert differences(row, again) == []
    assert again is not None
    assert first is not None
    kept = server.hits() - before
    # Everything the store alone answers is kept; what an upstream answered never is
    assert kept == (0 if server.asker.asked[-1:] and _asks(server, packet) else len(server.responder.memo) > 0)
    if kept:
        assert again[2:] == first[2:]


def _asks(server: InProcess, packet: bytes) -> bool:
    before = len(server.asker.asked)
    server.fresh(packet)
    return len(server.asker.asked) > before


class Live:
    """Every setup on a port of its own, served by a controller and two workers, with the test upstream beside them."""

    def __init__(self, folder: Path, namespace: Namespace, source: str, upstream: FakeUpstream) -> None:
        self._namespace = namespace
        self._ports = {setup: FIRST_PORT + at for at, setup in enumerate(SETUPS)}
        path = folder / "Corefile"
        blocks = [
            corefile(setups()[setup], source, f"127.0.0.1:{upstream.port}", port=port)
            for setup, port in self._ports.items()
        ]
        path.write_text("\n".join(blocks))
        where = ("127.0.0.1", FIRST_PORT)
        self.server = Server(path, "--workers", "2", address=where, namespace=namespace, probe="probe.cluster.local.")

    def differences(self, row: Row) -> list[list[str]]:
        """Of the reply of each worker."""
        packet = query_bytes(row)
        with self.entered(row.setup) as where:
            return self.server.by_each_worker(
                lambda: differences(row, _exchange(packet, where, row.opts.src, row.opts.tcp))
            )

    @contextmanager
    def entered(self, setup: str) -> Iterator[tuple[str, int]]:
        """In the network of the server: where that setup is served."""
        with self._namespace.entered():
            yield "127.0.0.1", self._ports[setup]


@contextmanager
def _started(folder: Path, source: Callable[[ExitStack], str]) -> Iterator[Live]:
    """`source` says where objects come from; it is called in the network of the server."""
    with ExitStack() as stack:
        namespace = stack.enter_context(Namespace(addresses=SERVER_ADDRESSES))
        with namespace.entered():
            upstream = stack.enter_context(FakeUpstream())
            live = Live(folder, namespace, source(stack), upstream)
        stack.enter_context(live.server)
        live.server.await_workers(2)
        yield live


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with _started(tmp_path_factory.mktemp("live"), lambda _: SOURCE) as started:
        yield started


@pytest.mark.parametrize("row", ROWS, ids=_id)
def test_socket(row: Row, live: Live) -> None:
    assert live.differences(row) == [[], []]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """As `live`, with the objects from an API server."""

    def source(stack: ExitStack) -> str:
        api = stack.enter_context(FakeAPIServer())
        api.load(CONFORMANCE / "manifests")
        return f"endpoint {api.url}"

    with _started(tmp_path_factory.mktemp("watched"), source) as started:
        yield started


@pytest.mark.parametrize("row", [row for row in ROWS if "@SOURCE@" in setups()[row.setup]], ids=_id)
def test_socket_from_an_api_server(row: Row, watched: Live) -> None:
    assert watched.differences(row) == [[], []]


@pytest.mark.parametrize("row", PACKETS, ids=_id)
def test_packet(row, servers: dict[tuple[str, str], InProcess]) -> None:
    """Twice: the second reply may come from the memo, and must be the same."""
    server = _server(servers, "A-defaults")
    first, again = server.fresh(row.query), server.ask(row.query)
    assert packet_differences(row, first) == []
    assert first == again


@pytest.mark.parametrize("row", PACKETS, ids=_id)
def test_packet_socket(row, live: Live) -> None:
    with live.entered("A-defaults") as where:
        replies = live.server.by_each_worker(lambda: _first_reply(row, where))
    found = [packet_differences(row, reply) if row.rcode else differences(ROWS[0], reply) for reply in replies]
    assert found == [[], []]


def _first_reply(row, where: tuple[str, int]) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(where)
        sock.settimeout(5)
        sock.send(row.query)
        if row.rcode is None:
            # A query behind it is answered first: the packet before it got nothing
            sock.send(query_bytes(ROWS[0]))
        return sock.recv(4096)


def _exchange(packet: bytes, where: tuple[str, int], source: str, tcp: bool) -> bytes:
    if not tcp:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((source, 0))
            sock.connect(where)
            sock.settimeout(10)
            sock.send(packet)
            return sock.recv(65535)
    with socket.create_connection(where, 10, (source, 0)) as sock:
        sock.sendall(len(packet).to_bytes(2, "big") + packet)
        with sock.makefile("rb") as stream:
            return stream.read(int.from_bytes(stream.read(2), "big"))
