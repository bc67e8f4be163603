"""The benchmarks of a live cluster see what is lost, wrong or late, and small runs of both are answered right."""

import gzip
import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.api import SERVICES_PATH, SLICES_PATH, cluster
from bench.api_state import Token
from bench.asked import COUNTED, Asked
from bench.cluster import ENDPOINTS, pod_ips
from bench.paced import Client as Paced
from bench.packets import Query
from bench.processes import foreign_share, mappings, polls, pss, role, tree, udp_inode
from bench.question import has, in_a_row
from bench.resilience_runs import SCENARIOS as RESILIENCE
from bench.resilience_runs import SMOKE
from bench.retrying import Client as Retrying
from bench.retrying import Stream

ROOT = Path(__file__).parent.parent
CLIENTS = ("UDP", "TCP", "forwarded, UDP", "forwarded, TCP")


def asked(name="service.ns.svc.cluster.local.", answers=1):
    return Asked(name, Query(name).wire().hex(), 0, answers)


def reply(packet: bytes, answers=1, rcode=0) -> bytes:
    return packet[:2] + bytes([0x81, 0x80 | rcode]) + packet[4:6] + answers.to_bytes(2) + packet[8:]


@pytest.mark.parametrize(
    ("received", "complaint"),
    [
        (reply(asked().packet(7)), ""),
        (reply(asked().packet(7), rcode=2), "service.ns.svc.cluster.local.: RCODE 2, 1 answers"),
        (reply(asked().packet(7), answers=0), "service.ns.svc.cluster.local.: RCODE 0, 0 answers"),
        (
            reply(asked("other.ns.svc.cluster.local.").packet(7)),
            "service.ns.svc.cluster.local.: a reply to another question",
        ),
        (b"\0\7", "service.ns.svc.cluster.local.: a reply to another question"),
    ],
)
def test_a_reply_is_held_against_its_query(received, complaint):
    assert asked().complaint(received) == complaint


def test_a_counted_name_is_another_one_each_time():
    counted, plain = asked(f"{COUNTED}.example.com.").counted(0xABC), asked("00000abc.example.com.")
    assert (counted.name, counted.packet(1)) == (plain.name, plain.packet(1))
    uncounted = asked()
    assert uncounted.counted(0xABC) is uncounted


def test_an_answer_is_complete_with_every_address():
    seen = has(["10.0.0.1", "10.0.0.2"])
    assert seen(b"..\0\4\n\0\0\2..\0\4\n\0\0\1")
    assert not seen(b"..\0\4\n\0\0\2..")


def test_replies_in_a_row_begin_again_after_another_one():
    seen = in_a_row(lambda reply: reply == b"new", 2)
    assert [seen(reply) for reply in (b"new", b"old", b"new", b"new")] == [False, False, False, True]


