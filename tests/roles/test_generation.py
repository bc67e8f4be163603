"""Sockets of one configuration after the other: what both want stays open, what cannot be had leaves nothing behind."""

import os
import socket
from collections.abc import Sequence

import pytest

from clusterdns.errors import ClusterDNSError
from clusterdns.roles.control import MAX_DESCRIPTORS, Bound, Proposal, Where, pair, sockets_of
from clusterdns.roles.generation import Generation

ONE, TWO, THREE = (("127.0.0.1", 0), ("127.0.0.2", 0), ("127.0.0.3", 0))


def generation(dns: Sequence[Where], http: Sequence[Where] = (), before: Generation | None = None) -> Generation:
    """A descriptor of its own is its record."""
    record = os.memfd_create("record")
    return Generation(1, record, Proposal(tuple(dns), tuple(http), {}, 0.0, None), before)


def open_files() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def _nothing_stays_open():
    before = open_files()
    yield
    assert open_files() == before


def is_open(sock: socket.socket) -> bool:
    return sock.fileno() >= 0


def test_sockets_are_bound_and_closed():
    made = generation([ONE, TWO], [THREE])
    udp, tcp = made.dns[ONE]
    assert [sock.type for sock in udp + tcp] == [socket.SOCK_DGRAM, socket.SOCK_STREAM]
    assert {sock.getsockname()[0] for sock in made.sockets()} == {"127.0.0.1", "127.0.0.2", "127.0.0.3"}
    assert len(made.sockets()) == 5
    made.close()
    assert not any(map(is_open, made.sockets()))


def test_sockets_that_both_want_stay():
    old = generation([ONE, TWO], [ONE, TWO])
    new = generation([TWO, THREE], [TWO, THREE], old)
    assert new.dns[TWO] == old.dns[TWO]
    assert new.http[TWO] is old.http[TWO]
    assert len({sock.fileno() for sock in old.sockets() + new.sockets()}) == 9
    old.close(new)
    assert all(map(is_open, new.sockets()))
    assert not any(map(is_open, [*old.dns[ONE][0], *old.dns[ONE][1], old.http[ONE]]))
    new.close()


def test_a_generation_that_is_given_up_leaves_the_old_one():
    old = generation([ONE, TWO], [ONE])
    new = generation([TWO, THREE], [], old)
    new.close(old)
    assert all(map(is_open, old.sockets()))
    assert not any(map(is_open, new.dns[THREE][0] + new.dns[THREE][1]))
    old.close()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
@pytest.mark.parametrize("before", [True, False])
def test_a_conflict_closes_what_was_bound(kind, before):
    """With and without a generation before it. Nothing new is left, and the record is closed."""
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.2", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        where = taken.getsockname()
        old = generation([ONE]) if before else None
        was_open = open_files()
        with pytest.raises(ClusterDNSError, match=r"cannot listen on 127\.0\.0\.2"):
            generation([ONE, THREE, where], [THREE], old)
        assert open_files() == was_open
        if old is not None:
            assert all(map(is_open, old.sockets()))
            old.close()


def test_a_conflict_of_http_closes_what_was_bound():
    with socket.create_server(("127.0.0.2", 0)) as taken:
        was_open = open_files()
        with pytest.raises(ClusterDNSError, match=r"cannot listen on 127\.0\.0\.2.*`health` and `ready`"):
            generation([ONE], [THREE, taken.getsockname()])
        assert open_files() == was_open


def many(count: int) -> list[Where]:
    return [(f"127.0.1.{number}", 0) for number in range(1, count + 1)]


def test_as_many_sockets_as_go_with_a_message_get_through():
    most = generation(many(124), [ONE])
    assert len(most.sockets()) == MAX_DESCRIPTORS - 1
    ours, theirs = pair()
    with ours.sock, theirs:
        assert ours.send(*most.setup(True))
        _, descriptors, _, _ = socket.recv_fds(theirs, 65_536, MAX_DESCRIPTORS)
        assert len(descriptors) == MAX_DESCRIPTORS
        for each in descriptors:
            os.close(each)
    most.close()


@pytest.mark.parametrize(("dns", "http", "count"), [(many(125), [], 250), (many(124), [ONE, TWO], 250)])
def test_more_sockets_than_go_with_a_message_are_refused(dns, http, count):
    was_open = open_files()
    with pytest.raises(ClusterDNSError, match=f"{count} sockets are more than 249; `bind` to fewer addresses"):
        generation(dns, http)
    assert open_files() == was_open


def test_a_child_finds_each_socket_where_it_belongs():
    made = generation([ONE, TWO], [THREE, ONE])
    setup, descriptors = made.setup(False)
    assert (setup.generation, setup.now) == (1, False)
    assert setup.listeners == (Bound(ONE, 1, 1), Bound(TWO, 1, 1))
    assert descriptors[0] == made.record
    dns, http = sockets_of(setup, descriptors)
    assert dns == {
        where: ([sock.fileno() for sock in udp], [sock.fileno() for sock in tcp])
        for where, (udp, tcp) in made.dns.items()
    }
    assert http == {where: sock.fileno() for where, sock in made.http.items()}
    made.close()
