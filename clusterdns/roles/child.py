"""What controller and worker have in common: messages of the supervisor, heartbeat, end."""

import asyncio
import faulthandler
import logging
import os
import signal
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import msgspec

from clusterdns.errors import ClusterDNSError
from clusterdns.roles.control import Channel, Message
from clusterdns.roles.output import LineWriter, set_up_logging
from clusterdns.roles.process import raise_descriptor_limit
from clusterdns.roles.slots import BEAT, Phase, Slots
from clusterdns.settings import Settings

# Seconds that a child has to end by itself when its supervisor is gone
_ORPHANED = 0.5

_log = logging.getLogger("clusterdns")


class Options(msgspec.Struct, frozen=True):
    """What a child is started with. Descriptors are numbers; `feed` is an address in hex, or a descriptor."""

    index: int
    control: int
    slots: int
    feed: str
    settings: Settings


class Child(ABC):
    """`run` until the supervisor says stop, or is gone."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.loop = asyncio.get_running_loop()
        self.slots = Slots(options.slots)
        self.slot = self.slots[options.index]
        self._channel = Channel(socket.socket(fileno=options.control))
        self._messages: asyncio.Queue[tuple[Message, list[int]] | None] = asyncio.Queue()
        self._stopped = False

    async def run(self) -> None:
        self.loop.add_reader(self._channel.sock.fileno(), self._receive)
        self._beat()
        try:
            # The supervisor's end is ours: there is nobody to hand work over to
            while not self._stopped and (received := await self._messages.get()) is not None:
                try:
                    await self.take(*received)
                except ClusterDNSError as error:
                    _log.error("%s", error)
                    if self.slot.phase is not Phase.SERVING:
                        # Whoever cannot begin is started again, later each time
                        break
        finally:
            self.close()

    @abstractmethod
    async def take(self, message: Message, descriptors: Sequence[int]) -> None:
        """A message of the supervisor; the next one is taken when this one is done."""

    def beat(self) -> None:
        """Every quarter of a second: the loop runs."""
        self.slot.beat(time.monotonic())

    @abstractmethod
    def close(self) -> None:
        """The end."""

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        self._channel.send(message, descriptors)

    def stop(self) -> None:
        self._stopped = True

    def _receive(self) -> None:
        try:
            received = self._channel.receive()
        except BlockingIOError:
            return
        if received is None:
            self.loop.remove_reader(self._channel.sock.fileno())
            # Without a supervisor nobody may hold its ports, whatever we wait for
            self.loop.call_later(_ORPHANED, os._exit, 1)
        self._messages.put_nowait(received)

    def _beat(self) -> None:
        self.loop.call_later(BEAT, self._beat)
        self.beat()


def start(
    make: Callable[[Options, Callable[[str], None]], Child],
    options: Options,
    factory: Callable[[], asyncio.AbstractEventLoop],
) -> int:
    """Run a child in this process; returns the exit status."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        # Sent to a whole group of processes they are meant for the supervisor, which tells us
        signal.signal(number, signal.SIG_IGN)
    # Of a loop that hangs, the supervisor wants to know where
    faulthandler.enable()
    raise_descriptor_limit()
    writer = LineWriter()
    set_up_logging(options.settings.level, writer.write)

    async def main() -> None:
        await make(options, writer.write).run()

    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())
    finally:
        writer.close()
    # Threads that still read from the network would keep the process
    os._exit(0)
