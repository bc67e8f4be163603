"""A namespace has what it was asked for, keeps it from the rest of the machine, and leaves nothing."""

import socket
import subprocess
import threading
from pathlib import Path

import dns.message
import dns.query
import pytest

from tests.support.netns import SERVER_ADDRESSES, Namespace, NamespaceError
from tests.support.upstream import FakeUpstream


def addresses(namespace):
    listed = namespace.run("ip", "-o", "address", "show", "dev", "lo").stdout
    return {line.split()[3].split("/")[0] for line in listed.splitlines()}


def test_lo_has_the_addresses_and_those_added_later():
    with Namespace() as namespace:
        assert addresses(namespace) == {"127.0.0.1", "::1", *SERVER_ADDRESSES}
        namespace.add_address("10.96.0.10")
        namespace.add_address("fd00::10")
        assert {"10.96.0.10", "fd00::10"} <= addresses(namespace)


def test_files_in_etc_are_seen_inside_alone():
    outside = Path("/etc/resolv.conf").read_text()
    with Namespace(etc={"resolv.conf": "nameserver 10.96.0.10\n"}) as namespace:
        assert namespace.run("cat", "/etc/resolv.conf").stdout == "nameserver 10.96.0.10\n"
        assert Path("/etc/resolv.conf").read_text() == outside


def test_a_thread_that_entered_makes_sockets_inside_and_leaves_again():
    with Namespace() as namespace:
        with namespace.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as inside:
            inside.bind(("10.244.0.50", 53))
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside,
            pytest.raises(OSError, match="Cannot assign"),
        ):
            outside.bind(("10.244.0.50", 0))


def test_other_threads_stay_where_they_are():
    here = Path("/proc/thread-self/ns/net").readlink()
    elsewhere = []
    start, done = threading.Event(), threading.Event()

    def look():
        start.wait()
        elsewhere.append(Path("/proc/thread-self/ns/net").readlink())
        done.set()

    watcher = threading.Thread(target=look)
    watcher.start()
    with Namespace() as namespace, namespace.entered():
        start.set()
        done.wait()
        assert Path("/proc/thread-self/ns/net").readlink() != here
    watcher.join()
    assert elsewhere == [here]


def test_an_upstream_entered_inside_answers_inside():
    query = dns.message.make_query("example.net.", "A")
    with Namespace() as namespace, namespace.entered(), FakeUpstream() as upstream:
        reply = dns.query.udp(query, "127.0.0.1", 5, upstream.port, source="10.244.0.50")
        assert reply.answer
        assert upstream.seen[0].source[0] == "10.244.0.50"


def test_nothing_is_left_behind():
    with Namespace(etc={"resolv.conf": "nameserver 10.96.0.10\n"}) as namespace:
        assert Path("/etc/netns", namespace.name).exists()
        assert Path("/run/netns", namespace.name).exists()
    assert not Path("/etc/netns", namespace.name).exists()
    assert not Path("/run/netns", namespace.name).exists()


def test_a_refusal_of_ip_is_told_and_leaves_nothing():
    namespace = Namespace(addresses=("10.0.0.300",))
    with pytest.raises(NamespaceError, match=r"10\.0\.0\.300.*network namespaces need root"), namespace:
        pass
    assert not Path("/run/netns", namespace.name).exists()


def test_a_command_that_hangs_is_ended():
    with Namespace() as namespace, pytest.raises(subprocess.TimeoutExpired):
        namespace.run("sleep", "30", timeout=0.2)