@contextmanager
def silent():
    """The port of a socket that nobody reads."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


def test_a_paced_query_without_reply_is_lost_and_named():
    with silent() as server:
        client = Paced(server.getsockname()[1], [asked("a.example."), asked("b.example.")])
        client.send()
        client.send()
        packet, sender = server.recvfrom(512)
        server.sendto(reply(packet), sender)
        # the reply is there when sendto on the loopback returns
        for opened in client.sockets:
            client.receive(opened)
        client.expire(time.monotonic_ns())
        for opened in client.sockets:
            opened.close()
    report = client.report()
    assert (report["sent"], report["answered"], report["lost"], report["wrong"]) == (2, 1, 1, 0)
    assert [name for _, name in report["lost_queries"]] == ["b.example."]


class Closing(threading.Thread):
    """A TCP server that closes the first connections after their query, and answers one on each of the others."""

    def __init__(self, closed: int, connections: int) -> None:
        super().__init__()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._closed, self._connections = closed, connections

    def run(self) -> None:
        with self.listener:
            for number in range(self._connections):
                connection, _ = self.listener.accept()
                with connection:
                    packet = connection.recv(4096)[2:]
                    if number >= self._closed:
                        connection.sendall(len(packet).to_bytes(2) + reply(packet))


@pytest.mark.parametrize(("closed", "connections", "counts"), [(0, 1, (1, 0, 0)), (1, 2, (1, 1, 0)), (2, 2, (0, 1, 1))])
def test_a_broken_connection_is_a_failure_and_the_second_one_a_loss(closed, connections, counts):
    server = Closing(closed, connections)
    server.start()
    stream = Stream(server.port)
    client = Retrying(0, stream, [asked()], interval=0.0)
    client.resolve(asked(), 0)
    stream.close()
    server.join()
    assert (client.answered, client.retried, len(client.lost)) == counts
    assert client.wrong == []


def test_pages_hold_every_object_once_and_packed_they_are_the_same():
    state = cluster(20)
    names, token = [], Token(state.revision)
    while token:
        body = state.page(SLICES_PATH, token, 7, heads=False)
        page = json.loads(body.plain)
        assert gzip.decompress(body.packed) == body.plain
        assert len(page["items"]) <= 7
        assert page["metadata"]["resourceVersion"] == str(state.revision)
        names += [item["metadata"]["name"] for item in page["items"]]
        assert sum(len(item["endpoints"]) for item in page["items"]) == ENDPOINTS * len(page["items"])
        token = Token.parsed(page["metadata"]["continue"]) if "continue" in page["metadata"] else None
    assert len(names) == len(set(names)) == 20


def test_a_change_that_is_not_told_is_in_the_list_alone():
    state = cluster(1)
    before, (service,) = state.revision, json.loads(state.page(SERVICES_PATH, Token(1), 0, heads=False).plain)["items"]
    state.put(SERVICES_PATH, service, told=False)
    assert state.since(SERVICES_PATH, before) == []
    told = state.put(SERVICES_PATH, service)
    assert state.since(SERVICES_PATH, before) == [told]
    assert json.loads(state.page(SERVICES_PATH, Token(1), 0, heads=True).plain)["items"][0]["metadata"][
        "resourceVersion"
    ] == str(state.revision)
    state.forget()
    assert state.since(SERVICES_PATH, before) is None


def test_each_turn_moves_one_endpoint():
    before, *turns = [pod_ips(3, turn) for turn in range(4)]
    assert all(turn[1:] == before[1:] for turn in turns)
    assert len({before[0], *(turn[0] for turn in turns)}) == 4


def test_memory_and_listeners_of_a_process_are_found():
    with silent() as server:
        inode = udp_inode(server.getsockname()[1])
        assert inode == os.fstat(server.fileno()).st_ino
        assert not polls(os.getpid(), inode)
    assert os.getpid() in tree(os.getppid())
    assert role(os.getpid()) == ""
    assert pss(os.getpid()) > 1024
    assert f" {os.stat(sys.executable).st_ino} " in mappings(os.getpid())


def smaps(*mapped: tuple[int, int, int, int]) -> str:
    """Of mappings: inode, and KiB that are resident, proportional, and written to since (proc(5))."""
    return "".join(
        f"7f00-7f10 r--p 00000000 08:01 {inode}  /lib/some.so\nRss: {rss} kB\nPss: {pss} kB\nAnonymous: {own} kB\n"
        "VmFlags: rd mr\n"
        for inode, rss, pss, own in mapped
    )


@pytest.mark.parametrize(
    ("processes", "foreign"),
    [
        ([smaps((5, 100, 100, 0))], 0),
        ([smaps((5, 100, 25, 0))], 75),
        ([smaps((5, 100, 25, 0)), smaps((5, 100, 25, 0))], 50),
        ([smaps((5, 100, 50, 0)), smaps((5, 60, 30, 0)), ""], 20),
        ([smaps((5, 100, 70, 40), (0, 500, 500, 500))], 30),
    ],
    ids=["alone", "with others", "twice", "one has more of it", "written to"],
)
def test_files_that_other_programs_use_are_counted_whole(processes, foreign):
    assert foreign_share(processes) == foreign


@pytest.fixture(scope="module")
def smoke():
    """The rows of a smoke run of a benchmark."""

    def run(program: str) -> list[dict]:
        command = [sys.executable, "-m", program, "--smoke", "--json"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def test_a_small_cluster_is_answered_right_at_any_speed(smoke):
    rows = smoke("bench.scale")
    assert [row["problem"] for row in rows] == [""] * len(rows)
    assert {row["unit"] for row in rows} == {"s", "ms", "MiB PSS", "MiB"}
    assert all(row["value"] > 0 for row in rows)


def test_each_blow_loses_no_more_than_it_may(smoke):
    rows = smoke("bench.resilience")
    assert [(row["scenario"], row["client"]) for row in rows] == [
        (scenario.name(SMOKE), client) for scenario in RESILIENCE.values() for client in CLIENTS
    ]
    for row in rows:
        assert row["sent"] == row["answered"] + row["lost"] > 0
        assert row["lost"] <= row["target"]
        assert row["wrong"] == 0
