"""One configuration as the supervisor knows it: a record that it does not read, and the sockets that it wants."""

import os
import socket
from collections.abc import Iterable

from clusterdns.errors import ClusterDNSError
from clusterdns.net.listen import bind, bind_http
from clusterdns.roles.control import MAX_DESCRIPTORS, Bound, Proposal, Setup, Where

_ALL = ("", "0.0.0.0", "::")


def check_move(before: Iterable[Where], after: Iterable[Where]) -> None:
    """One address and all addresses of a port exclude each other, and the old sockets are open until the new ones are
    served.  Raises ClusterDNSError for such a move."""
    served = set(before)
    for address, port in set(after) - served:
        for other, _ in (where for where in served if where[1] == port):
            if address in _ALL or other in _ALL:
                now, wanted = other or "all addresses", address or "all addresses"
                raise ClusterDNSError(f"port {port} is served on {now}: to serve it on {wanted} needs a restart")


class Generation:
    """`dns` and `http`: bound sockets by address, some of them those of the generation before."""

    def __init__(self, number: int, record: int, proposal: Proposal, before: "Generation | None") -> None:
        """Raises ClusterDNSError when an address cannot be had; then nothing new is bound."""
        self.number, self.record, self.proposal = number, record, proposal
        self.dns: dict[Where, tuple[list[socket.socket], list[socket.socket]]] = {}
        self.http: dict[Where, socket.socket] = {}
        try:
            if before is not None:
                check_move(before.dns, proposal.listeners)
                check_move(before.http, proposal.http)
            for where in proposal.listeners:
                self.dns[where] = before.dns[where] if before and where in before.dns else self._bind(where)
            for where in proposal.http:
                self.http[where] = before.http[where] if before and where in before.http else bind_http(*where)
            if len(self.sockets()) >= MAX_DESCRIPTORS:
                text = f"{len(self.sockets())} sockets are more than {MAX_DESCRIPTORS - 1}; `bind` to fewer addresses"
                raise ClusterDNSError(text)
        except ClusterDNSError:
            self.close(before)
            raise

    def sockets(self) -> list[socket.socket]:
        """In the order of `setup`."""
        found: list[socket.socket] = []
        for udp, tcp in self.dns.values():
            found += udp + tcp
        return found + list(self.http.values())

    def setup(self, now: bool) -> tuple[Setup, list[int]]:
        """The message for a child, and what goes with it."""
        listeners = tuple(Bound(where, len(udp), len(tcp)) for where, (udp, tcp) in self.dns.items())
        message = Setup(self.number, listeners, tuple(self.http), now)
        return message, [self.record, *(sock.fileno() for sock in self.sockets())]

    def close(self, but: "Generation | None" = None) -> None:
        """Close what the other one does not have."""
        kept = {id(sock) for sock in but.sockets()} if but else set()
        for sock in self.sockets():
            if id(sock) not in kept:
                sock.close()
        if but is None or but.record != self.record:
            os.close(self.record)

    def _bind(self, where: Where) -> tuple[list[socket.socket], list[socket.socket]]:
        return bind(*where, self.proposal.interfaces)
