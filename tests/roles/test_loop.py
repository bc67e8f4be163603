"""Several processes wait for one socket: each datagram wakes one of them, and none is lost."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import pytest

from clusterdns.roles.loop import SharedLoop, become
from tests.support.process import eventually

# Writes a letter for each time that it is woken, with the datagram or `-` where there was none
WORKER = """
import os, socket, sys
from clusterdns.roles.loop import SharedLoop
sock = socket.socket(fileno=int(sys.argv[1]))
sock.setblocking(False)
loop = SharedLoop()
loop.share([sock.fileno()])
def woken():
    try:
        os.write(1, sock.recv(1))
    except BlockingIOError:
        os.write(1, b"-")
loop.add_reader(sock.fileno(), woken)
os.write(1, b"!")
loop.run_forever()
"""


@dataclass
class Waiting:
    """A process, and the letters that it wrote so far."""

    process: subprocess.Popen[bytes]
    letters: bytes = b""

    def read(self) -> bytes:
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self.letters += self.process.stdout.read() or b""
        return self.letters

    @property
    def state(self) -> str:
        with open(f"/proc/{self.process.pid}/stat") as file:
            return file.read().rsplit(") ", 1)[1][0]

    @property
    def sleeps(self) -> int:
        """How often it has gone to sleep by itself."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))


@contextmanager
def waiting(sock: socket.socket) -> Iterator[Waiting]:
    argv = [sys.executable, "-c", WORKER, str(sock.fileno())]
    with subprocess.Popen(argv, pass_fds=(sock.fileno(),), stdout=subprocess.PIPE) as process:
        worker = Waiting(process)
        try:
            assert eventually(lambda: worker.read() == b"!", 30)
            yield worker
        finally:
            process.kill()


@pytest.fixture
def shared():
    """The sending end, and two processes that wait at the other."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs, waiting(theirs) as one, waiting(theirs) as other:
        yield ours, one, other


def test_each_datagram_wakes_one(shared):
    """A process that is woken for nothing finds that out within the kernel: it is seen by what was scheduled."""
    ours, one, other = shared
    sent = bytes(range(ord("a"), ord("z") + 1))
    assert eventually(lambda: one.state == other.state == "S")
    before = one.sleeps + other.sleeps
    for letter in sent:
        # Both are asleep: who is about to wait would find the datagram too
        assert eventually(lambda: one.state == other.state == "S")
        ours.send(bytes((letter,)))
        assert eventually(lambda letter=letter: bytes((letter,)) in one.read() + other.read())
    assert eventually(lambda: one.state == other.state == "S")
    assert sorted(one.read() + other.read()) == sorted(b"!!" + sent)
    assert one.sleeps + other.sleeps - before < 1.5 * len(sent)


def test_who_is_held_up_leaves_the_work_to_the_other(shared):
    ours, one, other = shared
    one.process.send_signal(signal.SIGSTOP)
    assert eventually(lambda: one.state == "T")
    for _ in range(10):
        ours.send(b"x")
    assert eventually(lambda: other.read().count(b"x") == 10)
    one.process.send_signal(signal.SIGCONT)
    # And takes part again
    other.process.send_signal(signal.SIGSTOP)
    assert eventually(lambda: other.state == "T")
    ours.send(b"y")
    assert eventually(lambda: b"y" in one.read())


def test_what_one_left_behind_is_taken_by_the_other(shared):
    ours, one, other = shared
    one.process.kill()
    one.process.wait()
    ours.send(b"x")
    assert eventually(lambda: b"x" in other.read())


def pairs() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.setblocking(False)
    return ours, theirs


def test_what_is_there_already_is_read():
    """Also a second time, by whoever left some of it."""
    with closing(SharedLoop()) as loop:
        ours, theirs = pairs()
        with ours, theirs:
            for letter in (b"a", b"b", b"c"):
                ours.send(letter)
            loop.share([theirs.fileno()])
            read: list[bytes] = []

            def woken() -> None:
                read.append(theirs.recv(1))
                if len(read) == 3:
                    loop.stop()

            loop.add_reader(theirs.fileno(), woken)
            loop.run_forever()
            assert read == [b"a", b"b", b"c"]
            assert loop.remove_reader(theirs.fileno())


def test_a_number_that_is_given_away_again_is_not_shared():
    """An exclusive descriptor cannot be waited for in another way; the next file may have to be."""
    with closing(SharedLoop()) as loop:
        ours, theirs = pairs()
        number = theirs.fileno()
        loop.share([number])
        loop.add_reader(number, lambda: None)
        loop.remove_reader(number)
        ours.close()
        theirs.close()
        one, other = socket.socketpair()
        with one, other:
            assert other.fileno() == number
            loop.add_reader(number, lambda: None)
            loop.add_writer(number, loop.stop)
            loop.run_forever()
            assert loop.remove_writer(number)
            assert loop.remove_reader(number)


def test_other_descriptors_are_as_ever():
    """The loop's own pipe, streams, time."""

    async def main() -> bytes:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        found = await reader.read()
        writer.close()
        server.close()
        return found

    with asyncio.Runner(loop_factory=SharedLoop) as runner:
        assert runner.run(main()) == b""


def test_become_ends_with_the_condition_or_the_time():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        looks: list[float] = []

        def third() -> bool:
            looks.append(loop.time())
            return len(looks) == 3

        await become(third, 30.0, 0.001)
        assert len(looks) == 3
        begun = loop.time()
        await become(lambda: False, 0.01, 0.001)
        assert loop.time() - begun >= 0.01
        await become(lambda: False, 0.0)

    asyncio.run(main())
