"""What supervisor and children say to each other, with descriptors beside it."""

import os
import socket
from collections.abc import Sequence

import msgspec

from clusterdns.corefile.record import Record
from clusterdns.errors import ClusterDNSError

# Address and port, of DNS or HTTP; an empty address is the wildcard of both families
Where = tuple[str, int]
# Octets of one message; one that is larger (a node may have thousands of addresses, a Corefile as many mistakes) goes
# the way of a record, by a descriptor, and this in its place
_LARGEST, _BESIDE = 64 * 1024, b"beside"
# Descriptors with one message (SCM_MAX_FD of unix(7) is 253)
MAX_DESCRIPTORS = 250


class Proposal(msgspec.Struct, frozen=True, tag=True):
    """Controller: this configuration is good. With it goes its record. `interfaces`: addresses by interface, for
    wildcards. `lameduck`: seconds. `workers`: what `multisocket` says."""

    listeners: tuple[Where, ...]
    http: tuple[Where, ...]
    interfaces: dict[str, list[str]]
    lameduck: float
    workers: int | None


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Controller: there is no configuration to start with."""

    text: str


class Bound(msgspec.Struct, frozen=True):
    """So many UDP and TCP sockets of the message are of this address and port."""

    where: Where
    udp: int
    tcp: int


class Setup(msgspec.Struct, frozen=True, tag=True):
    """Supervisor: load this. With it go the record, the sockets of `listeners`, and those of `http`.

    `now`: serve it; else prepare, say so, and wait for Commit or Abort.
    """

    generation: int
    listeners: tuple[Bound, ...]
    http: tuple[Where, ...]
    now: bool


class Commit(msgspec.Struct, frozen=True, tag=True):
    """Supervisor: everybody is prepared."""

    generation: int


class Abort(msgspec.Struct, frozen=True, tag=True):
    """Supervisor: forget what was prepared, or proposed."""

    generation: int
    text: str


class Prepared(msgspec.Struct, frozen=True, tag=True):
    """Child: ready to commit; or not, with the reason."""

    generation: int
    trouble: str = ""


class Reload(msgspec.Struct, frozen=True, tag=True):
    """Supervisor: read the Corefile again and propose what it says."""


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Supervisor: the end has begun; do not be ready any more."""


class Stop(msgspec.Struct, frozen=True, tag=True):
    """Supervisor: finish what is in hand and exit."""


Message = Proposal | Refused | Setup | Commit | Abort | Prepared | Reload | Drain | Stop
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


class Channel:
    """One end of a pair of sockets that keep messages apart."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.setblocking(False)

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> bool:
        """False when the other side is gone, or has not read for long."""
        raw, beside = msgspec.json.encode(message), list[int]()
        try:
            if len(raw) > _LARGEST:
                raw, beside = _BESIDE, [_memory(raw)]
            socket.send_fds(self.sock, [raw], [*descriptors, *beside])
        except OSError:
            return False
        finally:
            for descriptor in beside:
                os.close(descriptor)
        return True

    def receive(self) -> tuple[Message, list[int]] | None:
        """The next message, None when the other side is gone.

        Raises BlockingIOError when there is none yet, ClusterDNSError for one of which a part is lost.
        """
        try:
            raw, descriptors, _, _ = socket.recv_fds(self.sock, _LARGEST, MAX_DESCRIPTORS + 1)
        except ConnectionResetError:
            # It is gone and has not read everything; what it said before is told only after that
            return self.receive()
        if raw == _BESIDE:
            if not descriptors:
                raise ClusterDNSError("a message did not come through; raise the limit of open files")
            raw = _read(descriptors[-1])
            os.close(descriptors.pop())
        return (_decoder.decode(raw), list(descriptors)) if raw else None


def pair() -> tuple[Channel, socket.socket]:
    """Our end, and the child's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(ours), theirs


def store_record(record: Record) -> int:
    """A descriptor of memory that holds it."""
    return _memory(record.encode())


def read_record(descriptor: int) -> Record:
    """Raises ClusterDNSError for what is no record."""
    return Record.decode(_read(descriptor))


def _memory(raw: bytes) -> int:
    descriptor = os.memfd_create("clusterdns-message")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(raw)
    return descriptor


def _read(descriptor: int) -> bytes:
    # All processes share the offset
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def sockets_of(
    setup: Setup, descriptors: Sequence[int]
) -> tuple[dict[Where, tuple[list[int], list[int]]], dict[Where, int]]:
    """The descriptors behind the record, taken apart: of DNS (UDP and TCP) and of HTTP.

    Raises ClusterDNSError when they are not as many as the message says.
    """
    if len(descriptors) != 1 + sum(bound.udp + bound.tcp for bound in setup.listeners) + len(setup.http):
        raise ClusterDNSError("not all sockets came through; raise the limit of open files of this process")
    rest = list(descriptors[1:])
    dns: dict[Where, tuple[list[int], list[int]]] = {}
    for bound in setup.listeners:
        udp, tcp, rest = rest[: bound.udp], rest[bound.udp : bound.udp + bound.tcp], rest[bound.udp + bound.tcp :]
        dns[bound.where] = udp, tcp
    return dns, dict(zip(setup.http, rest, strict=True))
