"""Binds sockets, and says in one line what hinders it."""

import errno
import socket
from collections.abc import Mapping

from clusterdns.errors import ClusterDNSError

_WILDCARDS = ("0.0.0.0", "::")
_HINTS = {
    errno.EADDRINUSE: "another server listens there; stop it, or choose another port (--dns-port, or in the Corefile)",
    errno.EACCES: "ports below 1024 need root, CAP_NET_BIND_SERVICE or sysctl net.ipv4.ip_unprivileged_port_start; "
    "or choose another port with --dns-port",
    errno.EADDRNOTAVAIL: "this machine does not have that address; correct `bind`",
}
_HTTP_HINTS = {
    errno.EADDRINUSE: "another server listens there, or a server block of this Corefile; stop it, or give `health` and "
    "`ready` another address",
    errno.EACCES: "ports below 1024 need root, CAP_NET_BIND_SERVICE or sysctl net.ipv4.ip_unprivileged_port_start; "
    "or give `health` and `ready` another port",
    errno.EADDRNOTAVAIL: "this machine does not have that address; correct `health` or `ready`",
}
# Addresses with a UDP socket of their own; a node with more has them for pods that nobody asks.
MAX_OWN = 16
# Connections that the kernel holds until they are accepted
_BACKLOG = 1024


def bind(
    address: str, port: int, interfaces: Mapping[str, list[str]]
) -> tuple[list[socket.socket], list[socket.socket]]:
    """UDP and TCP sockets for an address; empty: the wildcards of both families, as far as the machine has them.

    With a wildcard each address of this machine gets a UDP socket of its own besides: the kernel prefers it, and it
    answers for less than a socket that must ask for the destination of every datagram. The wildcard is left with
    addresses that come later.  Raises ClusterDNSError saying what to do.
    """
    udp: list[socket.socket] = []
    tcp: list[socket.socket] = []
    try:
        for host in [address] if address else _wildcards():
            udp.append(_bound(host, port, socket.SOCK_DGRAM))
            # With port 0 the kernel draws one, and TCP takes the same
            port = udp[0].getsockname()[1]
            tcp.append(_bound(host, port, socket.SOCK_STREAM))
    except ClusterDNSError:
        for sock in udp + tcp:
            sock.close()
        raise
    if not address:
        own = [text for texts in interfaces.values() for text in texts if "%" not in text]
        for wildcard in list(udp):
            udp += _beside(wildcard, own[:MAX_OWN], port)
    return udp, tcp


def bind_http(host: str, port: int) -> socket.socket:
    """A listening TCP socket for HTTP; with an empty host one for all addresses of both families.

    Raises ClusterDNSError saying what to do.
    """
    if host:
        return _bound(host, port, socket.SOCK_STREAM, _HTTP_HINTS)
    return _bound(_wildcards()[-1], port, socket.SOCK_STREAM, _HTTP_HINTS, both=True)


def _beside(wildcard: socket.socket, own: list[str], port: int) -> list[socket.socket]:
    """Sockets for the addresses of the wildcard's family. Both must allow reuse while one is bound; afterwards neither
    does, so that a second server still fails to start."""
    found = []
    wildcard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for text in own:
        if (":" in text) != (wildcard.family == socket.AF_INET6):
            continue
        sock = socket.socket(wildcard.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((text, port))
        except OSError:
            # An address that is not usable yet: the wildcard serves it
            sock.close()
            continue
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        found.append(sock)
    wildcard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    return found


def _wildcards() -> list[str]:
    """IPv6 may be compiled in and still be switched off."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return [_WILDCARDS[0]]
    return list(_WILDCARDS)


def _socket_address(host: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """A link-local address belongs to an interface: `fe80::1%eth0`.  Raises OSError for one that is not there."""
    address, _, interface = host.partition("%")
    return (address, port, 0, socket.if_nametoindex(interface)) if interface else (host, port)


def _bound(
    host: str, port: int, kind: socket.SocketKind, hints: Mapping[int, str] = _HINTS, *, both: bool = False
) -> socket.socket:
    """`both`: an IPv6 wildcard takes IPv4 too."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock: socket.socket | None = None
    try:
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
        if kind == socket.SOCK_STREAM:
            # Only past connections are ignored by it; a second listener still fails
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(_socket_address(host, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(_BACKLOG)
    except OSError as error:
        if sock is not None:
            sock.close()
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        protocol = "TCP" if kind == socket.SOCK_STREAM else "UDP"
        hint = hints.get(error.errno or 0, "check the address and the limits of this process")
        raise ClusterDNSError(f"cannot listen on {shown}/{protocol}: {error.strerror}: {hint}") from error
    return sock
