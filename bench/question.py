"""One question, asked evenly until the answer is the one that is waited for."""

import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address

from bench.errors import BenchError
from bench.packets import Query

# Seconds after which an answer that did not come will not come
PATIENCE = 30.0
# An A record from its RDLENGTH on
_LENGTH = b"\x00\x04"


def has(addresses: list[str]) -> Callable[[bytes], bool]:
    """Whether a reply has an A record for each of the addresses."""
    wanted = [_LENGTH + IPv4Address(address).packed for address in addresses]
    return lambda reply: all(record in reply for record in wanted)


def in_a_row(seen: Callable[[bytes], bool], number: int) -> Callable[[bytes], bool]:
    """Whether so many replies were `seen`, one after the other: by then any process had its turn."""
    streak = 0

    def take(reply: bytes) -> bool:
        nonlocal streak
        streak = streak + 1 if seen(reply) else 0
        return streak == number

    return take


class Asker:
    """Asks 127.0.0.1:`port` from a socket of its own, one question every `interval` seconds."""

    def __init__(self, port: int, interval: float) -> None:
        self._interval = interval
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setblocking(False)

    def __enter__(self) -> "Asker":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, name: str, seen: Callable[[bytes], bool], before: float = 0.0, act: Callable[[], None] | None = None):
        """The monotonic clock in ns when the first reply came that is `seen`. `act` is called after `before` seconds,
        between two questions. Raises BenchError when none comes."""
        query = Query(name).wire()
        due = begun = time.monotonic()
        while (now := time.monotonic()) < begun + PATIENCE:
            if act is not None and now >= begun + before:
                act()
                act = None
            if now >= due:
                self._send(query)
                due += self._interval
            wake = min(due, begun + before) if act else due
            if (reply := self._reply(max(0.0, wake - now))) and seen(reply):
                return time.monotonic_ns()
        raise BenchError(f"{name}: not the right answer within {PATIENCE:.0f} s")

    def keep_asking(self, name: str, seconds: float) -> None:
        """The same load, with nothing to wait for."""
        end = time.monotonic() + seconds
        self.ask(name, lambda _: time.monotonic() >= end)

    def _send(self, query: bytes) -> None:
        # Refused: nobody listens (yet, or any more), which the next question finds out
        with suppress(ConnectionRefusedError, BlockingIOError):
            self._socket.send(query)

    def _reply(self, wait: float) -> bytes:
        """The next reply, empty for none in that time."""
        # Not a socket timeout, and not poll(): those count in milliseconds
        if select.select([self._socket], [], [], wait)[0]:
            with suppress(ConnectionRefusedError):
                return self._socket.recv(4096)
        return b""
