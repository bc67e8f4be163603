"""Clients that ask as stub resolvers do: `python -m bench.retrying PORT TRANSPORT RATE FILE` asks the queries of the
file from a few clients, one at a time each and evenly, until its standard input ends. A query that fails is asked a
second time. Prints a line of JSON."""

import argparse
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from bench.asked import SHOWN, Asked, read

CLIENTS = 8
TRIES = 2
# Seconds until a try has failed. TCP says so itself: that it took so long would be a failure.
TIMEOUT = {"udp": 1.0, "tcp": 5.0}
_LENGTH = struct.Struct("!H")


class Datagrams:
    """Each query from a socket of its own."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, query: bytes) -> bytes:
        """Raises OSError."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
            opened.settimeout(TIMEOUT["udp"])
            opened.connect(("127.0.0.1", self._port))
            opened.send(query)
            return opened.recv(4096)

    def close(self) -> None:
        """Nothing is kept."""


class Stream:
    """One connection, kept until it fails."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._opened: socket.socket | None = None

    def ask(self, query: bytes) -> bytes:
        """Raises OSError."""
        if self._opened is None:
            self._opened = socket.create_connection(("127.0.0.1", self._port), TIMEOUT["tcp"])
        self._opened.sendall(_LENGTH.pack(len(query)) + query)
        return self._read(*_LENGTH.unpack(self._read(2)))

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
        self._opened = None

    def _read(self, length: int) -> bytes:
        read = b""
        while len(read) < length:
            if not (more := self._opened.recv(length - len(read))):
                raise ConnectionResetError
            read += more
        return read


class Client(threading.Thread):
    """Asks until it is told to stop. Counts, and how long failed tries took (ms)."""

    def __init__(self, number: int, transport: Datagrams | Stream, queries: Sequence[Asked], interval: float) -> None:
        super().__init__(name=f"client {number}")
        self._number, self._transport, self._queries, self._interval = number, transport, queries, interval
        self.stop = threading.Event()
        self.sent = self.answered = self.retried = 0
        self.failures: list[float] = []
        self.lost: list[tuple[int, str]] = []
        self.wrong: list[str] = []

    def run(self) -> None:
        due = time.monotonic()
        for turn in count():
            due += self._interval
            if self.stop.wait(max(0.0, due - time.monotonic())):
                break
            query = self._queries[turn % len(self._queries)]
            self.resolve(query.counted(self._number << 24 | turn), turn)
        self._transport.close()

    def resolve(self, query: Asked, turn: int) -> None:
        """One query, tried twice at most."""
        packet = query.packet(turn & 0xFFFF)
        begun = time.monotonic_ns()
        self.sent += 1
        for tried in range(TRIES):
            self.retried += tried
            if reply := self._try(packet):
                self.answered += 1
                if complaint := "another id" if reply[:2] != packet[:2] else query.complaint(reply):
                    self.wrong.append(complaint)
                return
        self.lost.append((begun, query.name))

    def _try(self, wire: bytes) -> bytes:
        """Empty when it failed."""
        begun = time.monotonic()
        try:
            return self._transport.ask(wire)
        except OSError:
            self.failures.append((time.monotonic() - begun) * 1000)
            self._transport.close()
            return b""


def report(clients: Sequence[Client]) -> dict:
    """The sum of what they counted. `slowest`: of the failed tries."""
    lost = [lost for client in clients for lost in client.lost]
    wrong = [wrong for client in clients for wrong in client.wrong]
    counts = {name: sum(getattr(client, name) for client in clients) for name in ("sent", "answered", "retried")}
    slowest = max((failure for client in clients for failure in client.failures), default=0.0)
    return counts | {
        "slowest": slowest,
        "lost": len(lost),
        "wrong": len(wrong),
        "lost_queries": lost[:SHOWN],
        "wrong_replies": wrong[:SHOWN],
    }


TRANSPORTS: dict[str, Callable[[int], Datagrams | Stream]] = {"udp": Datagrams, "tcp": Stream}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.retrying", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("transport", choices=TRANSPORTS)
    parser.add_argument("rate", type=float, help="queries a second of all clients together")
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    queries = read(options.file)
    clients = [
        Client(number, TRANSPORTS[options.transport](options.port), queries, CLIENTS / options.rate)
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    print("begins", flush=True)
    sys.stdin.read()
    for client in clients:
        client.stop.set()
    for client in clients:
        client.join()
    print(json.dumps(report(clients)))


if __name__ == "__main__":
    main()
