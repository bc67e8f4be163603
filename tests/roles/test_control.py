"""Messages between supervisor and children, with descriptors, on a real pair of sockets."""

import os
import socket
from contextlib import ExitStack, closing

import pytest

from clusterdns.corefile.record import Record, Recorder
from clusterdns.errors import ClusterDNSError
from clusterdns.roles.control import (
    MAX_DESCRIPTORS,
    Abort,
    Bound,
    Channel,
    Commit,
    Drain,
    Prepared,
    Proposal,
    Refused,
    Reload,
    Setup,
    Stop,
    pair,
    read_record,
    sockets_of,
    store_record,
)
from tests.corefile.files import Files

DNS, OTHER, HTTP = ("", 53), ("127.0.0.1", 5300), ("", 8080)
MESSAGES = [
    Proposal((DNS, OTHER), (HTTP,), {"lo": ["127.0.0.1", "::1"], "down": []}, 5.0, None),
    Proposal((), (), {}, 0.0, 0),
    Refused("Corefile:1:1: unknown directive ü"),
    Setup(3, (Bound(DNS, 2, 2), Bound(OTHER, 1, 1)), (HTTP,), False),
    Commit(3),
    Abort(3, "why"),
    Prepared(3),
    Prepared(3, "trouble"),
    Reload(),
    Drain(),
    Stop(),
]


@pytest.fixture
def ends():
    ours, theirs = pair()
    with ours.sock, theirs:
        yield ours, Channel(theirs)


def sized(size: int) -> Refused:
    return Refused("x" * size)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_messages_come_apart_and_in_order(ends):
    one, other = ends
    for sender, receiver in ((one, other), (other, one)):
        for message in MESSAGES:
            assert sender.send(message)
        assert [receiver.receive() for _ in MESSAGES] == [(message, []) for message in MESSAGES]
        with pytest.raises(BlockingIOError):
            receiver.receive()


@pytest.mark.parametrize("size", [0, 64_000, 65_520, 65_536, 1_000_000], ids="{} octets".format)
@pytest.mark.parametrize("count", [0, 1, MAX_DESCRIPTORS])
def test_descriptors_and_messages_of_any_size(ends, size, count):
    """A Corefile may have more mistakes, and a node more addresses, than a socket takes at once."""
    one, other = ends
    before = open_files()
    with open("/dev/null") as file:
        assert one.send(sized(size), [file.fileno()] * count)
        received = other.receive()
        assert received is not None
        message, descriptors = received
        assert message == sized(size)
        # They are files of their own, and as many as were sent
        assert len({*descriptors}) == len(descriptors) == count
        assert all(os.path.samestat(os.fstat(each), os.fstat(file.fileno())) for each in descriptors)
        for each in descriptors:
            os.close(each)
    assert open_files() == before


def test_more_descriptors_than_go_are_not_sent(ends):
    one, other = ends
    before = open_files()
    for size in (0, 100_000):
        assert not one.send(sized(size), [one.sock.fileno()] * 254)
    with pytest.raises(BlockingIOError):
        other.receive()
    assert open_files() == before


def test_the_end_of_the_other_side_is_told(ends):
    """After what it had said."""
    one, other = ends
    other.send(Stop())
    other.sock.close()
    assert not one.send(Reload())
    assert one.receive() == (Stop(), [])
    assert one.receive() is None
    assert one.receive() is None


def test_the_end_with_messages_unread(ends):
    one, other = ends
    other.send(Stop())
    assert one.send(Reload())
    other.sock.close()
    assert [one.receive(), one.receive(), one.receive()] == [(Stop(), []), None, None]


def test_a_side_that_reads_nothing_holds_nobody_up(ends):
    one, other = ends
    sent = 0
    while one.send(sized(10_000)):
        sent += 1
        assert sent < 10_000
    assert not one.send(Stop())
    assert [other.receive() for _ in range(sent)] == [(sized(10_000), [])] * sent
    assert one.send(Stop())
    assert other.receive() == (Stop(), [])


def record(text: str) -> Record:
    recorder = Recorder(Files({"/c/Corefile": text}))
    recorder.text("/c/Corefile")
    return recorder.record()


@pytest.mark.parametrize("text", ["", "x" * 1_000_000])
def test_a_record_is_read_by_everybody(text):
    with ExitStack() as stack:
        descriptor = store_record(record(text))
        stack.callback(os.close, descriptor)
        for _ in range(3):
            assert read_record(descriptor) == record(text)


def test_what_is_no_record_is_an_error():
    with open("/dev/null") as file, pytest.raises(ClusterDNSError, match="no record"):
        read_record(file.fileno())


def test_sockets_are_taken_apart():
    setup = Setup(1, (Bound(DNS, 2, 1), Bound(OTHER, 1, 1)), (HTTP, ("", 8181)), True)
    assert sockets_of(setup, range(100, 108)) == (
        {DNS: ([101, 102], [103]), OTHER: ([104], [105])},
        {HTTP: 106, ("", 8181): 107},
    )


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 7])
def test_sockets_that_were_lost_are_missed(count):
    """The kernel drops descriptors that a process may not have."""
    setup = Setup(1, (Bound(DNS, 2, 1), Bound(OTHER, 1, 1)), (), True)
    with pytest.raises(ClusterDNSError, match="raise the limit of open files"):
        sockets_of(setup, range(count))


def test_a_pair_does_not_block():
    ours, theirs = pair()
    with ours.sock, closing(theirs):
        assert theirs.type == socket.SOCK_SEQPACKET
        with pytest.raises(BlockingIOError):
            ours.receive()
