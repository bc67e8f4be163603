"""What a reload may change: processes, listeners, pages, and what is asked of which API server."""

import re
import signal
import socket

import pytest

from clusterdns.roles.limits import AUTO, decide
from tests.roles.live import (
    HEALTH,
    HOST,
    PORT,
    READY,
    Block,
    Place,
    addresses,
    api_server,
    ask,
    clients,
    everybody_says,
    kill,
    none_lost,
    page,
    service,
    ttl,
)
from tests.support.process import Server, eventually


def reload(place: Place, server: Server, *blocks: Block | str) -> None:
    """Until it is done, or refused."""

    def done() -> int:
        return len(re.findall(r"^\[\w+\] reload(?:ed)?:", server.output(), re.MULTILINE))

    before = done()
    place.write(*blocks)
    server.signal(signal.SIGHUP)
    assert eventually(lambda: done() > before), server.output()


def refused(port: int) -> bool:
    """Does nobody listen there?"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect((HOST, port))
        asking.settimeout(5.0)
        try:
            asking.send(b"\0" * 12)
            return not asking.recv(512)
        except ConnectionRefusedError:
            return True


def test_multisocket_says_how_many_workers_there_are(place, api):
    def block(*lines: str) -> Block:
        return Block(f"endpoint {api.url}", directives=(*Block("").directives, *lines))

    place.write(block("multisocket 2"))
    with place.serve("--log-level", "info") as server:
        server.await_workers(2)
        assert "[INFO] 2 workers: multisocket 2" in server.output()
        with clients() as report:
            for count in (3, 1, 2):
                reload(place, server, block(f"multisocket {count}"))
                server.await_workers(count)
                assert everybody_says(server, "web", ["10.0.0.1"])
            reload(place, server, block())
            server.await_workers(1)
        assert "it is started again" not in server.output()
    none_lost(report)


def test_as_many_workers_as_the_machine_grants(place, api):
    place.write(Block(f"endpoint {api.url}"))
    with place.serve("--workers", "auto") as server:
        count, reason = decide(AUTO, None)
        server.await_workers(count)
        assert f"{count} worker{'s' if count > 1 else ''}: {reason}" in server.output()


def test_listeners_come_and_go(place, api):
    first = Block(f"endpoint {api.url}")
    second = Block(first.source, directives=(), port=PORT + 1)
    place.write(first)
    with place.serve() as server:
        server.await_workers(2)
        assert refused(PORT + 1)
        workers, asked = server.workers(), len(api.requests)
        with clients() as report:
            reload(place, server, first, second)
            assert everybody_says(server, "web", ["10.0.0.1"], port=PORT + 1)
            reload(place, server, first)
            assert eventually(lambda: refused(PORT + 1))
            # Others have the numbers of its descriptors now
            for _ in range(3):
                reload(place, server, first)
                assert everybody_says(server, "web", ["10.0.0.1"])
        assert len(api.requests) == asked
        assert server.workers() == workers
    none_lost(report)


def test_an_address_that_is_taken_changes_nothing(place, api):
    first = Block(f"endpoint {api.url}", ttl=30)
    place.write(first)
    with socket.create_server((HOST, PORT + 1)), place.serve() as server:
        server.await_workers(2)
        reload(place, server, Block(first.source, ttl=40), Block(first.source, directives=(), port=PORT + 1))
        taken = f"cannot listen on {HOST}:{PORT + 1}/TCP: Address already in use"
        assert eventually(lambda: f"[ERROR] reload: {taken}" in server.output())
        assert server.by_each_worker(lambda: ttl(ask("web"))) == [30, 30]
        # And it goes on: what can be had is
        reload(place, server, Block(first.source, ttl=50))
        assert eventually(lambda: server.by_each_worker(lambda: ttl(ask("web"))) == [50, 50])


def test_pages_move(place, api):
    place.write(Block(f"endpoint {api.url}"))
    with place.serve() as server:
        assert eventually(lambda: page(READY, "/ready") == (200, "OK"))
        moved = (f"health {HOST}:{HEALTH + 1}", f"ready {HOST}:{HEALTH + 1}")
        reload(place, server, Block(f"endpoint {api.url}", directives=moved))
        assert eventually(lambda: page(HEALTH + 1, "/health") == (200, "OK"))
        assert page(HEALTH + 1, "/ready") == (200, "OK")
        assert eventually(lambda: page(HEALTH, "/health")[0] == page(READY, "/ready")[0] == 0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("labels tier=front",), {"web": ["NXDOMAIN"], "front": ["10.0.0.3"]}),
        (("namespaces other",), {"web": ["NXDOMAIN"], "front": ["NXDOMAIN"]}),
        (("namespace_labels team=x",), {"web": ["NXDOMAIN"], "front": ["NXDOMAIN"]}),
        (("pods insecure", "ignore empty_service"), {"web": ["NXDOMAIN"], "db": ["10.1.0.1"]}),
        (("fallthrough in-addr.arpa", "noendpoints"), {"web": ["10.0.0.1"], "db": ["NXDOMAIN"]}),
    ],
    ids=lambda given: given[0].split()[0] if isinstance(given, tuple) else "",
)
def test_the_api_server_is_not_asked_again_for_what_is_known(place, api, options, expected):
    front = service("front", "10.0.0.3")
    front["metadata"]["labels"] = {"tier": "front"}
    api.put(front)
    plain = Block(f"endpoint {api.url}")
    place.write(plain)
    with place.serve() as server:
        server.await_workers(2)
        asked = len(api.requests)
        reload(place, server, Block(plain.source, options=options))
        for name, answer in expected.items():
            assert everybody_says(server, name, answer), (name, addresses(ask(name)))
        # What happens from now on is seen as well
        api.put(service("web", "10.0.0.8"))
        api.delete("Service", "default", "front")
        reload(place, server, plain)
        assert everybody_says(server, "web", ["10.0.0.8"])
        assert everybody_says(server, "front", ["NXDOMAIN"])
        assert len(api.requests) == asked


def test_another_api_server_is_listed_before_it_is_answered_from(place, api):
    with api_server() as other:
        other.put(service("only-there", "10.0.0.5"))
        place.write(Block(f"endpoint {api.url}"))
        with place.serve() as server:
            server.await_workers(2)
            with clients() as report:
                reload(place, server, Block(f"endpoint {other.url}"))
                assert everybody_says(server, "only-there", ["10.0.0.5"])
            assert eventually(lambda: api.watchers() == [])
            assert len(other.watchers()) == 3
            # The old one is not heard any more
            api.put(service("only-here", "10.0.0.6"))
            other.put(service("later-there", "10.0.0.7"))
            assert everybody_says(server, "later-there", ["10.0.0.7"])
            assert everybody_says(server, "only-here", ["NXDOMAIN"])
            assert page(READY, "/ready") == (200, "OK")
    # Both have what the clients ask for: at no time was it unknown
    none_lost(report)


def test_what_cannot_be_listed_does_not_take_the_place_of_what_is_known(place, api):
    """A wrong address, with the page that says at each moment whether the server is ready."""
    pages = (f"health {HOST}:{HEALTH}", f"ready {HOST}:{READY} {{\n monitor continuously\n }}")
    good = Block(f"endpoint {api.url}", directives=pages, options=("startup_timeout 1s",))
    place.write(good)
    with place.serve() as server:
        server.await_workers(2)
        assert eventually(lambda: page(READY, "/ready") == (200, "OK"))
        with clients() as report:
            wrong = Block("endpoint http://127.0.0.1:9", directives=pages, options=("startup_timeout 1s",))
            reload(place, server, wrong)
            assert page(READY, "/ready") == (200, "OK")
        assert re.search(r"reload: worker \d: its objects could not be listed within 1 s", server.output())
        # It is heard on, and the next good Corefile is taken
        api.put(service("web", "10.0.0.9"))
        assert everybody_says(server, "web", ["10.0.0.9"])
        reload(place, server, Block(good.source, ttl=50, directives=pages, options=good.options))
        assert eventually(lambda: server.by_each_worker(lambda: ttl(ask("web"))) == [50, 50])
    none_lost(report)


def test_all_processes_may_die_together(place, api):
    place.write(Block(f"endpoint {api.url}"))
    with place.serve() as server:
        server.await_workers(2)
        for _ in range(3):
            for pid in (server.controller, *server.workers()):
                kill(pid)
            server.await_workers(2)
            assert everybody_says(server, "web", ["10.0.0.1"])
        assert "Traceback" not in server.output()
