"""A start while the API server is down: what was known last is answered, and nothing is made up."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.roles.live import READY, Block, addresses, ask, ede, everybody_says, page, rcode, service, ttl
from tests.support.apiserver_faults import Fault
from tests.support.process import eventually
from tests.support.upstream import FakeUpstream

# Seconds from the start to the first answer: ten times what a machine may take that does nothing else, and far below
# what a start waits for an API server that is all it has
FIRST_ANSWER, PATIENCE = 10.0, 60
# Seconds until the API server is asked again: its absence is young, so the pauses are still short
AGAIN = 20.0
# Namespaces, Services and slices
RESOURCES = 3
TTL, STALE_TTL, STALE_ANSWER = 30, 5, 3

# Of the cluster zones, and not in the snapshot
UNKNOWN = [
    ("nosuch", "A"),
    ("web.nosuch.svc.cluster.local.", "A"),
    ("_http._tcp.nosuch", "SRV"),
    ("9.9.0.10.in-addr.arpa.", "PTR"),
]


@pytest.fixture
def upstream(place) -> Iterator[FakeUpstream]:
    with FakeUpstream() as opened:
        yield opened


@pytest.fixture
def snapshot(place, api, upstream) -> Path:
    """Of a server that has ended since; then the API server went away."""
    path = place.folder / "snapshot"
    api.put(service("old", "10.0.0.7"))
    options = (f"snapshot {path}", "fallthrough in-addr.arpa", f"startup_timeout {PATIENCE}s")
    block = Block(f"endpoint {api.url}", TTL, options=options)
    place.write(str(block).replace("errors\n", f"errors\n    forward . {upstream.address}\n"))
    with place.serve():
        assert eventually(path.exists)
    api.fault(Fault.REFUSED)
    api.delete("Service", "default", "old")
    return path


def serial() -> int:
    return ask("cluster.local.", "SOA").answer[0][0].serial


def test_known_names_are_answered_at_once_and_unknown_ones_neither_denied_nor_forwarded(place, upstream, snapshot):
    begun = time.monotonic()
    with place.serve() as server:
        assert time.monotonic() - begun < FIRST_ANSWER
        server.await_workers(2)
        for name, expected in (("web", "10.0.0.1"), ("db", "10.1.0.1"), ("old", "10.0.0.7")):
            for reply in server.by_each_worker(lambda name=name: ask(name, use_edns=0)):
                assert addresses(reply) == [expected]
                assert 0 <= ttl(reply) <= STALE_TTL
                assert ede(reply) == [STALE_ANSWER]
        plain = ask("web")
        assert (plain.opt, ttl(plain) <= STALE_TTL) == (None, True)
        assert addresses(ask("1.0.0.10.in-addr.arpa.", "PTR")) == ["web.default.svc.cluster.local."]
        for name, rdtype in UNKNOWN:
            assert everybody_says(server, name, ["SERVFAIL"], rdtype)
        assert upstream.seen == []
        # Other names are nobody's business but the upstream's
        ask("www.example.net.")
        assert {query.name for query in upstream.seen} == {"www.example.net."}
        assert page(READY, "/ready") == (200, "OK")
        status, text = page(READY, "/ready?verbose")
        assert status == 200
        assert "snapshot: names are answered from a state that is" in text


def test_when_the_api_server_is_back_its_answers_are(place, api, snapshot):
    with place.serve() as server:
        server.await_workers(2)
        before = serial()
        api.clear()
        assert eventually(lambda: rcode(ask("old")) == "NXDOMAIN", AGAIN)
        assert everybody_says(server, "old", ["NXDOMAIN"])
        assert serial() > before
        assert everybody_says(server, "nosuch", ["NXDOMAIN"])
        for reply in server.by_each_worker(lambda: ask("web", use_edns=0)):
            assert (addresses(reply), ttl(reply), ede(reply)) == (["10.0.0.1"], TTL, [])
        status, text = page(READY, "/ready?verbose")
        assert (status, "snapshot" in text) == (200, False)
        assert server.output().count("is good again") == RESOURCES
