"""A server process in a network namespace of its own, and clients that talk to it with bare sockets."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dns.message

from tests.support.netns import Namespace
from tests.support.process import ROOT, Server
from tests.support.upstream import FakeUpstream

HOST = "127.0.0.1"
# Seconds: far above what a reply takes, far below the time-out of a test.
PATIENCE = 10.0


class Client:
    """Sockets in a namespace, towards one address. They end when the client does."""

    def __init__(self, namespace: Namespace, host: str = HOST, port: int = 53) -> None:
        self.namespace, self.host, self.port = namespace, host, port
        self._opened = contextlib.ExitStack()

    def at(self, host: str = HOST, port: int = 53) -> "Client":
        """The same client towards another address."""
        other = Client(self.namespace, host, port)
        other._opened = self._opened
        return other

    def close(self) -> None:
        self._opened.close()

    def udp(self, source: str = "") -> socket.socket:
        """Connected: what comes from another address than the one that was asked is not received."""
        return self._connected(socket.SOCK_DGRAM, source)

    def tcp(self, source: str = "") -> socket.socket:
        return self._connected(socket.SOCK_STREAM, source)

    def ask(self, name: str, rdtype: str = "A", tcp: bool = False, **options: object) -> dns.message.Message:
        """Ask from a socket of its own."""
        query = dns.message.make_query(name, rdtype, **options).to_wire()
        with self.tcp() if tcp else self.udp() as sock:
            if not tcp:
                sock.send(query)
                return dns.message.from_wire(sock.recv(65535))
            sock.sendall(framed(query))
            return dns.message.from_wire(read_frame(sock))

    def _connected(self, kind: socket.SocketKind, source: str) -> socket.socket:
        with self.namespace.entered():
            sock = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, kind)
        self._opened.enter_context(sock)
        sock.settimeout(PATIENCE)
        if source:
            sock.bind((source, 0))
        sock.connect((self.host, self.port))
        if kind == socket.SOCK_STREAM:
            # What a test sends in pieces arrives in pieces
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


@contextlib.contextmanager
def serving(
    folder: Path, corefile: str, namespace: Namespace, probe: str = "x.test.", mtu: int = 0
) -> Iterator[tuple[Server, Client]]:
    """`corefile` on port 53 of the namespace, ready when `probe` is answered. `mtu`: of lo, in octets."""
    if mtu:
        subprocess.run(["ip", "-n", namespace.name, "link", "set", "lo", "mtu", str(mtu)], check=True)
    path = folder / "Corefile"
    path.write_text(corefile)
    with Server(path, address=(HOST, 53), namespace=namespace, probe=probe) as server:
        client = Client(namespace)
        with contextlib.closing(client):
            yield server, client


@contextlib.contextmanager
def with_upstream(folder: Path, template: str, probe: str) -> Iterator[tuple[Server, Client, FakeUpstream]]:
    """A namespace with a fake upstream and a server that forwards to it; `%(demo)s` and `%(upstream)s` of the Corefile
    are filled in."""
    with Namespace(()) as namespace, contextlib.ExitStack() as stack:
        with namespace.entered():
            upstream = stack.enter_context(FakeUpstream())
        text = template % {"demo": ROOT / "config" / "demo", "upstream": upstream.address}
        server, client = stack.enter_context(serving(folder, text, namespace, probe))
        yield server, client, upstream


def framed(packet: bytes) -> bytes:
    """RFC 1035 4.2.2."""
    return len(packet).to_bytes(2, "big") + packet


def read_frame(sock: socket.socket) -> bytes:
    """The next message.  Raises EOFError when the server closes instead."""
    return _read(sock, int.from_bytes(_read(sock, 2), "big"))


def _read(sock: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        more = sock.recv(size - len(found))
        if not more:
            raise EOFError(f"{len(found)} of {size} octets")
        found += more
    return found


def resident(pid: int) -> int:
    """Memory of a process in octets (VmRSS, proc(5))."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024
