"""SIGTERM while clients ask, and the end of a process that the others need."""

import signal
import time

import pytest

from tests.roles.live import (
    HEALTH,
    HOST,
    READY,
    Block,
    Place,
    addresses,
    ask,
    clients,
    everybody_says,
    none_lost,
    page,
    service,
)
from tests.support.apiserver import FakeAPIServer
from tests.support.process import Server, eventually, runs

# Seconds without a query that end the drain, and what a busy machine may need more than an idle one
QUIET, MARGIN = 5.0, 4.0


def serving(place: Place, api: FakeAPIServer, lameduck: str) -> Server:
    health = f"health {HOST}:{HEALTH} {{\n lameduck {lameduck}\n}}"
    place.write(Block(f"endpoint {api.url}", directives=(health, f"ready {HOST}:{READY}")))
    return place.serve()


def test_it_answers_and_watches_until_nobody_asks_any_more(place, api):
    with serving(place, api, "20s") as server:
        server.await_workers(2)
        with clients() as report:
            assert eventually(lambda: page(READY, "/ready") == (200, "OK"))
            server.signal(signal.SIGTERM)
            assert eventually(lambda: page(READY, "/ready") == (503, "shutting down"), QUIET - 1)
            # It must not be killed for its end
            assert page(HEALTH, "/health") == (200, "OK")
            api.put(service("late", "10.0.0.9"))
            assert everybody_says(server, "late", ["10.0.0.9"])
        quiet = time.monotonic()
        assert server.wait(QUIET + MARGIN) == 0
        assert time.monotonic() - quiet > QUIET - 1
    none_lost(report)


def test_it_ends_with_lameduck_though_clients_go_on(place, api):
    with serving(place, api, "2s") as server:
        server.await_workers(2)
        with clients() as report:
            begun = time.monotonic()
            server.signal(signal.SIGTERM)
            assert server.wait(2 + MARGIN) == 0
            assert time.monotonic() - begun >= 2
    assert report.wrong_replies == []
    # Only who asked after lameduck was not answered
    assert report.lost > 0
    assert report.lost_queries[0][0] / 1e9 - begun >= 2


def test_a_second_signal_ends_it_at_once(place, api):
    with serving(place, api, "20s") as server:
        server.signal(signal.SIGTERM)
        assert eventually(lambda: page(READY, "/ready")[0] == 503)
        server.signal(signal.SIGTERM)
        # Below what it would wait for queries
        assert server.wait(QUIET - 1) == 0


def test_without_its_supervisor_no_process_stays(place, api):
    server = serving(place, api, "0s")
    with pytest.raises(AssertionError, match="exit code -9"):
        orphan(server)
    # Their sockets are free
    with place.serve():
        assert addresses(ask("web")) == ["10.0.0.1"]


def orphan(server: Server) -> None:
    """Started, and killed."""
    with server:
        server.await_workers(2)
        others = [server.controller, *server.workers()]
        server.signal(signal.SIGKILL)
        assert eventually(lambda: not any(map(runs, [server.pid, *others]))), others
