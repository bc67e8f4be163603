"""A resolver outside the cluster: `python -m bench.upstream PORT` answers every question with one address, and not at
once, so that there are always queries under way."""

import argparse
import asyncio
import sys

# Seconds: a resolver in the same region that knows the answer
DELAY = 0.01
# Compressed owner, A, IN, 60 s, 192.0.2.1 (RFC 5737)
_RECORD = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01"
_HEADER = 12


def reply(query: bytes) -> bytes:
    """Id, question, and the record; no OPT, as from a server without EDNS."""
    end = _HEADER
    while query[end]:
        end += query[end] + 1
    question = query[_HEADER : end + 5]
    # QR, RD and RA; one question, one answer
    return query[:2] + b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00" + question + _RECORD


class Upstream(asyncio.DatagramProtocol):
    """Answers later."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        asyncio.get_running_loop().call_later(DELAY, self._transport.sendto, reply(data), addr)


async def run(port: int) -> None:
    """Until standard input ends."""
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(Upstream, local_addr=("127.0.0.1", port))
    ended = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(ended), sys.stdin)
    print("begins", flush=True)
    await ended.read()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.upstream", description=__doc__)
    parser.add_argument("port", type=int)
    asyncio.run(run(parser.parse_args().port))
