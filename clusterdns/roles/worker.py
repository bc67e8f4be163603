"""A process that answers: sockets, chain, memo and upstreams. Its objects come by the feed."""

import logging
import os
import socket
import time
from collections.abc import Callable, Sequence

import msgspec

from clusterdns.errors import ClusterDNSError
from clusterdns.plugins.build import Config
from clusterdns.roles.child import Child, Options
from clusterdns.roles.control import Abort, Commit, Message, Prepared, Setup, Stop, read_record, sockets_of
from clusterdns.roles.intake import Intake, patience
from clusterdns.roles.link import FeedLink
from clusterdns.roles.load import load_again
from clusterdns.roles.loop import SharedLoop, become
from clusterdns.roles.output import BugReporter
from clusterdns.roles.process import settle_memory
from clusterdns.roles.serving import Serving, Sockets, Where, handle_loop_errors
from clusterdns.roles.slots import Phase

# Seconds that queries in hand have at the end: as long as one may wait for its upstreams
GRACE = 5.0
# Seconds between looks whether the first list is in: a start is to be quick
_LOOK = 0.005

_log = logging.getLogger("clusterdns")


class _Ready(msgspec.Struct):
    """What is prepared and waits for Commit."""

    generation: int
    config: Config
    sockets: dict[Where, Sockets]


class Worker(Child):
    """One worker. `options.feed`: the address of the feed."""

    def __init__(self, options: Options, write: Callable[[str], None]) -> None:
        super().__init__(options)
        self._write = write
        self._report = BugReporter(self.loop.time)
        handle_loop_errors(self._report)
        self._serving = Serving(self.slot.cells())
        # Nobody is answered before the first list is in
        self._intake = Intake(self._serving, hold=False)
        self._link = FeedLink(bytes.fromhex(options.feed), options.index, self._intake)
        self._ready: _Ready | None = None

    async def take(self, message: Message, descriptors: Sequence[int]) -> None:
        if isinstance(message, Setup):
            await (self._begin if message.now else self._prepare)(message, descriptors)
        elif isinstance(message, Commit) and self._ready and self._ready.generation == message.generation:
            await self._commit(self._ready)
        elif isinstance(message, Abort) and self._ready and self._ready.generation == message.generation:
            self._forget(self._ready)
        elif isinstance(message, Stop):
            await self._finish()

    def beat(self) -> None:
        """A wake-up may have been lost with a process that died: look without one."""
        self._serving.poll()
        self._serving.tick(time.monotonic())

    def close(self) -> None:
        self._link.close()
        self._serving.close()

    async def _begin(self, setup: Setup, descriptors: Sequence[int]) -> None:
        config, sockets = self._loaded(setup, descriptors)
        self._serving.prepare(config)
        self._intake.follow(config)
        self._link.want()
        await become(lambda: self._intake.settled, patience(config), _LOOK)
        # From now on nobody is to see half of a list
        self._intake.hold = True
        settle_memory()
        await self._serving.adopt(config, sockets)
        self.slot.phase = Phase.SERVING

    async def _prepare(self, setup: Setup, descriptors: Sequence[int]) -> None:
        """As a new generation; what is served is not touched."""
        try:
            config, sockets = self._loaded(setup, descriptors)
        except ClusterDNSError as error:
            self.send(Prepared(setup.generation, str(error)))
            return
        self._ready = _Ready(setup.generation, config, sockets)
        self._serving.prepare(config)
        self._follow(config)
        await become(lambda: self._intake.filled, patience(config))
        self.send(Prepared(setup.generation))

    async def _commit(self, ready: _Ready) -> None:
        self._ready = None
        await self._serving.adopt(ready.config, ready.sockets)
        self._follow()

    def _forget(self, ready: _Ready) -> None:
        self._ready = None
        self._serving.prepare(None)
        for sockets in ready.sockets.values():
            for sock in sockets.udp + sockets.tcp:
                sock.close()
        self._follow()

    def _follow(self, *more: Config) -> None:
        if self._serving.config is not None:
            self._intake.follow(self._serving.config, *more)
            self._link.want()

    async def _finish(self) -> None:
        """Answer what has arrived, let what is in hand end."""
        self._serving.refuse_more()
        await become(lambda: not self._serving.waiting, GRACE)
        _log.info("worker %d: %s", self.options.index, self._serving.summary())
        self.stop()

    def _loaded(self, setup: Setup, descriptors: Sequence[int]) -> tuple[Config, dict[Where, Sockets]]:
        """The configuration, and the sockets of listeners that are new. Raises ClusterDNSError."""
        dns, http = sockets_of(setup, descriptors)
        record = read_record(descriptors[0])
        for descriptor in (descriptors[0], *http.values()):
            os.close(descriptor)
        kept = self._serving.config.shared.stores if self._serving.config else {}
        config = load_again(self.options.settings, record, self._write, kept)
        sockets = {}
        for where, (udp, tcp) in dns.items():
            if where in self._serving.listening:
                for descriptor in udp + tcp:
                    os.close(descriptor)
                continue
            if isinstance(self.loop, SharedLoop):
                self.loop.share(udp)
            sockets[where] = Sockets(*([socket.socket(fileno=each) for each in group] for group in (udp, tcp)))
        return config, sockets
