"""A client that never asks twice: `python -m bench.paced PORT RATE FILE` sends the queries of the file evenly over
eight sockets until its standard input ends, waits for what is unanswered, and prints a line of JSON."""

import argparse
import gc
import json
import os
import select
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from struct import Struct

from bench.asked import SHOWN, Asked, read

SOCKETS = 8
# Seconds: how long a stub resolver waits (resolv.conf(5), `timeout`)
TIMEOUT = 5.0
# The time at which a reply arrived, by the kernel: that this process had to wait for a CPU is not the server's doing
_SO_TIMESTAMPNS, _TIMESPEC = 35, Struct("qq")
# Seconds between two looks for queries that are too old
_LOOK = 0.05


class Client:
    """Open questions by id, oldest first: at most TIMEOUT seconds of them, far less than there are ids."""

    def __init__(self, port: int, queries: Sequence[Asked]) -> None:
        self._queries = queries
        self._packets = [query.packet(0)[2:] for query in queries]
        self.sockets = [_connected(port) for _ in range(SOCKETS)]
        self._numbers = count()
        # Number, and the time of sending (ns) by the clock that the kernel notes arrivals with and by the monotonic one
        self.open: dict[int, tuple[int, int, int]] = {}
        self.sent = 0
        self.milliseconds: list[float] = []
        self.lost: list[tuple[int, str]] = []
        self.wrong: list[str] = []

    def send(self) -> None:
        number = next(self._numbers)
        identity = number & 0xFFFF
        packet = identity.to_bytes(2) + self._packets[number % len(self._packets)]
        self.open[identity] = number, time.time_ns(), time.monotonic_ns()
        self.sent += 1
        try:
            self.sockets[number % SOCKETS].send(packet)
        except OSError:
            # Refused, or no room: a client cannot tell that from a lost packet
            return

    def receive(self, opened: socket.socket) -> None:
        """All there is."""
        while True:
            try:
                reply, ancillary, _, _ = opened.recvmsg(4096, 64)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                continue
            self._take(reply, _TIMESPEC.unpack(ancillary[0][2]))

    def expire(self, before: int) -> None:
        """What was sent before that time is lost."""
        while self.open:
            identity, (number, _, at) = next(iter(self.open.items()))
            if at > before:
                return
            del self.open[identity]
            self.lost.append((at, self._queries[number % len(self._queries)].name))

    def _take(self, reply: bytes, arrived: tuple[int, int]) -> None:
        if (asked := self.open.pop(int.from_bytes(reply[:2]), None)) is None:
            self.wrong.append("a reply that nobody waits for")
            return
        number, at, _ = asked
        seconds, nanoseconds = arrived
        self.milliseconds.append((seconds * 1_000_000_000 + nanoseconds - at) / 1e6)
        if complaint := self._queries[number % len(self._queries)].complaint(reply):
            self.wrong.append(complaint)

    def report(self) -> dict:
        ordered = sorted(self.milliseconds) or [0.0]
        return {
            "sent": self.sent,
            "answered": len(self.milliseconds),
            "lost": len(self.lost),
            "wrong": len(self.wrong),
            "p50": ordered[len(ordered) // 2],
            "p99": ordered[len(ordered) * 99 // 100],
            "slowest": ordered[-1],
            "lost_queries": self.lost[:SHOWN],
            "wrong_replies": self.wrong[:SHOWN],
        }


def run(client: Client, rate: float) -> None:
    """Until standard input has ended and nothing is open."""
    inputs = [*client.sockets, sys.stdin.buffer]
    interval = 1 / rate
    due = look = time.monotonic()
    while sys.stdin.buffer in inputs or client.open:
        now = time.monotonic()
        sending = sys.stdin.buffer in inputs
        while sending and due <= now:
            client.send()
            due += interval
        if look <= now:
            client.expire(time.monotonic_ns() - int(TIMEOUT * 1e9))
            look = now + _LOOK
        for ready in select.select(inputs, [], [], max(0.0, min(due if sending else look, look) - now))[0]:
            if ready is sys.stdin.buffer:
                inputs.remove(ready)
            else:
                client.receive(ready)


def _connected(port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.connect(("127.0.0.1", port))
    opened.setblocking(False)
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    return opened


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.paced", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("rate", type=float)
    parser.add_argument("file", type=Path)
    parser.add_argument("--cpu", type=int, default=-1, help="the CPU to run on; -1: any")
    options = parser.parse_args()
    if options.cpu >= 0:
        os.sched_setaffinity(0, {options.cpu})
    client = Client(options.port, read(options.file))
    # A pause of the collector would be a pause of the load
    gc.freeze()
    gc.disable()
    # Between the clock and sending it must not wait for a CPU: that would be counted as the server's time
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    print("begins", flush=True)
    run(client, options.rate)
    print(json.dumps(client.report()))


if __name__ == "__main__":
    main()
