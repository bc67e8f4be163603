"""A process that answers: sockets, chain, memo and upstreams. Its objects come by the feed."""

import asyncio
import logging
import math
import os
import socket
import time
from collections.abc import Callable, Sequence

import msgspec

from clusterdns.errors import ClusterDNSError
from clusterdns.plugins.build import Config
from clusterdns.roles.child import Child, Options
from clusterdns.roles.control import Abort, Commit, Message, Prepared, Setup, Stop, Where, read_record, sockets_of
from clusterdns.roles.drain import GRACE
from clusterdns.roles.intake import Intake, patience
from clusterdns.roles.link import FeedLink
from clusterdns.roles.load import load_again
from clusterdns.roles.loop import SOON, SharedLoop, become
from clusterdns.roles.output import BugReporter
from clusterdns.roles.priority import answer_soon
from clusterdns.roles.process import settle_memory
from clusterdns.roles.serving import Serving, Sockets, handle_loop_errors
from clusterdns.roles.slots import Phase

_log = logging.getLogger("clusterdns")


class _Ready(msgspec.Struct):
    """What is prepared and waits for Commit. `followed`: its sources are."""

    generation: int
    config: Config
    sockets: dict[Where, Sockets]
    followed: bool = False

    def close(self) -> None:
        """It will not be served."""
        for sockets in self.sockets.values():
            sockets.close()


class _First(msgspec.Struct):
    """What waits for something to answer from."""

    ready: _Ready
    task: asyncio.Task[None]


class Worker(Child):
    """One worker. `options.feed`: the address of the feed."""

    def __init__(self, options: Options, write: Callable[[str], None]) -> None:
        super().__init__(options)
        answer_soon()
        self._write = write
        self._report = BugReporter(self.loop.time)
        handle_loop_errors(self._report)
        self._serving = Serving(self.slot.cells())
        # Nobody is answered before the first list is in
        self._intake = Intake(self._serving, hold=False)
        self._link = FeedLink(bytes.fromhex(options.feed), options.index, self._intake)
        self._ready: _Ready | None = None
        # Until it serves
        self._first: _First | None = None

    async def take(self, message: Message, descriptors: Sequence[int]) -> None:
        if isinstance(message, Setup):
            await self._set_up(message, descriptors)
        elif isinstance(message, Commit) and self._ready and self._ready.generation == message.generation:
            await self._commit(self._ready)
        elif isinstance(message, Abort) and self._ready and self._ready.generation == message.generation:
            self._forget(self._ready)
        elif isinstance(message, Stop):
            await self._finish()

    def beat(self) -> None:
        super().beat()
        # A wake-up may have been lost with a process that died: look without one
        self._serving.poll()
        self._serving.tick(time.monotonic())
        self.slot.whole = self._intake.known(self._serving.config)

    def close(self) -> None:
        self._link.close()
        self._serving.close()

    async def _set_up(self, setup: Setup, descriptors: Sequence[int]) -> None:
        try:
            ready = self._loaded(setup, descriptors)
        except ClusterDNSError as error:
            if setup.now:
                raise
            self.send(Prepared(setup.generation, str(error)))
            return
        if setup.now:
            self._begin(ready)
            return
        self._ready = ready
        if self._serving.config is not None:
            if self._first is not None:
                await self._first.task
            self.send(Prepared(setup.generation, await self._fill(ready)))
            return
        self.send(Prepared(setup.generation))

    async def _fill(self, ready: _Ready) -> str:
        """What is served is not touched. Returns why it should go on being served, if it should."""
        knew, long = self._intake.known(self._serving.config), patience(ready.config)
        ready.followed = True
        self._serving.prepare(ready.config)
        self._follow(ready.config)
        # Whatever the supervisor says meanwhile makes an end to this
        await become(lambda: self._intake.filled or not self._messages.empty(), long)
        if self._intake.filled or not knew:
            return ""
        return f"its objects could not be listed within {long:g} s (startup_timeout)"

    def _begin(self, ready: _Ready) -> None:
        """Serve as soon as there is something to answer from."""
        self._serving.prepare(ready.config)
        self._intake.follow(ready.config)
        self._link.want()
        if self._first is not None:
            self._first.task.cancel()
            self._first.ready.close()
        self._first = _First(ready, self.loop.create_task(self._serve_first(ready)))
        self._first.task.add_done_callback(self._end_if_failed)

    def _end_if_failed(self, task: asyncio.Task[None]) -> None:
        """Whoever cannot begin is started again, later each time."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(error, "before the first query")
            self._messages.put_nowait(None)

    async def _serve_first(self, ready: _Ready) -> None:
        begun, long = self.loop.time(), patience(ready.config)

        def enough() -> bool:
            """Who knows nothing leaves the questions to those who do."""
            late = self.loop.time() - begun > long
            return self._intake.settled or (late and not any(slot.whole for slot in self.slots.used().values()))

        await become(enough, math.inf, SOON)
        # From now on nobody is to see half of a list
        self._intake.hold = True
        settle_memory()
        await self._adopt(ready)
        self.slot.phase = Phase.SERVING
        self.slot.whole = self._intake.known(ready.config)
        self._first = None

    async def _commit(self, ready: _Ready) -> None:
        self._ready = None
        if self._serving.config is None:
            self._begin(ready)
            return
        if not ready.followed:
            # It was prepared before the first configuration was served, which it is by now
            await self._fill(ready)
        await self._adopt(ready)
        self._follow()

    async def _adopt(self, ready: _Ready) -> None:
        # Opened since these came, for the configuration before
        for where in ready.sockets.keys() & self._serving.listening:
            ready.sockets.pop(where).close()
        if isinstance(self.loop, SharedLoop):
            # Now, and not before: a descriptor that is closed instead gives its number to another file
            self.loop.share(sock.fileno() for sockets in ready.sockets.values() for sock in sockets.udp)
        await self._serving.adopt(ready.config, ready.sockets)

    def _forget(self, ready: _Ready) -> None:
        self._ready = None
        if self._serving.config is not None:
            self._serving.prepare(None)
        ready.close()
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

    def _loaded(self, setup: Setup, descriptors: Sequence[int]) -> _Ready:
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
            sockets[where] = Sockets(*([socket.socket(fileno=each) for each in group] for group in (udp, tcp)))
        return _Ready(setup.generation, config, sockets)
