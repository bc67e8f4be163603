"""Which server block answers: the longest zone that encloses the name (RFC 1034 4.3.2 step 2)."""

from collections.abc import Mapping

import msgspec

from clusterdns.plugins.base import Context, Handler, Observer, Step
from clusterdns.wire.codes import Class, Type
from clusterdns.wire.encode import MAX_MESSAGE
from clusterdns.wire.names import ROOT, ZoneSet
from clusterdns.wire.query import Query


class Block(msgspec.Struct, frozen=True):
    """One zone of a server block on one listener.

    `handler` is None for a block without a plugin that answers. `observers` are told of every reply, `reporters`
    of those on which a plugin failed. `recursive`: it forwards, so replies carry RA. `payload`: the largest UDP reply
    in octets, whatever a client says it takes.
    """

    zone: bytes
    handler: Handler | None
    observers: tuple[Observer, ...] = ()
    reporters: tuple[Observer, ...] = ()
    recursive: bool = False
    payload: int = MAX_MESSAGE


class Router:
    """The blocks of one listener by zone."""

    def __init__(self, blocks: Mapping[bytes, Block]) -> None:
        self._blocks = dict(blocks)
        self._root = self._blocks.get(ROOT)
        self._zones = ZoneSet(zone for zone in blocks if zone != ROOT)

    def find(self, query: Query) -> Block | None:
        """None where no block encloses the name, or its class is not IN."""
        if query.qclass != Class.IN:
            return None
        name, starts = query.name, query.starts
        at = self._zones.left_of(name, starts)
        if at is None:
            return self._root
        if query.qtype == Type.DS:
            # A DS record lives in the parent zone (RFC 4035 3.1.4.1): take the topmost block but the root
            while (above := self._zones.left_of(name[starts[at + 1] :], _moved(starts, at + 1))) is not None:
                at += 1 + above
        return self._blocks[name[starts[at] :]]

    def step(self, query: Query, ctx: Context) -> Step | None:
        """The handler's generator, None where nobody serves the name."""
        block = self.find(query)
        return block.handler(query, ctx) if block is not None and block.handler is not None else None


def _moved(starts: tuple[int, ...], at: int) -> tuple[int, ...]:
    """Label offsets within the part of the name from label `at` on."""
    return tuple(start - starts[at] for start in starts[at:])
