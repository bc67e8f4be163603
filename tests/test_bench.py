"""The benchmark counts right and every scenario is answered right. How fast is no business of a test."""

import json
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import dns.message
import pytest

from bench.build import compiled
from bench.errors import BenchError
from bench.load import Report, run_load
from bench.objects import SERVICES, changes, cluster_ip, service_name
from bench.packets import NOERROR, NXDOMAIN, Query, Replies, expected, framed
from bench.scenarios import SCENARIOS
from bench.server import free_ports, running, server_cpu
from bench.session import problem
from bench.table import Row, markdown

ROOT = Path(__file__).parent.parent

pytestmark = [
    pytest.mark.xdist_group("bench"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="the benchmark compiles two C programs"),
]

PLAIN = Query("service.ns.svc.cluster.local.")
COOKIE = Query("service.ns.svc.cluster.local.", payload=1232, cookie=True)
COUNTED = Query("00000000.ns.svc.cluster.local.")


def as_reply(query: bytes) -> bytes:
    """The query with QR set and no answer."""
    return query[:2] + bytes([query[2] | 0x80]) + query[3:]


class Peer:
    """A server on a thread that records queries and answers each with what `answer` makes of it."""

    def __init__(self, answer: Callable[[bytes], bytes | None], kind: socket.SocketKind):
        self.answer, self.kind, self.queries = answer, kind, []
        self.listener = socket.socket(socket.AF_INET, kind)
        self.listener.bind(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def serve(self) -> None:
        if self.kind is socket.SOCK_DGRAM:
            self._datagrams()
        else:
            connection, _ = self.listener.accept()
            with connection, connection.makefile("rwb") as stream:
                self._messages(stream)

    def _datagrams(self) -> None:
        while packet := (received := self.listener.recvfrom(4096))[0]:
            self.queries.append(packet)
            if (reply := self.answer(packet)) is not None:
                self.listener.sendto(reply, received[1])

    def _messages(self, stream) -> None:
        while size := stream.read(2):
            packet = stream.read(*struct.unpack("!H", size))
            self.queries.append(packet)
            reply = self.answer(packet)
            stream.write(struct.pack("!H", len(reply)) + reply)
            stream.flush()


@contextmanager
def peer(answer=as_reply, kind=socket.SOCK_DGRAM):
    server = Peer(answer, kind)
    if kind is socket.SOCK_STREAM:
        server.listener.listen()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        # an empty datagram, or the end of the connection, ends the thread
        if kind is socket.SOCK_DGRAM:
            server.listener.sendto(b"", ("127.0.0.1", server.port))
        thread.join()
        server.listener.close()


@pytest.fixture
def load(tmp_path):
    """Runs the generator with one query and these options."""

    def run(query: Query, port: int, *arguments: str) -> Report:
        packets = tmp_path / "packets"
        packets.write_bytes(framed([query]))
        return run_load(compiled("load"), packets, port, list(arguments))

    return run


@pytest.fixture
def floor(tmp_path):
    """A running floor."""
    (port,) = free_ports(1)
    command = [str(compiled("floor")), "127.0.0.1", str(port)]
    with running(command, port, server_cpu(), PLAIN.wire(), tmp_path / "log", ROOT) as server:
        yield server


@pytest.mark.parametrize("arguments", [("-n", "500"), ("-n", "500", "-r", "5000"), ("-n", "500", "-w", "1", "-s", "1")])
def test_every_query_is_answered_by_the_floor(load, floor, arguments):
    before = floor.cpu_ns()
    report = load(PLAIN, floor.port, *arguments)
    assert floor.cpu_ns() > before
    assert problem((PLAIN,), report) == ""
    assert report.sent == 500


def test_the_floor_answers_a_message_any_resolver_reads(floor):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(("127.0.0.1", floor.port))
        client.send(COOKIE.wire())
        reply = dns.message.from_wire(client.recv(4096))
    assert [record.to_text() for record in reply.answer] == [f"{COOKIE.name} 5 IN A 192.0.2.1"]


def test_a_server_that_ends_is_named_with_its_last_line(tmp_path):
    command = [sys.executable, "-c", "print('one'); print('port in use'); raise SystemExit(3)"]
    with (
        pytest.raises(BenchError, match="status 3: port in use"),
        running(command, 1, server_cpu(), PLAIN.wire(), tmp_path / "log", ROOT),
    ):
        pass


def test_tcp_is_pipelined_and_reassembled(load):
    with peer(kind=socket.SOCK_STREAM) as server:
        report = load(PLAIN, server.port, "-t", "-n", "300", "-w", "16", "-s", "1")
    assert report.replies == Replies(300, {NOERROR: 300}, 0, 0)
    assert len(server.queries) == 300


def test_names_are_counted_so_that_none_comes_twice(load):
    with peer() as server:
        load(COUNTED, server.port, "-n", "100", "-u", "254", "-w", "1", "-s", "1")
    labels = [query[13:21].decode() for query in server.queries]
    assert labels == [f"{number:08x}" for number in range(254, 354)]


def test_case_and_cookie_change_and_nothing_else(load):
    with peer() as server:
        report = load(COOKIE, server.port, "-n", "100", "-c", "-k", "-w", "4", "-s", "2")
    assert report.mismatched == 0
    plain = COOKIE.wire()
    end = 12 + len(COOKIE.name) + 1
    assert {query[12:end].lower() for query in server.queries} == {plain[12:end].lower()}
    assert {query[2:12] + query[end:-8] for query in server.queries} == {plain[2:12] + plain[end:-8]}
    assert len({query[12:end] for query in server.queries}) > 90
    assert len({query[-8:] for query in server.queries}) == 100


def test_a_query_without_a_reply_is_lost_and_not_sent_again(load):
    with peer(lambda query: None) as server:
        report = load(PLAIN, server.port, "-n", "10", "-o", "20")
    assert (report.sent, report.lost, report.replies.received) == (10, 10, 0)
    assert len(server.queries) == 10


def test_a_reply_with_another_id_is_a_stray(load):
    with peer(lambda query: bytes([query[0] ^ 0x40]) + as_reply(query)[1:]) as server:
        report = load(PLAIN, server.port, "-n", "10", "-o", "20")
    assert (report.stray, report.lost) == (10, 10)


@pytest.mark.parametrize(
    "answer",
    [
        lambda query: query,
        lambda query: as_reply(query)[:12],
        lambda query: as_reply(query).replace(b"service", b"SERVICE"),
    ],
    ids=["no reply bit", "no question", "other spelling"],
)
def test_a_reply_that_is_not_to_the_question_is_counted(load, answer):
    with peer(answer) as server:
        report = load(PLAIN, server.port, "-n", "10")
    assert report.mismatched == 10
    assert problem((PLAIN,), report) == "0 lost, 0 late or unasked, 10 with another question"


def test_answers_are_counted_in_whole_replies_only(load):
    def answer(query: bytes) -> bytes:
        truncated = len(server.queries) % 2
        return as_reply(query)[:2] + bytes([0x80 | truncated << 1, NXDOMAIN, 0, 1, 0, 7]) + query[8:]

    with peer(answer) as server:
        report = load(PLAIN, server.port, "-n", "10")
    assert report.replies == Replies(10, {NXDOMAIN: 10}, answers=35, truncated=5)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("-n", "1", "-w", "10", "-s", "3"), "-w must be a multiple of -s"),
        (("-n", "1", "-u", "0"), "packet 1: -u needs a first label of eight bytes"),
        (("-n", "1", "-t"), "connect to 127.0.0.1 port 1: Connection refused"),
    ],
)
def test_a_load_that_cannot_run_says_why(load, arguments, reason):
    with pytest.raises(BenchError, match=reason):
        load(PLAIN, 1, *arguments)


def test_without_a_compiler_one_line_says_so(tmp_path):
    with pytest.raises(BenchError, match="no C compiler: install 'no-such-cc'"):
        compiled("floor", tmp_path, "no-such-cc")


def test_what_is_expected_follows_the_turn_of_the_queries():
    queries = [PLAIN, Query("no.example.", rcode=NXDOMAIN, answers=0), Query("big.example.", answers=0, truncated=True)]
    assert expected(queries, 7) == Replies(7, {NOERROR: 5, NXDOMAIN: 2}, answers=3, truncated=2)


@pytest.mark.parametrize(
    ("ratio", "target", "problem", "verdict"),
    [(1.7, 1.7, "", "yes"), (1.71, 1.7, "", "no"), (9.0, None, "", "-"), (1.0, 1.7, "1 lost", "wrong")],
)
def test_the_table_says_whether_a_target_is_met(ratio, target, problem, verdict):
    row = Row("hit", 5.0, 4.0, 6.0, ratio, "floor", target, 400, {NOERROR: 400}, problem)
    assert row.verdict == verdict
    assert markdown([row]).splitlines()[-1].endswith(f"| {verdict.ljust(2)} |")


def test_every_change_of_the_circle_changes_a_service():
    now = {}
    for manifest in [*changes(), *changes()]:
        name, address = manifest["metadata"]["name"], manifest["spec"]["clusterIP"]
        assert now.get(name) != address
        now[name] = address
    assert now == {service_name(index).split(".")[0]: cluster_ip(index) for index in range(SERVICES)}


@pytest.fixture(scope="module")
def smoke():
    """The rows of one smoke run, by name."""
    command = [sys.executable, "-m", "bench", "--smoke", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_query_of_every_scenario_is_answered_right(smoke, scenario):
    row = smoke[scenario.name]
    right = expected(scenario.queries, row["sent"])
    assert row["sent"] == 400
    assert row["problem"] == ""
    assert {int(rcode): count for rcode, count in row["rcodes"].items()} == right.rcodes
